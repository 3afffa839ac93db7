/** Which of the server's warnings on a client's text another text can draw as well. */
import { expect, test } from '@jest/globals';
import { countRemarks, remarksOf } from '../../src/drop/remarks.js';
import { errResult, okResult, preparedResult, rowsResult } from '../support/results.js';

const COLUMNS = ['Level', 'Code', 'Message'];
const NESTED = 'Nested comment syntax is deprecated and will be removed in a future release.';

test('a PREPARE says how many there are', () => {
  const { payload, ...judge } = preparedResult(1);
  payload.writeUInt16LE(3, 10);
  expect(countRemarks({ ...judge, payload })).toBe(3);
  expect(countRemarks(null)).toBe(0);
  expect(countRemarks(errResult(1064, '42000', 'no'))).toBe(0);
});

test('each comment that is remarked on has one like it', () => {
  const noSpace = 'Immediately starting the version comment after the version number is deprecated';
  const rows = rowsResult(
    COLUMNS,
    ['Warning', '1681', NESTED],
    ['Warning', '4164', noSpace],
    ['Warning', '1681', NESTED],
  );
  expect(remarksOf(rows)).toBe(' /*! /* undrop */ */ /*!50000*/ /*! /* undrop */ */');
});

test('it is found between NULs', () => {
  const wide = (text: string) => [...text].map((letter) => `\0${letter}`).join('');
  const rows = rowsResult(COLUMNS, ['Warning', '1681', NESTED].map(wide));
  expect(remarksOf(rows)).toBe(' /*! /* undrop */ */');
});

test.each([
  ['1681', "'$ as the first character of an unquoted identifier' is deprecated"],
  ['1300', 'Invalid utf8mb3 character string'],
])('what no comment draws is left out: %s', (code, text) => {
  expect(remarksOf(rowsResult(COLUMNS, ['Warning', code, text]))).toBe('');
});

test('no more than 64 are repeated, and none where the answer is none', () => {
  const many = Array.from({ length: 100 }, () => ['Warning', '1681', NESTED]);
  expect(remarksOf(rowsResult(COLUMNS, ...many)).match(/undrop/g)).toHaveLength(64);
  expect(remarksOf(okResult())).toBe('');
});

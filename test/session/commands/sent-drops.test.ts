/** Which commands are counted as drops that go to the server. */
import { expect, test } from '@jest/globals';
import { isDropAsSuch } from '../../../src/session/commands/sent-drops.js';
import { CLIENT_QUERY_ATTRIBUTES } from '../../../src/wire/capabilities.js';
import { COM_QUERY, COM_STMT_PREPARE, encodeComQuery } from '../../../src/wire/commands.js';

const NONE = { flags: 0, mariadb: 0 };
const WITH_ATTRIBUTES = { ...NONE, flags: CLIENT_QUERY_ATTRIBUTES };

test.each([
  ['DROP TABLE t', true],
  ['  drop table if exists t', true],
  ['/* app:orders */ DROP TABLES a, b', true],
  ['DROP /* undrop:remove */ TABLE IF EXISTS t', true],
  ['drop database d', true],
  ['DROP SCHEMA d', true],
  ['DROP TEMPORARY TABLE t', false],
  ['DROP INDEX i ON t', false],
  ['DROPS TABLE t', false],
  ["SELECT 'DROP TABLE t'", false],
  ['/* DROP TABLE t */ SELECT 1', false],
  ['', false],
])('%j: %s', (text, isDrop) => {
  const payload = encodeComQuery(Buffer.from(text), NONE);
  expect(isDropAsSuch(payload, NONE)).toBe(isDrop);
  const attributes = encodeComQuery(Buffer.from(text), WITH_ATTRIBUTES);
  expect(isDropAsSuch(attributes, WITH_ATTRIBUTES)).toBe(isDrop);
});

test('many comments are read in no time', () => {
  for (const text of [`${'/**/'.repeat(64)}SELECT 'drop table x'`, `drop${'/**/'.repeat(60)}x`]) {
    expect(isDropAsSuch(encodeComQuery(Buffer.from(text), NONE), NONE)).toBe(false);
  }
});

test('of other commands none is', () => {
  expect(isDropAsSuch(Buffer.from([COM_STMT_PREPARE, ...Buffer.from('DROP TABLE t')]), NONE)).toBe(
    false,
  );
  expect(isDropAsSuch(Buffer.of(COM_QUERY), NONE)).toBe(false);
});

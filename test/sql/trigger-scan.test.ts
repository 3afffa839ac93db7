/** The hot path’s scan against the same question asked naively. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';

/** The same question asked naively. */
function naively(text: string): boolean {
  return (
    (/drop/i.test(text) && /table|schema|database|sequence/i.test(text)) ||
    /prepare|immediate/i.test(text) ||
    (/create/i.test(text) && /replace/i.test(text))
  );
}

function scan(text: string): boolean {
  const bytes = Buffer.from(`droptable${text}prepare`, 'latin1');
  return mayBeOurs(bytes, 9, bytes.length - 7);
}

const words = fc.constantFrom(
  ...['drop', 'Table', 'SCHEMA', 'data', 'base', 'prep', 'are', 'imm', 'ediate', 'cre', 'ate'],
  ...['re', 'place', 'PREPARE', 'dro', 'p', 'm', ' ', ';', '/**/', '\0', '\xA0', 'DATABASE'],
  ...['seq', 'Uence'],
);

test('the scan says what a naive search says, and sees nothing beyond its range', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 8 }),
      (all) => {
        const text = Buffer.from(all.join(''), 'latin1').toString('latin1');
        expect(scan(text)).toBe(naively(text));
      },
    ),
    { numRuns: 3000 },
  );
});

test.each([
  'DROP TABLE t',
  'dRoP/**/tAbLeS t',
  'DROP SCHEMA d',
  'drop database d',
  'Drop Sequence s',
  "PREPARE s FROM 'DR\\OP TAB\\LE t'",
  'EXECUTE IMMEDIATE @x',
  'CREATE OR REPLACE TABLE t (a INT)',
])('%s has to be looked at', (text) => {
  expect(scan(text)).toBe(true);
});

test.each([
  'SELECT 1',
  'ALTER TABLE t DROP COLUMN c'.replace('TABLE', 'TABEL'),
  'INSERT INTO t VALUES (1)',
  'REPLACE INTO t VALUES (1)',
  'CREATE TABLE t (a INT)',
])('%s goes on unseen', (text) => {
  expect(scan(text)).toBe(false);
});

/** The hot path’s scan against the same question asked naively. */
import { expect, test } from '@jest/globals';
import { LONG_SLICE_BYTES, readAtOnce } from '../../src/sql/reading.js';
import { mayBeOurs, mentionsRecycle, readingMayBeOurs } from '../../src/sql/trigger-scan.js';
import type { Protection } from '../../src/sql/verdict.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';

/** Blanks and comments, and a word that only undrop's statements begin with. */
const OWN = new RegExp(
  '^(?:[\\0-\\x20]|/\\*(?!!)(?:[^*]|\\*(?!/))*\\*/|(?:#|--)[^\\n]*\\n)*' +
    '(?:undrop|hold|purge|explain|show[^]*dropped)',
  'i',
);

/** The same question asked naively. */
function naively(text: string): boolean {
  return (
    OWN.test(text) ||
    (/drop/i.test(text) && /table|schema|database|sequence/i.test(text)) ||
    /prepare|immediate|_undrop|sql[\s\S]log[\s\S]bin/i.test(text) ||
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
  ...['undrop', 'Hold', 'show', 'ped', '/*', '-- ', '\n', '#', 'seq', 'Uence', '_un', '_UNDROP'],
  ...['un', 'SQL_', 'log', '_b', 'in', 'bin'],
);

test('the scan says what a naive search says, and sees nothing beyond its range', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 8 }),
      (all) => {
        const text = Buffer.from(all.join(''), 'latin1').toString('latin1');
        expect(scan(text)).toBe(naively(text));
        expect(mentionsRecycle(Buffer.from(text, 'latin1'))).toBe(/_undrop/i.test(text));
      },
    ),
    { numRuns: rounds(3_000, 500) },
  );
});

test.each([
  'DROP TABLE t',
  'dRoP/**/tAbLeS t',
  'DROP SCHEMA d',
  'drop database d',
  'Drop Sequence s',
  'UNDROP TABLE t',
  'undrop database d',
  'UNDROP orders',
  '/* x */ -- y\n # z\nUndrop Table t',
  "hold table t for '1d'",
  'PURGE RECYCLEBIN',
  'EXPLAIN TRUNCATE t',
  'SHOW DROPPED TABLES',
  'EXPLAIN DROP TABLE t',
  "PREPARE s FROM 'DR\\OP TAB\\LE t'",
  'EXECUTE IMMEDIATE @x',
  'CREATE OR REPLACE TABLE t (a INT)',
  'INSERT INTO _undrop.x VALUES (1)',
  'SET @@SESSION.SQL_LOG_BIN= 0',
  'INSERT INTO `_UnDrOp_local`.x VALUES (1)',
])('%s has to be looked at', (text) => {
  expect(scan(text)).toBe(true);
});

test.each([
  'SELECT 1',
  'ALTER TABLE t DROP COLUMN c'.replace('TABLE', 'TABEL'),
  'INSERT INTO t VALUES (1)',
  'REPLACE INTO t VALUES (1)',
  'CREATE TABLE t (a INT)',
  'INSERT INTO undrop.x SELECT drop_ FROM un_drop',
  'INSERT INTO \x7fundrop.x VALUES (1)',
])('%s goes on unseen', (text) => {
  expect(scan(text)).toBe(false);
});

const ALL = new Set<Protection>(['truncate', 'drop-partition']);

test.each<[string, Protection[]]>([
  ['INSERT INTO `_undrop`.x', []],
  ['DROP TABLE t', []],
  ['TRUNCATE t', ['truncate']],
  ['ALTER TABLE a TRUNCATE PARTITION p', ['drop-partition']],
])('%s is seen in a long text, wherever a slice ends', (words, protect) => {
  for (let at = 0; at <= words.length; at++) {
    const text = Buffer.alloc(LONG_SLICE_BYTES + 100, ' ');
    text.write(words, LONG_SLICE_BYTES - at);
    expect([at, readAtOnce(readingMayBeOurs(text, new Set(protect)))]).toEqual([at, true]);
  }
});

test.each(['SELECT 1', 'TRUNCATE t', 'ALTER TABLE a TRUNCATE PARTITION p'])(
  '%s in a long text is none of what is not enabled',
  (words) => {
    expect(readAtOnce(readingMayBeOurs(Buffer.from(words), new Set()))).toBe(false);
    expect(readAtOnce(readingMayBeOurs(Buffer.from(words), ALL))).toBe(words !== 'SELECT 1');
  },
);

test('the name of a recycle schema is found anywhere in a long text', () => {
  const [first, second] = [LONG_SLICE_BYTES, 2 * LONG_SLICE_BYTES];
  const text = Buffer.alloc(second + 100, 'p');
  expect(mentionsRecycle(text)).toBe(false);
  for (const at of [0, first - 7, first - 6, first - 3, first, second - 2, text.length - 7]) {
    const named = Buffer.from(text);
    named.write('_UnDrop', at);
    expect([at, mentionsRecycle(named)]).toEqual([at, true]);
  }
});

/** The hot path’s scan against the same question asked naively. */

import { RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../../src/names/names.js';
import type { Protection } from '../../src/sql/destroying.js';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import { LONG_SLICE_BYTES, readAtOnce } from '../../src/sql/reading.js';
import * as triggers from '../../src/sql/trigger-scan.js';
import { classify, classifyUnderAll } from '../support/classify.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';
import { describeVerdict, lexMode, SERVER_MODES, type ServerKey } from './describe-verdict.js';

/** Blanks and comments, and a word that only undrop's statements begin with. */
const OWN = new RegExp(
  '^(?:[\\0-\\x20]|/\\*(?!!)(?:[^*]|\\*(?!/))*\\*/|(?:#|--)[^\\n]*\\n)*' +
    '(?:undrop|hold|purge|explain|show[^]*dropped)',
  'i',
);

/** The same question asked naively. */
function naively(text: string, protect: ReadonlySet<Protection>): boolean {
  const isPartition = /alter/i.test(text) && /partition/i.test(text);
  return (
    OWN.test(text) ||
    (/drop/i.test(text) && /table|schema|database|sequence/i.test(text)) ||
    /prepare|immediate|_undrop|sql[\s\S]log[\s\S]bin/i.test(text) ||
    (/create/i.test(text) && /replace/i.test(text)) ||
    (/truncate/i.test(text) &&
      (protect.has('truncate') || (protect.has('drop-partition') && isPartition)))
  );
}

/** With words of each kind before its range and behind it. */
function scan(text: string, protect: ReadonlySet<Protection> = new Set()): boolean {
  const [before, behind] = ['droptablealterpartitiontruncate', 'truncatealterpartitionprepare'];
  const bytes = Buffer.from(`${before}${text}${behind}`, 'latin1');
  return triggers.mayBeOurs(bytes, before.length, bytes.length - behind.length, protect);
}

const words = fc.constantFrom(
  ...['drop', 'Table', 'SCHEMA', 'data', 'base', 'prep', 'are', 'imm', 'ediate', 'cre', 'ate'],
  ...['re', 'place', 'PREPARE', 'dro', 'p', 'm', ' ', ';', '/**/', '\0', '\xA0', 'DATABASE'],
  ...['undrop', 'Hold', 'show', 'ped', '/*', '-- ', '\n', '#', 'seq', 'Uence', '_un', '_UNDROP'],
  ...['un', 'SQL_', 'log', '_b', 'in', 'bin'],
);

const oddText = fc.constantFrom(
  ...['ALTER', 'drop', 'Truncate', 'PARTITION', 'parti', 'tion', 'al', 'ter', ' ', 'x', 'table'],
);
const texts = fc.oneof(
  fc.array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 8 }),
  fc.array(oddText, { maxLength: 7 }),
);

test('the scan says what a naive search says, and sees nothing beyond its range', () => {
  const protects = fc.subarray<Protection>(['truncate', 'drop-partition']);
  fc.assert(
    fc.property(texts, protects, (all, kinds) => {
      const text = Buffer.from(all.join(''), 'latin1').toString('latin1');
      const protect = new Set(kinds);
      expect(scan(text, protect)).toBe(naively(text, protect));
      expect(triggers.mentionsRecycle(Buffer.from(text, 'latin1'))).toBe(/_undrop/i.test(text));
    }),
    { numRuns: rounds(6_000, 1_000) },
  );
});

test.each([
  ...['DROP TABLE t', 'dRoP/**/tAbLeS t', 'DROP SCHEMA d', 'drop database d', 'Drop Sequence s'],
  ...['UNDROP TABLE t', 'undrop database d', 'UNDROP orders', '/* x */ -- y\n # z\nUndrop Table t'],
  ...["hold table t for '1d'", 'PURGE RECYCLEBIN', 'EXPLAIN TRUNCATE t', 'SHOW DROPPED TABLES'],
  ...['EXPLAIN DROP TABLE t', "PREPARE s FROM 'DR\\OP TAB\\LE t'", 'EXECUTE IMMEDIATE @x'],
  ...['CREATE OR REPLACE TABLE t (a INT)', 'INSERT INTO _undrop.x VALUES (1)'],
  ...['SET @@SESSION.SQL_LOG_BIN= 0', 'INSERT INTO `_UnDrOp_local`.x VALUES (1)'],
])('%s has to be looked at', (text) => expect(scan(text)).toBe(true));

test.each([
  'SELECT 1',
  'ALTER TABLE t DROP COLUMN c'.replace('TABLE', 'TABEL'),
  ...['INSERT INTO t VALUES (1)', 'REPLACE INTO t VALUES (1)', 'CREATE TABLE t (a INT)'],
  ...['INSERT INTO undrop.x SELECT drop_ FROM un_drop', 'INSERT INTO \x7fundrop.x VALUES (1)'],
])('%s goes on unseen', (text) => expect(scan(text)).toBe(false));

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
    expect([at, readAtOnce(triggers.readingMayBeOurs(text, new Set(protect)))]).toEqual([at, true]);
  }
});

test.each(['SELECT 1', 'TRUNCATE t', 'ALTER TABLE a TRUNCATE PARTITION p'])(
  '%s in a long text is none of what is not enabled',
  (words) => {
    expect(readAtOnce(triggers.readingMayBeOurs(Buffer.from(words), new Set()))).toBe(false);
    expect(readAtOnce(triggers.readingMayBeOurs(Buffer.from(words), ALL))).toBe(
      words !== 'SELECT 1',
    );
  },
);

test('the name of a recycle schema is found anywhere in a long text', () => {
  const [first, second] = [LONG_SLICE_BYTES, 2 * LONG_SLICE_BYTES];
  const text = Buffer.alloc(second + 100, 'p');
  expect(triggers.mentionsRecycle(text)).toBe(false);
  for (const at of [0, first - 7, first - 6, first - 3, first, second - 2, text.length - 7]) {
    const named = Buffer.from(text);
    named.write('_UnDrop', at);
    expect([at, triggers.mentionsRecycle(named)]).toEqual([at, true]);
  }
});

// ── recycle name ─────────────────────────────────────────────────────────────────────────────────
// What is taken for the name of one of undrop's own schemas.

function isToken(text: string): boolean {
  const bytes = Buffer.from(`--${text}--`, 'latin1');
  return triggers.isRecycleToken(bytes, 2, bytes.length - 2);
}

test('every schema that undrop has, quoted in any way and in any case', () => {
  const own = [RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL, '_undrop_2', '_undrop_local_32'];
  for (const name of own) {
    const ways = [name, `\`${name}\``, `"${name}"`, `[${name}]`, name.toUpperCase()];
    expect(ways.filter((way) => !isToken(way))).toEqual([]);
    expect(triggers.isRecycleName(Buffer.from(name))).toBe(true);
  }
});

test.each([
  '`#mysql50#_undrop`',
  '`#MYSQL50#_undrop_local`',
  // For a GRANT an underscore alone is any character.
  '`\\_undrop`',
  '`\\_undrop\\_local\\_2`',
  // MySQL ends the name at the broken character.
  '_undrop\xff',
  '`_undrop\xffx`',
  `_undrop\xff${'x'.repeat(200)}`,
])('%s', (text) => expect(isToken(text)).toBe(true));

test.each(['_undrop\0', '_undrop\0x', '_UNDROP'])('of a packet: %j', (name) =>
  expect(triggers.isRecycleName(Buffer.from(name, 'latin1'))).toBe(true),
);

test.each([
  ...['undrop', '_undro', 'x_undrop', '__undrop', '_undropx', '_undrop_x', '_undrop_locals'],
  ...['`_undrop `', '`_undrop%`', '`my_undrop`', '_undrop_', '``', "'_undrop'", '#_undrop'],
])('not %s', (text) => expect(isToken(text)).toBe(false));

// ── recycle schema write ─────────────────────────────────────────────────────────────────────────
// What may write where undrop keeps tables, and what only reads there: each way to write such a
// name, each form, and each USE of such a schema.

const MULTI = { multiStatements: true };
const ANSI = { ansiQuotes: true };

function says(sql: string, mode: LexMode, options: object = MULTI): string {
  return describeVerdict(classify(Buffer.from(sql, 'latin1'), mode, { ...MULTI, ...options }));
}

/** On the newest of each kind; `mode` makes it another one. */
function all(mode: Partial<LexMode> = {}): readonly LexMode[] {
  return [lexMode('mysql-9.7', mode), lexMode('mariadb-11.8', mode)];
}

/** `%` is where a table's name stands. */
const WRITES = [
  ...['INSERT INTO % VALUES (1)', 'INSERT INTO d.t SELECT * FROM %', 'REPLACE INTO % SET a = 1'],
  ...['UPDATE % SET a = 1', 'UPDATE d.t, % AS u SET u.a = 1', 'DELETE FROM %', 'TRUNCATE TABLE %'],
  ...['DELETE u FROM d.t JOIN % AS u', 'CREATE TABLE % (a INT)', 'CREATE TABLE d.t LIKE %'],
  ...['CREATE TABLE d.t AS SELECT * FROM %', 'CREATE TEMPORARY TABLE % (a INT)'],
  ...['ALTER TABLE % ADD b INT', 'ALTER TABLE d.t RENAME %', 'RENAME TABLE % TO d.t'],
  ...['RENAME TABLE d.t TO %', 'CREATE INDEX i ON % (a)', 'DROP INDEX i ON %', 'DROP VIEW %'],
  ...['CREATE VIEW d.v AS SELECT * FROM %', 'CREATE OR REPLACE VIEW % AS SELECT 1'],
  ...['CREATE TRIGGER d.tr BEFORE INSERT ON % FOR EACH ROW SET @a = 1', 'DROP TRIGGER %'],
  ...['CREATE TRIGGER d.tr BEFORE INSERT ON d.t FOR EACH ROW BEGIN DELETE FROM %; END'],
  ...['CREATE PROCEDURE % () SELECT 1', 'CREATE EVENT % ON SCHEDULE EVERY 1 DAY DO SELECT 1'],
  ...['CREATE PROCEDURE d.p() DELETE FROM %', 'CREATE FUNCTION % () RETURNS INT RETURN 1'],
  ...['select a from % for update', 'SELECT a FROM d.t, % FOR SHARE OF t NOWAIT'],
  ...['(SELECT a FROM % LOCK IN SHARE MODE)', 'WITH c AS (SELECT 1) SELECT * FROM % FOR UPDATE'],
  ...['LOCK TABLES % READ', 'LOCK TABLES % AS t READ /*!32311 LOCAL */', 'TABLE % FOR UPDATE'],
  ...['LOCK TABLES % WRITE', 'LOCK TABLES d.t READ, % AS u LOW_PRIORITY WRITE', 'CALL %()'],
  ...["LOAD DATA INFILE 'x' INTO TABLE %", "LOAD XML LOCAL INFILE 'x' INTO TABLE %", 'DO %()'],
  ...['GRANT SELECT ON % TO u', 'REVOKE ALL ON % FROM u', 'OPTIMIZE TABLE %', 'REPAIR TABLE %'],
  ...['ANALYZE TABLE %', 'CHECK TABLE %', 'FLUSH TABLES % FOR EXPORT', 'HANDLER % OPEN'],
  ...['WITH c AS (SELECT 1) UPDATE % SET a = 1', 'WITH c AS (SELECT * FROM %) DELETE FROM d.t'],
  ...['SET @a = (SELECT 1 FROM %)', 'DROP TEMPORARY TABLE %', 'DROP FUNCTION %', 'ANALYZE %'],
  ...['EXPLAIN ANALYZE DELETE t FROM d.t JOIN %', 'DESC ANALYZE UPDATE %, d.t SET a = 1'],
  ...['CREATE TABLE d.t (a INT) ENGINE=MERGE UNION=(%)', 'IMPORT TABLE %', 'NONSENSE %'],
  ...['ALTER TABLE d.t ADD FOREIGN KEY (a) REFERENCES % (a)', '% SELECT 1', '.% SELECT'],
  ...['CREATE TABLE d.t (a INT); INSERT INTO %'].map((text) => text.split('; ')[1] ?? ''),
];

const READS = [
  ...['SELECT * FROM %', 'SELECT a AS `for`, b AS `update` FROM %'],
  "SELECT * INTO OUTFILE 'x' FROM %",
  ...['(SELECT * FROM %)', '((SELECT 1) UNION (SELECT a FROM %))', 'SHOW CREATE TABLE %'],
  ...['WITH c AS (SELECT 1) SELECT * FROM c, %', 'WITH RECURSIVE c (a) AS (SELECT 1) TABLE %'],
  ...['EXPLAIN SELECT * FROM %', 'EXPLAIN DELETE FROM %', 'DESC %', 'DESCRIBE %', 'EXPLAIN %'],
  ...['EXPLAIN ANALYZE SELECT * FROM %'],
  ...['SHOW COLUMNS FROM %', 'CHECKSUM TABLE %', 'TABLE %', '/*!40001 SELECT */ 1 FROM %'],
  ...['VALUES ROW((SELECT 1 FROM %))', 'SELECT insert_ FROM % WHERE a = "DELETE"'],
];

const NAMES = [
  ...['_undrop.x', '`_undrop`.`x`', '_UNDROP.x', '_undrop_local.x', '`_undrop_2` . x'],
  ...['_undrop_local_31.x', '/*!50000 `_undrop` */ . x', '_undrop/**/.x', '`#mysql50#_undrop`.x'],
];

describe.each(Object.keys(SERVER_MODES) as ServerKey[])('%s', (server) => {
  test.each(WRITES)('%s is refused', (text) => {
    const odd = NAMES.filter(
      (name) => says(text.replaceAll('%', name), lexMode(server)) !== 'recycle-schema-write/named',
    );
    expect(odd).toEqual([]);
  });

  test.each(READS)('%s is a read', (text) => {
    const odd = NAMES.filter(
      (name) => says(text.replaceAll('%', name), lexMode(server)) !== 'not-ours',
    );
    expect(odd).toEqual([]);
  });
});

describe('where the name stands', () => {
  test('in a text that may hold one statement, one behind it is not looked for in vain', () => {
    const sql = 'SELECT 1; INSERT INTO _undrop.x VALUES (1)';
    expect(says(sql, lexMode('mysql-9.7'), { multiStatements: false })).toBe(
      'recycle-schema-write/unclear',
    );
  });

  test('what only the mode can say is asked for', () => {
    const server = SERVER_MODES['mysql-9.7'];
    for (const sql of ['DELETE FROM "_undrop".x', "DELETE FROM d.t WHERE a = '\\', _undrop.x '"]) {
      expect(classifyUnderAll(Buffer.from(sql), server, MULTI).kind).toBe('disagree');
    }
    for (const sql of ['SELECT * FROM "_undrop".x', 'DELETE FROM d.t WHERE a = "x" OR 1']) {
      expect(classifyUnderAll(Buffer.from(sql), server, MULTI).kind).toBe('not-ours');
    }
  });
});

describe('whatever stands around it', () => {
  const gap = fc.constantFrom(
    ...[' ', '\n', '\t', '/**/', '/* x */', ' -- x\n', '#\n', ' /*!*/ ', '/*!50000 */', '/*/ */'],
  );
  const name = fc
    .tuple(
      fc.constantFrom('_undrop', '_undrop_local', '_undrop_2', '_undrop_local_2'),
      fc.constantFrom('', '`', '"'),
      fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
      fc.constantFrom('', '#mysql50#'),
    )
    .map(([schema, quote, upper, prefix]) => {
      const cased = Array.from(schema, (letter, at) => (upper[at] ? letter.toUpperCase() : letter));
      return `${quote}${quote === '' ? '' : prefix}${cased.join('')}${quote}`;
    });
  const spaced = (text: string, gaps: readonly string[], schema: string) =>
    text
      .replaceAll('%', `${schema} . x`)
      .split(' ')
      .reduce((before, word, at) => `${before}${gaps[at % gaps.length] ?? ' '}${word}`);
  const gaps = fc.array(gap, { minLength: 1, maxLength: 12 });
  const modes = fc.constantFrom(...all(ANSI), lexMode('mysql-5.6', ANSI));

  test('a write is refused', () =>
    fc.assert(
      fc.property(fc.constantFrom(...WRITES), gaps, name, modes, (text, between, schema, mode) =>
        expect(says(spaced(text, between, schema), mode)).toBe('recycle-schema-write/named'),
      ),
      { numRuns: rounds(500, 100) },
    ));

  test('a read never is', () =>
    fc.assert(
      fc.property(fc.constantFrom(...READS), gaps, name, modes, (text, between, schema, mode) =>
        expect(says(spaced(text, between, schema), mode)).toBe('not-ours'),
      ),
      { numRuns: rounds(500, 100) },
    ));

  test('a name in a literal or a comment is none', () => {
    const inside = fc.constantFrom("'%'", "'''%'", '/* % */ 1', "'\\'%'", "x'00', '%'", '1 -- %\n');
    fc.assert(
      fc.property(inside, name, fc.constantFrom(...all()), (text, schema, mode) => {
        const sql = `INSERT INTO d.t VALUES (${text.replaceAll('%', schema)})`;
        expect(says(sql, mode)).toBe('not-ours');
      }),
      { numRuns: rounds(500, 100) },
    );
  });
});

/**
 * What may write where undrop keeps tables, and what only reads there: each way to write such a
 * name, each form, and each USE of such a schema.
 */
import { describe, expect, test } from '@jest/globals';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import { classify, classifyUnderAll } from '../support/classify.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';
import { describeVerdict, lexMode, SERVER_MODES, type ServerKey } from './describe-verdict.js';

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
  ...[
    'SELECT * FROM %',
    'SELECT a AS `for`, b AS `update` FROM %',
    "SELECT * INTO OUTFILE 'x' FROM %",
  ],
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
  const modes = fc.constantFrom(
    ...all(ANSI),
    lexMode('mysql-5.6', ANSI),
    lexMode('mysql-9.7', ANSI),
  );

  test('a write is refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(...WRITES), gaps, name, modes, (text, between, schema, mode) => {
        expect(says(spaced(text, between, schema), mode)).toBe('recycle-schema-write/named');
      }),
      { numRuns: rounds(500, 100) },
    );
  });

  test('a read never is', () => {
    fc.assert(
      fc.property(fc.constantFrom(...READS), gaps, name, modes, (text, between, schema, mode) => {
        expect(says(spaced(text, between, schema), mode)).toBe('not-ours');
      }),
      { numRuns: rounds(500, 100) },
    );
  });

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

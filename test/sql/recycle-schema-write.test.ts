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
  ...['SELECT * FROM %', 'select a from % for update', "SELECT * INTO OUTFILE 'x' FROM %"],
  ...['(SELECT * FROM %)', '((SELECT 1) UNION (SELECT a FROM %))', 'SHOW CREATE TABLE %'],
  ...['WITH c AS (SELECT 1) SELECT * FROM c, %', 'WITH RECURSIVE c (a) AS (SELECT 1) TABLE %'],
  ...['EXPLAIN SELECT * FROM %', 'EXPLAIN DELETE FROM %', 'DESC %', 'DESCRIBE %', 'EXPLAIN %'],
  ...['EXPLAIN ANALYZE SELECT * FROM %'],
  ...['SHOW COLUMNS FROM %', 'CHECKSUM TABLE %', 'LOCK TABLES % READ', 'TABLE %'],
  ...['LOCK TABLES % AS t READ /*!32311 LOCAL */', '/*!40001 SELECT */ 1 FROM %'],
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

type Row = readonly [sql: string, expected: string];
type ModeRow = readonly [...row: Row, mode?: Partial<LexMode>];

describe('where the name stands', () => {
  const inModes: readonly ModeRow[] = [
    ["INSERT INTO d.t VALUES ('_undrop.x', '`_undrop`.x')", 'not-ours'],
    ['INSERT INTO d.t VALUES ("_undrop")', 'not-ours'],
    ['INSERT INTO d.t VALUES ("_undrop")', 'recycle-schema-write/named', ANSI],
    ['INSERT INTO "_undrop".t VALUES (1)', 'recycle-schema-write/named', ANSI],
    ['INSERT INTO d.t /* _undrop.x */ VALUES (1) -- _undrop.x', 'not-ours'],
    ['INSERT INTO d.t # _undrop.x\n VALUES (1)', 'not-ours'],
    ["INSERT INTO d.t VALUES ('\\'_undrop')", 'not-ours'],
    [
      "INSERT INTO d.t VALUES ('\\', _undrop.a(), '')",
      'recycle-schema-write/named',
      { noBackslashEscapes: true },
    ],
    ['INSERT INTO d.t VALUES (`a_undrop`, _undropped)', 'not-ours'],
    ['CREATE TABLE d._undrop (a INT)', 'recycle-schema-write/named'],
    ['UPDATE d.t AS _undrop SET a = 1', 'recycle-schema-write/named'],
    ['CREATE DATABASE _undrop', 'recycle-schema-write/named'],
    ['CREATE DATABASE IF NOT EXISTS `_undrop_2`', 'recycle-schema-write/named'],
    ['ALTER DATABASE _undrop CHARACTER SET utf8', 'recycle-schema-write/named'],
    ['GRANT ALL ON `\\_undrop`.* TO u', 'recycle-schema-write/named'],
    ['GRANT ALL ON `\\_undrop%`.* TO undrop', 'not-ours'],
    ['DROP TABLE _undrop.x', 'drop-table _undrop.x recycled'],
    ['DROP TABLE d.t, `_UNDROP`.x', 'drop-table d.t _UNDROP.x recycled'],
    ['DROP DATABASE _undrop', 'refused/drop-database schema _undrop'],
    ['USE _undrop', 'recycle-schema-write/use'],
    ['use `_UNDROP_LOCAL` /* x */', 'recycle-schema-write/use'],
    ['/*!50000 USE _undrop_2 */', 'recycle-schema-write/use'],
    ['USE /*!50000 `#mysql50#_undrop` */', 'recycle-schema-write/use'],
    ['USE "_undrop"', 'recycle-schema-write/use', ANSI],
    ['USE d /* _undrop */', 'not-ours'],
    ['USE `_undropped`', 'not-ours'],
    ["INSERT INTO _undrop.x VALUES ('", 'recycle-schema-write/named'],
    ["SELECT * FROM _undrop.x WHERE a = '", 'not-ours'],
  ];
  test.each(inModes.map((row) => ({ row })))('$row.0: $row.1', ({ row }) => {
    const [sql, expected, mode] = row;
    for (const one of all(mode)) expect(says(sql, one)).toBe(expected);
  });

  test.each<Row>([
    ['SELECT NEXTVAL(_undrop.s)', 'recycle-schema-write/named'],
    ['SELECT NEXT VALUE FOR _undrop.s', 'recycle-schema-write/named'],
    ['SELECT 1, setval(`_undrop`.s, 5)', 'recycle-schema-write/named'],
    ['SELECT _undrop.s.`nextval`', 'recycle-schema-write/named'],
    ['SELECT LASTVAL(_undrop.s), next_row', 'not-ours'],
    ['SELECT LASTVAL(_undrop.s), "nextval"', 'recycle-schema-write/named'],
    [
      'SET STATEMENT max_statement_time=1 FOR INSERT INTO _undrop.x VALUES (1)',
      'recycle-schema-write/named',
    ],
    [
      'SET STATEMENT max_statement_time=1 FOR SELECT * FROM _undrop.x',
      'recycle-schema-write/named',
    ],
    ['BEGIN NOT ATOMIC DELETE FROM _undrop.x; END', 'recycle-schema-write/named'],
    ['IF (SELECT 1 FROM _undrop.x) THEN SELECT 1; END IF', 'recycle-schema-write/named'],
    [
      "BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'DELETE FROM _undrop.x'; END",
      'recycle-schema-write/unclear',
    ],
    ['CREATE OR REPLACE TABLE _undrop.x (a INT)', 'recycle-schema-write/named'],
    ['CREATE OR REPLACE DATABASE _undrop', 'recycle-schema-write/named'],
    ['CREATE SEQUENCE _undrop.s', 'recycle-schema-write/named'],
    ['DROP SEQUENCE _undrop.s', 'drop-sequence _undrop.s recycled'],
    ["EXECUTE IMMEDIATE 'USE _undrop'", 'refused/execute-immediate [recycle-schema-write/use]'],
    ['SET STATEMENT max_statement_time=1 FOR USE _undrop', 'recycle-schema-write/named'],
  ])('MariaDB: %s: %s', (sql, expected) => {
    expect(says(sql, lexMode('mariadb-11.8'))).toBe(expected);
  });

  test.each<Row>([
    [
      "PREPARE s FROM 'INSERT INTO _undrop.x VALUES (1)'",
      'refused/prepare [recycle-schema-write/named]',
    ],
    ["PREPARE s FROM 'SELECT * FROM _undrop.x'", 'not-ours'],
    ['PREPARE s FROM @v', 'dynamic/prepare @v variable'],
    [
      'SELECT 1 FROM _undrop.x; DELETE FROM _undrop.x; SELECT 2',
      'refused/multi-statement [not-ours; recycle-schema-write/named; not-ours]',
    ],
    ["PREPARE s FROM 'USE _undrop'", 'refused/prepare [recycle-schema-write/use]'],
    ['USE d; USE _undrop', 'refused/multi-statement [not-ours; recycle-schema-write/use]'],
    ['/*!99999 INSERT INTO _undrop.x */ INSERT INTO d.t VALUES (1)', 'not-ours'],
    ['INSERT /*!50000 INTO _undrop.x */ VALUES (1)', 'recycle-schema-write/named'],
  ])('%s: %s', (sql, expected) => {
    expect(says(sql, lexMode('mysql-9.7'))).toBe(expected);
  });

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

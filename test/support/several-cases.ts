/** Texts of several statements with a DROP TABLE among them, as cases for native-case.ts. */
import type { NativeCase } from './native-case.js';

type Case = Omit<NativeCase, 'name' | 'setup'> & { readonly setup?: readonly string[] };

const MARIADB = ['mariadb-10.11', 'mariadb-11.8'];
const SETUP = [
  '@ab',
  'CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20))',
  "INSERT INTO t (s) VALUES ('x'), (NULL), ('')",
  'CREATE TABLE many (n INT PRIMARY KEY, s VARCHAR(100))',
  'INSERT INTO many VALUES (1, 2), (2, 3), (3, 4)',
  'CREATE VIEW v AS SELECT * FROM b',
  'CREATE PROCEDURE two() BEGIN SELECT 1; SELECT * FROM t; END',
  "CREATE PROCEDURE fails() BEGIN SELECT 1; SIGNAL SQLSTATE '45000'; END",
  'CREATE PROCEDURE ansi() SET NAMES latin1',
];

const CASES: Readonly<Record<string, string | Case>> = {
  'first of two': 'DROP TABLE a; SELECT 1',
  'last of two': 'SELECT 1; DROP TABLE a',
  'in the middle': 'SELECT 1; DROP TABLE a; SELECT * FROM t',
  'three of them': 'DROP TABLE a; DROP TABLE b; DROP TABLE t',
  'three with others between': 'DO 1; DROP TABLE a; SELECT 2; SELECT 3; DROP TABLE b, t; DO 4',
  'the same twice': 'DROP TABLE a; DROP TABLE a; SELECT 1',
  'made anew between':
    'DROP TABLE a; CREATE TABLE a (x INT); INSERT INTO a VALUES (1); DROP TABLE a',
  'a blank rest': 'SELECT 1; DROP TABLE a; ; \n ',
  'a comment behind': 'SELECT 1; DROP TABLE a; -- done',
  'comments around':
    '/* a */ SELECT 1 /* b */; /* c; */ # d\n DROP /* e */ TABLE a /* f */; -- g\nDO 1',
  'an empty statement between': 'SELECT 1; ; DROP TABLE a',
  'an empty statement behind': 'DROP TABLE a;; SELECT 1',
  'a version comment': 'SELECT 1; /*!50000 DROP TABLE a */; SELECT 2',
  'many rows before and behind': {
    setup: [
      ...SETUP,
      `REPLACE INTO many VALUES ${Array.from({ length: 2000 }, (_, n) => `(${n}, REPEAT('y', 90))`)}`,
    ],
    sql: 'SELECT * FROM many; DROP TABLE a; SELECT * FROM many; SELECT 1',
  },
  'results of CALL': 'CALL two(); DROP TABLE a; CALL two(); DROP TABLE b; CALL two()',
  'changes and their counts': {
    sql: 'INSERT INTO t (s) VALUES (1), (2); DROP TABLE a; UPDATE t SET s = 3; SELECT ROW_COUNT(), LAST_INSERT_ID()',
    probe: ['SELECT * FROM t'],
  },
  'the count behind a drop': 'DROP TABLE a; SELECT ROW_COUNT()',
  'warnings behind a drop': 'DROP TABLE IF EXISTS zz, a; SHOW WARNINGS; SELECT @@warning_count',
  'warnings of the statement before': {
    session: ['DROP TABLE IF EXISTS zz, zzz'],
    sql: 'SHOW WARNINGS; DROP TABLE a',
  },
  'warnings of a statement of the text': 'SELECT 1/0; DROP TABLE a; SELECT CAST("x" AS SIGNED)',
  'an error before': 'SELECT * FROM missing; DROP TABLE a',
  'an error in the second of three before':
    'SELECT 1; SELECT * FROM missing; SELECT 2; DROP TABLE a',
  'an error in a routine before': 'CALL fails(); DROP TABLE a',
  'an error in the drop': 'SELECT 1; DROP TABLE zz; SELECT 2',
  'an error behind': 'DROP TABLE a; SELECT * FROM missing; DROP TABLE b',
  'a syntax error before': 'SELECT 1; SELEC 2; DROP TABLE a; SELECT 3',
  'a syntax error in the first': 'SELEC 1; DROP TABLE a',
  'a syntax error on a line of its own': 'SELECT 1;\n\nSELECT\n2 2 2; DROP TABLE a',
  'a syntax error behind CALL': 'CALL two(); SELECT 5 5 5; DROP TABLE a',
  'a syntax error in the drop': 'SELECT 1; DROP TABLE a b; SELECT 2',
  'a syntax error at the end of the drop': 'SELECT 1; DROP TABLE a,; SELECT 2',
  'a syntax error in a text that is prepared':
    "SELECT 1; PREPARE s FROM 'DROP TABLE a b'; DROP TABLE a; SELECT 2",
  'a syntax error in a text that is executed at once': {
    sql: "SELECT 1; EXECUTE IMMEDIATE '; DROP TABLE a'; DROP TABLE b; SELECT 2",
    servers: MARIADB,
  },
  'a name that is given twice': 'SELECT 1; DROP TABLE a, a; SELECT 2',
  'a syntax error behind': 'DROP TABLE a; SELEC 2; DROP TABLE b',
  'a text that breaks off': "DROP TABLE a; SELECT 'x; DROP TABLE b",
  'ANSI_QUOTES set in the text': {
    setup: [...SETUP, 'CREATE TABLE `a;b` (x INT)', 'INSERT INTO `a;b` VALUES (1)'],
    sql: 'SET sql_mode = \'ANSI_QUOTES\'; DROP TABLE "a;b"; SELECT 1',
  },
  'ANSI_QUOTES set in a way that is not read': {
    setup: [...SETUP, 'CREATE TABLE `a;b` (x INT)', 'INSERT INTO `a;b` VALUES (1)'],
    session: ["SET @m = 'ANSI_QUOTES'"],
    sql: 'SET @@SESSION.sql_mode = CONCAT(@m, \'\'); DROP TABLE "a;b"; SELECT 1 "x"',
  },
  'ANSI_QUOTES taken back between': {
    setup: [...SETUP, 'CREATE TABLE `a;b` (x INT)'],
    sql: 'SET @m = @@sql_mode; SET sql_mode = \'ANSI_QUOTES\'; DROP TABLE "a;b"; SET sql_mode = @m; SELECT "; DROP TABLE b"; DROP TABLE a',
  },
  'NO_BACKSLASH_ESCAPES set in the text':
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; DROP TABLE a; SELECT '\\'",
  'what is a drop in another mode only':
    'SELECT "it\\"s; DROP TABLE a"; DROP TABLE b; SELECT "\\""',
  'what is a drop in another mode only, alone': 'SELECT "it\\"s; DROP TABLE a"; DO 1',
  'what is a drop in another mode only, without autocommit': {
    session: ['SET autocommit = 0'],
    sql: 'SELECT "it\\"s; DROP TABLE a"; DO 1',
  },
  'another charset': "SET NAMES latin1; DROP TABLE a; SELECT 'ä'",
  'a routine that may change the charset': "CALL ansi(); SELECT 'ä'; DROP TABLE a",
  'another schema': {
    setup: [...SETUP, 'CREATE TABLE d2.a (x INT)', 'INSERT INTO d2.a VALUES (7)'],
    sql: 'USE d2; DROP TABLE a; SELECT DATABASE(); DROP TABLE d1.a; USE d1; DROP TABLE b',
  },
  'a transaction': {
    sql: 'BEGIN; INSERT INTO b VALUES (77, 77); DROP TABLE a; ROLLBACK; SELECT * FROM b WHERE id = 77',
  },
  'a transaction that is open behind': {
    sql: 'DROP TABLE a; BEGIN; INSERT INTO b VALUES (77, 77)',
    probe: ['@rollback'],
  },
  'a temporary table':
    'CREATE TEMPORARY TABLE a (x INT); DROP TABLE a; SELECT * FROM a; DROP TABLE a',
  'temporary and base': 'CREATE TEMPORARY TABLE tt (x INT); DROP TABLE tt, a; SELECT 1',
  'a view': 'SELECT 1; DROP TABLE v; SELECT 2',
  'a user without the right': {
    grants: ['SELECT ON d1.*'],
    sql: 'SELECT 1; DROP TABLE a; SELECT 2',
  },
  'TABLES and clauses': 'DO 1; DROP TABLES IF EXISTS a, b RESTRICT; DO 2',
  'names in a text':
    "SELECT 'DROP TABLE a; DROP TABLE b'; DROP TABLE t; SELECT `n` FROM many LIMIT 2",
  'session tracking': {
    session: ['SET session_track_schema = 1'],
    servers: ['mysql-9.7', ...MARIADB],
    sql: "SET session_track_system_variables = '*'; USE d2; DROP TABLE d1.a; SET autocommit = 1; USE d1; DROP TABLE b",
  },
  'a block after a drop': {
    servers: MARIADB,
    sql: 'DROP TABLE a; IF 1 THEN SELECT 3; END IF; SELECT 4',
  },
  'a drop by its name': "PREPARE s FROM 'DROP TABLE a'; EXECUTE s; DEALLOCATE PREPARE s; SELECT 1",
  'a drop by its name, put together and twice': {
    sql: "SET @s = CONCAT('DROP TABLE ', 'a'); PREPARE s FROM @s; EXECUTE s; SELECT 2; EXECUTE s; SELECT 3",
    probe: ['EXECUTE s', 'DEALLOCATE PREPARE s', 'EXECUTE s'],
  },
  'a drop that was prepared before': {
    session: ["PREPARE s FROM 'DROP TABLE IF EXISTS a, zz'"],
    sql: 'SELECT 1; EXECUTE s; SHOW WARNINGS; EXECUTE s',
    probe: ['SHOW WARNINGS', 'EXECUTE s', 'DEALLOCATE PREPARE s; EXECUTE s; SELECT 1'],
  },
  'a syntax error in a text that a variable has': {
    session: ["SET @s = 'SELEC'"],
    sql: 'SELECT 1; PREPARE s FROM @s; DROP TABLE a',
  },
  'names that are taken again': {
    sql: "PREPARE s FROM 'DROP TABLE a'; PREPARE s FROM 'SELECT 5'; SET @r = 'DO 6'; PREPARE r FROM 'DROP TABLE b'; PREPARE q FROM @r; EXECUTE S; EXECUTE q; EXECUTE R; PREPARE r FROM 'SELEC'; EXECUTE r",
    probe: ['EXECUTE r', 'EXECUTE s'],
  },
  'a drop by its name where quotes are open': {
    session: ["PREPARE s FROM 'DROP TABLE a'"],
    sql: "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; EXECUTE s; SELECT '\\'",
  },
  'a block with a syntax error between': {
    servers: MARIADB,
    sql: 'DO 1; BEGIN NOT ATOMIC DROP TABLE a b; END; DO 2; DROP TABLE b',
    ends: 'UNDROP_NOT_DONE_YET',
  },
  'under SET STATEMENT': {
    servers: MARIADB,
    sql: 'DO 1; SET STATEMENT max_statement_time = 9 FOR DO 2; DROP TABLE b',
    ends: 'UNDROP_NOT_DONE_YET',
  },
  'a missing schema': { sql: 'DROP DATABASE IF EXISTS d9; DROP TABLE a' },
  'a schema behind': { sql: 'SELECT 1; DROP TABLE a; DROP DATABASE d1' },
};

/** What random texts are made of. */
const STATEMENTS = [
  ...['SELECT 1', 'SELECT * FROM t', 'DO 1', 'CALL two()', 'SELECT 1/0', 'SHOW WARNINGS', 'BEGIN'],
  ...['DROP TABLE a', 'DROP TABLE b', 'DROP TABLE t, many', 'DROP TABLE a', 'DROP TABLE d1.t'],
  ...['DROP TABLE IF EXISTS a', 'DROP TABLE IF EXISTS zz', 'drop tables if exists b, zz', 'COMMIT'],
  ...['DROP TABLE zz', 'DROP TABLE v', 'DROP TABLE a b', 'DROP TABLE `a`', 'DROP/**/TABLE/**/b'],
  ...[
    'CREATE TABLE a (x INT)',
    'CREATE TABLE IF NOT EXISTS b (id INT, v INT)',
    'ROLLBACK',
    'SELEC',
  ],
  ...[
    'CREATE TEMPORARY TABLE IF NOT EXISTS a (y INT)',
    'DROP TEMPORARY TABLE IF EXISTS a',
    'USE d2',
  ],
  ...[
    'INSERT INTO t (s) VALUES (1)',
    'INSERT INTO b VALUES (9, 9)',
    'SELECT LAST_INSERT_ID()',
    'USE d1',
  ],
  ...[
    "SET sql_mode = 'ANSI_QUOTES'",
    "SET sql_mode = ''",
    'SET @m = @@sql_mode',
    'SET sql_mode = @m',
  ],
  ...["SET sql_mode = 'NO_BACKSLASH_ESCAPES'", 'SET NAMES latin1', 'SET NAMES utf8mb4'],
  ...["SELECT 'x; DROP TABLE a'"],
  ...['CALL ansi()', 'SELECT `n` FROM many LIMIT 3', 'SELECT "é", \'ü\'', "SET @m = 'ANSI_QUOTES'"],
];
/**
 * What these are depends on sql_mode. undrop may have to ask for it, and the warnings of the
 * statement before are lost by that, as the limits say; a statement with a table ends them anyway.
 */
const READ_BY_MODE = [
  ...['DROP TABLE "a"', 'SELECT "it\\"s; DROP TABLE b"', "SELECT '\\'; DROP TABLE a; '"],
].map((text) => `SELECT * FROM many; ${text}`);
const BETWEEN = [';', '; ', ';\n', ' ;\t', '; /* c; */ ', ';-- d\n', '; # e ;\n'];
const BEHIND = ['', '', ';', ' ; ;\n', '; -- f', ' /* g */', '; /*! */'];

/** One text of up to eight statements. */
export function randomText(random: () => number): string {
  const one = (choices: readonly string[]) => choices[Math.floor(random() * choices.length)] ?? '';
  const count = 2 + Math.floor(random() * 7);
  const statements = Array.from({ length: count }, () => one([...STATEMENTS, ...READ_BY_MODE]));
  return statements.reduce((text, next) => `${text}${one(BETWEEN)}${next}`) + one(BEHIND);
}

export const SEVERAL_SETUP: readonly string[] = SETUP;

export const SEVERAL_CASES: readonly NativeCase[] = Object.entries(CASES).map(([name, one]) => ({
  name,
  setup: SETUP,
  ...(typeof one === 'string' ? { sql: one } : one),
}));

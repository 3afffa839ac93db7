/**
 * Texts of several statements with a DROP TABLE among them, as cases for native-case.ts; most are
 * in test/golden/several_cases.json.
 */
import { readFileSync } from 'node:fs';
import type { NativeCase } from './native-case.js';

/** `setup`: behind that of all cases. */
type Case = Omit<NativeCase, 'setup'> & { readonly setup?: readonly string[] };

export const SEVERAL_SETUP: readonly string[] = [
  ...['@ab', 'CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20))'],
  "INSERT INTO t (s) VALUES ('x'), (NULL), ('')",
  'CREATE TABLE many (n INT PRIMARY KEY, s VARCHAR(100))',
  ...['INSERT INTO many VALUES (1, 2), (2, 3), (3, 4)', 'CREATE VIEW v AS SELECT * FROM b'],
  'CREATE PROCEDURE two() BEGIN SELECT 1; SELECT * FROM t; END',
  "CREATE PROCEDURE fails() BEGIN SELECT 1; SIGNAL SQLSTATE '45000'; END",
  'CREATE PROCEDURE ansi() SET NAMES latin1',
];

const MANY_ROWS: Case = {
  name: 'many rows before and behind',
  setup: [
    `REPLACE INTO many VALUES ${Array.from({ length: 2000 }, (_, n) => `(${n}, REPEAT('y', 90))`)}`,
  ],
  sql: 'SELECT * FROM many; DROP TABLE a; SELECT * FROM many; SELECT 1',
};

/** What random texts are made of. */
const STATEMENTS = [
  ...['SELECT 1', 'SELECT * FROM t', 'DO 1', 'CALL two()', 'SELECT 1/0', 'SHOW WARNINGS', 'BEGIN'],
  ...['DROP TABLE a', 'DROP TABLE b', 'DROP TABLE t, many', 'DROP TABLE a', 'DROP TABLE d1.t'],
  ...['DROP TABLE IF EXISTS a', 'DROP TABLE IF EXISTS zz', 'drop tables if exists b, zz', 'COMMIT'],
  ...['DROP TABLE zz', 'DROP TABLE v', 'DROP TABLE a b', 'DROP TABLE `a`', 'DROP/**/TABLE/**/b'],
  ...['CREATE TABLE a (x INT)', 'CREATE TABLE IF NOT EXISTS b (id INT, v INT)', 'ROLLBACK'],
  'SELEC',
  ...['CREATE TEMPORARY TABLE IF NOT EXISTS a (y INT)', 'DROP TEMPORARY TABLE IF EXISTS a'],
  'USE d2',
  ...['INSERT INTO t (s) VALUES (1)', 'INSERT INTO b VALUES (9, 9)', 'SELECT LAST_INSERT_ID()'],
  'USE d1',
  ...["SET sql_mode = 'ANSI_QUOTES'", "SET sql_mode = ''", 'SET @m = @@sql_mode'],
  'SET sql_mode = @m',
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

export const SEVERAL_CASES: readonly NativeCase[] = [
  ...(JSON.parse(readFileSync('test/golden/several_cases.json', 'utf8')) as Case[]),
  MANY_ROWS,
].map((one) => ({ ...one, setup: [...SEVERAL_SETUP, ...(one.setup ?? [])] }));

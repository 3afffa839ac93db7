/**
 * What a text does to statements that are prepared under a name: what is exactly one of theirs,
 * what certainly is not, and what nobody can say.
 */
import { describe, expect, test } from '@jest/globals';
import { readNamedStatement } from '../../src/sql/named-statement.js';
import { SERVER_MODES } from './describe-verdict.js';

function read(
  text: string,
  multiStatements = true,
  server: 'mysql-9.7' | 'mariadb-11.8' = 'mysql-9.7',
) {
  return readNamedStatement(Buffer.from(text), SERVER_MODES[server], { multiStatements });
}

const PLAIN_MODE = {
  ansiQuotes: false,
  noBackslashEscapes: false,
  squareBrackets: false,
  charset: 'utf8',
} as const;

describe('a text', () => {
  test.each([
    ['EXECUTE p', { kind: 'execute', name: 'p', hasUsing: false }],
    ['/* x */ execute `P` ;', { kind: 'execute', name: 'p', hasUsing: false }],
    ['/*!50000 EXECUTE p */', { kind: 'execute', name: 'p', hasUsing: false }],
    ['EXECUTE p USING @a, @b', { kind: 'execute', name: 'p', hasUsing: true }],
    ['EXECUTE `pé`', { kind: 'execute', name: null, hasUsing: false }],
    ["PREPARE Stmt_1 FROM 'SELECT 1'", { kind: 'prepare', name: 'stmt_1' }],
    ['DEALLOCATE PREPARE p', { kind: 'deallocate', name: 'p' }],
    ['DROP PREPARE p', { kind: 'deallocate', name: 'p' }],
  ])('%s is one of theirs', (text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test.each([
    'SELECT 1',
    "SELECT 'EXECUTE p'",
    'INSERT INTO t VALUES (1) /* CALL x() */',
    'SELECT `execute` FROM `prepare`',
    'CREATE PROCEDURE x() EXECUTE p',
  ])('%s is not', (text) => {
    expect(read(text).kind).toBe('other');
  });

  test.each([
    'CALL x()',
    'DO 1; EXECUTE p',
    'EXECUTE p; DO 1',
    'EXECUTE p q',
    "EXECUTE 'p",
    `EXECUTE p /* ${'x'.repeat(70_000)} */`,
  ])('%.40s can be anything', (text) => {
    expect(read(text).kind).toBe('unknown');
  });

  test.each([
    ['EXECUTE "p"', { ansiQuotes: true }],
    ['EXECUTE\xa0p', { charset: 'latin1' }],
    ['DEALLOCATE PREPARE\xa0p', { charset: 'latin1' }],
    ['EXECUTE p --\xa0q', { charset: 'latin1' }],
  ] as const)('%j is one of theirs by a mode that has to be asked for', (text, mode) => {
    const bytes = Buffer.from(text, 'latin1');
    const open = SERVER_MODES['mysql-9.7'];
    const options = { multiStatements: true };
    expect(readNamedStatement(bytes, open, options).kind).toBe('disagree');
    const known = { ...open, ...PLAIN_MODE, ...mode };
    expect(readNamedStatement(bytes, known, options)).toMatchObject({ name: 'p' });
    expect(readNamedStatement(bytes, { ...open, ...PLAIN_MODE }, options).kind).not.toBe(
      'disagree',
    );
  });

  test.each([
    'BEGIN NOT ATOMIC EXECUTE p; END',
    'SET STATEMENT lock_wait_timeout = 1 FOR EXECUTE p',
    "EXECUTE IMMEDIATE 'CALL x()'",
  ])('MariaDB: %s can be anything', (text) => {
    expect(read(text, true, 'mariadb-11.8').kind).toBe('unknown');
  });
});

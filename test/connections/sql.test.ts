/** Our own SQL: names, literals, the text of one round trip. */

import { causeText } from '../../src/connections/errors.js';
import { renderText } from '../../src/connections/pool/lease.js';
import * as own from '../../src/connections/sql.js';
import { UndropError } from '../../src/errors.js';
import fc from '../support/properties.js';
import { readText } from '../support/source-file.js';

const { sql } = own;

describe('a name', () => {
  test.each([
    ['orders', '`orders`'],
    ['a`b', '`a``b`'],
    ['a.b', '`a.b`'],
    ['日本 ünï', '`日本 ünï`'],
    ['what?', '`what?`'],
    ["'\\", "`'\\`"],
    ['😀'.repeat(64), `\`${'😀'.repeat(64)}\``],
  ])('%s is quoted', (name, quoted) => {
    expect(own.quoteIdentifier(name)).toBe(quoted);
  });

  test.each(['', 'a\0b', 'x'.repeat(65)])('%j is refused', (name) => {
    expect(() => own.quoteIdentifier(name)).toThrow(UndropError);
  });

  test('is qualified part by part', () => {
    expect(own.renderQuery(sql`SELECT * FROM ${own.ident('a.b', 'c`d')}`)).toBe(
      'SELECT * FROM `a.b`.`c``d`',
    );
  });

  test('goes through our own quoting only', () => {
    expect(() => own.renderQuery(sql`SELECT * FROM ${sql.ident('t')}`)).toThrow('ident()');
  });
});

describe('a literal', () => {
  test.each([
    [null, 'NULL'],
    [12, '12'],
    [-1.5, '-1.5'],
    [12n, '12'],
    [true, '1'],
    [false, '0'],
    ["it's", "'it''s'"],
    ['a\\', "'a\\\\'"],
    ['a\0b', "'a\\0b'"],
    ['?', "'?'"],
    [new Date('2026-11-20T08:09:10.999Z'), "'2026-11-20 08:09:10'"],
    [Buffer.from([0, 255]), "X'00ff'"],
  ])('of %p', (value, literal) => {
    expect(own.renderValue(value)).toBe(literal);
  });

  test.each([Number.NaN, Infinity, undefined, {}, [1], Symbol('x')])('%p is refused', (value) => {
    expect(() => own.renderValue(value)).toThrow();
  });

  test('of any string ends where it should, and not before', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const inner = own.renderValue(text).slice(1, -1);
        const unescaped = inner.replaceAll(/''|\\\\|\\0/g, (two) =>
          two === "''" ? "'" : two === '\\0' ? '\0' : '\\',
        );
        expect(unescaped).toBe(text);
        expect(inner.replaceAll(/''|\\\\|\\0/g, '')).not.toMatch(/['\\]/);
      }),
    );
  });
});

describe('the text of one round trip', () => {
  test('begins with the settings that values are escaped for', () => {
    const queries = [sql`SELECT ${'?'}`, sql`SELECT ${1} /* ? */`];
    const { text, answersAfter } = renderText(queries, { logged: true });
    const [prefix, writes, ...statements] = text.split(';\n');
    expect(prefix).toMatch(/^SET NAMES utf8mb4, sql_mode='', time_zone='\+00:00'/);
    expect(prefix).not.toContain('sql_log_bin');
    expect(writes).toBe('SET SESSION TRANSACTION READ WRITE');
    expect([statements, answersAfter]).toEqual([["SELECT '?'", 'SELECT 1 /* ? */'], 0]);
  });

  test('turns the binary log off for itself alone', () => {
    const { text, answersAfter } = renderText([sql`DO 1`], { logged: false });
    expect(text).toMatch(/^SET [^;]*, sql_log_bin=0 /);
    expect([text.endsWith(';\nDO 1;\nSET sql_log_bin=1'), answersAfter]).toEqual([true, 1]);
  });

  test('leaves it on for reads, which need no privilege for that', () => {
    const reads = [sql`SET @a = 1`, sql` SELECT 1`, sql`SHOW TABLES`];
    expect(renderText(reads, { logged: false })).toEqual(renderText(reads, { logged: true }));
    for (const more of [[sql`DO 1`], [own.rendered([sql`SELECT 1`, sql`DELETE FROM t`])]]) {
      const { text } = renderText([...reads, ...more], { logged: false });
      expect(text).toContain('sql_log_bin=0');
    }
    const { text } = renderText(reads, { logged: false, last: Buffer.from('DROP TABLE t') });
    expect(text).toContain('sql_log_bin=0');
  });
});

describe('the note in each statement', () => {
  test('names step and id', () => {
    const id = '0192f0a1b2c37d4e8f5061728394a5b6';
    expect(own.renderQuery(sql`DO ${own.note('relocate', id)} 1`)).toBe(
      `DO /* undrop relocate ${id} */ 1`,
    );
    expect(own.renderQuery(sql`DO ${own.note('list')} 1`)).toBe('DO /* undrop list */ 1');
  });

  test('can hold nothing that would end it', () => {
    expect(() => own.note('x */ DROP TABLE t')).toThrow();
    expect(() => own.note('x', '*/')).toThrow();
  });
});

test('a version that is none is refused', () => {
  expect(own.versionIdOf('10.11.19-MariaDB-0+deb12u1-log')).toBe(101119);
  expect(() => own.versionIdOf('latest')).toThrow(UndropError);
});

// ── cause text ───────────────────────────────────────────────────────────────────────────────────
// Words of errors that aren't ours, as they stand within sentences of ours.

test.each([
  [
    '80EC4292E17F0000:error:0A000102:SSL routines:ssl_choose_client_version:unsupported protocol:../deps/openssl/openssl/ssl/statem/statem_lib.c:1952:\n',
    'unsupported protocol',
  ],
  [
    '80EC4292E17F0000:error:0A00010B:SSL routines::wrong version number:../ssl3_record.c:350:\n',
    'wrong version number',
  ],
  ['self-signed certificate in certificate chain', 'self-signed certificate in certificate chain'],
  ['connect ECONNREFUSED 127.0.0.1:1', 'connect ECONNREFUSED 127.0.0.1:1'],
  ['Too many connections.', 'Too many connections'],
])('of %j are %j', (message, words) => {
  expect(causeText(new Error(message))).toBe(words);
  expect(causeText(message)).toBe(words);
});

// ── libraries ────────────────────────────────────────────────────────────────────────────────────
// The libraries whose insides undrop uses or replaces: another version fails here, before it fails
// anywhere else, with the places to read again.

const READ = [
  ['@databases/mysql', '7.1.0', 'letUsOpen in databases.ts, driverClientOf in pool/lease.ts'],
  ['@databases/mysql-config', '4.0.0', 'changeModules in scripts/bundle.mjs'],
  ['mysql2', '3.24.5', 'DriverClient and below it in pool/lease.ts, letUsOpen in databases.ts'],
  ['jsonc-parser', '3.3.1', 'alias in scripts/bundle.mjs'],
] as const;

test.each(READ)('%s is of version %s, of which these were read: %s', (name, version, _read) => {
  const found = JSON.parse(readText(`node_modules/${name}/package.json`)) as { version: string };
  expect(found.version).toBe(version);
});

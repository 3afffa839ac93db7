/**
 * What a text does to statements that are prepared under a name: what is exactly one of theirs,
 * what certainly is not, and what nobody can say.
 */

import { commentTags } from '../../src/sql/comment-tags.js';
import { readNamedStatement } from '../../src/sql/named-statement.js';
import { lexMode, SERVER_MODES } from './describe-verdict.js';

function read(
  text: string,
  multiStatements = true,
  server: 'mysql-9.7' | 'mariadb-11.8' = 'mysql-9.7',
) {
  return readNamedStatement(Buffer.from(text), SERVER_MODES[server], { multiStatements });
}

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
  ])('%s is one of theirs', (text, expected) => expect(read(text)).toEqual(expected));

  test.each([
    ...['SELECT 1', "SELECT 'EXECUTE p'", 'INSERT INTO t VALUES (1) /* CALL x() */'],
    ...['SELECT `execute` FROM `prepare`', 'CREATE PROCEDURE x() EXECUTE p'],
  ])('%s is not', (text) => expect(read(text).kind).toBe('other'));

  test.each([
    ...['CALL x()', 'DO 1; EXECUTE p', 'EXECUTE p; DO 1', 'EXECUTE p q', "EXECUTE 'p"],
    `EXECUTE p /* ${'x'.repeat(70_000)} */`,
  ])('%.40s can be anything', (text) => expect(read(text).kind).toBe('unknown'));

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
    const plain = lexMode('mysql-9.7', { charset: 'utf8' });
    const known = { ...plain, ...mode };
    expect(readNamedStatement(bytes, known, options)).toMatchObject({ name: 'p' });
    expect(readNamedStatement(bytes, plain, options).kind).not.toBe('disagree');
  });

  test.each([
    'BEGIN NOT ATOMIC EXECUTE p; END',
    'SET STATEMENT lock_wait_timeout = 1 FOR EXECUTE p',
    "EXECUTE IMMEDIATE 'CALL x()'",
  ])('MariaDB: %s can be anything', (text) =>
    expect(read(text, true, 'mariadb-11.8').kind).toBe('unknown'),
  );
});

// ── comment tags ─────────────────────────────────────────────────────────────────────────────────
// The comments of tracing libraries, in the forms in which they write them.

const TRACE = '00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01';

test.each<[string, ReturnType<typeof commentTags>]>([
  // As the libraries for Django, Rails and Hibernate write it.
  [
    `DROP TABLE a /*controller='orders',route='%5Epolls%2F%24',traceparent='${TRACE}'*/`,
    { controller: 'orders', route: '^polls/$', traceparent: TRACE },
  ],
  [`/* traceparent='${TRACE}' */ DROP TABLE a`, { traceparent: TRACE }],
  ["DROP TABLE a /* by hand */ /*a='1'*/ -- x", { a: '1' }],
  ["DROP TABLE a /*a='it\\'s',b='100%'*/", { a: "it's", b: '100%' }],
  ["DROP TABLE a /*a='x, b=y'*/", { a: 'x, b=y' }],
  ["DROP TABLE a /*__proto__='1'*/", Object.fromEntries([['__proto__', '1']])],
  ['DROP TABLE a', null],
  ['DROP TABLE a /* undrop: pin */', null],
  ["DROP TABLE a /*a='1' and more*/", null],
  ["DROP TABLE a /*!50000 a='1'*/", null],
  ["DROP TABLE a /*a='1'", null],
])('%s', (text, tags) => expect(commentTags(text)).toEqual(tags));

test('many and long ones are cut', () => {
  const many = Array.from({ length: 40 }, (_, index) => `k${index}='${'x'.repeat(400)}'`);
  const tags = commentTags(`DROP TABLE a /*${many.join(',')}*/`) ?? {};
  expect(Object.keys(tags)).toHaveLength(32);
  expect(tags['k0']).toHaveLength(256);
});

test('a text that is made to be slow is soon read', () => {
  expect(commentTags(`DROP TABLE a /*${"a='".repeat(20_000)}*/`)).toBeNull();
  expect(commentTags('/*'.repeat(40_000))).toBeNull();
});

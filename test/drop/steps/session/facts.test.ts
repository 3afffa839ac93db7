/** What is read in the user's session, whatever its settings make of the answers. */

import { mayHint } from '../../../../src/drop/steps/rules/hints.js';
import { factsSql, readFacts, readKind } from '../../../../src/drop/steps/session/facts.js';
import { inSlices } from '../../../../src/drop/steps/session/in-slices.js';
import { classifying } from '../../../../src/sql/classify.js';
import type { KnownMode } from '../../../../src/sql/lex/lex-mode.js';
import type { Reading } from '../../../../src/sql/reading.js';
import { parseServerVersion } from '../../../../src/wire/connection/handshake-v10.js';
import { MalformedPacketError } from '../../../../src/wire/packet-reader.js';
import { lexMode } from '../../../sql/describe-verdict.js';
import { errResult, okResult, rowsResult } from '../../../support/results.js';

const [MYSQL, MARIADB] = [lexMode('mysql-9.7'), lexMode('mariadb-11.8')];
const SIX = ['a', 'b', 'c', 'd', 'e', 'f'];

describe('the facts', () => {
  test.each([
    ['9.7.4', '@@gtid_next'],
    ['5.6.24', '@@gtid_next'],
    ['5.5.62', "''"],
    ['11.8.9-MariaDB', "''"],
  ])('of %s ask for %s, in one row whatever sql_select_limit says', (version, gtidNext) => {
    const text = factsSql(parseServerVersion(version)).toString();
    expect(text).toContain(`CAST(${gtidNext} AS BINARY)`);
    expect(text).toMatch(
      /^SELECT \/\*\+ MAX_EXECUTION_TIME\(0\) \*\/ \/\* undrop facts \*\/ CAST\(DATABASE\(\) AS BINARY\), .* LIMIT 1$/,
    );
  });

  test('are read', () => {
    const row = ['shop', 'ANSI_QUOTES', 'gbk', '1', 'AUTOMATIC', 'me', 'a@b@host', '0'];
    expect(readFacts(rowsResult(SIX, row))).toEqual({
      ...{ schema: 'shop', sqlMode: 'ANSI_QUOTES', tracksGtids: false, waitsForLocks: true },
      ...{ inTransaction: false, charset: 'gbk', resultsCharset: '', serverIdentity: 'me' },
      ...{ user: 'a@b', account: 'a@b@host', checksForeignKeys: false, logged: true },
      ...{ gtidNext: null, addsIfExists: false, hint: null, zone: '+00:00' },
    });
  });

  const GTID = '3E11FA47-71CA-11E1-9E33-C80AA9429562:23';
  test.each([
    [[null, '', 'utf8mb4', '0', GTID, 'me'], { schema: null, logged: false, gtidNext: GTID }],
    [['shop', '', 'utf8mb4', '1', 'ANONYMOUS', 'me', 'a@b', '1'], { gtidNext: null }],
    [['shop', '', 'utf8mb4', '1', '', 'me'], { gtidNext: null }],
  ])('of a session with %j', (row, facts) => {
    expect(readFacts(rowsResult(SIX, row))).toMatchObject(facts);
  });

  test('with results in UTF-16 and the like are refused', () => {
    const row = Array.from({ length: 11 }, (_, at) => (at === 8 ? 'utf16' : '1'));
    const said = readFacts(rowsResult(row.map(String), row));
    expect(said).toMatchObject({ kind: 'err', errno: 1235 });
  });

  test('are read in UTF-16 and the like, where the server makes a text of a number', () => {
    const wide = (text: string) => Buffer.from(text, 'utf16le').toString();
    const row = ['shop', '', 'utf8mb4', wide('0'), '', 'me', 'a@b', wide('1'), 'utf8mb4', ''];
    const facts = { logged: false, checksForeignKeys: true, addsIfExists: true };
    expect(readFacts(rowsResult([...SIX, ...SIX], [...row, wide('1')]))).toMatchObject(facts);
  });

  test('that the server denies are its error', () => {
    const error = errResult(1820, 'HY000', 'You must reset your password');
    expect(readFacts(error)).toBe(error);
  });

  test('that are no row are malformed', () => {
    expect(() => readFacts(rowsResult(SIX))).toThrow(MalformedPacketError);
    expect(() => readFacts(okResult())).toThrow(MalformedPacketError);
  });
});

describe('the kind of a name', () => {
  test.each([
    ['a table', rowsResult(['Table', 'Create Table'], ['t', 'CREATE TABLE `t` (\n']), 'base'],
    ['temporary', rowsResult(['Table', 'x'], ['t', 'CREATE TEMPORARY TABLE `t`']), 'temporary'],
    ['a view', rowsResult(['View', 'Create View', 'c', 'd'], ['v', 'CREATE ALGORITHM=']), 'view'],
    [
      'a table with TEMPORARY in a comment',
      rowsResult(
        ['Table', 'x'],
        ['t', 'CREATE TABLE `t` ( `a` int COMMENT "CREATE TEMPORARY TABLE"'],
      ),
      'base',
    ],
    ['a table whose definition is NULL', rowsResult(['Table', 'x'], ['t', null]), 'base'],
    ['no table', errResult(1146, '42S02', ''), 'missing'],
    ['no schema', errResult(1049, '42000', ''), 'missing'],
    ['LOCK TABLES on others', errResult(1100, 'HY000', ''), 'unlocked'],
    ['no right on it', errResult(1142, '42000', ''), 'denied'],
    ['no right on the schema', errResult(1044, '42000', ''), 'denied'],
    ['a crashed table', errResult(1194, 'HY000', ''), 'base'],
    ['a table without its files', errResult(1017, 'HY000', ''), 'base'],
    ['a table of an engine that is gone', errResult(1286, '42000', ''), 'base'],
  ])('%s', (_name, result, kind) => {
    expect(readKind(result)).toBe(kind);
  });

  test.each([1205, 1317, 1399, 1969, 3024, 2013])('error %d says nothing on it', (errno) => {
    const error = errResult(errno, 'HY000', '');
    expect(readKind(error)).toBe(error);
  });
});

// ── in slices ────────────────────────────────────────────────────────────────────────────────────
// Long texts are read one at a time, and the event loop turns while they are.

const OPTIONS = { multiStatements: true };
const LENGTH = 250 * 1024;

function filled(text: string): string {
  return text.repeat(Math.floor(LENGTH / text.length));
}

/** How often it yields, and what comes of it. */
function readOut<T>(reading: Reading<T>): { readonly slices: number; readonly value: T } {
  for (let slices = 1; ; slices++) {
    const { done, value } = reading.next();
    if (done === true) return { slices, value };
  }
}

describe('a text of 250 KiB is read in slices', () => {
  test.each([
    ['names', `DROP TABLE ${filled('a,')}a`, 'names'],
    ['quoted names', `DROP TABLE ${filled('`abcdefghij`,')}a`, 'names'],
    ['names with schemas', `DROP TABLE IF EXISTS ${filled('d.a,')}a`, 'names'],
    ['drops', filled('DROP TABLE a;'), 'names'],
    ['drops of many names', filled(`DROP TABLE ${'a,'.repeat(600)}a;`), 'names'],
    ['statements before a drop', `${filled('DO 1;')}DROP TABLE a`, 'statements'],
    ['changes of the mode', `${filled('SET NAMES gbk;SET NAMES utf8;')}DROP TABLE a`, 'statements'],
  ])('%s', (_kind, text, what) => {
    const { slices, value } = readOut(classifying(Buffer.from(text), MYSQL, OPTIONS));
    expect(value).toMatchObject({ kind: 'unclear', tooMany: what });
    // Where more than is allowed was found, the rest isn't read.
    const isReadOut = !text.includes('DROP TABLE a;DROP') && !text.includes('a;DROP TABLE a,');
    expect(slices).toBeGreaterThanOrEqual(isReadOut ? 15 : 1);
  });

  test('of which nothing is ours', () => {
    const text = `${filled('DO 1;')}SELECT 'drop table'`;
    const { slices, value } = readOut(classifying(Buffer.from(text), MARIADB, OPTIONS));
    expect(value).toEqual({ kind: 'not-ours' });
    expect(slices).toBeGreaterThanOrEqual(15);
  });
});

test('a text that can be read in very many ways is read in some of them', () => {
  const text = `SELECT 1 /* drop table */, "\\", '\x815c';`;
  const bytes = Buffer.from(text + 'DO 1;'.repeat(6_000), 'latin1');
  const known: KnownMode = { flavour: 'mysql', versionId: 90_704 };
  const { slices, value } = readOut(classifying(bytes, known, OPTIONS));
  expect(value).toEqual({ kind: 'disagree' });
  expect(slices).toBeLessThan(40);
});

test('the event loop turns between two slices, and one text is read at a time', async () => {
  let readings = 0;
  let most = 0;
  let turns = 0;
  let isOver = false;
  function* reading(): Reading<void> {
    yield;
    readings++;
    for (let slice = 0; slice < 20; slice++) {
      most = Math.max(most, readings);
      yield;
    }
    readings--;
  }
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await Promise.all([inSlices(reading()), inSlices(reading()), inSlices(reading())]);
  isOver = true;
  expect(most).toBe(1);
  expect(turns).toBeGreaterThanOrEqual(50);
});

test('what is read in one slice waits for no long text of others', async () => {
  let isRead = false;
  function* long(): Reading<void> {
    while (!isRead) yield;
  }
  const others = [inSlices(long()), inSlices(long())];
  const short = classifying(Buffer.from('DROP TABLE t'), lexMode('mysql-9.7'), OPTIONS);
  expect(await inSlices(short)).toMatchObject({ kind: 'drop-table' });
  isRead = true;
  await Promise.all(others);
});

test('a reading that fails holds nobody up', async () => {
  function* failing(): Reading<void> {
    yield;
    throw new Error('broken');
  }
  const failed = inSlices(failing());
  const next = inSlices(classifying(Buffer.from('DO 1'), lexMode('mysql-9.7'), OPTIONS));
  await expect(failed).rejects.toThrow('broken');
  expect(await next).toEqual({ kind: 'not-ours' });
});

// Each of them took hours, or many seconds, where an expression tried every end with every other.
test('expressions over a text take no more than a multiple of its length', () => {
  expect(mayHint(Buffer.from(`DROP TABLE a /* ${filled('#undrop=hold=')}* */`))).toBe(false);
  expect(mayHint(Buffer.from('DROP TABLE a /* undrop hold=7d */'))).toBe(true);
});

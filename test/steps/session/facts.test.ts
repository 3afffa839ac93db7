/** What is read in the user's session, whatever its settings make of the answers. */
import { describe, expect, test } from '@jest/globals';
import { factsSql, readFacts, readKind } from '../../../src/steps/session/facts.js';
import { parseServerVersion } from '../../../src/wire/connection/handshake-v10.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { errResult, okResult, rowsResult } from '../../support/results.js';

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
      schema: 'shop',
      sqlMode: 'ANSI_QUOTES',
      tracksGtids: false,
      waitsForLocks: true,
      inTransaction: false,
      charset: 'gbk',
      resultsCharset: '',
      serverIdentity: 'me',
      user: 'a@b',
      account: 'a@b@host',
      checksForeignKeys: false,
      logged: true,
      gtidNext: null,
      addsIfExists: false,
      hint: null,
    });
  });

  test('of a session without schema, without binary log, with a GTID of its own', () => {
    const row = [null, '', 'utf8mb4', '0', '3E11FA47-71CA-11E1-9E33-C80AA9429562:23', 'me'];
    expect(readFacts(rowsResult(SIX, row))).toMatchObject({
      schema: null,
      logged: false,
      gtidNext: '3E11FA47-71CA-11E1-9E33-C80AA9429562:23',
    });
  });

  test('of a session whose transactions have none', () => {
    const row = ['shop', '', 'utf8mb4', '1', 'ANONYMOUS', 'me', 'a@b', '1'];
    expect(readFacts(rowsResult(SIX, row))).toMatchObject({ gtidNext: null });
  });

  test('of MariaDB have no GTID_NEXT', () => {
    const row = ['shop', '', 'utf8mb4', '1', '', 'me'];
    expect(readFacts(rowsResult(SIX, row))).toMatchObject({ gtidNext: null });
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
    [
      'a temporary one',
      rowsResult(['Table', 'x'], ['t', 'CREATE TEMPORARY TABLE `t`']),
      'temporary',
    ],
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

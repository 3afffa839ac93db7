/** Blocks that raise MariaDB's words: nothing but temporary tables is dropped in them. */
import { describe, expect, test } from '@jest/globals';
import { errorsSql, hasBlocks, notesSql } from '../../src/drop/block-words.js';
import { parseServerVersion } from '../../src/wire/server-version.js';

const server = parseServerVersion('11.8.9-MariaDB');
const view = (message: string) => ({ errno: 1965, sqlState: '42S02', message });
const dropSql = Buffer.from('DROP TEMPORARY TABLE `d`.`zz`');

describe('a block', () => {
  const texts = [
    notesSql([view('a'), view("'; DROP TABLE b; --")], { dropSql, isKept: true }),
    notesSql([view('a')], { dropSql, isKept: false }),
    errorsSql([view('a'), view("'; DROP TABLE b; --")], { dropSql, server }),
    errorsSql([view('a'), view('b')], { dropSql: null, server }),
  ].map(String);

  test.each(texts)('drops temporary tables alone: %s', (text) => {
    expect(text.match(/DROP(?! TEMPORARY )/i)).toBeNull();
    expect(text.match(/BEGIN/g)?.length).toBe(text.match(/END/g)?.length);
  });

  test('keeps the notes away by the setting that the server has for it', () => {
    const old = parseServerVersion('10.11.19-MariaDB');
    const [now, before] = [server, old].map((one) =>
      errorsSql([view('a')], { dropSql: null, server: one }).toString(),
    );
    expect(now).toMatch(/^SET STATEMENT note_verbosity = '' FOR BEGIN NOT ATOMIC /);
    expect(before).toMatch(/^SET STATEMENT sql_notes = 0 FOR BEGIN NOT ATOMIC /);
  });
});

test.each([
  ['11.8.9-MariaDB', 'STRICT_ALL_TABLES', true],
  ['11.8.9-MariaDB', 'PIPES_AS_CONCAT,ORACLE', false],
  ['11.8.9-MariaDB-debug', '', false],
  ['9.7.4', '', false],
])('on %s with sql_mode %j there are such blocks: %s', (version, sqlMode, expected) => {
  expect(hasBlocks(parseServerVersion(version), { sqlMode })).toBe(expected);
});

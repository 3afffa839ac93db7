/**
 * What a session remembers of the drops that it prepared: found by their ids, forgotten when the
 * server forgets, and bounded.
 */

import { AfterDropDatabase } from '../../../src/session/commands/after-drop-database.js';
import { isDropAsSuch } from '../../../src/session/commands/command-phase.js';
import {
  ALL_PREPARED_BYTES_MAX,
  PreparedDrops,
} from '../../../src/session/commands/prepared-drops.js';
import * as caps from '../../../src/wire/capabilities.js';
import * as com from '../../../src/wire/commands.js';
import { encodePacket } from '../../../src/wire/framing.js';
import { requestOf } from '../../support/drop-request.js';

const MYSQL = { flavour: 'mysql', versionId: 90_704 } as const;
const MARIADB = { flavour: 'mariadb', versionId: 110_806 } as const;

const LAST_PREPARED = 0xffff_ffff;
const CONTEXT = { schema: 'shop', charset: 'utf8mb4' };

function remember(drops: PreparedDrops, id: number | string, sql = 'DROP TABLE t'): void {
  const { statement } = requestOf({ server: 'mysql-9.7', sql });
  drops.remember(id, { text: Buffer.from(sql), statement, context: CONTEXT, hints: [] });
}

describe('prepared drops', () => {
  test('are looked for only while there are any', () => {
    const drops = new PreparedDrops(MYSQL);
    expect(drops.isWatching).toBe(false);
    remember(drops, 7);
    expect(drops.isWatching).toBe(true);
    expect(drops.takes(com.COM_STMT_EXECUTE, 8)).toBe(false);
    expect(drops.takes(com.COM_STMT_EXECUTE, 7)).toBe(true);
    expect(drops.takes(com.COM_STMT_CLOSE, 7)).toBe(false);
    expect(drops.isWatching).toBe(false);
  });

  test.each([com.COM_RESET_CONNECTION, com.COM_CHANGE_USER])(
    'are forgotten with command %i',
    (command) => {
      const drops = new PreparedDrops(MARIADB);
      remember(drops, 7);
      drops.onCommand(com.COM_QUERY);
      expect(drops.find(7)).not.toBeNull();
      drops.onCommand(command);
      const found = [drops.find(7), drops.find(LAST_PREPARED)];
      expect([...found, drops.isWatching]).toEqual([null, null, false]);
    },
  );

  test('the last one is known to MariaDB alone, until something else is prepared', () => {
    const [mysql, mariadb] = [new PreparedDrops(MYSQL), new PreparedDrops(MARIADB)];
    for (const drops of [mysql, mariadb]) remember(drops, 7);
    expect(mysql.find(LAST_PREPARED)).toBeNull();
    expect(mariadb.find(LAST_PREPARED)).toBe(mariadb.find(7));
    mariadb.onCommand(com.COM_STMT_PREPARE);
    expect(mariadb.find(LAST_PREPARED)).toBeNull();
    expect(mariadb.find(7)).not.toBeNull();
  });

  test('are found by their names, until these mean something else', () => {
    const drops = new PreparedDrops(MYSQL);
    remember(drops, 'p');
    expect([drops.isWatching, drops.watchesNames]).toEqual([false, true]);
    expect(drops.follow({ kind: 'unknown' })).toBeNull();
    expect(drops.find('p')?.isDoubtful).toBe(true);
    remember(drops, 'p');
    expect(drops.find('p')?.isDoubtful).toBe(false);
    const execute = { kind: 'execute', name: 'p', hasUsing: false } as const;
    expect(drops.follow(execute)).toBe(execute);
    expect(drops.follow({ kind: 'prepare', name: 'p' })).toBeNull();
    const found = [drops.follow(execute), drops.find('p')];
    expect([...found, drops.watchesNames]).toEqual([null, null, false]);
    remember(drops, 'p');
    drops.onCommand(com.COM_CHANGE_USER);
    expect(drops.watchesNames).toBe(false);
  });

  test('there is room for so many bytes, of texts and of names', () => {
    for (const sql of ['DROP TABLE t', `DROP TABLE t${', t'.repeat(900)}`]) {
      const drops = new PreparedDrops(MYSQL);
      let id = 0;
      while (!drops.isFull) remember(drops, ++id, sql);
      expect(id).toBeLessThan(sql.length > 100 ? 50 : 16_384);
      drops.takes(com.COM_STMT_CLOSE, id);
      expect(drops.isFull).toBe(false);
      drops.forgetAll();
      expect([drops.isWatching, drops.isFull]).toEqual([false, false]);
    }
  });

  test('of all sessions, the one that keeps most forgets its oldest', () => {
    const text = `DROP TABLE t${' '.repeat(16_384)}`;
    const modest = new PreparedDrops(MYSQL);
    remember(modest, 1, text);
    const greedy = Array.from({ length: 6 }, () => new PreparedDrops(MYSQL));
    // For as much as a session may keep; all of them together may not.
    for (const drops of greedy) for (let id = 1; id <= 900; id++) remember(drops, id, text);
    const bytes = greedy.reduce((sum, drops) => sum + drops.bytes, modest.bytes);
    expect(bytes).toBeLessThanOrEqual(ALL_PREPARED_BYTES_MAX);
    expect(greedy.map((drops) => drops.find(1))).toContain(null);
    expect(modest.find(1)).not.toBeNull();
    const late = new PreparedDrops(MYSQL);
    remember(late, 1, text);
    expect(late.find(1)).not.toBeNull();
    for (const drops of [modest, late, ...greedy]) drops.forgetAll();
    expect([modest, late, ...greedy].map((drops) => drops.bytes)).toEqual(Array(8).fill(0));
  });
});

// ── sent drops ───────────────────────────────────────────────────────────────────────────────────
// Which commands are counted as drops that go to the server.

const NONE = { flags: 0, mariadb: 0 };
const WITH_ATTRIBUTES = { ...NONE, flags: caps.CLIENT_QUERY_ATTRIBUTES };

test.each([
  ['DROP TABLE t', true],
  ['  drop table if exists t', true],
  ['/* app:orders */ DROP TABLES a, b', true],
  ['DROP /* undrop:remove */ TABLE IF EXISTS t', true],
  ['drop database d', true],
  ['DROP SCHEMA d', true],
  ['DROP TEMPORARY TABLE t', false],
  ['DROP INDEX i ON t', false],
  ['DROPS TABLE t', false],
  ["SELECT 'DROP TABLE t'", false],
  ['/* DROP TABLE t */ SELECT 1', false],
  ['', false],
])('%j: %s', (text, isDrop) => {
  const payload = com.encodeComQuery(Buffer.from(text), NONE);
  expect(isDropAsSuch(payload, NONE)).toBe(isDrop);
  const attributes = com.encodeComQuery(Buffer.from(text), WITH_ATTRIBUTES);
  expect(isDropAsSuch(attributes, WITH_ATTRIBUTES)).toBe(isDrop);
});

test('many comments are read in no time', () => {
  for (const text of [`${'/**/'.repeat(64)}SELECT 'drop table x'`, `drop${'/**/'.repeat(60)}x`]) {
    expect(isDropAsSuch(com.encodeComQuery(Buffer.from(text), NONE), NONE)).toBe(false);
  }
});

test('of other commands none is', () => {
  expect(
    isDropAsSuch(Buffer.from([com.COM_STMT_PREPARE, ...Buffer.from('DROP TABLE t')]), NONE),
  ).toBe(false);
  expect(isDropAsSuch(Buffer.of(com.COM_QUERY), NONE)).toBe(false);
});

// ── after drop database ──────────────────────────────────────────────────────────────────────────
// What a client reads about its DROP DATABASE, and rows that only look like that.

const MESSAGE = "Can't drop database 'd'; database doesn't exist";

function row(...values: readonly string[]): Buffer {
  const parts = values.map((value) => Buffer.from(`${String.fromCharCode(value.length)}${value}`));
  return encodePacket(Buffer.concat(parts), 5);
}

const query = (text: string, head = '\x03') => encodePacket(Buffer.from(`${head}${text}`), 0);

/** What comes to the client of `chunk` when it has sent `commands`; 3 tables were dropped. */
function corrected(commands: readonly Buffer[], chunk: Buffer, isNext = true): Buffer {
  const after = new AfterDropDatabase(3);
  for (const command of commands) after.onCommand(command, isNext);
  return after.corrected(chunk);
}

const SHOW = query('SHOW WARNINGS');

test.each([[SHOW], [query('/* a */ show  warnings LIMIT 5', '\x03\0\x01')]])(
  'a warning 1008 is a note in the answer to %s',
  (show) => {
    const before = row('Note', '1051', 'x');
    const chunk = Buffer.concat([before, row('Warning', '1008', MESSAGE)]);
    const meant = Buffer.concat([before, row('Note', '1008', MESSAGE)]);
    expect(corrected([query('SELECT @@warning_count'), show], chunk)).toEqual(meant);
  },
);

test.each([
  ['another warning', [SHOW], row('Warning', '1007', MESSAGE)],
  ['a row with more values', [SHOW], row('Warning', '1008', 'x', 'y')],
  ['a row that is not whole', [SHOW], row('Warning', '1008', MESSAGE).subarray(0, 17)],
  ['a row of another statement', [query('SELECT * FROM w')], row('Warning', '1008', MESSAGE)],
  ['a later row', [SHOW, SHOW, SHOW, SHOW, SHOW], row('Warning', '1008', MESSAGE)],
  ['a row of several', [Buffer.concat([SHOW, SHOW])], row('Warning', '1008', MESSAGE)],
  ['a count of another statement', [query('SELECT ROW_COUNT(), 1')], row('0')],
  ['a count of a later statement', [SHOW, query('SELECT ROW_COUNT()')], row('0')],
  ['a count above 0', [query('SELECT ROW_COUNT()')], row('2')],
])('%s stays as it is', (_what, commands, chunk) => {
  expect(corrected(commands, chunk)).toEqual(chunk);
});

test('an answer that is not the next stays as it is', () => {
  const chunk = row('Warning', '1008', MESSAGE);
  expect(corrected([SHOW], chunk, false)).toEqual(chunk);
});

test.each(['SELECT ROW_COUNT()', 'select row_count ( ) AS `n`;'])('%s has the tables', (text) => {
  expect(corrected([query(text)], row('0'))).toEqual(row('3'));
});

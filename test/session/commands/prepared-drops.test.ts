/**
 * What a session remembers of the drops that it prepared: found by their ids, forgotten when the
 * server forgets, and bounded.
 */
import { describe, expect, test } from '@jest/globals';
import {
  ALL_PREPARED_BYTES_MAX,
  PREPARED_BYTES_MAX,
  PREPARED_DROPS_MAX,
  PreparedDrops,
} from '../../../src/session/commands/prepared-drops.js';
import * as com from '../../../src/wire/commands.js';
import { requestOf } from '../../support/drop-request.js';

const MYSQL = { flavour: 'mysql', versionId: 90_704 } as const;
const MARIADB = { flavour: 'mariadb', versionId: 110_806 } as const;

const LAST_PREPARED = 0xffff_ffff;
const CONTEXT = { schema: 'shop', charset: 'utf8mb4' };

function remember(drops: PreparedDrops, id: number, sql = 'DROP TABLE t'): void {
  const { statement } = requestOf({ server: 'mysql-9.7', sql });
  drops.remember(id, {
    text: Buffer.from(sql),
    statement,
    context: CONTEXT,
    hints: [],
  });
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
      expect([drops.find(7), drops.find(LAST_PREPARED), drops.isWatching]).toEqual([
        null,
        null,
        false,
      ]);
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
    const { statement } = requestOf({ server: 'mysql-9.7', sql: 'DROP TABLE t' });
    const drop = {
      text: Buffer.from('DROP TABLE t'),
      statement,
      context: CONTEXT,
      hints: [],
    };
    drops.rememberName('p', drop);
    expect([drops.isWatching, drops.watchesNames]).toEqual([false, true]);
    drops.doubtNames();
    expect(drops.findName('p')?.isDoubtful).toBe(true);
    drops.rememberName('p', drop);
    expect(drops.findName('p')?.isDoubtful).toBe(false);
    drops.forgetName('p');
    expect([drops.findName('p'), drops.watchesNames]).toEqual([null, false]);
    drops.rememberName('p', drop);
    drops.onCommand(com.COM_CHANGE_USER);
    expect(drops.watchesNames).toBe(false);
  });

  test('there is room for so many, and for so many bytes', () => {
    const drops = new PreparedDrops(MYSQL);
    for (let id = 1; id <= PREPARED_DROPS_MAX; id++) {
      expect(drops.full).toBeNull();
      remember(drops, id);
    }
    expect(drops.full).toBe('this session');
    drops.takes(com.COM_STMT_CLOSE, 1);
    expect(drops.full).toBeNull();
    const long = new PreparedDrops(MYSQL);
    for (let id = 1; long.full === null; id++)
      remember(long, id, `DROP TABLE t${' '.repeat(16_384)}`);
    drops.onCommand(com.COM_RESET_CONNECTION);
    for (let id = 1; id < 1_100; id++) long.takes(com.COM_STMT_CLOSE, id);
    expect(long.isWatching).toBe(false);
    expect(long.full).toBeNull();
  });

  test('are kept as bytes, and are what they were', () => {
    const drops = new PreparedDrops(MARIADB);
    const sql = 'DROP TABLE IF EXISTS `d``\u00e9`.`\u0000a`, b WAIT 3';
    const { statement } = requestOf({
      server: 'mariadb-11.8',
      sql: 'DROP TABLE IF EXISTS d.a, b WAIT 3',
    });
    const [first] = statement.names;
    const odd = { ...first, schema: Buffer.from([0, 0xe9, 0x60]), table: Uint8Array.of(0xff) };
    const names = [odd, ...statement.names.slice(1)] as typeof statement.names;
    const drop = { text: Buffer.from(sql), context: CONTEXT, hints: ['pin'] };
    drops.remember(7, { ...drop, statement: { ...statement, names } });
    const expected = { ...odd, schema: Uint8Array.of(0, 0xe9, 0x60) };
    expect(drops.find(7)?.statement).toEqual({
      ...statement,
      names: [expected, ...names.slice(1)],
    });
    drops.forgetAll();
  });

  test('there is room for so many bytes of all sessions, which come back with each', () => {
    const sessions: PreparedDrops[] = [];
    const text = `DROP TABLE t${' '.repeat(16_384)}`;
    for (let isFull = false; !isFull; ) {
      const drops = new PreparedDrops(MYSQL);
      for (let id = 1; drops.full === null; id++) remember(drops, id, text);
      sessions.push(drops);
      isFull = drops.full === 'all sessions';
    }
    const bytes = (sessions.length - 1) * PREPARED_BYTES_MAX;
    expect(bytes).toBeLessThanOrEqual(ALL_PREPARED_BYTES_MAX);
    // Who has none yet has room for a few all the same.
    const other = new PreparedDrops(MYSQL);
    expect(other.full).toBeNull();
    remember(other, 1, text);
    expect(other.full).toBe('all sessions');
    sessions[0]?.forgetAll();
    expect(other.full).toBeNull();
    other.forgetAll();
    for (const drops of sessions) drops.forgetAll();
  });
});

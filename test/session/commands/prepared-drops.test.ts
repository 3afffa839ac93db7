/**
 * What a session remembers of the drops that it prepared: found by their ids, forgotten when the
 * server forgets, and bounded.
 */
import { describe, expect, test } from '@jest/globals';
import {
  ALL_PREPARED_BYTES_MAX,
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
    const drop = { text: Buffer.from('DROP TABLE t'), statement, context: CONTEXT, hints: [] };
    drops.remember('p', drop);
    expect([drops.isWatching, drops.watchesNames]).toEqual([false, true]);
    expect(drops.follow({ kind: 'unknown' })).toBeNull();
    expect(drops.find('p')?.isDoubtful).toBe(true);
    drops.remember('p', drop);
    expect(drops.find('p')?.isDoubtful).toBe(false);
    const execute = { kind: 'execute', name: 'p', hasUsing: false } as const;
    expect(drops.follow(execute)).toBe(execute);
    expect(drops.follow({ kind: 'prepare', name: 'p' })).toBeNull();
    expect([drops.follow(execute), drops.find('p'), drops.watchesNames]).toEqual([
      null,
      null,
      false,
    ]);
    drops.remember('p', drop);
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

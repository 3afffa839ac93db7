/**
 * What the collector waits for, on real servers: a window, a query, replicas that lag, have stopped
 * or can't be read. As long as there is a reason nothing is moved on, purged or removed; it is said
 * once, and by `undrop status` and `undrop gc`; after it everything goes on.
 */
import { expect, jest } from '@jest/globals';
import type { LifecycleSettings } from '../../src/lifecycle/next-step.js';
import { readReplicaLag, type ThrottleSettings } from '../../src/lifecycle/throttle/throttle.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { sql } from '../../src/service/sql.js';
import {
  type Collecting,
  countRows,
  type Held,
  holdTable,
  startCollecting,
  until,
  whereIs,
} from '../lifecycle/collecting.js';
import { PurgeChunks } from '../lifecycle/purge-chunks.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { inHooks, onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { startPair } from '../support/replica-pair.js';
import { sample } from '../support/sample.js';
import { connect, query, type Target } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';

jest.setTimeout(600_000);

/** So many rows, in chunks of one, are enough to be seen amid them. */
const ROWS = 800;
const ROW_BY_ROW: Partial<LifecycleSettings> = {
  fastDrop: 'never',
  purgeChunkRows: 1,
  purgeChunkMs: 0,
};
const NONE: ThrottleSettings = { window: null, query: null, replicas: [], maxLagMs: 2_000 };

const isGone = (server: Target, held: Held) => async () =>
  (await whereIs(server, held.id)).length === 0;

function reasonsOf({ said }: Collecting): readonly string[] {
  return said.flatMap(({ message }) => (message.startsWith('throttled, ') ? [message] : []));
}

onServersAtOnce('the collector waits, on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;

  beforeEach(async () => {
    await freshLedger(server);
    await query(
      server,
      'CREATE DATABASE IF NOT EXISTS ops',
      'DROP TABLE IF EXISTS ops.wait',
      'CREATE TABLE ops.wait (value INT)',
    );
  });
  afterEach(() => query(server, 'DROP DATABASE ops'));

  const byQuery = (text = 'SELECT COUNT(*) FROM ops.wait;'): ThrottleSettings => ({
    ...NONE,
    query: text,
  });

  test('for its query, amid a purge and before each other step', async () => {
    const purged = await holdTable(server, { state: 'PURGE', rows: ROWS });
    const chunks = new PurgeChunks();
    const collecting = on.each.keep(
      startCollecting(server, { ...ROW_BY_ROW, throttle: byQuery() }, chunks.tap),
    );
    await until('rows are purged', () => chunks.count > 5);
    await chunks.holdDuring(() => query(server, 'INSERT INTO ops.wait VALUES (1)'));
    const all = collecting;
    await until('it says so', () => reasonsOf(all).length > 0);
    const left = await countRows(server, purged.quoted);
    expect(left).toBeGreaterThan(0);
    const moved = await holdTable(server);
    const removed = await holdTable(server, { state: 'DROP' });
    await collecting.looked();
    const before = chunks.count;
    expect(await countRows(server, purged.quoted)).toBe(left);
    expect(await whereIs(server, moved.id)).toEqual([`_undrop.${moved.name}`]);
    expect(await whereIs(server, removed.id)).toEqual([`_undrop.${removed.name}`]);
    expect(reasonsOf(collecting)).toEqual([
      'throttled, the collector waits: UNDROP_THROTTLE_QUERY returned a value other than 0',
    ]);
    await query(server, 'DELETE FROM ops.wait');
    await until('it goes on to remove', isGone(server, removed));
    const atHold = async () => (await whereIs(server, moved.id))[0] === `_undrop.${moved.name}`;
    await until('it goes on to move', async () => !(await atHold()));
    await until('it goes on to purge', () => chunks.count > before);
    // Row by row it would take long on a server that others keep busy.
    await collecting.stop();
    const quick = { fastDrop: 'never', purgeChunkRows: ROWS, purgeChunkMs: 1_000 } as const;
    on.each.keep(startCollecting(server, { ...quick, throttle: byQuery() }));
    for (const held of [purged, moved]) await until('the table is gone', isGone(server, held));
  });

  test('for a query that fails, as long as it does', async () => {
    await query(server, 'DROP TABLE ops.wait');
    const held = await holdTable(server);
    const collecting = on.each.keep(startCollecting(server, { throttle: byQuery() }));
    const all = collecting;
    await until('it says so', () => reasonsOf(all).length > 0);
    await collecting.looked();
    expect(await countRows(server, held.quoted)).toBe(10);
    expect(reasonsOf(collecting)).toEqual([
      expect.stringMatching(/UNDROP_THROTTLE_QUERY failed: .*ops\.wait.* \(1146\)$/),
    ]);
    await query(server, 'CREATE TABLE ops.wait (value INT)');
    await until('the table is gone', isGone(server, held));
  });

  test('for its window', async () => {
    const held = await holdTable(server);
    const [row] = await query<{ minute: number }>(
      server,
      'SELECT 60 * HOUR(UTC_TIMESTAMP()) + MINUTE(UTC_TIMESTAMP()) AS minute',
    );
    const later = (minutes: number) => (Number(row?.minute) + minutes) % 1_440;
    const closed = { fromMinute: later(120), toMinute: later(180) };
    const collecting = on.each.keep(
      startCollecting(server, { throttle: { ...NONE, window: closed } }),
    );
    const all = collecting;
    await until('it says so', () => reasonsOf(all).length > 0);
    await collecting.looked();
    expect(await countRows(server, held.quoted)).toBe(10);
    await collecting.stop();
    const open = { fromMinute: later(1_380), toMinute: later(60) };
    const again = on.each.keep(startCollecting(server, { throttle: { ...NONE, window: open } }));
    await until('the table is gone', isGone(server, held));
    expect(reasonsOf(again)).toEqual([]);
  });

  test('and commands say for what', async () => {
    const held = await holdTable(server);
    const variables = { THROTTLE_QUERY: 'SELECT 1', GRACE: '0s' };
    const status = await runUndrop(server, ['status'], variables);
    expect(status.stdout).toMatch(
      /throttled, the collector waits: UNDROP_THROTTLE_QUERY returned a value/,
    );
    const plan = await runUndrop(server, ['gc', '--once', '--dry-run'], variables);
    expect(plan).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^Would collect nothing now: throttled/),
    });
    const pass = await runUndrop(server, ['gc', '--once'], variables);
    expect(pass).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^Collected nothing: throttled/),
    });
    expect(await whereIs(server, held.id)).toEqual([`_undrop.${held.name}`]);
    const absent = { REPLICAS: '127.0.0.1:1', GRACE: '0s' };
    const unread = await runUndrop(server, ['status'], absent);
    expect(unread.stdout).toMatch(
      /the lag of the replica 127\.0\.0\.1:1 is not known: .*ECONNREFUSED/,
    );
  });
});

const PAIRS = [
  { title: 'MySQL 9.7', name: 'mysql-9.7', gtid: true },
  { title: 'MariaDB 11.8', name: 'mariadb-11.8', gtid: true },
] as const;

inLanes(
  sample<(typeof PAIRS)[number]>(PAIRS, { name: 'pairs', count: 1 }),
  'the collector waits for a replica, $title',
  ({ name, gtid }, lane) => {
    const { beforeEach, each, open } = inHooks(lane);
    const { test } = lane;
    const pair = open(() => startPair({ name, gtid }));
    const replicaPool = open(() => poolOn(pair.replica));
    let chunks = new PurgeChunks();
    beforeEach(() => freshLedger(pair.source));

    const start = (read: (pool: ServicePool) => ServicePool = (pool) => pool): Collecting => {
      chunks = new PurgeChunks();
      const { host, port } = pair.replica;
      const throttle = { ...NONE, replicas: [{ host, port }] };
      const replicas = [{ name: 'db2:3306', connection: read(replicaPool) }];
      const collecting = startCollecting(
        pair.source,
        { ...ROW_BY_ROW, throttle },
        chunks.tap,
        undefined,
        undefined,
        replicas,
      );
      return each.keep(collecting);
    };
    const purging = async () => {
      const held = await holdTable(pair.source, { state: 'PURGE', rows: ROWS });
      const own = start();
      await until('rows are purged', () => chunks.count > 5);
      return { held, own };
    };
    const stopsUntil = async (
      { held, own }: { readonly held: Held; readonly own: Collecting },
      expected: RegExp,
      end: () => Promise<unknown>,
    ) => {
      await until('it says so', () => reasonsOf(own).length > 0);
      const before = chunks.count;
      await own.looked();
      expect(chunks.count).toBe(before);
      expect(await countRows(pair.source, held.quoted)).toBeGreaterThan(0);
      expect(reasonsOf(own)).toEqual([expect.stringMatching(expected)]);
      await end();
      // Not until the last row: row by row that takes long on a busy machine.
      await until('it goes on', () => chunks.count > before + 5);
      await own.stop();
      await pair.caughtUp();
    };

    test('that has stopped', async () => {
      const { held, own } = await purging();
      const before = chunks.count;
      await chunks.holdDuring(() => query(pair.replica, 'STOP REPLICA SQL_THREAD'));
      await until('it says so', () => reasonsOf(own).length > 0);
      // One may have been under way, and one more begun before the replica was asked again.
      expect(chunks.count - before).toBeLessThanOrEqual(3);
      await stopsUntil({ held, own }, /SQL thread is not running/, () =>
        query(pair.replica, 'START REPLICA SQL_THREAD'),
      );
    });

    test('that lags', async () => {
      const { held, own } = await purging();
      const locker = await connect(pair.replica);
      await locker.query('FLUSH TABLES WITH READ LOCK');
      await chunks.holdDuring(async () => {
        await query(pair.source, 'CREATE DATABASE IF NOT EXISTS ops', 'DROP DATABASE ops');
        await until('the replica says so', async () => {
          const lag = await readReplicaLag({ name: 'db2:3306', connection: replicaPool });
          return 'seconds' in lag && lag.seconds > 2;
        });
      });
      await stopsUntil({ held, own }, /the replica db2:3306 lags by more than 2s/, () =>
        locker.end(),
      );
    });

    test('that can not be read', async () => {
      const held = await holdTable(pair.source);
      let refuses = true;
      const own = start((pool) =>
        tappedPool(pool, (send) => (refuses ? pool.run(sql`SELECT 1 FROM mysql.nothing`) : send())),
      );
      await until('it says so', () => reasonsOf(own).length > 0);
      await own.looked();
      expect(await countRows(pair.source, held.quoted)).toBe(10);
      expect(reasonsOf(own)).toEqual([expect.stringMatching(/is not known: .*\(1146\)/)]);
      refuses = false;
      await until('the table is gone', isGone(pair.source, held), 120_000);
    });
  },
);

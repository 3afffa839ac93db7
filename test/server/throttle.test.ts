/**
 * What the collector waits for, on real servers: its time on a new server, a query, and a replica
 * that lags or has stopped. As long as there is a reason nothing is moved on, purged or removed; it
 * is said once, and by `undrop status` and `undrop gc`; after it everything goes on.
 */
import { jest } from '@jest/globals';
import * as rig from '../collector/collecting.js';
import { PurgeChunks } from '../collector/purge-chunks.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { inHooks, onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { PAIRS, startPair } from '../support/replica-pair.js';
import { sample } from '../support/sample.js';
import { connect, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

jest.setTimeout(600_000);

/** So many rows, in chunks of one, are enough to be seen amid them. */
const ROWS = 800;
const ROW_BY_ROW = { fastDrop: 'never', purgeChunkRows: 1, purgeChunkMs: 0 } as const;
const NONE = { window: null, query: null, replicas: [], maxLagMs: 2_000 };

function reasonsOf({ said }: rig.Collecting): readonly string[] {
  return said.flatMap(({ message }) => (message.startsWith('throttled, ') ? [message] : []));
}

onServersAtOnce('the collector waits, on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;

  beforeEach(async () => {
    await freshLedger(server);
    await query(server, 'CREATE DATABASE IF NOT EXISTS ops', 'CREATE TABLE ops.wait (value INT)');
  });
  afterEach(() => query(server, 'DROP DATABASE ops'));

  test('for UNDROP_GRACE, on a server that is new to the ledger, over a restart too', async () => {
    const held = await rig.holdTable(server);
    const graceOf = async (collecting: rig.Collecting) => {
      await collecting.looked();
      expect(await rig.whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
      return collecting.said.find(({ fields }) => fields['event'] === 'grace')?.fields;
    };
    const collect = (more: rig.CollectSettings) =>
      on.each.keep(rig.startCollecting(server, { graceMs: 20_000, ...more }));
    const collecting = collect({});
    const first = await graceOf(collecting);
    expect(first?.['because']).toBe('this server is new to the ledger');
    await collecting.stop();
    const second = await graceOf(collect({ holdMs: 3_600_000 }));
    expect(second).toMatchObject({ because: 'a wait that began earlier', until: first?.['until'] });
    await rig.untilGone(server, held);
  });

  test('for its query, amid a purge and before each other step', async () => {
    const throttle = { ...NONE, query: 'SELECT COUNT(*) FROM ops.wait;' };
    const purged = await rig.holdTable(server, { state: 'PURGE', rows: ROWS });
    const chunks = new PurgeChunks();
    const collecting = on.each.keep(
      rig.startCollecting(server, { ...ROW_BY_ROW, throttle }, chunks.tap),
    );
    await rig.until('rows are purged', () => chunks.count > 5);
    await chunks.holdDuring(() => query(server, 'INSERT INTO ops.wait VALUES (1)'));
    await rig.until('it says so', () => reasonsOf(collecting).length > 0);
    const left = await rig.countRows(server, purged.quoted);
    expect(left).toBeGreaterThan(0);
    const moved = await rig.holdTable(server);
    const removed = await rig.holdTable(server, { state: 'DROP' });
    await collecting.looked();
    const before = chunks.count;
    expect(await rig.countRows(server, purged.quoted)).toBe(left);
    expect(await rig.whereIs(server, moved.id)).toEqual([`_undrop.${moved.name}`]);
    expect(await rig.whereIs(server, removed.id)).toEqual([`_undrop.${removed.name}`]);
    expect(reasonsOf(collecting)).toEqual([
      'throttled, the collector waits: UNDROP_THROTTLE_QUERY returned a value other than 0',
    ]);
    await query(server, 'DELETE FROM ops.wait');
    await rig.untilGone(server, removed);
    const atHold = async () => (await rig.whereIs(server, moved.id))[0] === `_undrop.${moved.name}`;
    await rig.until('it goes on to move', async () => !(await atHold()));
    await rig.until('it goes on to purge', () => chunks.count > before);
    // Row by row it would take long on a server that others keep busy.
    await collecting.stop();
    const quick = { fastDrop: 'never', purgeChunkRows: ROWS, purgeChunkMs: 1_000 } as const;
    on.each.keep(rig.startCollecting(server, { ...quick, throttle }));
    await rig.untilGone(server, purged, moved);
  });

  test('and commands say for what', async () => {
    await rig.holdTable(server);
    const variables = { THROTTLE_QUERY: 'SELECT 1', GRACE: '0s' };
    const status = await runUndrop(server, ['status'], variables);
    expect(status.stdout).toMatch(
      /throttled, the collector waits: UNDROP_THROTTLE_QUERY returned a value/,
    );
    const absent = { REPLICAS: '127.0.0.1:1', GRACE: '0s' };
    const unread = await runUndrop(server, ['status'], absent);
    expect(unread.stdout).toMatch(/lag of the replica 127\.0\.0\.1:1 is not known: .*ECONNREFUSED/);
  });
});

inLanes(
  sample(PAIRS, { name: 'pairs', count: 1 }),
  'the collector waits for a replica, $title',
  ({ name }, lane) => {
    const { beforeEach, each, open } = inHooks(lane);
    const pair = open(() => startPair({ name, gtid: true }));
    const replicaPool = open(() => poolOn(pair.replica));
    beforeEach(() => freshLedger(pair.source));

    async function purging() {
      const held = await rig.holdTable(pair.source, { state: 'PURGE', rows: ROWS });
      const chunks = new PurgeChunks();
      const { host, port } = pair.replica;
      const settings = { ...ROW_BY_ROW, throttle: { ...NONE, replicas: [{ host, port }] } };
      const replicas = [{ name: 'db2:3306', connection: replicaPool }];
      const collecting = each.keep(
        rig.startCollecting(pair.source, settings, chunks.tap, { replicas }),
      );
      await rig.until('rows are purged', () => chunks.count > 5);
      return { held, chunks, collecting };
    }

    async function goesOnBehind(
      { held, chunks, collecting }: Awaited<ReturnType<typeof purging>>,
      expected: RegExp,
      end: () => Promise<unknown>,
    ) {
      await rig.until('it says so', () => reasonsOf(collecting).length > 0);
      const before = chunks.count;
      await collecting.looked();
      expect(chunks.count).toBe(before);
      expect(await rig.countRows(pair.source, held.quoted)).toBeGreaterThan(0);
      expect(reasonsOf(collecting)).toEqual([expect.stringMatching(expected)]);
      await end();
      // Not until the last row: row by row that takes long on a busy machine.
      await rig.until('it goes on', () => chunks.count > before + 5);
      await collecting.stop();
      await pair.caughtUp();
    }

    lane.test('that has stopped', async () => {
      const own = await purging();
      const before = own.chunks.count;
      await own.chunks.holdDuring(() => query(pair.replica, 'STOP REPLICA SQL_THREAD'));
      await rig.until('it says so', () => reasonsOf(own.collecting).length > 0);
      // One may have been under way, and one more begun before the replica was asked again.
      expect(own.chunks.count - before).toBeLessThanOrEqual(3);
      await goesOnBehind(own, /SQL thread is not running/, () =>
        query(pair.replica, 'START REPLICA SQL_THREAD'),
      );
    });

    lane.test('that lags', async () => {
      const own = await purging();
      const locker = await connect(pair.replica);
      await locker.query('FLUSH TABLES WITH READ LOCK');
      await own.chunks.holdDuring(async () => {
        await query(pair.source, 'CREATE DATABASE IF NOT EXISTS ops', 'DROP DATABASE ops');
        await rig.until('the replica says so', async () => {
          const [status = {}] = await query(pair.replica, 'SHOW REPLICA STATUS');
          const { Seconds_Behind_Source, Seconds_Behind_Master } = status;
          return Number(Seconds_Behind_Source ?? Seconds_Behind_Master) > 2;
        });
      });
      await goesOnBehind(own, /the replica db2:3306 lags by more than 2s/, () => locker.end());
    });
  },
);

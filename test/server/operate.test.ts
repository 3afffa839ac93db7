/** What operators tell all collectors of a server: a pause, its end, and a wake. */
import { expect, jest } from '@jest/globals';
import { endPause, readPause, setPause, wakeCollectors } from '../../src/ledger/control.js';
import type { LifecycleSettings } from '../../src/lifecycle/next-step.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import {
  beforeEachStep,
  type Collecting,
  countRows,
  type Held,
  holdTable,
  startCollecting,
  until,
  whereIs,
} from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { testOnOne } from '../support/on-one-server.js';
import { query, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

jest.setTimeout(240_000);

const CHUNK_ROWS = 20;

inLanes(testServers(), 'the operator on $name', (server, lane) => {
  const { afterAll, afterEach, beforeAll, beforeEach } = lane;
  const test = testOnOne(server, lane);
  const slow: Partial<LifecycleSettings> = { fastDrop: 'never', purgeChunkRows: CHUNK_ROWS };
  const started: Collecting[] = [];
  let pool: ServicePool;

  beforeAll(() => {
    pool = poolOn(server);
  });
  beforeEach(() => freshLedger(server));
  afterEach(async () => {
    for (const collecting of started.splice(0)) await collecting.stop();
  });
  afterAll(async () => {
    await freshLedger(server);
    await pool.dispose();
  });

  const start = (
    ...how: Parameters<typeof startCollecting> extends [unknown, ...infer R] ? R : []
  ) => {
    const collecting = startCollecting(server, ...how);
    started.push(collecting);
    return collecting;
  };
  const stop = async (collecting: Collecting) => {
    started.splice(started.indexOf(collecting), 1);
    await collecting.stop();
  };
  const isGone = (held: Held) => async () => (await whereIs(server, held.id)).length === 0;
  const hasPaused = ({ said }: Collecting) => {
    return said.filter(({ message }) => message.startsWith('paused by ')).length;
  };

  test('a pause stops a purge amid the table, and whoever takes over obeys', async () => {
    const held = await holdTable(server, { state: 'PURGE', rows: 40 * CHUNK_ROWS });
    const first = start(slow);
    const all = await countRows(server, held.quoted);
    await until('rows are purged', async () => (await countRows(server, held.quoted)) < all);
    await setPause(pool, { forMs: null, by: 'a test' });
    const before = await countRows(server, held.quoted);
    expect(before).toBeGreaterThan(0);
    await until('the pause is seen', () => hasPaused(first) > 0);
    await first.looked();
    const left = await countRows(server, held.quoted);
    expect(before - left).toBeLessThanOrEqual(2 * CHUNK_ROWS);
    expect(hasPaused(first)).toBe(1);
    await stop(first);
    const second = start(slow);
    await until('the pause is seen', () => hasPaused(second) > 0);
    await second.looked();
    expect(await countRows(server, held.quoted)).toBe(left);
    expect(await readPause(pool)).toMatchObject({ until: null, by: 'a test' });
    expect(await endPause(pool)).not.toBeNull();
    expect(await readPause(pool)).toBeNull();
    await until('the table is gone', isGone(held));
  });

  test.each(['RENAME', 'DROP'] as const)(
    'a pause that comes after the look stops the %s',
    async (verb) => {
      const held = await holdTable(server, { state: verb === 'DROP' ? 'DROP' : 'HOLD' });
      let isPaused = false;
      const pausing = start({}, (tapped) =>
        beforeEachStep(tapped, async () => {
          if (!isPaused) await setPause(pool, { forMs: null, by: 'a test' });
          isPaused = true;
        }),
      );
      await until('the pause is seen', () => hasPaused(pausing) > 0);
      await pausing.looked();
      expect(await whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
      expect(await countRows(server, held.quoted)).toBe(10);
      await endPause(pool);
      await until('the table is gone', isGone(held));
    },
  );

  test('a pause ends by itself, by the clock of the server', async () => {
    const held = await holdTable(server);
    const pause = await setPause(pool, { forMs: 2_000, by: 'a test' });
    const collecting = start({ checkIntervalMs: 3_600_000 });
    await until('the pause is seen', () => hasPaused(collecting) > 0);
    await until('the table is gone', isGone(held));
    const [row] = await query<{ late: number }>(
      server,
      `SELECT UTC_TIMESTAMP() >= '${pause.until?.toISOString().slice(0, 19)}' AS late`,
    );
    expect(Number(row?.late)).toBe(1);
    expect(await readPause(pool)).toBeNull();
  });

  test('a wake brings a full round of an idle collector', async () => {
    const collecting = start({ checkIntervalMs: 3_600_000, holdMs: 3_600_000 });
    await collecting.looked();
    const held = await holdTable(server);
    expect(await wakeCollectors(pool)).toBe(true);
    await until('the table is gone', isGone(held), 20_000);
  });

  test('where nothing was ever written there is no pause', async () => {
    await query(server, 'DROP TABLE IF EXISTS _undrop.control');
    expect(await readPause(pool)).toBeNull();
    expect(await endPause(pool)).toBeNull();
    const held = await holdTable(server);
    start();
    await until('the table is gone', isGone(held));
  });
});

/**
 * Limits on what is held, on real servers: over them the least worth keeping go early, in the order
 * that is said, pinned and young ones never; the warning comes first; a drop and a restore go on.
 */
import { expect, jest } from '@jest/globals';
import type { LimitSettings } from '../../src/lifecycle/limits.js';
import { PINNED_UNTIL } from '../../src/names/names.js';
import {
  type Collecting,
  holdTable,
  startCollecting,
  until,
  whereIs,
} from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront, runUndrop } from '../support/proxy.js';
import { query, testServers } from '../support/servers.js';

jest.setTimeout(300_000);

const HOUR_MS = 3_600_000;
const NONE: LimitSettings = {
  ...{ bytesMax: null, tablesMax: null, share: 0.5, minHoldMs: HOUR_MS },
  ...{ freeBytesMin: null, dataFolder: null },
};

inLanes(testServers(), 'limits on $name', (server, lane) => {
  const { afterEach, beforeEach } = lane;
  const test = testOnOne(server, lane);
  let proxy: ProxyTarget;
  let collecting: Collecting | null = null;

  beforeEach(async () => {
    await freshLedger(server);
    await query(server, 'DROP DATABASE IF EXISTS room', 'CREATE DATABASE room');
    proxy = await proxyInFront(server, { HOLD: '30d' });
  });
  afterEach(async () => {
    await collecting?.stop();
    collecting = null;
    await proxy.stop();
    await query(server, 'DROP DATABASE room');
    await freshLedger(server);
  });

  /** A table that was dropped so long ago, with so many rows; resolves to its id. */
  const drop = async (table: string, { rows, hours }: { rows: number; hours: number }) => {
    const values = Array.from({ length: rows }, (_, index) => `(${index})`).join(',');
    await query(
      proxy,
      `CREATE TABLE room.${table} (id INT PRIMARY KEY)`,
      ...(rows === 0 ? [] : [`INSERT INTO room.${table} VALUES ${values}`]),
      `DROP TABLE room.${table}`,
    );
    const [row] = await query<{ readonly id: string }>(
      server,
      `SELECT id FROM _undrop.ledger WHERE table_name = '${table}'`,
    );
    const id = row?.id ?? '';
    await until('its outcome is in the ledger', async () => {
      const [found] = await query<{ readonly state: string }>(
        server,
        `SELECT state FROM _undrop.ledger WHERE id = '${id}'`,
      );
      return found?.state === 'HOLD';
    });
    await query(
      server,
      `UPDATE _undrop.ledger SET dropped_at = UTC_TIMESTAMP() - INTERVAL ${60 * hours} MINUTE
       WHERE id = '${id}'`,
    );
    return id;
  };
  const isThere = async (id: string) => (await whereIs(server, id)).length > 0;

  test('over UNDROP_MAX_TABLES', async () => {
    const old = await drop('old', { rows: 5, hours: 100 });
    const older = await drop('older', { rows: 5, hours: 200 });
    const young = await drop('young', { rows: 5, hours: 0.5 });
    const pinned = await drop('pinned', { rows: 5, hours: 300 });
    const pin = await runUndrop(server, ['hold', pinned, '--pin']);
    expect(pin).toMatchObject({ code: 0 });
    const [name = ''] = await whereIs(server, pinned);
    expect(name).toMatch(/_9999\d{10}$/);
    expect(PINNED_UNTIL.getUTCFullYear()).toBe(9_999);
    const empty = await drop('empty', { rows: 0, hours: 50 });
    collecting = startCollecting(server, { limits: { ...NONE, tablesMax: 1 } });
    const { said } = collecting;
    await until('three are gone', async () => {
      const there = await Promise.all([old, older, empty].map(isThere));
      return !there.some(Boolean);
    });
    await collecting.looked();
    expect(await Promise.all([young, pinned].map(isThere))).toEqual([true, true]);
    const events = said.map(({ fields }) => fields);
    const removed = events.filter(({ event }) => event === 'removal').map(({ id }) => id);
    expect([...removed].sort()).toEqual([empty, old, older].sort());
    const [warning, first] = events.filter(({ event }) =>
      ['limits', 'transition'].includes(String(event)),
    );
    expect(warning).toMatchObject({ event: 'limits', tables: 5 });
    expect(first).toMatchObject({
      ...{ event: 'transition', from: 'HOLD', to: 'DROP' },
      because: expect.stringMatching(/^UNDROP_MAX_TABLES is passed; its removal frees \d+ bytes$/),
    });
    // Who is left comes back whole.
    expect(await runUndrop(server, ['restore', young])).toMatchObject({ code: 0 });
    expect(await query(server, 'SELECT COUNT(*) AS n FROM room.young')).toEqual([{ n: 5 }]);
  });

  test('not before it was said for a minute, as somebody may have lowered a limit by mistake', async () => {
    const id = await drop('kept', { rows: 5, hours: 100 });
    await drop('more', { rows: 5, hours: 50 });
    let aheadMs = 0;
    const clock = () => performance.now() + aheadMs;
    const settings = { limits: { ...NONE, tablesMax: 1 }, checkIntervalMs: 3_600_000 };
    collecting = startCollecting(server, settings, undefined, undefined, clock);
    const { said } = collecting;
    await until('it says so', () => said.some(({ fields }) => fields['event'] === 'limits'));
    await collecting.looked();
    expect(await isThere(id)).toBe(true);
    expect(said.filter(({ fields }) => fields['event'] === 'limits')).toEqual([
      {
        message: 'what is held is over its limits: tables go before their time',
        fields: expect.objectContaining({ tables: 2, used: 2, early: 1, inMs: 60_000 }),
      },
    ]);
    aheadMs = 60_000;
    await until('it is gone', async () => !(await isThere(id)));
  });

  test('not for what is over: somebody brought tables back meanwhile', async () => {
    const ids = [
      await drop('a', { rows: 1, hours: 201 }),
      await drop('b', { rows: 1, hours: 200 }),
    ];
    const left = await drop('c', { rows: 1, hours: 300 });
    await query(server, 'CREATE TABLE room.waits (value INT)', 'INSERT INTO room.waits VALUES (1)');
    const going = await holdTable(server, { state: 'DROP' });
    const throttle = { window: null, replicas: [], maxLagMs: 2_000 };
    let aheadMs = 0;
    const settings = {
      limits: { ...NONE, tablesMax: 2 },
      // The next full look is far.
      checkIntervalMs: 3_600_000,
      throttle: { ...throttle, query: 'SELECT value FROM room.waits' },
    };
    const clock = () => performance.now() + aheadMs;
    collecting = startCollecting(server, settings, undefined, undefined, clock);
    const { said } = collecting;
    await until('it says so', () => said.some(({ fields }) => fields['event'] === 'limits'));
    aheadMs = 60_000;
    await collecting.looked();
    for (const id of ids)
      expect(await runUndrop(server, ['restore', id])).toMatchObject({ code: 0 });
    await query(server, 'UPDATE room.waits SET value = 0');
    await until('it goes on', async () => !(await isThere(going.id)));
    await collecting.looked();
    expect(await isThere(left)).toBe(true);
  });

  test('over UNDROP_MAX_BYTES, and what a dry run says of it', async () => {
    const older = await drop('older', { rows: 5, hours: 200 });
    const old = await drop('old', { rows: 5, hours: 100 });
    await query(server, 'UPDATE _undrop.ledger SET byte_estimate = 1048576, row_estimate = 5');
    const variables = { MAX_BYTES: '1536K', GRACE: '0s', HOLD: '30d' };
    const plan = await runUndrop(server, ['gc', '--once', '--dry-run'], variables);
    expect(plan.stdout).toMatch(
      /^room\.older .*HOLD → DROP \(UNDROP_MAX_BYTES is passed; its removal frees 1048576 bytes\), removed for good$/m,
    );
    expect(plan.stdout).toMatch(/^room\.old .*stays held until/m);
    await query(proxy, 'CREATE TABLE room.more (id INT)', 'DROP TABLE room.more');
    expect(await Promise.all([older, old].map(isThere))).toEqual([true, true]);
  });

  test('a folder that can not be seen is said, and nothing goes for it', async () => {
    const id = await drop('kept', { rows: 1, hours: 100 });
    const limits = { ...NONE, freeBytesMin: 2 ** 60, dataFolder: '/nonexistent' };
    collecting = startCollecting(server, { limits });
    const { said } = collecting;
    await until('it says so', () =>
      said.some(({ message }) => message === 'what held tables take is not known'),
    );
    await collecting.looked();
    expect(await isThere(id)).toBe(true);
    await collecting.stop();
    // With one that it sees the disk is too full for anything.
    collecting = startCollecting(server, { limits: { ...limits, dataFolder: process.cwd() } });
    await until('it is gone', async () => !(await isThere(id)));
  });
});

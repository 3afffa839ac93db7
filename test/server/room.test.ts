/**
 * Limits on what is held, on real servers: over them the least worth keeping go early, in the order
 * that is said, pinned and young ones never; the warning comes first; a drop and a restore go on.
 */
import type { CollectSettings } from '../collector/collecting.js';
import { holdTable, startCollecting, until, whereIs } from '../collector/collecting.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { query } from '../support/servers.js';

const HOUR_MS = 3_600_000;
const NONE = {
  ...{ bytesMax: null, tablesMax: null, minHoldMs: HOUR_MS },
  ...{ freeBytesMin: null, dataFolder: null },
};

onServersAtOnce('limits on $name', (server, on) => {
  const { test } = on;
  on.each.freshLedger();
  const proxy = on.each.proxy({ HOLD: '30d' });
  on.each.open(
    () => query(server, 'DROP DATABASE IF EXISTS room', 'CREATE DATABASE room'),
    () => query(server, 'DROP DATABASE room'),
  );

  /** A table that was dropped so long ago, with so many rows; resolves to its id. */
  const drop = async (table: string, { rows, hours }: { rows: number; hours: number }) => {
    const values = Array.from({ length: rows }, (_, index) => `(${index})`).join(',');
    await query(
      proxy,
      `CREATE TABLE room.${table} (id INT PRIMARY KEY)`,
      ...(rows === 0 ? [] : [`INSERT INTO room.${table} VALUES ${values}`]),
      `DROP TABLE room.${table}`,
    );
    const inLedger = `SELECT id, state FROM _undrop.ledger WHERE table_name = '${table}'`;
    const read = () => query<{ readonly id: string; readonly state: string }>(server, inLedger);
    const [{ id } = { id: '' }] = await read();
    await until('its outcome is in the ledger', async () => (await read())[0]?.state === 'HOLD');
    await query(
      server,
      `UPDATE _undrop.ledger SET dropped_at = UTC_TIMESTAMP() - INTERVAL ${60 * hours} MINUTE
       WHERE id = '${id}'`,
    );
    return id;
  };
  const areThere = (...ids: readonly string[]) =>
    Promise.all(ids.map(async (id) => (await whereIs(server, id)).length > 0));
  const collect = (limits: object) =>
    on.each.keep(startCollecting(server, { limits: { ...NONE, ...limits } }));
  const limitsSaid = ({ said }: ReturnType<typeof collect>) =>
    said.filter(({ fields }) => fields['event'] === 'limits');

  test('over UNDROP_MAX_TABLES, but not what is pinned or young, and a longer hold last', async () => {
    const old = await drop('old', { rows: 5, hours: 100 });
    const older = await drop('older', { rows: 5, hours: 200 });
    const young = await drop('young', { rows: 5, hours: 0.5 });
    const pinned = await drop('pinned', { rows: 5, hours: 300 });
    const longer = await drop('longer', { rows: 5, hours: 150 });
    const empty = await drop('empty', { rows: 0, hours: 50 });
    expect(await runUndrop(server, ['hold', pinned, '--pin'])).toMatchObject({ code: 0 });
    expect((await whereIs(server, pinned))[0]).toMatch(/_9999\d{10}$/);
    expect(await runUndrop(server, ['hold', longer, '--for', '60d'])).toMatchObject({ code: 0 });
    const variables = { MAX_TABLES: '1', HOLD: '30d', GRACE: '0s' };
    const status = await runUndrop(server, ['status'], variables);
    expect(status.code).toBe(1);
    for (const line of [
      /^limits +tables 6 of 1 \(UNDROP_MAX_TABLES\)/m,
      /kept by UNDROP_MIN_HOLD, despite the limits: 1$/m,
      /removed early at the next check of the collector: room\.empty \([0-9a-f]{8}, dropped by \w+\): UNDROP_MAX_TABLES is passed; its removal frees \d+ bytes$/m,
      /^attention +tables that are removed early because of a limit: 4, /m,
    ]) {
      expect(status.stdout).toMatch(line);
    }
    const collecting = collect({ tablesMax: 1 });
    await until('three are gone', async () => {
      return !(await areThere(old, older, empty)).some(Boolean);
    });
    await collecting.looked();
    expect(await areThere(longer, young, pinned)).toEqual([true, true, true]);
    const events = collecting.said.map(({ fields }) => fields);
    const removed = events.filter(({ event }) => event === 'removal').map(({ id }) => id);
    expect(removed).toEqual([empty, older, old]);
    const [warning, first] = events.filter(({ event }) =>
      ['limits', 'transition'].includes(String(event)),
    );
    expect(warning).toMatchObject({ event: 'limits', tables: 6 });
    expect(first).toMatchObject({
      ...{ event: 'transition', from: 'HOLD', to: 'DROP' },
      because: expect.stringMatching(/^UNDROP_MAX_TABLES is passed; its removal frees \d+ bytes$/),
    });
    // Who is left comes back whole.
    expect(await runUndrop(server, ['restore', young])).toMatchObject({ code: 0 });
    expect(await query(server, 'SELECT COUNT(*) AS n FROM room.young')).toEqual([{ n: 5 }]);
  });

  test('over UNDROP_MAX_BYTES tables whose rows are those of others count nothing', async () => {
    const rows = Array.from({ length: 500 }, () => `('${'x'.repeat(200)}')`).join(',');
    const definition = '(a CHAR(200))';
    await query(
      server,
      `CREATE TABLE room.child ${definition} ENGINE=MyISAM`,
      `INSERT INTO room.child VALUES ${rows}`,
    );
    const kept = await drop('kept', { rows: 5, hours: 100 });
    const names = [1, 2, 3, 4].map((number) => `room.merged${number}`);
    await query(
      proxy,
      ...names.flatMap((name) => [
        `CREATE TABLE ${name} ${definition} ENGINE=MERGE UNION=(room.child)`,
        `DROP TABLE ${name}`,
      ]),
    );
    const collecting = collect({ bytesMax: 300_000 });
    await collecting.looked();
    await collecting.looked();
    const sizes = await query(
      server,
      `SELECT byte_estimate AS bytes FROM _undrop.ledger WHERE engine LIKE 'MRG%'`,
    );
    const ages = await query<{ readonly lived: number | null }>(
      server,
      `SELECT TIMESTAMPDIFF(HOUR, created_at, state_since) AS lived FROM _undrop.ledger
       WHERE engine = 'InnoDB'`,
    );
    expect([ages, sizes]).toEqual([[{ lived: 0 }], names.map(() => ({ bytes: 0 }))]);
    expect([limitsSaid(collecting), await areThere(kept)]).toEqual([[], [true]]);
  });

  /** Its clock is the test's; the next full look is far. */
  const collectBy = (monotonicMs: () => number, settings: CollectSettings) => {
    const own = { ...settings, checkIntervalMs: 3_600_000 };
    return on.each.keep(startCollecting(server, own, undefined, { monotonicMs }));
  };

  test('not before it was said for a minute, as somebody may have lowered a limit by mistake', async () => {
    const id = await drop('kept', { rows: 5, hours: 100 });
    await drop('more', { rows: 5, hours: 50 });
    let aheadMs = 0;
    const clock = () => performance.now() + aheadMs;
    const collecting = collectBy(clock, { limits: { ...NONE, tablesMax: 1 } });
    await until('it says so', () => limitsSaid(collecting).length > 0);
    await collecting.looked();
    expect(await areThere(id)).toEqual([true]);
    expect(limitsSaid(collecting)).toEqual([
      {
        message: 'held tables are over their limits; removing tables early',
        fields: expect.objectContaining({ tables: 2, used: 2, early: 1, inMs: 60_000 }),
      },
    ]);
    aheadMs = 60_000;
    await until('it is gone', async () => !(await areThere(id))[0]);
  });

  test('not for what is over: somebody brought tables back meanwhile', async () => {
    const ids = [
      await drop('a', { rows: 1, hours: 201 }),
      await drop('b', { rows: 1, hours: 200 }),
    ];
    const left = await drop('c', { rows: 1, hours: 300 });
    await query(server, 'CREATE TABLE room.waits (value INT)', 'INSERT INTO room.waits VALUES (1)');
    const going = await holdTable(server, { state: 'DROP' });
    const waits = { window: null, replicas: [], maxLagMs: 2_000 };
    const throttle = { ...waits, query: 'SELECT value FROM room.waits' };
    let aheadMs = 0;
    const clock = () => performance.now() + aheadMs;
    const collecting = collectBy(clock, { limits: { ...NONE, tablesMax: 2 }, throttle });
    await until('it says so', () => limitsSaid(collecting).length > 0);
    aheadMs = 60_000;
    await collecting.looked();
    for (const id of ids) {
      expect(await runUndrop(server, ['restore', id])).toMatchObject({ code: 0 });
    }
    await query(server, 'UPDATE room.waits SET value = 0');
    await until('it goes on', async () => !(await areThere(going.id))[0]);
    await collecting.looked();
    expect(await areThere(left)).toEqual([true]);
  });

  test('a folder that can not be seen is said, and nothing goes for it', async () => {
    const id = await drop('kept', { rows: 1, hours: 100 });
    const collecting = collect({ freeBytesMin: 2 ** 60, dataFolder: '/nonexistent' });
    await until('it says so', () =>
      collecting.said.some((one) => one.message === 'cannot read how much room held tables take'),
    );
    await collecting.looked();
    expect(await areThere(id)).toEqual([true]);
    await collecting.stop();
    // With one that it sees the disk is too full for anything.
    collect({ freeBytesMin: 2 ** 60, dataFolder: process.cwd() });
    await until('it is gone', async () => !(await areThere(id))[0]);
  });
});

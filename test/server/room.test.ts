/**
 * Limits on what is held, on real servers: over them the least worth keeping go early, in the order
 * that is said, pinned and young ones never; the warning comes first; a drop and a restore go on.
 */
import { expect } from '@jest/globals';
import type { LimitSettings } from '../../src/lifecycle/limits/choose-early.js';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { holdTable, startCollecting, until, whereIs } from '../lifecycle/collecting.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { query } from '../support/servers.js';

const HOUR_MS = 3_600_000;
const NONE: LimitSettings = {
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
    const collecting = on.each.keep(startCollecting(server, { limits: { ...NONE, tablesMax: 1 } }));
    const { said } = collecting;
    await until('two are gone', async () => {
      const there = await Promise.all([older, empty].map(isThere));
      return !there.some(Boolean);
    });
    await collecting.looked();
    expect(await Promise.all([old, young, pinned].map(isThere))).toEqual([true, true, true]);
    const events = said.map(({ fields }) => fields);
    const removed = events.filter(({ event }) => event === 'removal').map(({ id }) => id);
    expect(removed).toEqual([empty, older]);
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

  const greedy = { user: 'room_greedy', password: 'only for tests' };
  /** So many tables of a user who may create, drop and insert in one schema, dropped just now. */
  const fill = async (count: number) => {
    await query(
      server,
      'CREATE DATABASE IF NOT EXISTS room_of_greedy',
      `GRANT CREATE, DROP, INSERT ON room_of_greedy.* TO ${greedy.user}`,
    );
    const names = Array.from({ length: count }, (_, index) => `room_of_greedy.t${index}`);
    await query(
      { ...proxy, ...greedy },
      ...names.flatMap((name) => [
        `CREATE TABLE ${name} (id INT PRIMARY KEY)`,
        `INSERT INTO ${name} VALUES (1)`,
        `DROP TABLE ${name}`,
      ]),
    );
  };
  const heldBy = async (user: string) => {
    const [row] = await query<{ readonly held: number }>(
      server,
      `SELECT COUNT(*) AS held FROM _undrop.ledger WHERE user_name = '${user}' AND state = 'HOLD'`,
    );
    return Number(row?.held);
  };

  test('over UNDROP_MAX_TABLES by one user, who loses his own and nobody else any', async () => {
    await query(server, `CREATE USER ${greedy.user} IDENTIFIED BY '${greedy.password}'`);
    try {
      const others = [];
      for (const hours of [100, 200, 300, 400]) {
        others.push(await drop(`of_other_${hours}`, { rows: hours % 200, hours }));
      }
      await fill(12);
      await until('outcomes are in the ledger', async () => (await heldBy(greedy.user)) === 12);
      const variables = { MAX_TABLES: '10', HOLD: '30d', GRACE: '0s' };
      const collecting = on.each.keep(
        startCollecting(server, { limits: { ...NONE, tablesMax: 10 } }),
      );
      const { said } = collecting;
      await until('it says so', () => said.some(({ fields }) => fields['event'] === 'limits'));
      await collecting.looked();
      // Those that fill it are too young to go: so nothing goes.
      const warnings = said.filter(({ fields }) => fields['event'] === 'limits');
      expect(warnings.map(({ message }) => message)).toEqual([
        'held tables are over their limits; none may be removed early yet',
      ]);
      const soon = await runUndrop(server, ['status'], variables);
      expect(soon.code).toBe(1);
      expect(soon.stdout).toMatch(/^limits +tables 16 of 10 \(UNDROP_MAX_TABLES\)/m);
      expect(soon.stdout).toMatch(/kept by UNDROP_MIN_HOLD, despite the limits: 12$/m);
      expect(soon.stdout).toMatch(
        /tables that are removed early because of a limit: 6, the first from /,
      );
      await query(
        server,
        `UPDATE _undrop.ledger SET dropped_at = dropped_at - INTERVAL 2 HOUR
         WHERE user_name = '${greedy.user}'`,
      );
      await until('enough are gone', async () => (await heldBy(greedy.user)) === 6);
      await collecting.looked();
      expect(await heldBy(greedy.user)).toBe(6);
      expect(await Promise.all(others.map(isThere))).toEqual([true, true, true, true]);
      expect(await runUndrop(server, ['status'], variables)).toMatchObject({ code: 0 });
    } finally {
      await query(server, 'DROP DATABASE IF EXISTS room_of_greedy', `DROP USER ${greedy.user}`);
    }
  });

  test('over UNDROP_MAX_TABLES what a person gave a longer hold goes last', async () => {
    const longer = await drop('longer', { rows: 1, hours: 300 });
    const longest = await drop('longest', { rows: 1, hours: 200 });
    const plain = await drop('plain', { rows: 1, hours: 100 });
    for (const id of [longer, longest]) {
      expect(await runUndrop(server, ['hold', id, '--for', '60d'])).toMatchObject({ code: 0 });
    }
    const variables = { MAX_TABLES: '2', HOLD: '30d', GRACE: '0s' };
    const status = await runUndrop(server, ['status'], variables);
    expect(status.code).toBe(1);
    expect(status.stdout).toMatch(
      /removed early at the next check of the collector: room\.plain \([0-9a-f]{8}, dropped by \w+\): UNDROP_MAX_TABLES is passed; its removal frees \d+ bytes$/m,
    );
    expect(status.stdout).toMatch(
      /^attention +tables that are removed early because of a limit: 1, /m,
    );
    const collecting = on.each.keep(startCollecting(server, { limits: { ...NONE, tablesMax: 2 } }));
    await until('it is gone', async () => !(await isThere(plain)));
    await collecting.looked();
    expect(await Promise.all([longer, longest].map(isThere))).toEqual([true, true]);
    expect(await runUndrop(server, ['status'], variables)).toMatchObject({ code: 0 });
    await collecting.stop();
    on.each.keep(startCollecting(server, { limits: { ...NONE, tablesMax: 1 } }));
    await until('the older is gone', async () => !(await isThere(longer)));
    expect(await isThere(longest)).toBe(true);
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
    const collecting = on.each.keep(
      startCollecting(server, { limits: { ...NONE, bytesMax: 300_000 } }),
    );
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
    expect(ages).toEqual([{ lived: 0 }]);
    expect(sizes).toEqual(names.map(() => ({ bytes: 0 })));
    expect(collecting.said.filter(({ fields }) => fields['event'] === 'limits')).toEqual([]);
    expect(await isThere(kept)).toBe(true);
  });

  test('not before it was said for a minute, as somebody may have lowered a limit by mistake', async () => {
    const id = await drop('kept', { rows: 5, hours: 100 });
    await drop('more', { rows: 5, hours: 50 });
    let aheadMs = 0;
    const clock = () => performance.now() + aheadMs;
    const settings = { limits: { ...NONE, tablesMax: 1 }, checkIntervalMs: 3_600_000 };
    const collecting = on.each.keep(startCollecting(server, settings, undefined, undefined, clock));
    const { said } = collecting;
    await until('it says so', () => said.some(({ fields }) => fields['event'] === 'limits'));
    await collecting.looked();
    expect(await isThere(id)).toBe(true);
    expect(said.filter(({ fields }) => fields['event'] === 'limits')).toEqual([
      {
        message: 'held tables are over their limits; removing tables early',
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
    const collecting = on.each.keep(startCollecting(server, settings, undefined, undefined, clock));
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
    const collecting = on.each.keep(startCollecting(server, { limits }));
    const { said } = collecting;
    await until('it says so', () =>
      said.some(({ message }) => message === 'cannot read how much room held tables take'),
    );
    await collecting.looked();
    expect(await isThere(id)).toBe(true);
    await collecting.stop();
    // With one that it sees the disk is too full for anything.
    on.each.keep(startCollecting(server, { limits: { ...limits, dataFolder: process.cwd() } }));
    await until('it is gone', async () => !(await isThere(id)));
  });
});

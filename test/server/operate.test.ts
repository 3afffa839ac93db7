/** What operators tell all collectors of a server: a pause, its end, and a wake. */
import { expect } from '@jest/globals';
import { endPause, readControl, setPause, wakeCollectors } from '../../src/ledger/control.js';
import { recordHistory } from '../../src/ledger/history.js';
import type { LifecycleSettings } from '../../src/lifecycle/next-step.js';
import { silentLog } from '../../src/log.js';
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
import { PurgeChunks } from '../lifecycle/purge-chunks.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { query } from '../support/servers.js';

const CHUNK_ROWS = 20;

function ledgerRow(row: { id: string; state: string; minutes: number }): string {
  const dropped = `UTC_TIMESTAMP() - INTERVAL ${row.minutes} MINUTE`;
  return `INSERT INTO _undrop.ledger (id, group_id, proxy_id, thread_id, schema_name, table_name,
      kind, dropped_at, user_name, client_address, statement_text, hold_until, state, state_since)
    VALUES ('${row.id.repeat(32)}', '${row.id.repeat(32)}', 'p', 0, 's', 't', 'base', ${dropped},
      'u', 'c', '', UTC_TIMESTAMP() + INTERVAL 1 DAY, '${row.state}', ${dropped})`;
}

onServersAtOnce('the operator on $name', (server, on) => {
  const { afterAll, afterEach, beforeEach, test } = on;
  /** Chunks become no larger. */
  const slow: Partial<LifecycleSettings> = {
    fastDrop: 'never',
    purgeChunkRows: CHUNK_ROWS,
    purgeChunkMs: 0,
  };
  const started: Collecting[] = [];

  const pool = on.pool();
  beforeEach(() => freshLedger(server));
  afterEach(async () => {
    for (const collecting of started.splice(0)) await collecting.stop();
  });
  afterAll(() => freshLedger(server));

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
    const held = await holdTable(server, { state: 'PURGE', rows: 400 * CHUNK_ROWS });
    const all = await countRows(server, held.quoted);
    const chunks = new PurgeChunks();
    const first = start(slow, chunks.tap);
    await until('rows are purged', () => chunks.count > 0);
    const goOn = await chunks.hold();
    const before = chunks.count;
    await setPause(pool, { forMs: null, by: 'a test' });
    goOn();
    await until('the pause is seen', () => hasPaused(first) > 0);
    await first.looked();
    expect(hasPaused(first)).toBe(1);
    await stop(first);
    const [left, done] = [await countRows(server, held.quoted), chunks.count];
    expect(done - before).toBeLessThanOrEqual(1);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(all);
    const second = start(slow, chunks.tap);
    await until('the pause is seen', () => hasPaused(second) > 0);
    await second.looked();
    expect(chunks.count).toBe(done);
    expect(await countRows(server, held.quoted)).toBe(left);
    expect((await readControl(pool)).pause).toMatchObject({ until: null, by: 'a test' });
    expect(await endPause(pool)).not.toBeNull();
    expect((await readControl(pool)).pause).toBeNull();
    await until('it goes on', () => chunks.count > done);
    await stop(second);
    expect(await countRows(server, held.quoted)).toBeLessThan(left);
    // Such small chunks take long to the end, on a busy machine for minutes.
    start({ fastDrop: 'never', purgeChunkRows: 5_000, purgeChunkMs: 1_000 });
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
    const pause = await setPause(pool, { forMs: 10_000, by: 'a test' });
    const collecting = start({ checkIntervalMs: 3_600_000 });
    await until('the pause is seen', () => hasPaused(collecting) > 0);
    await until('the table is gone', isGone(held));
    const [row] = await query<{ late: number }>(
      server,
      `SELECT UTC_TIMESTAMP() >= '${pause.until?.toISOString().slice(0, 19)}' AS late`,
    );
    expect(Number(row?.late)).toBe(1);
    expect((await readControl(pool)).pause).toBeNull();
  });

  test('a wake brings a full round of an idle collector', async () => {
    const collecting = start({ checkIntervalMs: 3_600_000, holdMs: 3_600_000 });
    await collecting.looked();
    const held = await holdTable(server);
    expect(await wakeCollectors(pool)).toBe(true);
    await until('the table is gone', isGone(held));
  });

  test('pause and resume are commands, which the history keeps', async () => {
    const held = await holdTable(server);
    const paused = await runUndrop(server, ['pause', '--for', '2h']);
    expect(paused).toMatchObject({ code: 0, stderr: '' });
    expect(paused.stdout).toMatch(/^Paused until 2\d{3}-[\d-]+ [\d:]+ UTC, or `undrop resume`: /);
    const first = await runUndrop(server, ['gc', '--once']);
    expect([first.code, first.stdout]).toEqual([1, expect.stringMatching(/paused by .* as /)]);
    expect(await countRows(server, held.quoted)).toBe(10);
    const resumed = await runUndrop(server, ['resume']);
    expect(resumed.stdout).toMatch(/^Ended the pause of \S+ as \S+ since .* UTC\.$/m);
    expect((await runUndrop(server, ['resume'])).stdout).toBe('There was no pause.\n');
    const rows = await query<{ event: string }>(
      server,
      "SELECT event FROM _undrop.history WHERE event IN ('paused', 'resumed') ORDER BY seq",
    );
    expect(rows.map(({ event }) => event)).toEqual(['paused', 'resumed']);
    for (const wrong of ['2', 'soon', '0']) {
      const refused = await runUndrop(server, ['pause', '--for', wrong]);
      expect([refused.code, refused.stderr]).toEqual([
        2,
        expect.stringContaining('--for: expected'),
      ]);
    }
  });

  test('gc --once does what is due to its end; with --dry-run nothing', async () => {
    const due = await holdTable(server, { rows: 3 * CHUNK_ROWS });
    const later = await holdTable(server, { dueInSeconds: 3_600 });
    const how = { FAST_DROP: 'never', EVAC: '0s' };
    const dry = await runUndrop(server, ['gc', '--once', '--dry-run'], how);
    expect(dry).toMatchObject({ code: 0, stderr: '' });
    expect(dry.stdout).toContain('HOLD → PURGE, its rows are purged, PURGE → EVAC');
    expect(dry.stdout).toContain('stays held until 2');
    for (const { id, schema, name } of [due, later]) {
      expect(await whereIs(server, id)).toEqual([`${schema}.${name}`]);
    }
    expect(await countRows(server, due.quoted)).toBe(3 * CHUNK_ROWS);
    const done = await runUndrop(server, ['gc', '--once'], how);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/60 rows purged/);
    expect(done.stdout).toMatch(/removed for good\n/);
    expect(done.stdout).toMatch(/^Done: transitions 3, removals 1\.\nHeld: 1; next /m);
    expect(await whereIs(server, due.id)).toEqual([]);
    expect(await countRows(server, later.quoted)).toBe(10);
    const json = await runUndrop(server, ['gc', '--once', '--json'], how);
    expect(JSON.parse(json.stdout)).toMatchObject({
      resting: null,
      done: [],
      left: [{ id: later.id }],
    });
  });

  test('gc while a proxy collects wakes that one, and says who it is', async () => {
    const collecting = start({ checkIntervalMs: 3_600_000, holdMs: 3_600_000 });
    await collecting.looked();
    const held = await holdTable(server);
    const { code, stdout } = await runUndrop(server, ['gc', '--once']);
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/connection \d+ \S+@.*: it was woken/),
    ]);
    await until('the table is gone', isGone(held));
  });

  test('gc waits for UNDROP_GRACE on a server that it does not know', async () => {
    await query(server, 'DROP TABLE IF EXISTS _undrop.collector');
    const held = await holdTable(server);
    for (const args of [
      ['gc', '--once', '--dry-run'],
      ['gc', '--once'],
      ['gc', '--once'],
    ]) {
      const { code, stdout } = await runUndrop(server, args, { GRACE: '1h' });
      expect([code, stdout]).toEqual([
        1,
        expect.stringContaining('the collector waits for UNDROP_GRACE'),
      ]);
    }
    expect(await countRows(server, held.quoted)).toBe(10);
  });

  test('status has each of its reasons, and exits with 1 for them', async () => {
    const quiet = await runUndrop(server, ['status']);
    expect(quiet).toMatchObject({ code: 0, stderr: '' });
    expect(quiet.stdout).toMatch(/no proxy collects/);
    expect(quiet.stdout).toMatch(/nothing needs attention/);
    await holdTable(server, { dueInSeconds: -4_000 });
    await query(
      server,
      'DROP TABLE IF EXISTS _undrop.collector',
      ledgerRow({ id: 'a', state: 'intent', minutes: 2 }),
      ledgerRow({ id: 'b', state: 'HOLD', minutes: 61 }),
    );
    const { code, stdout } = await runUndrop(server, ['status', '--json']);
    const status = JSON.parse(stdout) as { readonly attention: readonly { text: string }[] };
    expect([code, status.attention.map(({ text }) => text)]).toEqual([
      1,
      [
        'tables that are due, but not collected: 1; no proxy collects',
        'drops that are not settled after more than a minute: 1',
        'tables that could not move to the recycle schema for more than an hour: 1',
      ],
    ]);
    expect(status).toMatchObject({
      held: { count: 1 },
      collector: { leader: null, lastLook: null },
    });
    await setPause(pool, { forMs: null, by: 'a test' });
    const paused = await runUndrop(server, ['status']);
    expect(paused.stdout).toMatch(/paused by a test/);
    expect(paused.stdout).not.toMatch(/that are due/);
    await query(server, 'INSERT INTO _undrop.ledger_version VALUES (99, UTC_TIMESTAMP())');
    const other = await runUndrop(server, ['status']);
    expect([other.code, other.stdout]).toEqual([
      1,
      expect.stringContaining('the ledger is not ready'),
    ]);
  });

  test('status says which held tables are still used', async () => {
    const held = await holdTable(server, { dueInSeconds: 4_000 });
    const what = { id: held.id, dropId: null, schema: 'shop', table: 'orders', count: 3 };
    const by = { user: 'app', client: '10.0.0.1:5', threadId: 7 };
    await recordHistory({ connection: pool, log: silentLog }, [
      { event: 'used-while-held', ...by, ...what },
    ]);
    const { stdout } = await runUndrop(server, ['status']);
    expect(stdout).toMatch(
      /statements use the held table \S+ \(\w{8}\), statements 3, the last at 2.* by app from 10/,
    );
  });

  test('status says which proxy collects', async () => {
    const collecting = start();
    await collecting.looked();
    const { code, stdout } = await runUndrop(server, ['status']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/connection \d+ .* collects/)]);
    expect(stdout).toMatch(/last check 2/);
  });

  test('where nothing was ever written there is no pause', async () => {
    await query(server, 'DROP TABLE IF EXISTS _undrop.control');
    expect((await readControl(pool)).pause).toBeNull();
    expect(await endPause(pool)).toBeNull();
    const held = await holdTable(server);
    start();
    await until('the table is gone', isGone(held));
  });
});

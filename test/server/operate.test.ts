/** What operators tell all collectors of a server: a pause, its end, and a wake. */
import * as rig from '../collector/collecting.js';
import { PurgeChunks } from '../collector/purge-chunks.js';
import { asking } from '../support/asking.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerInsert } from '../support/ledger-rows.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

const CHUNK_ROWS = 20;
/** Chunks become no larger. */
const SLOW = { fastDrop: 'never', purgeChunkRows: CHUNK_ROWS, purgeChunkMs: 0 } as const;
/** Only a wake brings a round. */
const IDLE = { checkIntervalMs: 3_600_000, holdMs: 3_600_000 };

onServersAtOnce('the operator on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  beforeEach(() => freshLedger(server));
  afterAll(() => freshLedger(server));

  const used = on.schema('used');

  type How = Parameters<typeof rig.startCollecting> extends [unknown, ...infer Rest] ? Rest : [];
  const start = (...how: How) => on.each.keep(rig.startCollecting(server, ...how));
  const undrop = (...args: readonly string[]) => runUndrop(server, args);
  const hasPaused = ({ said }: rig.Collecting) =>
    said.filter(({ message }) => message.startsWith('paused by ')).length;

  test('a pause stops a purge amid the table, and whoever takes over obeys', async () => {
    const held = await rig.holdTable(server, { state: 'PURGE', rows: 400 * CHUNK_ROWS });
    const all = await rig.countRows(server, held.quoted);
    const chunks = new PurgeChunks();
    const first = start(SLOW, chunks.tap);
    await rig.until('rows are purged', () => chunks.count > 0);
    const goOn = await chunks.hold();
    const before = chunks.count;
    await undrop('pause');
    goOn();
    await rig.until('the pause is seen', () => hasPaused(first) > 0);
    await first.looked();
    expect(hasPaused(first)).toBe(1);
    await first.stop();
    const [left, done] = [await rig.countRows(server, held.quoted), chunks.count];
    expect(done - before).toBeLessThanOrEqual(1);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(all);
    const second = start(SLOW, chunks.tap);
    await rig.until('the pause is seen', () => hasPaused(second) > 0);
    await second.looked();
    expect(chunks.count).toBe(done);
    expect(await rig.countRows(server, held.quoted)).toBe(left);
    await undrop('resume');
    await rig.until('it goes on', () => chunks.count > done);
    await second.stop();
    expect(await rig.countRows(server, held.quoted)).toBeLessThan(left);
    // Such small chunks take long to the end, on a busy machine for minutes.
    start({ fastDrop: 'never', purgeChunkRows: 5_000, purgeChunkMs: 1_000 });
    await rig.untilGone(server, held);
  });

  test.each(['RENAME', 'DROP'])('a pause that comes after the look stops the %s', async (verb) => {
    const held = await rig.holdTable(server, { state: verb === 'DROP' ? 'DROP' : 'HOLD' });
    let isPaused = false;
    const pausing = start({}, (tapped) =>
      rig.beforeEachStep(tapped, async () => {
        if (!isPaused) await undrop('pause');
        isPaused = true;
      }),
    );
    await rig.until('the pause is seen', () => hasPaused(pausing) > 0);
    await pausing.looked();
    expect(await rig.whereIs(server, held.id)).toEqual([`${held.schema}.${held.name}`]);
    expect(await rig.countRows(server, held.quoted)).toBe(10);
    await undrop('resume');
    await rig.untilGone(server, held);
  });

  test('a pause ends by itself, by the clock of the server', async () => {
    const held = await rig.holdTable(server);
    const { stdout } = await undrop('pause', '--for', '10s', '--json');
    const { pause } = JSON.parse(stdout) as { readonly pause: { readonly until: string } };
    const collecting = start({ checkIntervalMs: 3_600_000 });
    await rig.until('the pause is seen', () => hasPaused(collecting) > 0);
    await rig.untilGone(server, held);
    const isOver = `SELECT UTC_TIMESTAMP() >= '${pause.until.slice(0, 19)}'`;
    expect(Number(await asking(server).cell(isOver))).toBe(1);
    expect((await undrop('resume')).stdout).toBe('There was no pause.\n');
  });

  test('pause and resume are commands, which the history keeps', async () => {
    const held = await rig.holdTable(server);
    const paused = await undrop('pause', '--for', '2h');
    expect(paused).toMatchObject({ code: 0, stderr: '' });
    expect(paused.stdout).toMatch(/^Paused until 2\d{3}-[\d-]+ [\d:]+ UTC, or `undrop resume`: /);
    expect((await undrop('status')).stdout).toMatch(/paused by .* as /);
    expect(await rig.collectNow(server)).toMatch(/^paused by .* as /);
    expect(await rig.countRows(server, held.quoted)).toBe(10);
    const resumed = await undrop('resume');
    expect(resumed.stdout).toMatch(/^Ended the pause of \S+ as \S+ since .* UTC\.$/m);
    expect((await undrop('resume')).stdout).toBe('There was no pause.\n');
    const events = await asking(server).column(`SELECT event FROM _undrop.history
      WHERE event IN ('paused', 'resumed') ORDER BY seq`);
    expect(events).toEqual(['paused', 'resumed']);
    const refused = await undrop('pause', '--for', '0');
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--for: expected') });
  });

  test('status names the proxy that collects, and resume wakes it', async () => {
    const collecting = start(IDLE);
    await collecting.looked();
    const status = await undrop('status');
    expect([status.code, status.stdout]).toEqual([
      0,
      expect.stringMatching(/connection \d+ .* collects/),
    ]);
    expect(status.stdout).toMatch(/last check 2/);
    const held = await rig.holdTable(server);
    await undrop('resume');
    await rig.untilGone(server, held);
  });

  test('status has each of its reasons, and exits with 1 for them', async () => {
    const quiet = await undrop('status');
    expect(quiet).toMatchObject({ code: 0, stderr: '' });
    expect(quiet.stdout).toMatch(/no proxy collects/);
    expect(quiet.stdout).toMatch(/nothing needs attention/);
    await rig.holdTable(server, { dueInSeconds: -4_000 });
    const ago = (minutes: number) => `UTC_TIMESTAMP() - INTERVAL ${minutes} MINUTE`;
    await query(
      server,
      'DROP TABLE IF EXISTS _undrop.leader',
      ledgerInsert({ id: "REPEAT('a', 32)", state: "'intent'", dropped_at: ago(2) }),
      ledgerInsert({ id: "REPEAT('b', 32)", dropped_at: ago(61) }),
    );
    const { code, stdout } = await undrop('status', '--json');
    const status = JSON.parse(stdout) as { readonly attention: readonly { text: string }[] };
    expect([code, status.attention.map(({ text }) => text)]).toEqual([
      1,
      [
        'tables that are due, but not collected: 1; no proxy collects: set UNDROP_COLLECT=on for one',
        'drops that are not settled after more than a minute: 1; run `undrop doctor`',
        'tables that could not move to the recycle schema for more than an hour: 1; run `undrop doctor`',
      ],
    ]);
    expect(status).toMatchObject({
      held: { count: 1 },
      collector: { leader: null, lastLook: null },
    });
    await undrop('pause');
    const paused = await undrop('status');
    expect(paused.stdout).toMatch(/paused by \S+ as /);
    expect(paused.stdout).not.toMatch(/that are due/);
    await query(server, "UPDATE _undrop.control SET wakes = 99 WHERE name = 'version'");
    const other = await undrop('status');
    expect([other.code, other.stdout]).toEqual([
      1,
      expect.stringContaining('the ledger is not ready'),
    ]);
  });

  test('status says which held tables are still used', async () => {
    await using proxy = await proxyInFront(server);
    await using session = await connect(proxy, { database: used.name });
    await session.run('CREATE TABLE orders (id INT)', 'DROP TABLE orders');
    expect(await session.errnoOf('SELECT * FROM orders')).toBe(1146);
    const isSaid = async () =>
      /statements use the held table \S+ \(\w{8}\), statements 1, the last at 2.* by root from 127/.test(
        (await undrop('status')).stdout,
      );
    await rig.until('it is said', isSaid);
  });
});

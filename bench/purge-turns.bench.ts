/**
 * What others feel of rows that are removed, in turns of a few seconds: nothing, a loop of
 * `DELETE … LIMIT 50` with pauses of several lengths (as Vitess does it), and undrop's purge, which
 * is paused by `undrop pause` meanwhile. On a machine whose own pace changes from minute to minute,
 * what is compared has to be done within the same minute.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { endPause, setPause } from '../src/ledger/control.js';
import { until } from '../test/support/poll.js';
import { type ProxyProcess, spawnProxy } from '../test/support/proxy.js';
import { connect, query, startServer } from '../test/support/servers.js';
import { poolOn } from '../test/support/service-pool.js';
import { freePort } from '../throwaway-servers/launch.js';
import { copyBigTable, deleteLoop, fillBigTable, type Server } from './big-table.js';
import { type Felt, startReads } from './paced.js';
import { cpuSeconds, serverPid } from './peers.js';
import { machineLoad, report, spread } from './report.js';

const TURNS = Number(process.env['BENCH_TURNS'] ?? '20');
const TURN_S = Number(process.env['BENCH_TURN_S'] ?? '4');
const ROWS = Number(process.env['BENCH_ROWS'] ?? '8200000');
const RATE = Number(process.env['BENCH_RATE'] ?? '8000');
const SERVER = process.env['BENCH_SERVER'] ?? 'mysql-5.6';
const PAUSES_MS = (process.env['BENCH_PAUSES_MS'] ?? '0,1,2,4').split(',').map(Number);
/** A snapshot is open all the time: no row that is deleted can be cleaned up. */
const IS_SNAPSHOT_OPEN = process.env['BENCH_SNAPSHOT'] === '1';
/** Beside the others: more than two cores can answer. */
const HEAVY_RATE = 40_000;
const HEAVY_S = Number(process.env['BENCH_HEAVY_S'] ?? '20');
const BACK_WITHIN_S = 10;
/** How long a pace is measured. */
const PACED_S = 5;
/** What came just before is over. */
const CALM_MS = 500;

interface Turn extends Felt {
  /** Deleted in a second. */
  readonly rowsPerSecond: number;
}

/** Up to a moment, or between two. */
interface Used {
  /** Of the server. */
  readonly cpuMs: number;
  readonly ms: number;
  /** Deleted. */
  readonly rows: number;
}

interface Purge {
  /** Goes on, or stays as it is. */
  goOn(): Promise<void>;
  pause(): Promise<void>;
  rows(): Promise<number>;
  /** Rows a second; about so long, as undrop reports them once a second. */
  rateFor(seconds: number): Promise<number>;
  stop(): Promise<void>;
}

const server = await startServer(SERVER, [
  '--innodb-buffer-pool-size=6G',
  '--skip-log-bin',
  // A commit waits for the disk, as it does by default.
  '--innodb-flush-log-at-trx-commit=1',
  ...(SERVER === 'mysql-9.7' ? [] : ['--innodb-log-file-size=512M']),
]);
const loadBefore = machineLoad();
try {
  await fillBigTable(server, ROWS);
  for (const table of ['looped', 'dropped']) await copyBigTable(server, table);
  const snapshot = await connect(server);
  if (IS_SNAPSHOT_OPEN) await snapshot.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  const purge = await startPurge(server, 'dropped');
  const reads = await startReads(server, RATE);
  const felt = async (remove: () => Promise<number>): Promise<Turn> => {
    await sleep(CALM_MS);
    await reads.felt();
    const rowsPerSecond = await remove();
    return { ...(await reads.felt()), rowsPerSecond };
  };
  let looped = 0;
  const loop = async (pauseMs: number) => {
    const { rows, seconds } = await deleteLoop(server, 'looped', { pauseMs, seconds: TURN_S });
    looped += rows;
    return rows / seconds;
  };
  const pid = serverPid(server);
  const usedSoFar = async (): Promise<Used> => {
    if (!IS_SNAPSHOT_OPEN) await cleanedUp(server);
    const rows = looped + (await purge.rows());
    return { cpuMs: 1_000 * cpuSeconds(pid), ms: performance.now(), rows };
  };
  const modes: readonly (readonly [string, () => Promise<Turn>])[] = [
    ['nothing', () => felt(async () => sleep(TURN_S * 1_000, 0))],
    ...PAUSES_MS.map((pauseMs) => {
      const mode = () => felt(() => loop(pauseMs));
      return [`DELETE LIMIT 50, pauses of ${pauseMs} ms`, mode] as const;
    }),
    [
      'undrop',
      async () => {
        await purge.goOn();
        const turn = await felt(() => purge.rateFor(TURN_S));
        await purge.pause();
        return turn;
      },
    ],
  ];
  const turns = modes.map((): Turn[] => []);
  const used = modes.map((): Used[] => []);
  let before = await usedSoFar();
  for (let nr = 0; nr < TURNS; nr++) {
    for (let step = 0; step < modes.length; step++) {
      const index = (nr + step) % modes.length;
      const turn = await modes[index]?.[1]();
      if (turn !== undefined) turns[index]?.push(turn);
      const now = await usedSoFar();
      used[index]?.push(between(before, now));
      before = now;
      process.stdout.write(`${nr} ${modes[index]?.[0]}: ${JSON.stringify(turn)}\n`);
    }
  }
  const back = HEAVY_S > 0 ? await besideHeavyLoad(purge) : null;
  await reads.end();
  await purge.stop();
  await snapshot.end();
  if (back !== null) {
    report({
      title: `A purge after a heavy load: ${SERVER}, ${RATE} selects a second`,
      how:
        `Rows a second beside ${RATE} point selects a second, then for ${HEAVY_S} s beside ` +
        `${HEAVY_RATE} more, and from ${BACK_WITHIN_S} s after their end. Load before: ${loadBefore}.`,
      columns: ['before', 'under the load', 'after it'],
      rows: [back.map((rate) => rate.toFixed(0))],
    });
  }
  if (TURNS > 0) {
    reportTurns(
      modes.map(([name]) => name),
      { turns, used },
    );
  }
} finally {
  await server.stop();
}

/** The medians of the turns of each mode. */
function reportTurns(
  names: readonly string[],
  { turns, used }: { readonly turns: readonly Turn[][]; readonly used: readonly Used[][] },
): void {
  const [quiet = []] = turns;
  const [quietUsed = []] = used;
  report({
    title: `What others feel of a purge, in turns: ${SERVER}, ${RATE} selects a second${IS_SNAPSHOT_OPEN ? ', a snapshot open' : ''}`,
    how:
      `${RATE} point selects a second on another table, each counted from when it was due, by a process ` +
      `that gets a core first; tables of ${ROWS} rows of about 250 bytes; ` +
      `${TURNS} turns of ${TURN_S} s each, medians. Load before: ${loadBefore}.`,
    columns: [
      ...['beside', 'p50 ms', 'p99 ms', 'p99 above quiet, within a turn', 'worst ms', 'rows/s'],
      "the server's µs of CPU a row",
    ],
    rows: turns.map((all, index) => {
      const median = (of: (turn: Turn, nr: number) => number) => spread(all.map(of)).median;
      return [
        names[index] ?? '',
        median(({ p50Ms }) => p50Ms).toFixed(2),
        median(({ p99Ms }) => p99Ms).toFixed(2),
        median(({ p99Ms }, nr) => p99Ms - (quiet[nr]?.p99Ms ?? 0)).toFixed(2),
        median(({ worstMs }) => worstMs).toFixed(1),
        median(({ rowsPerSecond }) => rowsPerSecond).toFixed(0),
        usOfRow(used[index] ?? [], quietUsed),
      ];
    }),
  });
}

function between(before: Used, after: Used): Used {
  return {
    cpuMs: after.cpuMs - before.cpuMs,
    ms: after.ms - before.ms,
    rows: after.rows - before.rows,
  };
}

/** Beyond what the server needs for the reads; with InnoDB's cleaning up, unless that can't be. */
function usOfRow(all: readonly Used[], quiet: readonly Used[]): string {
  const sum = (used: readonly Used[], of: keyof Used) =>
    used.reduce((total, one) => total + one[of], 0);
  const rows = sum(all, 'rows');
  if (rows === 0) return '–';
  const quietCpuMs = (sum(all, 'ms') * sum(quiet, 'cpuMs')) / sum(quiet, 'ms');
  return ((1_000 * (sum(all, 'cpuMs') - quietCpuMs)) / rows).toFixed(1);
}

/** Resolves when InnoDB has nothing to do after what came before, by two looks in a row. */
async function cleanedUp(upstream: Server): Promise<void> {
  for (let [before, now] = ['', ' ']; now !== before; ) {
    await sleep(CALM_MS);
    const [row] = await query<{ readonly count: unknown }>(
      upstream,
      `SELECT SUM(COUNT) AS count FROM information_schema.INNODB_METRICS
       WHERE NAME IN ('trx_rseg_history_len', 'purge_del_mark_records')`,
    );
    [before, now] = [now, String(row?.count)];
  }
}

/** Rows that are deleted in a second: before, under and after a load that no core is left by. */
async function besideHeavyLoad(purge: Purge): Promise<readonly [number, number, number]> {
  await purge.goOn();
  await sleep(PACED_S * 1_000);
  const paced = await purge.rateFor(PACED_S);
  const load = await startReads(server, HEAVY_RATE);
  const heavy = await purge.rateFor(HEAVY_S);
  await load.end();
  await sleep(BACK_WITHIN_S * 1_000);
  const after = await purge.rateFor(PACED_S);
  await purge.pause();
  return [paced, heavy, after];
}

/** Drops the table through a proxy that purges it; resolves when that is paused. */
async function startPurge(upstream: Server, table: string): Promise<Purge> {
  const port = await freePort();
  const proxy: ProxyProcess = await spawnProxy(upstream, {
    // A HOLD of a second would make it look at all tables once a second.
    ...{ COLLECT: 'on', LIFECYCLE: 'purge,drop' },
    ...{ FAST_DROP: 'never', ADMIN_LISTEN: `127.0.0.1:${port}` },
  });
  const pool = poolOn(upstream);
  const rows = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(/^undrop_purged_rows_total (\d+)/m.exec(text)?.[1] ?? '0');
  };
  const reported = async () => {
    const before = await rows();
    await until(async () => (await rows()) > before, 'rows are purged', 60_000);
    return { rows: await rows(), ms: performance.now() };
  };
  const purge: Purge = {
    rows,
    rateFor: async (seconds) => {
      const before = await reported();
      await sleep((seconds - 1) * 1_000);
      const after = await reported();
      return (1_000 * (after.rows - before.rows)) / (after.ms - before.ms);
    },
    goOn: async () => {
      const before = await rows();
      await endPause(pool);
      await until(async () => (await rows()) > before, 'rows are purged', 60_000);
    },
    pause: async () => {
      await setPause(pool, { forMs: null, by: 'a benchmark' });
    },
    stop: async () => {
      await pool.dispose();
      await proxy.stop();
    },
  };
  await query(proxy, `DROP TABLE big.${table}`);
  await until(async () => (await rows()) > 0, 'rows are purged', 60_000);
  await purge.pause();
  return purge;
}

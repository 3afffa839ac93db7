/**
 * What others feel while a big table goes: point selects at a steady rate beside nothing, beside a
 * native DROP, beside a loop of `DELETE … LIMIT 50` (as Vitess does it), and beside undrop's whole
 * way of a dropped table to its end. Each on a table of its own whose pages are in the buffer pool.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/support/poll.js';
import { spawnProxy } from '../test/support/proxy.js';
import { query, startServer } from '../test/support/servers.js';
import {
  copyBigTable,
  copyIntoTablespace,
  deleteLoop,
  fillBigTable,
  type Removed,
  type Server,
} from './big-table.js';
import { type Felt, startReads } from './paced.js';
import { cpuSeconds, serverPid } from './peers.js';
import { machineLoad, report, spread } from './report.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const ROWS = Number(process.env['BENCH_ROWS'] ?? '8200000');
const RATE = Number(process.env['BENCH_RATE'] ?? '8000');
/** A loop that would take longer is cut; its pace is known by then. */
const LOOP_S = Number(process.env['BENCH_LOOP_S'] ?? '30');
const QUIET_S = 20;
const PAUSES_MS = [0, 2, 8];
const SERVERS: readonly {
  readonly title: string;
  readonly name: string;
  readonly options: readonly string[];
  /** The table is in a general tablespace. */
  readonly isShared?: boolean;
}[] = [
  {
    title: 'MySQL 5.6, the table in the pool',
    name: 'mysql-5.6',
    options: ['--innodb-buffer-pool-size=6G', '--innodb-log-file-size=512M'],
  },
  {
    title: 'MySQL 5.6, a pool of half its size',
    name: 'mysql-5.6',
    options: ['--innodb-buffer-pool-size=1G', '--innodb-log-file-size=512M'],
  },
  {
    title: 'MySQL 9.7, adaptive hash index on',
    name: 'mysql-9.7',
    options: ['--innodb-buffer-pool-size=6G', '--innodb-adaptive-hash-index=ON'],
  },
  {
    title: 'MySQL 9.7, adaptive hash index off',
    name: 'mysql-9.7',
    options: ['--innodb-buffer-pool-size=6G', '--innodb-adaptive-hash-index=OFF'],
  },
  {
    title: 'MySQL 9.7, a general tablespace',
    name: 'mysql-9.7',
    options: ['--innodb-buffer-pool-size=6G', '--innodb-adaptive-hash-index=OFF'],
    isShared: true,
  },
  { title: 'MariaDB 10.5', name: 'mariadb-10.5', options: ['--innodb-buffer-pool-size=6G'] },
  { title: 'MariaDB 10.11', name: 'mariadb-10.11', options: ['--innodb-buffer-pool-size=6G'] },
];
const ONLY = process.env['BENCH_SERVERS']?.split(',').map(Number);
const MODES = process.env['BENCH_MODES']?.split('|');

/** Null: not row by row. */
type Remove = (table: string) => Promise<Removed | null>;

interface Sample extends Felt {
  readonly seconds: number;
  readonly rowsPerSecond: number;
  /** Processors that the server used, of those there are. */
  readonly cores: number;
}

const cells: string[][] = [];
const loadBefore = machineLoad();
for (const [index, { title, name, options, isShared = false }] of SERVERS.entries()) {
  if (ONLY !== undefined && !ONLY.includes(index)) continue;
  // A commit waits for the disk, as it does by default.
  const usual = ['--skip-log-bin', '--innodb-flush-log-at-trx-commit=1'];
  const server = await startServer(name, [...options, ...usual]);
  try {
    await fillBigTable(server, ROWS);
    if (isShared) await query(server, `CREATE TABLESPACE shared ADD DATAFILE 'shared.ibd'`);
    const copy = isShared ? copyIntoTablespace : copyBigTable;
    const modes: Readonly<Record<string, Remove>> = {
      quiet: async () => {
        await sleep(QUIET_S * 1_000);
        return null;
      },
      'native DROP': async (table) => {
        await query(server, `DROP TABLE big.${table}`);
        return null;
      },
      ...Object.fromEntries(
        PAUSES_MS.map((pauseMs) => [
          `DELETE LIMIT 50, pauses of ${pauseMs} ms`,
          (table: string) => deleteLoop(server, table, { pauseMs, seconds: LOOP_S }),
        ]),
      ),
      undrop: (table) => undrop(server, table),
    };
    const samples = new Map<string, Sample[]>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [mode, remove] of Object.entries(modes)) {
        if (MODES !== undefined && !MODES.includes(mode)) continue;
        const table = mode === 'quiet' ? null : `t${round}`;
        if (table !== null) {
          await query(server, `DROP TABLE IF EXISTS big.${table}`);
          await copy(server, table);
        }
        const sample = await measure(server, table, remove);
        samples.set(mode, [...(samples.get(mode) ?? []), sample]);
        process.stdout.write(`${title}, ${mode}: ${JSON.stringify(sample)}\n`);
      }
    }
    for (const [mode, all] of samples) {
      const median = (of: (sample: Sample) => number) => spread(all.map(of)).median;
      const rate = median(({ rowsPerSecond }) => rowsPerSecond);
      cells.push([
        title,
        mode,
        median(({ p50Ms }) => p50Ms).toFixed(2),
        median(({ p99Ms }) => p99Ms).toFixed(2),
        median(({ worstMs }) => worstMs).toFixed(1),
        median(({ over30 }) => over30).toFixed(0),
        median(({ seconds }) => seconds).toFixed(1),
        rate === 0 ? '–' : rate.toFixed(0),
        median(({ cores }) => cores).toFixed(2),
      ]);
    }
  } finally {
    await server.stop();
  }
}
/** A run of some servers has a section of its own. */
const chosen = ONLY === undefined ? [] : [ONLY.map((at) => SERVERS[at]?.title).join('; ')];
report({
  title: ['What others feel while a table is removed', ...chosen].join(': '),
  how:
    `${RATE} point selects a second on another table, each counted from when it was due, by a process ` +
    `that gets a core first; a table of ${ROWS} rows of about 250 bytes; ` +
    `${ROUNDS} rounds, medians. Loops are cut after ${LOOP_S} s. Load before: ${loadBefore}.`,
  columns: [
    'server',
    'beside',
    'p50 ms',
    'p99 ms',
    'worst ms',
    'over 30 ms',
    'seconds',
    'rows/s',
    'cores of the server',
  ],
  rows: cells,
});

async function measure(server: Server, table: string | null, remove: Remove): Promise<Sample> {
  const reads = await startReads(server, RATE);
  await sleep(1_000);
  const pid = serverPid(server);
  const [beganMs, cpuBefore] = [performance.now(), cpuSeconds(pid)];
  const removed = await remove(table ?? '');
  const seconds = (performance.now() - beganMs) / 1_000;
  const cores = (cpuSeconds(pid) - cpuBefore) / seconds;
  const rowsPerSecond = removed === null ? 0 : removed.rows / removed.seconds;
  return { ...(await reads.end()), seconds, rowsPerSecond, cores };
}

/** From the DROP to the end, with as little waiting as can be. */
async function undrop(server: Server, table: string): Promise<Removed | null> {
  const proxy = await spawnProxy(server, {
    ...{ HOLD: '1s', MIN_HOLD: '0s', EVAC: '10s', CHECK_INTERVAL: '1s', COLLECT: 'on' },
  });
  try {
    await query(proxy, `DROP TABLE big.${table}`);
    // By its log: a look at the server each moment would be felt, too.
    const isGone = () => proxy.lines.some(({ event }) => event === 'removal');
    await until(isGone, 'the table is gone', 1_200_000);
    const [began, ended] = proxy.lines.filter(({ event }) => event === 'purge');
    if (began === undefined || ended === undefined) return null;
    const atMs = (line: typeof began) => Date.parse(String(line['time']));
    const seconds = (atMs(ended) - atMs(began)) / 1_000;
    return { rows: Number(ended['rowsRemoved']), seconds };
  } finally {
    await proxy.stop();
  }
}

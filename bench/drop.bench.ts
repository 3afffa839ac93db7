/**
 * What the neighbours of a drop feel: sysbench oltp_read_write on MySQL 9.7, while a table of 1,000
 * rows is dropped every second; directly (a native DROP) and through the proxy (held), beside the
 * same without drops. Every dropped table is counted afterwards: held, with all its rows.
 */

import { spawnProxy } from '../test/support/proxy.js';
import { connect, query, startServer, type Target } from '../test/support/servers.js';
import { report } from './report.js';
import { type SysbenchFigures, sysbench } from './sysbench.js';

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '60');
/** Also without drops through the proxy, and with native drops beside. */
const IS_WHOLE = process.env['BENCH_WHOLE'] === '1';
const ROWS = 1_000;
const LOAD = {
  script: 'oltp_read_write',
  schema: 'bench',
  threads: 8,
  seconds: SECONDS,
  options: ['--tables=4', '--table-size=100000'],
} as const;

interface Drops {
  readonly count: number;
  readonly medianMs: number;
}

const server = await startServer('mysql-9.7', ['--innodb-buffer-pool-size=512M']);
const proxy = await spawnProxy(server, { HOLD: '1h' });
try {
  await query(server, 'CREATE DATABASE bench', 'CREATE DATABASE dropped');
  await sysbench(server, 'prepare', LOAD);
  await sysbench(server, 'run', { ...LOAD, seconds: 5 });
  const direct = await underLoad(server, false);
  const held = await underLoad(proxy, true);
  const more = IS_WHOLE
    ? [
        { name: 'through undrop', run: await underLoad(proxy, false) },
        { name: 'direct, native drops', run: await underLoad(server, true) },
      ]
    : [];
  await assertHeld(held.drops.count);
  const base = direct.figures;
  report({
    title: 'Reads and writes while tables are dropped',
    how:
      `sysbench ${LOAD.script}, ${LOAD.threads} threads, ${SECONDS} s each, MySQL 9.7 with its ` +
      `binary log on; one table of ${ROWS} rows is dropped every second where it says so. After ` +
      'the last row every dropped table was counted: held, with all its rows.',
    columns: ['run', 'transactions/s', 'of direct', 'p95 ms', 'errors', 'drops', 'drop, median ms'],
    rows: [
      row('direct', direct, base),
      row('through undrop, held drops', held, base),
      ...more.map(({ name, run }) => row(name, run, base)),
    ],
  });
} finally {
  await proxy.stop();
  await server.stop();
}

async function underLoad(
  target: Target,
  isDropping: boolean,
): Promise<{ readonly figures: SysbenchFigures; readonly drops: Drops }> {
  const done = new AbortController();
  const dropping = isDropping ? dropEverySecond(target, done.signal) : null;
  try {
    const figures = await sysbench(target, 'run', LOAD);
    done.abort();
    return { figures, drops: (await dropping) ?? { count: 0, medianMs: 0 } };
  } finally {
    done.abort();
  }
}

/**
 * The tables are made beforehand on a direct connection, so that only the drop is through `target`.
 */
async function dropEverySecond(target: Target, signal: AbortSignal): Promise<Drops> {
  const direct = await connect(server, { database: 'dropped' });
  const client = await connect(target, { database: 'dropped' });
  const times: number[] = [];
  const values = Array.from({ length: ROWS }, (_, index) => `(${index})`).join(',');
  try {
    for (let next = Date.now(); !signal.aborted; next += 1_000) {
      const table = `t${times.length}`;
      await direct.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
      await direct.query(`INSERT INTO ${table} VALUES ${values}`);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next + 1_000 - Date.now())));
      const start = performance.now();
      await client.query(`DROP TABLE ${table}`);
      times.push(performance.now() - start);
    }
  } finally {
    await client.end();
    await direct.end();
  }
  const sorted = times.sort((a, b) => a - b);
  return { count: sorted.length, medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0 };
}

async function assertHeld(drops: number): Promise<void> {
  const held = await query<{ readonly name: string }>(
    server,
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = '_undrop' AND TABLE_NAME LIKE '\\_vt\\_HOLD\\_%'`,
  );
  if (held.length !== drops) throw new Error(`${drops} drops, but ${held.length} tables held`);
  for (const { name } of held) {
    const [count] = await query<{ readonly n: number }>(
      server,
      `SELECT COUNT(*) AS n FROM _undrop.\`${name}\``,
    );
    if (count?.n !== ROWS) throw new Error(`${name} has ${count?.n} rows instead of ${ROWS}`);
  }
}

function row(
  name: string,
  { figures, drops }: { readonly figures: SysbenchFigures; readonly drops: Drops },
  base: SysbenchFigures,
): readonly string[] {
  return [
    name,
    figures.transactionsPerSecond.toFixed(0),
    (figures.transactionsPerSecond / base.transactionsPerSecond).toFixed(2),
    figures.p95Ms.toFixed(1),
    String(figures.errors),
    String(drops.count),
    drops.count === 0 ? '–' : drops.medianMs.toFixed(1),
  ];
}

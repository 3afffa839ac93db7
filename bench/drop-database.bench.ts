/**
 * How long a client waits for a DROP DATABASE of many tables, natively and through the proxy, in
 * turns; how long it takes then until the ledger has all of them; and the UNDROP DATABASE that is
 * sent right after the answer. What came back is counted.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from '../test/support/poll.js';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer, type Target } from '../test/support/servers.js';
import { machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '3');
const TABLES = Number(process.env['BENCH_TABLES'] ?? '5000');
const SETTLED_WITHIN_MS = 600_000;

const rows: string[][] = [];
const loadBefore = machineLoad();

for (const name of NAMES) await measure(name);

report({
  title: 'The time of a DROP DATABASE',
  how:
    `A schema of ${TABLES} small tables, ${ROUNDS} rounds in turns, as the client sees it; "settled" is the time ` +
    `from the answer until the ledger has each table's definition. Load before: ${loadBefore}.`,
  columns: ['server', 'what', 'median s', 'worst s'],
  rows,
});

async function measure(name: string): Promise<void> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, { HOLD: '1d', COLLECT: 'off' });
  const root = await connect(server);
  const through = await connect(proxy);
  const times = { native: [], undrop: [], settled: [], undone: [] } as Record<string, number[]>;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await make(server);
      times['native']?.push(await timed(() => root.query('DROP DATABASE many')));
      await make(server);
      times['undrop']?.push(await timed(() => through.query('DROP DATABASE many')));
      times['undone']?.push(await timed(() => through.query('UNDROP DATABASE many')));
      const back = "FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'many'";
      if ((await count(root, back)) !== TABLES) throw new Error('not every table came back');
      await through.query('DROP DATABASE many');
      const open = `FROM _undrop.ledger WHERE state = 'intent'
        OR state = 'HOLD' AND restore_script IS NULL`;
      const isSettled = async () => (await count(root, open)) === 0;
      times['settled']?.push(await timed(() => until(isSettled, 'settled', SETTLED_WITHIN_MS)));
    }
    for (const [what, ms] of Object.entries(times)) {
      const { median, high } = spread(ms);
      rows.push([name, what, (median / 1_000).toFixed(1), (high / 1_000).toFixed(1)]);
    }
  } finally {
    await root.end();
    await through.end();
    await proxy.stop();
    await server.stop();
  }
}

async function make(server: Target): Promise<void> {
  const root = await connect(server, { multipleStatements: true });
  await root.query('CREATE DATABASE many; USE many');
  for (let nr = 0; nr < TABLES; nr++) {
    await root.query(`CREATE TABLE t${nr} (id INT PRIMARY KEY, v VARCHAR(20), KEY (v))`);
  }
  await root.end();
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}

async function count(root: Connection, what: string): Promise<number> {
  const [[row]] = await root.query<RowDataPacket[]>(`SELECT COUNT(*) AS n ${what}`);
  return Number(row?.['n']);
}

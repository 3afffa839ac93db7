/**
 * A TRUNCATE of 100 rows as its client sees it, in turns with native ones; and a test suite's: 200
 * tables, a few of them with rows, truncated 50 times over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, type Session, startServer } from '../test/support/servers.js';
import { machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '100');
const WARM_UP = 5;
/** Later work of undrop is over by then. */
const BEHIND_MS = 100;
const ROWS = 100;
const TABLES = 200;
const SUITE_ROUNDS = Number(process.env['BENCH_SUITE_ROUNDS'] ?? '50');
/** In each round, as a test fills a few tables. */
const FILLED = 10;
const VALUES = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of NAMES) rows.push(...(await measure(name)));
report({
  title: 'TRUNCATE in turns with native ones',
  how:
    `A table of ${ROWS} rows, ${ROUNDS} rounds in turns, medians as the client sees them; a suite: ` +
    `${TABLES} tables truncated ${SUITE_ROUNDS} times, ${FILLED} of them filled before, in seconds. ` +
    `Load before: ${loadBefore}.`,
  columns: ['server', 'what', 'native', 'through undrop', 'of native'],
  rows,
});

async function measure(name: string): Promise<string[][]> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const proxy = await spawnProxy(server, { HOLD: '1d', WORKERS: '1' });
  const root = await connect(server);
  try {
    await root.query('CREATE DATABASE timed');
    const native = await connect(server, { database: 'timed' });
    const through = await connect(proxy, { database: 'timed' });
    const both = [native, through] as const;
    const single = await inTurns(both);
    const suites: number[] = [];
    for (const client of both) suites.push(await suiteOf(client));
    await Promise.all(both.map((client) => client.end()));
    return [rowOf(name, `${ROWS} rows, ms`, single), rowOf(name, 'suite, s', suites)];
  } finally {
    await root.end();
    await proxy.stop();
    await server.stop();
  }
}

function rowOf(name: string, what: string, [native = 1, through = 0]: readonly number[]): string[] {
  return [name, what, native.toFixed(2), through.toFixed(2), (through / native).toFixed(2)];
}

async function inTurns(clients: readonly Session[]): Promise<number[]> {
  const all = clients.map((): number[] => []);
  await clients[0]?.query('CREATE TABLE small (id INT PRIMARY KEY)');
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const [index, client] of clients.entries()) {
      await client.query(`INSERT INTO small VALUES ${VALUES}`);
      const startMs = performance.now();
      await client.query('TRUNCATE TABLE small');
      if (round >= 0) all[index]?.push(performance.now() - startMs);
      await sleep(BEHIND_MS);
    }
  }
  return all.map((times) => spread(times).median);
}

async function suiteOf(client: Session): Promise<number> {
  const names = Array.from({ length: TABLES }, (_, nr) => `t${nr}`);
  for (const name of names) {
    await client.query(`CREATE TABLE IF NOT EXISTS ${name} (id INT PRIMARY KEY)`);
  }
  let seconds = 0;
  for (let round = 0; round < SUITE_ROUNDS; round++) {
    for (const name of names.slice(round % TABLES).slice(0, FILLED)) {
      await client.query(`INSERT INTO ${name} VALUES (1)`);
    }
    const startMs = performance.now();
    for (const name of names) await client.query(`TRUNCATE TABLE ${name}`);
    seconds += (performance.now() - startMs) / 1_000;
  }
  return seconds;
}

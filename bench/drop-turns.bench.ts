/**
 * A drop of a small table as its client sees it, in turns with native ones, with and without TLS
 * between undrop and the server; then the first drop after minutes of quiet, when what undrop needs
 * of its own code, its connections and the server's caches is cold.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer } from '../test/support/servers.js';
import { delayed } from './peers.js';
import { machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '100');
/** 0: none. */
const QUIET_MINUTES = Number(process.env['BENCH_QUIET_MINUTES'] ?? '10');
/** The first ones open connections, and compile. */
const WARM_UP = 5;
/** What undrop does behind its answer is over. */
const BEHIND_MS = 100;
const ROWS = 100;
const VALUES = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');
const WAYS = ['native', 'plain', 'TLS', 'native, far', 'plain, far'] as const;

type Way = (typeof WAYS)[number];

interface Bench {
  readonly name: string;
  readonly root: Connection;
  readonly clients: ReadonlyMap<Way, Connection>;
  readonly medians: ReadonlyMap<Way, number>;
  stop(): Promise<void>;
}

const loadBefore = machineLoad();
const benches: Bench[] = [];
for (const name of NAMES) benches.push(await measure(name));
const rows: string[][] = [];
if (QUIET_MINUTES > 0) await sleep(QUIET_MINUTES * 60_000);
for (const bench of benches) rows.push(...(await measureFirst(bench)));
for (const bench of benches) await bench.stop();
report({
  title: 'Drops in turns with native ones',
  how:
    `A table of ${ROWS} rows, ${ROUNDS} rounds in turns, medians as the client sees them; then, of ` +
    `each, the first one after ${QUIET_MINUTES} minutes without any. TLS: between undrop and the ` +
    `server, for all connections. Far: the server's bytes come 1 ms later. Load before: ${loadBefore}.`,
  columns: ['server', 'drop', 'median ms', 'of native', 'first after quiet, ms', 'of its median'],
  rows,
});

async function measure(name: string): Promise<Bench> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const root = await connect(server, { multipleStatements: true });
  await root.query('CREATE DATABASE timed; USE timed');
  const settings = { HOLD: '1d', WORKERS: '1' };
  const plain = await spawnProxy(server, { ...settings, UPSTREAM_TLS: 'disabled' });
  const tls = await spawnProxy(server, { ...settings, UPSTREAM_TLS: 'preferred' });
  const away = await delayed(server);
  const far = await spawnProxy(away, { ...settings, UPSTREAM_TLS: 'disabled' });
  const targets = { native: server, plain, TLS: tls, 'native, far': away, 'plain, far': far };
  const clients = new Map<Way, Connection>();
  const all = new Map<Way, number[]>();
  for (const way of WAYS) {
    clients.set(way, await connect(targets[way], { database: 'timed' }));
    all.set(way, []);
  }
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const [way, client] of clients) {
      const ms = await timedDrop(root, client);
      if (round >= 0) all.get(way)?.push(ms);
      await sleep(BEHIND_MS);
    }
  }
  const medians = new Map([...all].map(([way, times]) => [way, spread(times).median]));
  const stop = async () => {
    for (const connection of [...clients.values(), root]) await connection.end();
    for (const one of [plain, tls, far, away]) await one.stop();
    await server.stop();
  };
  return { name, root, clients, medians, stop };
}

async function measureFirst({ name, root, clients, medians }: Bench): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [way, client] of clients) {
    const first = QUIET_MINUTES > 0 ? await timedDrop(root, client) : Number.NaN;
    const base = way.endsWith('far') ? 'native, far' : 'native';
    const [median = 0, native = 1] = [medians.get(way), medians.get(base)];
    rows.push([
      ...[name, way, median.toFixed(1), (median / native).toFixed(2)],
      ...(QUIET_MINUTES > 0 ? [first.toFixed(1), (first / median).toFixed(2)] : ['–', '–']),
    ]);
  }
  return rows;
}

async function timedDrop(root: Connection, client: Connection): Promise<number> {
  await root.query(`CREATE TABLE small (id INT PRIMARY KEY); INSERT INTO small VALUES ${VALUES}`);
  const startMs = performance.now();
  await client.query('DROP TABLE small');
  return performance.now() - startMs;
}

/**
 * What a service takes while nobody uses it, and what a drop takes of the processor: of all
 * processes of undrop, with what follows behind the answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer } from '../test/support/servers.js';
import { cpuOf, togetherKb, undrop, withChildren } from './peers.js';
import { machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const REST_S = Number(process.env['BENCH_REST_S'] ?? '40');
const DROPS = Number(process.env['BENCH_DROPS'] ?? '200');
const DROP_EVERY_MS = 60;
const SETTLED_MS = 15_000;
const ROWS = 100;
const VALUES = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');

const loadBefore = machineLoad();
const rows: string[][] = [];
for (const name of NAMES) rows.push(await measure(name));
report({
  title: 'A service at rest, and the work of a drop',
  how:
    `${REST_S} s without a client, then ${DROPS} drops of ${ROWS} rows, one each ${DROP_EVERY_MS} ms; ` +
    'all processes of undrop together: milliseconds of CPU, those at rest taken off of the drops; ' +
    `memory that is shared counts once. Load before: ${loadBefore}.`,
  columns: ['server', 'at rest, ms/s', 'MB', 'a drop, ms of CPU', 'median, ms', 'MB after'],
  rows,
});

async function measure(name: string): Promise<string[]> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const root = await connect(server, { multipleStatements: true });
  await root.query('CREATE DATABASE timed; USE timed');
  for (let nr = 0; nr < DROPS; nr++) {
    await root.query(
      `CREATE TABLE t${nr} (id INT PRIMARY KEY); INSERT INTO t${nr} VALUES ${VALUES}`,
    );
  }
  await root.query('CREATE TABLE first_one (id INT)');
  const peer = await undrop(server, { HOLD: '1d' });
  const client = await connect(peer, { database: 'timed' });
  try {
    await client.query('DROP TABLE first_one');
    const mb = () => togetherKb(withChildren(peer.pid ?? 0)) / 1024;
    await sleep(SETTLED_MS);
    const [beganMs, before] = [performance.now(), cpuOf(peer)];
    await sleep(REST_S * 1_000);
    const atRest = (1_000 * (cpuOf(peer) - before)) / ((performance.now() - beganMs) / 1_000);
    const rested = mb();
    const times: number[] = [];
    const [dropsMs, cpuBefore] = [performance.now(), cpuOf(peer)];
    for (let nr = 0; nr < DROPS; nr++) {
      await sleep(Math.max(dropsMs + nr * DROP_EVERY_MS - performance.now(), 0));
      const startMs = performance.now();
      await client.query(`DROP TABLE t${nr}`);
      times.push(performance.now() - startMs);
    }
    await sleep(1_000);
    const seconds = (performance.now() - dropsMs) / 1_000;
    const each = (1_000 * (cpuOf(peer) - cpuBefore) - atRest * seconds) / DROPS;
    return [
      ...[name, atRest.toFixed(1), rested.toFixed(0), each.toFixed(2)],
      ...[spread(times).median.toFixed(1), mb().toFixed(0)],
    ];
  } finally {
    await client.end();
    await root.end();
    await peer.stop();
    await server.stop();
  }
}

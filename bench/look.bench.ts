/**
 * What very many held tables cost: how long a look of the collector takes, and what memory it takes
 * of the proxy; how long it takes to bring back one among them, by statement and by command, and to
 * list them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/support/poll.js';
import { parseExposition } from '../test/support/prometheus-text.js';
import { adminOf, spawnProxy, spawnUndrop, workerPids } from '../test/support/proxy.js';
import { connect, query, startServer, type Target } from '../test/support/servers.js';
import { FILL_FAST, holdMany } from './many-held.js';
import { peakKb } from './peers.js';
import { machineLoad, report } from './report.js';

const TABLES = Number(process.env['BENCH_TABLES'] ?? '100000');
const SERVERS = process.env['BENCH_SERVERS']?.split(',') ?? [
  'mysql-9.7',
  'mysql-5.6',
  'mariadb-10.11',
  'mariadb-11.8',
];
/** Looks after the first, whose slowest counts. */
const LOOKS = 5;

const rows: string[][] = [];
const loadBefore = machineLoad();
for (const name of SERVERS) {
  // In the system tablespace: files of their own would be 11 GB.
  const server = await startServer(name, [
    '--innodb-file-per-table=OFF',
    '--skip-log-bin',
    FILL_FAST,
  ]);
  try {
    rows.push([name, ...(await measure(server))]);
  } finally {
    await server.stop();
  }
}
report({
  title: `${TABLES.toLocaleString('en')} held tables`,
  how:
    `A look: the slowest of ${LOOKS} full ones. MB: the most that the proxy ever had, and what it had before them. A restore: ` +
    `of one among them, and with the start of its process by the command. SHOW: the newest 10,000. Load before: ${loadBefore}.`,
  columns: [
    'server',
    'look s',
    'MB',
    'MB with none',
    'UNDROP s',
    'SHOW LIMIT 50 s',
    'SHOW s',
    '`restore` s',
    '`list` s',
    '`list --json` s',
  ],
  rows,
});

async function measure(server: Target): Promise<string[]> {
  const variables = {
    ADMIN_LISTEN: '127.0.0.1:0',
    COLLECT: 'on',
    CHECK_INTERVAL: '5s',
    HOLD: '30d',
    // Below four fifths of it no look needs to know what each of them is.
    MAX_TABLES: String(2 * TABLES),
  };
  const empty = await spawnProxy(server, variables);
  await query(empty, 'CREATE DATABASE held', 'CREATE TABLE held.t (id INT)', 'DROP TABLE held.t');
  await sleep(5_000);
  const emptyKb = peakKb(workerPids(empty)[0] ?? 0);
  await empty.stop();
  await holdMany(server, TABLES);

  const proxy = await spawnProxy(server, variables);
  try {
    const metric = async (name: string) => {
      const response = await fetch(`http://${adminOf(proxy)}/metrics`);
      return parseExposition(await response.text()).get(name) ?? 0;
    };
    const seen = () => metric('undrop_collector_last_look_timestamp_seconds');
    let slowest = 0;
    for (let look = 0; look < LOOKS; look++) {
      const before = await seen();
      await until(async () => (await seen()) > before, 'the next look', 600_000);
      slowest = Math.max(slowest, await metric('undrop_collector_look_duration_seconds'));
    }
    const client = await connect(proxy);
    const undropS = await seconds(() => client.query(`UNDROP TABLE held.t${TABLES >> 1}`));
    const pageS = await seconds(() => client.query('SHOW DROPPED TABLES LIMIT 50'));
    const showS = await seconds(() => client.query('SHOW DROPPED TABLES'));
    await client.end();
    const restoreS = await seconds(() => command(server, ['restore', `held.t${TABLES >> 2}`]));
    const listS = await seconds(() => command(server, ['list']));
    const allS = await seconds(() => command(server, ['list', '--json']));
    const kb = peakKb(workerPids(proxy)[0] ?? 0);
    return [
      slowest.toFixed(2),
      ...[kb, emptyKb].map((each) => (each / 1_024).toFixed(0)),
      ...[undropS, pageS, showS, restoreS, listS, allS].map((each) => each.toFixed(2)),
    ];
  } finally {
    await proxy.stop();
  }
}

async function command(server: Target, args: readonly string[]): Promise<void> {
  const { code, stderr } = await spawnUndrop(server, args);
  if (code !== 0) throw new Error(`undrop ${args.join(' ')}: ${stderr}`);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return (performance.now() - beganMs) / 1_000;
}

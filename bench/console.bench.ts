/**
 * The console among very many held tables: how long each page takes, and how much memory the
 * process that serves it has; and what ten people who click through it cost others' reads.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { askConsole } from '../test/support/console.js';
import { controlPid, type ProxyProcess, spawnProxy } from '../test/support/proxy.js';
import { query, startServer } from '../test/support/servers.js';
import { fillBigTable } from './big-table.js';
import { FILL_FAST, holdMany } from './many-held.js';
import { LIVE_ROWS, startReads } from './paced.js';
import { residentKb } from './peers.js';
import { formatRatio, machineLoad, pairedRatios, report, spread } from './report.js';

const TABLES = Number(process.env['BENCH_TABLES'] ?? '100000');
const SERVERS = process.env['BENCH_SERVERS']?.split(',') ?? ['mysql-9.7', 'mariadb-11.8'];
const TIMES = 5;
const PEOPLE = 10;
const RATE = Number(process.env['BENCH_RATE'] ?? '1500');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const ROUND_S = 6;
const BETWEEN_CLICKS_MS = 3_000;
const OWNER = 'bench_owner';
const PASSWORD = 'of the bench';
const PAGES = {
  overview: '',
  'list by statement': '/tables',
  'list of tables': '/tables?view=tables',
  search: '/tables?q=t999',
  'search, nothing found': '/tables?q=none-of-them',
  'biggest first': '/tables?sort=size',
  table: '/tables/ID',
};

const people = Array.from({ length: PEOPLE }, (_, nr) => `bench_person_${nr}`);
const pages: string[][] = [];
const reads: string[][] = [];
const loadBefore = machineLoad();
for (const name of SERVERS) await measure(name);
report({
  title: `The console among ${TABLES.toLocaleString('en')} held tables`,
  how: `Each page ${TIMES} times, after a first time; memory: of the process that serves it. Load before: ${loadBefore}.`,
  columns: ['server', 'page', 'who', 'median ms', 'worst ms', 'first ms'],
  rows: pages,
});
report({
  title: 'Reads beside ten people in the console',
  how:
    `${RATE} point selects a second through the proxy, ${ROUNDS} rounds of ${ROUND_S} s in turns; medians, and the ` +
    `median, lowest and highest ratio in a round. Load before: ${loadBefore}.`,
  columns: ['server', 'console', 'p99 ms', 'of without'],
  rows: reads,
});

async function measure(name: string): Promise<void> {
  const server = await startServer(name, [
    '--innodb-file-per-table=OFF',
    '--skip-log-bin',
    FILL_FAST,
  ]);
  const variables = {
    ADMIN_LISTEN: '127.0.0.1:0',
    COLLECT: 'on',
    HOLD: '30d',
    MAX_TABLES: String(2 * TABLES),
    TLS: 'off',
  };
  const first = await spawnProxy(server, variables);
  await query(first, 'CREATE DATABASE held', 'CREATE TABLE held.t (id INT)', 'DROP TABLE held.t');
  await sleep(5_000);
  await first.stop();
  await holdMany(server, TABLES);
  await fillBigTable(server, LIVE_ROWS);
  await query(
    server,
    `CREATE USER ${OWNER}@'%' IDENTIFIED BY '${PASSWORD}'`,
    `GRANT ALL ON held.* TO ${OWNER}@'%'`,
    ...people.flatMap((user) => [
      `CREATE USER ${user}@'%' IDENTIFIED BY '${PASSWORD}'`,
      `GRANT ALL ON *.* TO ${user}@'%'`,
    ]),
  );
  const proxy = await spawnProxy(server, variables);
  try {
    await sleep(10_000);
    const beforeKb = residentKb(controlPid(proxy));
    const [row] = await query<{ readonly id: string }>(
      server,
      "SELECT id FROM _undrop.ledger WHERE state = 'HOLD' ORDER BY id LIMIT 1",
    );
    for (const [user, password] of [
      [server.user, server.password],
      [OWNER, PASSWORD],
    ] as const) {
      const cookie = await signIn(proxy, user, password);
      for (const [page, path] of Object.entries(PAGES)) {
        const get = () => timed(proxy, path.replace('ID', row?.id ?? ''), cookie);
        const [firstMs, times] = [await get(), [] as number[]];
        for (let time = 0; time < TIMES; time++) times.push(await get());
        const { median } = spread(times);
        const who = user === OWNER ? 'owner' : 'operator';
        const shown = [median, Math.max(...times), firstMs].map((ms) => ms.toFixed(0));
        pages.push([name, page, who, ...shown]);
      }
    }
    const afterKb = residentKb(controlPid(proxy));
    const mb = [beforeKb, afterKb].map((kb) => (kb / 1_024).toFixed(0)).join(' → ');
    pages.push([name, '**memory, MB**', '', mb, '', '']);
    await besideReads(name, proxy);
  } finally {
    await proxy.stop();
    await server.stop();
  }
}

async function besideReads(name: string, proxy: ProxyProcess): Promise<void> {
  const cookies = await Promise.all(people.map((user) => signIn(proxy, user, PASSWORD)));
  const felt = await startReads(proxy, RATE);
  const found: Record<'without' | 'with', number[]> = { without: [], with: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ['without', 'with'] as const) {
      await felt.felt();
      const ending = new AbortController();
      const clicking =
        way === 'with' ? cookies.map((one, at) => click(proxy, one, at, ending)) : [];
      await sleep(ROUND_S * 1_000);
      found[way].push((await felt.felt()).p99Ms);
      ending.abort();
      await Promise.all(clicking);
    }
  }
  await felt.end();
  for (const way of ['without', 'with'] as const) {
    const ratio = formatRatio(pairedRatios(found[way], found.without));
    reads.push([name, way, spread(found[way]).median.toFixed(2), ratio]);
  }
}

async function click(
  proxy: ProxyProcess,
  cookie: string,
  at: number,
  { signal }: AbortController,
): Promise<void> {
  const paths = Object.values(PAGES).filter((path) => !path.includes('ID'));
  for (let nr = at; !signal.aborted; nr++) {
    await timed(proxy, paths[nr % paths.length] ?? '', cookie);
    await sleep(BETWEEN_CLICKS_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function timed(proxy: ProxyProcess, path: string, cookie: string): Promise<number> {
  const beganMs = performance.now();
  const { status, text } = await askConsole(proxy, `/console${path}`, { headers: { cookie } });
  if (status !== 200) throw new Error(`${path}: ${status} ${text.slice(0, 500)}`);
  return performance.now() - beganMs;
}

async function signIn(proxy: ProxyProcess, user: string, password: string): Promise<string> {
  const body = new URLSearchParams({ user, password, next: '/console' }).toString();
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  const told = await askConsole(proxy, '/console/sign-in', { headers: type, body });
  if (told.status !== 303) throw new Error(`cannot sign in: ${told.status}`);
  const [set = ''] = told.headers['set-cookie'] ?? [];
  return set.split(';')[0] ?? '';
}

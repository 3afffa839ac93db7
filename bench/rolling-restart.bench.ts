/**
 * Statements that are lost while proxies are restarted one after another: two of them behind
 * HAProxy, and two pools of eight connections, of which neither checks a connection before its use.
 * A lost statement is one that got no answer, in a transaction or not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createPool, type PoolConnection } from 'mysql2/promise';
import { startHaproxy } from '../test/support/haproxy.js';
import { adminOf, type ProxyProcess, spawnProxy, type Variables } from '../test/support/proxy.js';
import { query, startServer, type Target } from '../test/support/servers.js';
import { machineLoad, report } from './report.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '10');
const POOL_SIZE = 8;
/** Between two uses a user does something else for up to so long. */
const ELSEWHERE_MS_MAX = 2_000;
/** HAProxy takes a proxy out of service in 0.3 s. */
const DRAIN = { DRAIN_WAIT: '1s', DRAIN_TIMEOUT: '15s' };
const BETWEEN_RESTARTS_MS = 5_000;

type Use = (connection: PoolConnection) => Promise<unknown>;

const loadBefore = machineLoad();
const rows = [await measure()];
report({
  title: 'Rolling restarts',
  how:
    `Two proxies behind HAProxy, restarted in turn by SIGTERM, ${ROUNDS} times each; two pools of ` +
    `${POOL_SIZE} connections with ${POOL_SIZE} users each, who do something else between two ` +
    `uses for up to ${ELSEWHERE_MS_MAX / 1000} s. Load before: ${loadBefore}.`,
  columns: ['statements', 'lost', 'transactions', 'lost', 'restart, s'],
  rows,
});

async function measure(): Promise<string[]> {
  const server = await startServer('mysql-9.7');
  const proxies: ProxyProcess[] = [];
  const start = (more: Variables) =>
    spawnProxy(server, { ADMIN_LISTEN: '127.0.0.1:0', ...DRAIN, ...more });
  proxies.push(await start({}), await start({}));
  const haproxy = await startHaproxy(proxies.map((one) => ({ ...one, admin: adminOf(one) })));
  await query(server, 'CREATE DATABASE bench', 'CREATE TABLE bench.t (a INT)');
  const pools = [
    usePool({ ...server, port: haproxy.port }, (connection) =>
      connection.query('INSERT INTO t VALUES (1)'),
    ),
    usePool({ ...server, port: haproxy.port }, async (connection) => {
      await connection.beginTransaction();
      await connection.query('INSERT INTO t VALUES (1)');
      await connection.query('SELECT COUNT(*) FROM t');
      await connection.commit();
    }),
  ];
  let restartMs = 0;
  for (let restart = 0; restart < 2 * ROUNDS; restart++) {
    await sleep(BETWEEN_RESTARTS_MS);
    const index = restart % 2;
    const [before] = proxies.splice(index, 1);
    if (before === undefined) throw new Error('there are two proxies');
    const startedMs = performance.now();
    await before.stop();
    restartMs += performance.now() - startedMs;
    const where = { LISTEN: `127.0.0.1:${before.port}`, ADMIN_LISTEN: adminOf(before) };
    proxies.splice(index, 0, await start(where));
  }
  const counts = await Promise.all(pools.map((pool) => pool.end()));
  await haproxy.stop();
  for (const proxy of proxies) await proxy.stop();
  await server.stop();
  const seconds = restartMs / 1000 / (2 * ROUNDS);
  return [...counts.flatMap(({ done, lost }) => [`${done}`, `${lost}`]), seconds.toFixed(1)];
}

function usePool({ host, port, user, password }: Target, use: Use) {
  const login = { host, port, user, password, database: 'bench' };
  const pool = createPool({ ...login, connectionLimit: POOL_SIZE });
  let [done, lost, isOver] = [0, 0, false];
  const run = async () => {
    while (!isOver) {
      const connection = await pool.getConnection();
      try {
        await use(connection);
        done++;
        connection.release();
      } catch {
        lost++;
        connection.destroy();
      }
      await sleep(Math.random() * ELSEWHERE_MS_MAX);
    }
  };
  const users = Promise.all(Array.from({ length: POOL_SIZE }, run));
  return {
    end: async () => {
      isOver = true;
      await users;
      await pool.end();
      return { done, lost };
    },
  };
}

/** A proxy of several processes: one port, a share of the limit each, one collector. */
import { describe, expect, test } from '@jest/globals';
import { listens, until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy, type Variables, workerPids } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import {
  connect,
  freshSchema,
  query,
  type Session,
  type Target,
  type TestServer,
  testServers,
} from '../support/servers.js';

const WORKERS = 2;

/** A proxy of its own in front of one server (a long run: of each), gone afterwards in any case. */
async function onServers(
  variables: Variables,
  run: (proxy: ProxyProcess, server: TestServer) => Promise<void>,
): Promise<void> {
  const onOne = async (server: TestServer) => {
    const proxy = await spawnProxy(server, { WORKERS: String(WORKERS), ...variables });
    try {
      await run(proxy, server);
    } finally {
      proxy.kill('SIGKILL');
    }
  };
  const servers = sample(testServers(), { name: Object.keys(variables).join(), count: 1 });
  await Promise.all(servers.map(onOne));
}

async function open(target: Target, count: number, database?: string): Promise<Session[]> {
  const options = database === undefined ? {} : { database };
  const connections: Session[] = [];
  for (let index = 0; index < count; index++) connections.push(await connect(target, options));
  for (const connection of connections) connection.on('error', () => undefined);
  return connections;
}

/** Those that still answer. */
async function alive(connections: readonly Session[]): Promise<readonly Session[]> {
  const asked = await Promise.allSettled(connections.map((connection) => connection.query('DO 1')));
  return connections.filter((_, index) => asked[index]?.status === 'fulfilled');
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

describe('workers', () => {
  test('are one proxy to clients and server, from the first session to the last', async () => {
    const drops = { COLLECT: 'auto', LIFECYCLE: 'drop', CHECK_INTERVAL: '1d' };
    await onServers({ ...drops, DRAIN_TIMEOUT: '1h' }, async (proxy, server) => {
      await using schema = await freshSchema(server);
      const connections = await open(proxy, 2 * WORKERS, schema.name);
      const [busy, victim, killer] = connections;
      for (const connection of connections) {
        const [rows] = await connection.query('SELECT CONNECTION_ID() AS id');
        expect(rows).toEqual([{ id: connection.threadId }]);
      }
      await interrupts(killer, victim);

      // The one collector hears of drops in every worker: it would look again tomorrow.
      await until(
        () => count(proxy, { msg: 'became the collector of this server' }) === 1,
        'a collector',
      );
      for (const [index, connection] of connections.entries()) {
        await connection.query(`CREATE TABLE t${index} (a INT)`);
        await connection.query(`DROP TABLE t${index}`);
      }
      const removed = `SELECT 1 FROM _undrop.ledger
        WHERE schema_name = '${schema.name}' AND state = 'removed'`;
      const areRemoved = async () => (await query(server, removed)).length === connections.length;
      await until(areRemoved, 'the end of all tables', 60_000);
      const held = proxy.lines.filter(({ event }) => event === 'held');
      expect(new Set(held.map(({ worker }) => worker)).size).toBe(WORKERS);

      await busy?.query('BEGIN');
      proxy.kill('SIGTERM');
      await until(() => count(proxy, { step: 'close' }) === WORKERS, 'all to drain');
      // Each is answered once more.
      expect(await alive(connections)).toHaveLength(connections.length);
      await busy?.query('ROLLBACK');
      await proxy.ended;
      expect(proxy.child.exitCode).toBe(0);
      expect(proxy.lines.at(-1)).toMatchObject({
        event: 'stopped',
        sessionsTotal: connections.length,
        sessionsOpen: 0,
        audited: { 'held|DROP TABLE': connections.length },
      });
    });
  });

  test('share a limit; one that is killed is replaced; none outlives the first process', async () => {
    await onServers({ MAX_CONNECTIONS: '4' }, async (proxy) => {
      const connections = await open(proxy, 4);
      await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
      await until(() => workerPids(proxy).length === WORKERS, 'all workers');
      const [first = 0] = workerPids(proxy);
      process.kill(first, 'SIGKILL');
      await until(() => workerPids(proxy).length === WORKERS + 1, 'another worker');
      const all = [...(await alive(connections))];
      expect(all).toHaveLength(2);
      const fill = async () => {
        const more = await open(proxy, 1).catch(() => []);
        all.push(...more);
        return all.length === 4;
      };
      await until(fill, 'room for as many again');
      await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
      expect(await alive(all)).toHaveLength(4);
      await all.shift()?.end();
      await until(fill, 'room for one more');

      proxy.child.kill('SIGKILL');
      await proxy.ended;
      await until(() => !workerPids(proxy).some(isAlive), 'the end of all workers');
      expect(await alive(all)).toEqual([]);
      expect(await listens(proxy.port)).toBe(false);
    });
  });

  test('one that is blocked is found and replaced; the others go on', async () => {
    await withWorkers(async (proxy) => {
      const connections = await open(proxy, 2);
      await until(() => workerPids(proxy).length === WORKERS, 'all workers');
      const [first = 0] = workerPids(proxy);
      process.kill(first, 'SIGSTOP');
      await until(() => workerPids(proxy).length === WORKERS + 1, 'another worker', 100_000);
      expect(isAlive(first)).toBe(false);
      expect(await alive(connections)).toHaveLength(1);
    });
  });

  test('that die again and again end the proxy, which says so', async () => {
    await withWorkers(async (proxy) => {
      await until(() => workerPids(proxy).length === WORKERS, 'all workers');
      const killed = new Set<number>();
      const isOver = () => {
        const [last = 0, ...others] = workerPids(proxy).toReversed();
        const isNext = killed.size === 0 || others.some((pid) => killed.has(pid));
        if (isNext && !killed.has(last) && isAlive(last)) process.kill(last, 'SIGKILL');
        if (isNext) killed.add(last);
        return proxy.child.exitCode !== null;
      };
      await until(isOver, 'the end of the proxy', 100_000);
      await proxy.ended;
      expect(proxy.child.exitCode).toBe(1);
      expect(killed.size).toBe(5);
      const said = proxy.lines.filter(({ msg }) => String(msg).includes('keep dying'));
      expect(said).toMatchObject([{ event: 'worker', err: { code: 'UNDROP_WORKER' } }]);
    });
  });
});

/** In front of one server: which, is nothing to workers. */
async function withWorkers(run: (proxy: ProxyProcess) => Promise<void>): Promise<void> {
  const [server] = testServers();
  if (server === undefined) throw new Error('There is no test server.');
  const proxy = await spawnProxy(server, { WORKERS: String(WORKERS) });
  try {
    await run(proxy);
  } finally {
    proxy.kill('SIGKILL');
  }
}

/** KILL QUERY and KILL reach a session by its id, whichever worker has it. */
async function interrupts(killer: Session | undefined, victim: Session | undefined) {
  const id = victim?.threadId;
  // MariaDB answers with error 1317, MySQL with 1.
  const slept = victim?.query("SELECT SLEEP(60), 'victim'").then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.errno,
  );
  const isAsleep = async () => {
    const [rows] = (await killer?.query(
      `SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ${id} AND INFO LIKE '%victim%'`,
    )) ?? [[]];
    return JSON.stringify(rows) !== '[]';
  };
  await until(isAsleep, 'a query to interrupt');
  await killer?.query(`KILL QUERY ${id}`);
  expect(['answered', 1317]).toContain(await slept);
}

function count(proxy: ProxyProcess, fields: Readonly<Record<string, unknown>>): number {
  const isLike = (line: Readonly<Record<string, unknown>>) =>
    Object.entries(fields).every(([key, value]) => line[key] === value);
  return proxy.lines.filter(isLike).length;
}

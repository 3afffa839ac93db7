/**
 * The processes of a service in front of each server: one port, a share of the limit each, one
 * collector. One that is killed is replaced, under load too: what it did goes on in another, and
 * only the sessions of a worker end with it. None outlives the supervisor.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../support/folders.js';
import { goOn, startLoad } from '../support/load.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import type { ProxyProcess, Variables } from '../support/proxy.js';
import { controlPid, linesWith, spawnProxy, workerPids } from '../support/proxy.js';
import { connect, query, type Session, type Target } from '../support/servers.js';
import { startService } from '../support/service.js';

const WORKERS = 2;
const KILLS = [1, 2];
const SELDOM = { COLLECT: 'auto', CHECK_INTERVAL: '1d' };
const COLLECTOR = { msg: 'became the collector of this server' };

onServersAtOnce('workers in front of $name', (server, on) => {
  const { test } = on;
  const schema = on.each.schema('workers');
  const spawn = async (variables: Variables = {}) =>
    on.each.keep(await spawnProxy(server, { WORKERS: String(WORKERS), ...variables }));
  const start = async () => {
    const variables = { ...SELDOM, LIFECYCLE: 'hold,drop', WORKERS: '2' };
    return on.each.keep(await startService(server, { rules: ['*.at_once_*: now'] }, variables));
  };

  test('are one proxy to clients and server, from the first session to the last', async () => {
    const proxy = await spawn({ ...SELDOM, LIFECYCLE: 'drop', DRAIN_TIMEOUT: '1h' });
    const connections = await open(proxy, 2 * WORKERS, schema.name);
    const [busy, victim, killer] = connections;
    for (const connection of connections) {
      expect(await connection.column('SELECT CONNECTION_ID()')).toEqual([connection.threadId]);
    }
    await interrupts(killer, victim);

    // The one collector hears of drops in every worker: it would look again tomorrow.
    await until(() => count(proxy, COLLECTOR) === 1, 'a collector');
    for (const [index, connection] of connections.entries()) {
      await connection.run(`CREATE TABLE t${index} (a INT)`, `DROP TABLE t${index}`);
    }
    const removed = `SELECT 1 FROM _undrop.ledger
      WHERE schema_name = '${schema.name}' AND state = 'removed'`;
    const areRemoved = async () => (await query(server, removed)).length === connections.length;
    await until(areRemoved, 'the end of all tables');
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
      ...{ event: 'stopped', sessionsTotal: connections.length, sessionsOpen: 0 },
      audited: { 'held|DROP TABLE': connections.length },
    });
  });

  test('share a limit; one that is killed is replaced, and no other session ends', async () => {
    const proxy = await spawn({ MAX_CONNECTIONS: '4' });
    const connections = await open(proxy, 4);
    await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
    await until(() => workerPids(proxy).length === WORKERS, 'all workers');
    process.kill(workerPids(proxy)[0] ?? 0, 'SIGKILL');
    await until(() => workerPids(proxy).length === WORKERS + 1, 'another worker');
    const all = [...(await alive(connections))];
    expect(all).toHaveLength(2);
    const fill = async () => {
      all.push(...(await open(proxy, 1).catch(() => [])));
      return all.length === 4;
    };
    await until(fill, 'room for as many again');
    await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
    expect(await alive(all)).toHaveLength(4);
    await all.shift()?.end();
    await until(fill, 'room for one more');
  });

  test('one that is blocked is found and replaced; the others go on', async () => {
    const proxy = await spawn();
    const connections = await open(proxy, 2);
    await until(() => workerPids(proxy).length === WORKERS, 'all workers');
    const [first = 0] = workerPids(proxy);
    process.kill(first, 'SIGSTOP');
    await until(() => workerPids(proxy).length === WORKERS + 1, 'another worker', 100_000);
    expect(isAlive(first)).toBe(false);
    expect(await alive(connections)).toHaveLength(1);
  });

  test('that die again and again end the proxy, which says so', async () => {
    const proxy = await spawn();
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
    expect([proxy.child.exitCode, killed.size]).toEqual([1, 5]);
    const said = proxy.lines.filter(({ msg }) => String(msg).includes('keep dying'));
    expect(said).toMatchObject([{ event: 'worker', err: { code: 'UNDROP_WORKER' } }]);
  });

  test('control that is killed: sessions go on, another takes its place and collects', async () => {
    const service = await start();
    const { proxy } = service;
    await service.says(COLLECTOR);
    const sessions = await open(proxy, 6, schema.name);
    const load = startLoad(proxy, schema.name);
    await goOn(load);
    for (const kills of KILLS) {
      process.kill(controlPid(proxy), 'SIGKILL');
      await service.says({ msg: 'the control process died; another takes its place' }, kills);
      await service.says(COLLECTOR, 1 + kills);
      await goOn(load);
      await until(async () => (await service.status('/readyz')) === 200, 'it is ready');
    }
    for (const part of load) await part.end();
    const isOpen = `schema_name = '${schema.name}' AND ended_at IS NULL`;
    const openRows = () => query(server, `SELECT id FROM _undrop.ledger WHERE ${isOpen}`);
    await until(async () => (await openRows()).length === 0, 'all are removed');
    const removals = service.logged({ event: 'removal', schema: schema.name });
    const removed = new Set(removals.map(({ table }) => table));
    // A killed process may have removed one and not said so, or not written that it has said so.
    expect(removed.size).toBeLessThanOrEqual(load.at(-1)?.count ?? 0);
    expect(removals.length - removed.size).toBeLessThanOrEqual(KILLS.length);
    expect(await alive(sessions)).toHaveLength(sessions.length);
    for (const session of sessions) await session.end();
    expect(workerPids(proxy)).toHaveLength(WORKERS);
  });

  test.each(['control', 'proxy'])('killed while it starts, %s is started again', async (role) => {
    await using folder = await temporaryFolder('killed');
    const [hook, mark] = [join(folder.path, 'hook.cjs'), join(folder.path, 'killed')];
    const isFirst = `process.env.UNDROP_PROCESS_ROLE === '${role}' && !fs.existsSync('${mark}')`;
    const kill = `fs.writeFileSync('${mark}', ''); process.kill(process.pid, 'SIGKILL');`;
    writeFileSync(hook, `const fs = require('node:fs'); if (${isFirst}) { ${kill} }`);
    const under = ['env', `NODE_OPTIONS=--require=${hook}`];
    await using proxy = await spawnProxy(server, { WORKERS: '2' }, under);
    expect(proxy.lines).toContainEqual(
      expect.objectContaining({
        ...{ level: 50, event: 'worker', msg: 'cannot start a process; starting all again' },
        err: expect.objectContaining({ message: expect.stringContaining('(SIGKILL)') }),
      }),
    );
    await using client = await connect(proxy);
    expect(await client.column('SELECT 1')).toHaveLength(1);
    expect(existsSync(mark)).toBe(true);
  });

  test('the supervisor that is killed: all others end', async () => {
    const { proxy } = await start();
    const sessions = await open(proxy, 6, schema.name);
    const load = startLoad(proxy, schema.name);
    await goOn(load);
    const pids = [controlPid(proxy), ...workerPids(proxy)];
    expect(pids.filter(isAlive)).toHaveLength(1 + WORKERS);
    proxy.child.kill('SIGKILL');
    await until(() => !pids.some(isAlive), 'the end of all processes');
    const ends = await Promise.allSettled(load.map((part) => part.end()));
    expect(ends.map(({ status }) => status)).toEqual(load.map(() => 'rejected'));
    expect([await alive(sessions), await listens(proxy.port)]).toEqual([[], false]);
  });
});

/** One after another, so that each worker gets some. */
async function open(target: Target, sessions: number, database?: string): Promise<Session[]> {
  const options = database === undefined ? {} : { database };
  const connections: Session[] = [];
  for (let index = 0; index < sessions; index++) connections.push(await connect(target, options));
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

/** KILL QUERY and KILL reach a session by its id, whichever worker has it. */
async function interrupts(killer: Session | undefined, victim: Session | undefined) {
  const id = victim?.threadId;
  // MariaDB answers with error 1317, MySQL with 1.
  const slept = victim?.errnoOf("SELECT SLEEP(60), 'victim'");
  const isAsleep = async () =>
    (await killer?.hasProcess(`ID = ${id} AND INFO LIKE '%victim%'`)) ?? false;
  await until(isAsleep, 'a query to interrupt');
  await killer?.query(`KILL QUERY ${id}`);
  expect([null, 1317]).toContain(await slept);
}

function count(proxy: ProxyProcess, fields: Parameters<typeof linesWith>[1]): number {
  return linesWith(proxy, fields).length;
}

/**
 * A process of a service is killed (SIGKILL) under load: what it did goes on in another one, and
 * only the sessions of a proxy end with it.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { assert } from '../../src/assert.js';
import { goOn, startLoad } from '../support/load.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import { controlPid, spawnProxy, workerPids } from '../support/proxy.js';
import { connect, freshSchema, query, type Session, type Target } from '../support/servers.js';
import { startService } from '../support/service.js';

const SESSIONS = 6;
const CLIENTS = 20;
const KILLS = [1, 2];
const COLLECTOR = { msg: 'became the collector of this server' };

onServersAtOnce('a killed process of a service on $name', (server, { test }) => {
  const start = () =>
    startService(
      server,
      { rules: [`*.at_once_*: now`] },
      { COLLECT: 'auto', LIFECYCLE: 'hold,drop', WORKERS: '2', CHECK_INTERVAL: '1d' },
    );

  test('control: sessions go on, another takes its place and collects', async () => {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    await using service = await start();
    const { proxy } = service;
    await service.says(COLLECTOR);
    const sessions = await connectAll(proxy, schema);
    const load = startLoad(proxy, schema);
    await goOn(load);
    for (const count of KILLS) {
      process.kill(controlPid(proxy), 'SIGKILL');
      await service.says({ msg: 'the control process died; another takes its place' }, count);
      await service.says(COLLECTOR, 1 + count);
      await goOn(load);
      await until(async () => (await service.status('/readyz')) === 200, 'it is ready');
    }
    for (const part of load) await part.end();
    const isOpen = `schema_name = '${schema}' AND ended_at IS NULL`;
    const openRows = () => query(server, `SELECT id FROM _undrop.ledger WHERE ${isOpen}`);
    const isAllRemoved = async () => (await openRows()).length === 0;
    await until(isAllRemoved, 'all are removed');
    const removals = service.logged({ event: 'removal', schema }).map(({ table }) => table);
    const removed = new Set(removals);
    // A killed process may have removed one and not said so, or not written that it has said so.
    expect(removed.size).toBeLessThanOrEqual(load.at(-1)?.count ?? 0);
    expect(removals.length - removed.size).toBeLessThanOrEqual(KILLS.length);
    expect(await alive(sessions)).toEqual(idsOf(sessions));
    for (const session of sessions) await session.end();
    expect(workerPids(proxy)).toHaveLength(2);
  });

  test('a proxy: its sessions end, and no other', async () => {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    await using service = await start();
    const { proxy } = service;
    const sessions = await connectAll(proxy, schema);
    for (const [index, session] of sessions.entries()) {
      await session.run(`CREATE TABLE own_${index} (a INT)`, `DROP TABLE own_${index}`);
    }
    await service.says({ event: 'held' }, SESSIONS);
    const held = service.logged({ event: 'held' });
    const [pid] = workerPids(proxy);
    const own = service.logged({ msg: 'started a worker', pid }).map(({ worker }) => worker);
    const others = sessions.filter(({ threadId }) =>
      held.some((line) => line['threadId'] === threadId && !own.includes(line['worker'])),
    );
    expect(others.length).toBeGreaterThan(0);
    process.kill(pid ?? 0, 'SIGKILL');
    await service.says({ msg: 'started a worker' }, 3);
    expect(await alive(sessions)).toEqual(idsOf(others));
    const load = startLoad(proxy, schema);
    await goOn(load);
    for (const part of load) await part.end();
    expect(await alive(others)).toEqual(idsOf(others));
    for (const session of others) await session.end();
  });

  test.each(['control', 'proxy'])('one that starts, %s: it is started again', async (role) => {
    const folder = mkdtempSync(join(tmpdir(), 'undrop-killed-'));
    const [hook, mark] = [join(folder, 'hook.cjs'), join(folder, 'killed')];
    const isFirst = `process.env.UNDROP_PROCESS_ROLE === '${role}' && !fs.existsSync('${mark}')`;
    const kill = `fs.writeFileSync('${mark}', ''); process.kill(process.pid, 'SIGKILL');`;
    writeFileSync(hook, `const fs = require('node:fs'); if (${isFirst}) { ${kill} }`);
    try {
      const under = ['env', `NODE_OPTIONS=--require=${hook}`];
      await using proxy = await spawnProxy(server, { WORKERS: '2' }, under);
      expect(proxy.lines).toContainEqual(
        expect.objectContaining({
          level: 50,
          event: 'worker',
          msg: 'cannot start a process; starting all again',
          err: expect.objectContaining({ message: expect.stringContaining('(SIGKILL)') }),
        }),
      );
      await using client = await connect(proxy);
      expect(await client.column('SELECT 1')).toHaveLength(1);
      expect(existsSync(mark)).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('the supervisor: all others end', async () => {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    await using service = await start();
    const { proxy } = service;
    const sessions = await connectAll(proxy, schema);
    const load = startLoad(proxy, schema);
    await goOn(load);
    const pids = [controlPid(proxy), ...workerPids(proxy)];
    expect(pids.filter(isAlive)).toHaveLength(3);
    proxy.child.kill('SIGKILL');
    await until(() => !pids.some(isAlive), 'the end of all processes');
    const ends = await Promise.allSettled(load.map((part) => part.end()));
    expect(ends.map(({ status }) => status)).toEqual(load.map(() => 'rejected'));
    expect(await alive(sessions)).toEqual([]);
    expect(await listens(proxy.port)).toBe(false);
  });

  test('the supervisor, before it has passed clients on: all others end', async () => {
    await using service = await start();
    const { proxy } = service;
    // From now on each proxy knows of the other's sessions.
    await connectAll(proxy, 'mysql');
    const pids = [controlPid(proxy), ...workerPids(proxy)];
    process.kill(Number(proxy.child.pid), 'SIGSTOP');
    const clients = Array.from({ length: CLIENTS }, () => createConnection(proxy.port));
    for (const client of clients) client.on('error', () => undefined);
    await Promise.all(clients.map((client) => once(client, 'connect')));
    // A proxy that has one more than the other passes it on.
    await until(() => !areWaiting(proxy.port), 'all are accepted');
    process.kill(Number(proxy.child.pid), 'SIGKILL');
    await until(() => !pids.some(isAlive), 'the end of all processes');
    for (const client of clients) client.destroy();
  });
});

/** One after another, so that each proxy gets some. */
async function connectAll(proxy: Target, database: string): Promise<readonly Session[]> {
  const sessions: Session[] = [];
  while (sessions.length < SESSIONS) sessions.push(await connect(proxy, { database }));
  for (const session of sessions) session.on('error', () => undefined);
  return sessions;
}

/** The ids of those that still answer. */
async function alive(sessions: readonly Session[]): Promise<readonly number[]> {
  const asked = await Promise.allSettled(sessions.map((session) => session.query('DO 1')));
  return idsOf(sessions.filter((_, index) => asked[index]?.status === 'fulfilled'));
}

function idsOf(sessions: readonly Session[]): readonly number[] {
  return sessions.map(({ threadId }) => threadId);
}

/** Whether the kernel has clients of that port that no process has accepted. */
function areWaiting(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const listening = new RegExp(`:${hex} 0{8}:0000 0A \\w+:(\\w+)`);
  const [, count] = listening.exec(readFileSync('/proc/net/tcp', 'utf8')) ?? [];
  assert(count !== undefined, 'the service listens');
  return Number.parseInt(count, 16) > 0;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

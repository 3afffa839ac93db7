/**
 * A process of a service is killed (SIGKILL) under load: what it did goes on in another one, and
 * only the sessions of a proxy end with it.
 */
import { expect } from '@jest/globals';
import { goOn, startLoad } from '../support/load.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import { controlPid, workerPids } from '../support/proxy.js';
import { connect, freshSchema, type Session, type Target } from '../support/servers.js';
import { startService } from '../support/service.js';

const SESSIONS = 6;
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
    const sessions = await open(proxy, schema);
    const load = startLoad(proxy, schema);
    await goOn(load);
    for (const count of [1, 2]) {
      process.kill(controlPid(proxy), 'SIGKILL');
      await service.says({ msg: 'the control process died; another takes its place' }, count);
      await service.says(COLLECTOR, 1 + count);
      await goOn(load);
      expect(await service.status('/readyz')).toBe(200);
    }
    for (const part of load) await part.end();
    const drops = load.at(-1)?.count ?? 0;
    await until(() => service.logged({ event: 'removal' }).length >= drops, 'all are removed');
    expect(service.logged({ event: 'removal' })).toHaveLength(drops);
    expect(await alive(sessions)).toEqual(idsOf(sessions));
    for (const session of sessions) await session.end();
    expect(workerPids(proxy)).toHaveLength(2);
  });

  test('a proxy: its sessions end, and no other', async () => {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    await using service = await start();
    const { proxy } = service;
    const sessions = await open(proxy, schema);
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

  test('the supervisor: all others end', async () => {
    await using fresh = await freshSchema(server);
    const { name: schema } = fresh;
    await using service = await start();
    const { proxy } = service;
    const sessions = await open(proxy, schema);
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
});

async function open(proxy: Target, database: string): Promise<readonly Session[]> {
  const opening = Array.from({ length: SESSIONS }, () => connect(proxy, { database }));
  const sessions = await Promise.all(opening);
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

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

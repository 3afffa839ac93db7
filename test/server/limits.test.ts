/** As many clients as the open files are enough for, and not one more. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy, workerPids } from '../support/proxy.js';
import { connect, type Session, type Target } from '../support/servers.js';

/** Enough for (100 - 64) / 2 sessions. */
const OPEN_FILES = 100;
const FITTING = 18;

async function open(target: Target, count: number): Promise<Session[]> {
  const connections: Session[] = [];
  for (let index = 0; index < count; index++) connections.push(await connect(target));
  return connections;
}

/** Its open files are the same so often before they are counted; the first looks are close. */
const LOOKS = 12;

async function end(connections: readonly Session[]): Promise<void> {
  await Promise.all(connections.map((connection) => connection.end()));
}

/** The soft limit of open files, of a process that runs. */
function setOpenFiles(proxy: ProxyProcess, soft: number): void {
  execFileSync('prlimit', ['--pid', String(workerPids(proxy)[0]), `--nofile=${soft}:`]);
}

/** A limit at which the process can open `count` more files. */
async function limitFor(proxy: ProxyProcess, count: number): Promise<number> {
  const look = () => readdirSync(`/proc/${workerPids(proxy)[0]}/fd`);
  let [seen, same]: [readonly string[], number] = [[], 0];
  const isAtRest = () => {
    const now = look();
    same = now.join() === seen.join() ? same + 1 : 1;
    seen = now;
    return same >= LOOKS;
  };
  // It may still open connections of the service.
  await until(isAtRest, 'its files stay the same');
  const taken = new Set(seen.map(Number));
  let free = 0;
  let next = 0;
  for (; free < count || taken.has(next); next++) if (!taken.has(next)) free++;
  return next;
}

onServers('limits of a proxy in front of $name', (server, on) => {
  const { test } = on;
  test('open files that are too few are told of at the start, and are a limit like ours (wire 60)', async () => {
    const limit = [`--nofile=${OPEN_FILES}:${OPEN_FILES}`];
    await using proxy = await spawnProxy(server, {}, ['prlimit', ...limit]);
    expect(proxy.lines).toContainEqual(
      expect.objectContaining({
        ...{ level: 40, event: 'open-files', openFilesMax: OPEN_FILES, openFilesNeeded: 20_064 },
        connectionsMax: FITTING,
      }),
    );
    const connections = await open(proxy, FITTING);
    await expect(connect(proxy)).rejects.toMatchObject({ errno: 1040 });
    await end(connections);
  });

  test('a proxy that has run out of open files says so, and goes on when it has some (wire 60)', async () => {
    await using proxy = await spawnProxy(server);
    const [early] = await open(proxy, 1);
    const files = await limitFor(proxy, 1);
    setOpenFiles(proxy, files);
    // One is enough for the client's side, not for the server's.
    await expect(connect(proxy)).rejects.toMatchObject({
      errno: 1040,
      message: expect.stringMatching(/^UNDROP_OPEN_FILES: Too many connections; the log/),
    });
    setOpenFiles(proxy, files - 1);
    await expect(connect(proxy)).rejects.toThrow();
    expect(await early?.query('SELECT 1 AS one')).toMatchObject([[{ one: 1 }], {}]);
    setOpenFiles(proxy, 1_000);
    await end(await open(proxy, 3));
    await early?.end();
  });
});

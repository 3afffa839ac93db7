/**
 * HAProxy from Debian's packages in front of proxies, by a file of deploy/ in which only addresses
 * are replaced. Its checks go through a door of ours that counts them, so that a test waits for
 * checks, not for a time.
 */
import { mkdtemp, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { freePort } from '../../throwaway-servers/launch.js';
import { aptFolder, startProgram } from './apt-folder.js';
import { listens, portOf, until } from './poll.js';
import { readText } from './source-file.js';

/** `admin`: `listen` of an admin listener: what the checks of this proxy are answered. */
export type Balanced = { readonly host: string; readonly port: number; readonly admin: string };

export type Haproxy = Awaited<ReturnType<typeof startHaproxy>>;

/** Files of deploy/. */
export type HaproxyFile = 'haproxy/haproxy' | 'haproxy/haproxy-proxy-protocol' | 'galera/haproxy';

const BIND = 'bind :3306';
const SERVER = /10\.0\.0\.\d:3307 check port 9307/;

/** Another program may take a port that was free a moment ago. */
const PORTS_TRIED = 5;

/** As many proxies as `file` has servers. */
export async function startHaproxy(
  proxies: readonly Balanced[],
  file: HaproxyFile = 'haproxy/haproxy',
) {
  const doors = await Promise.all(proxies.map(openDoor));
  let config = readText(`deploy/${file}.cfg`);
  for (const [index, { host, port }] of proxies.entries()) {
    config = config.replace(SERVER, `${host}:${port} check port ${doors[index]?.port}`);
  }
  if (SERVER.test(config) || !config.includes(BIND)) {
    throw new Error(`the file has other servers: ${config}`);
  }
  const [port, program] = await startAtFreePort(config, doors);
  const stop = async () => {
    await program.stop();
    for (const door of doors) door.close();
  };
  return {
    host: '127.0.0.1',
    port,
    /** Resolves when each proxy was checked that many times more, and the check has ended. */
    checkedTimes: async (times: number, when: string) => {
      const before = doors.map(({ count }) => count());
      const isDone = () => doors.every(({ count }, at) => count() >= (before[at] ?? 0) + times);
      await until(isDone, `HAProxy checks, ${when}`);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function startAtFreePort(config: string, doors: readonly Door[]) {
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), 'undrop-haproxy-'));
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, config.replace(BIND, `bind 127.0.0.1:${port}`));
    const argv = inRoot(await aptFolder('haproxy', 'bookworm'), 'usr/sbin/haproxy');
    // Who listens there may be another program; only HAProxy asks at the doors.
    const isHaproxy = async () => (await listens(port)) && doors.every(({ count }) => count() > 0);
    try {
      return [port, await startProgram([...argv, '-db', '-f', file], folder, isHaproxy)] as const;
    } catch (error) {
      if (tries < PORTS_TRIED) continue;
      for (const door of doors) door.close();
      throw error;
    }
  }
}

type Door = { readonly port: number; count(): number; close(): void };

/** Passes requests on to `admin`, and counts those that were answered, or had no answer. */
async function openDoor({ admin }: Balanced): Promise<Door> {
  let count = 0;
  const server = http.createServer((request, response) => {
    const url = `http://${admin}${request.url}`;
    const asked = http.get(url, { agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 500);
      answer.pipe(response).on('finish', () => count++);
    });
    asked.on('error', () => {
      response.destroy();
      count++;
    });
  });
  return {
    port: await portOf(server),
    count: () => count,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

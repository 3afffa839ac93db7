/**
 * HAProxy from Debian's packages in front of proxies, as README configures it, and what its checks
 * ask: they go through a door of ours that counts them, so that a test waits for checks, not for
 * a time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureAptRoot, inRoot } from '../../throwaway-servers/apt-root.js';
import { cacheFolder } from '../../throwaway-servers/cache.js';
import { freePort } from '../../throwaway-servers/launch.js';
import { projectFolder } from './folders.js';
import { listens, until } from './poll.js';
import { readText } from './source-file.js';

export interface Balanced {
  readonly host: string;
  readonly port: number;
  /** `listen` of an admin listener: what the checks of this proxy are answered. */
  readonly admin: string;
}

export interface Haproxy {
  readonly host: string;
  readonly port: number;
  /** How often each proxy was checked, in the order in which they were given. */
  readonly checks: readonly number[];
  stop(): Promise<void>;
}

const EXAMPLE = /```haproxy\n([\s\S]*?)```/;
const SERVER = /10\.0\.0\.\d:3307 check port 9307/;
/** Checks come ten times a second, three of them decide: README leaves HAProxy's 2 s. */
const DEFAULTS = `defaults
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout check 10s
    default-server inter 100ms
`;

/** Another program may take a port that was free a moment ago. */
const PORTS_TRIED = 5;

/** Two proxies behind README's configuration. */
export async function startHaproxy(proxies: readonly Balanced[]): Promise<Haproxy> {
  for (let tries = 1; ; tries++) {
    const started = await startAt(await freePort(), proxies);
    if (started !== null) return started;
    if (tries === PORTS_TRIED) throw new Error('HAProxy ends at its start');
  }
}

/** Null: it has ended. */
async function startAt(port: number, proxies: readonly Balanced[]): Promise<Haproxy | null> {
  const doors = await Promise.all(proxies.map(openDoor));
  let config = EXAMPLE.exec(readText('README.md'))?.[1] ?? '';
  config = config.replace('bind :3306', `bind 127.0.0.1:${port}`);
  for (const [index, { host, port: own }] of proxies.entries()) {
    const door = doors[index]?.port;
    config = config.replace(SERVER, `${host}:${own} check port ${door}`);
  }
  if (SERVER.test(config) || !config.includes(`:${port}`)) {
    throw new Error(`README configures others: ${config}`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'undrop-haproxy-'));
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, `${DEFAULTS}${config}`);
  const [program = '', ...args] = inRoot(await haproxyFolder(), 'usr/sbin/haproxy');
  const child = spawn(program, [...args, '-db', '-f', file], { stdio: 'inherit' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    for (const door of doors) door.close();
    await rm(folder, { recursive: true });
  };
  try {
    const isOver = () => child.exitCode !== null;
    // Who listens there may be another program; only HAProxy asks at the doors.
    const isHaproxy = async () => (await listens(port)) && doors.every(({ count }) => count() > 0);
    await until(async () => isOver() || (await isHaproxy()), 'HAProxy listens and checks');
    if (isOver()) {
      await stop();
      return null;
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    host: '127.0.0.1',
    port,
    get checks() {
      return doors.map(({ count }) => count());
    },
    stop,
  };
}

function haproxyFolder(): Promise<string> {
  return ensureAptRoot(
    { key: 'haproxy', suite: 'bookworm', packages: ['haproxy'] },
    {
      cache: cacheFolder(process.env, projectFolder),
      say: (line) => process.stderr.write(`${line}\n`),
    },
  );
}

interface Door {
  readonly port: number;
  count(): number;
  close(): void;
}

/** Passes requests on to `admin`, and counts those that were answered. */
async function openDoor({ admin }: Balanced): Promise<Door> {
  let count = 0;
  const server = http.createServer((request, response) => {
    const url = `http://${admin}${request.url}`;
    const asked = http.get(url, { agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 500);
      answer.pipe(response).on('finish', () => count++);
    });
    asked.on('error', () => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    count: () => count,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

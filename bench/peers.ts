/** The relays that are measured side by side, each a process whose CPU can be read. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectFolder } from '../test/support/folders.js';
import { startRouter } from '../test/support/mysql-router.js';
import { listens, until } from '../test/support/poll.js';
import { spawnProxy, type Variables } from '../test/support/proxy.js';
import type { Target } from '../test/support/servers.js';
import { ensureAptRoot, inRoot } from '../throwaway-servers/apt-root.js';
import { cacheFolder } from '../throwaway-servers/cache.js';
import { freePort } from '../throwaway-servers/launch.js';

export interface Peer extends Target {
  readonly name: string;
  /** Null: direct, no process between. */
  readonly pid: number | null;
  stop(): Promise<void>;
}

export interface Peers {
  readonly peers: readonly Peer[];
  stop(): Promise<void>;
}

/** CPU seconds that a process has used, user and system, from /proc (100 ticks a second). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of a server that was started for a benchmark. */
export function serverPid({ folder }: { readonly folder?: string | null }): number {
  return Number(readFileSync(join(folder ?? '', 'server.pid'), 'utf8'));
}

/** Resident memory in kilobytes. */
export function residentKb(pid: number): number {
  return memoryKb(pid, 'VmRSS');
}

/** The most that it ever had. */
export function peakKb(pid: number): number {
  return memoryKb(pid, 'VmHWM');
}

function memoryKb(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}

/** A process and those that it started. */
export function withChildren(pid: number): readonly number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return [pid, ...all.map(Number).filter((other) => parentOf(other) === pid)];
}

/** Null for a process that is gone. */
function parentOf(pid: number): number | null {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

/** The memory of several processes in kB: the pages of files that they share, once. */
export function togetherKb(pids: readonly number[]): number {
  const of = (pid: number, field: string) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  };
  const shared = pids.map((pid) => of(pid, 'Shared_Clean'));
  const own = pids.map((pid, index) => of(pid, 'Rss') - (shared[index] ?? 0));
  return own.reduce((sum, kb) => sum + kb, Math.max(...shared));
}

/** The same of a peer's process; 0 where there is none. */
export function cpuOf({ pid }: Peer): number {
  if (pid === null) return 0;
  return withChildren(pid).reduce((sum, one) => sum + cpuSeconds(one), 0);
}

/** All of them, direct first. What was started is stopped where one does not start. */
export async function startPeers(server: Target, variables: Variables = {}): Promise<Peers> {
  const peers: Peer[] = [direct(server)];
  const stop = async (): Promise<void> => {
    for (const peer of peers) await peer.stop();
  };
  try {
    for (const start of [haproxy, mysqlRouter, plainNode]) peers.push(await start(server));
    peers.push(await undrop(server, variables));
    return { peers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export function direct(server: Target): Peer {
  return { ...account(server), name: 'direct', pid: null, stop: async () => undefined };
}

export async function undrop(server: Target, variables: Variables = {}): Promise<Peer> {
  const proxy = await spawnProxy(server, variables);
  const { host, port } = proxy;
  const pid = proxy.child.pid ?? null;
  return { ...account(server), host, port, name: 'undrop', pid, stop: () => proxy.stop() };
}

function plainNode(server: Target): Promise<Peer> {
  return ownRelay('plain Node', 'plain-relay.mjs', server);
}

/** The server as from afar. */
export function delayed(server: Target): Promise<Peer> {
  return ownRelay('delayed', 'delaying-relay.mjs', server);
}

async function ownRelay(name: string, file: string, server: Target): Promise<Peer> {
  const port = await freePort();
  const script = fileURLToPath(new URL(`../../bench/${file}`, import.meta.url));
  const args = [script, String(port), server.host, String(server.port)];
  return started(name, server, port, spawn(process.execPath, args, { stdio: 'ignore' }));
}

/** One thread, TCP mode, nothing looked at. */
export async function haproxy(server: Target): Promise<Peer> {
  const folder = await aptRoot('haproxy', 'bookworm', 'haproxy');
  const port = await freePort();
  const scratch = await mkdtemp(join(tmpdir(), 'undrop-bench-'));
  const config = join(scratch, 'haproxy.cfg');
  await writeFile(
    config,
    `global
  nbthread 1
  maxconn 9950
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen mysql
  bind 127.0.0.1:${port}
  server s ${server.host}:${server.port}
`,
  );
  const [program = '', ...args] = inRoot(folder, 'usr/sbin/haproxy');
  const child = spawn(program, [...args, '-db', '-f', config], { stdio: 'ignore' });
  return started('HAProxy', server, port, child, scratch);
}

/**
 * Its defaults for a static destination. TLS of the client goes on to the server unread, or is
 * ended with `own`; then it has TLS of its own with the server.
 */
export async function mysqlRouter(
  server: Target,
  own: { readonly cert: string; readonly key: string } | null = null,
): Promise<Peer> {
  const port = await freePort();
  const router = await startRouter(
    `[DEFAULT]
${
  own === null
    ? 'client_ssl_mode=PASSTHROUGH\nserver_ssl_mode=AS_CLIENT'
    : `client_ssl_mode=REQUIRED\nclient_ssl_cert=${own.cert}\nclient_ssl_key=${own.key}\nserver_ssl_mode=REQUIRED`
}
max_total_connections=20000
[routing:bench]
bind_address=127.0.0.1
bind_port=${port}
destinations=${server.host}:${server.port}
routing_strategy=first-available
protocol=classic
max_connections=20000
`,
    port,
  );
  return { ...account(server), host: '127.0.0.1', port, name: 'MySQL Router', ...router };
}

function aptRoot(key: string, suite: string, name: string): Promise<string> {
  return ensureAptRoot(
    { key, suite, packages: [name] },
    {
      cache: cacheFolder(process.env, projectFolder),
      say: (line) => process.stderr.write(`${line}\n`),
    },
  );
}

async function started(
  name: string,
  server: Target,
  port: number,
  child: ChildProcess,
  scratch: string | null = null,
): Promise<Peer> {
  const ended = once(child, 'exit');
  await until(() => listens(port), `${name} listens`);
  return {
    ...account(server),
    host: '127.0.0.1',
    port,
    name,
    pid: child.pid ?? null,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      if (scratch !== null) await rm(scratch, { recursive: true, force: true });
    },
  };
}

function account({ host, port, user, password }: Target): Target {
  return { host, port, user, password };
}

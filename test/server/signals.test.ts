/**
 * Signals to a proxy as a process, in one process and in several: while it starts, and while it
 * serves. None ends it without a line of the log, and none opens a debugger.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { constants } from 'node:os';
import { describe, expect, test as jestTest } from '@jest/globals';
import { until } from '../support/poll.js';
import { environment, MAIN, spawnProxy, workerPids } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { connect, type Target, testServers } from '../support/servers.js';

const WORKERS = ['1', '2'];
const { SIGHUP } = constants.signals;

/** Whether the process has a handler for it; Node has none of its own for SIGHUP. */
function handles(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
}

interface Starting {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the line of that event, once it is there. */
  line(fields: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>;
  /** Exit code and everything on standard error. */
  readonly ended: Promise<readonly [code: number | null, stderr: string]>;
}

function startProxy(upstream: Target, variables: Record<string, string>): Starting {
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: { ...process.env, ...environment(upstream, variables) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const lines = () =>
    stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const find = (fields: Readonly<Record<string, unknown>>) =>
    lines().find((line) => Object.entries(fields).every(([key, value]) => line[key] === value));
  return {
    pid: child.pid ?? 0,
    kill: (signal) => child.kill(signal),
    line: async (fields) => {
      await until(async () => find(fields) !== undefined, JSON.stringify(fields), 60_000);
      return find(fields) ?? {};
    },
    ended: once(child, 'close').then(([code]) => [code as number | null, stderr] as const),
  };
}

/** Accepts and says nothing, until it is told to go on to the server. */
async function silentServer(server: Target) {
  const sockets: Socket[] = [];
  const listener: Server = createServer((socket) => sockets.push(socket));
  listener.listen(0, '127.0.0.1');
  const reached = once(listener, 'connection');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  return {
    target: { ...server, host: '127.0.0.1', port },
    reached,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

const [server] = testServers();
if (server === undefined) throw new Error('there is a server');

describe.each(WORKERS)('with UNDROP_WORKERS=%s', (workers) => {
  /** In one process or in several; in a long run in both. */
  const test = (name: string, run: () => Promise<void>): void => {
    if (sample(WORKERS, { name, count: 1 }).includes(workers)) jestTest(name, run);
  };

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} while it starts ends it, with a line of the log`, async () => {
      const silent = await silentServer(server);
      const proxy = startProxy(silent.target, { WORKERS: workers });
      await silent.reached;
      proxy.kill(signal);
      await proxy.line({ event: 'signal', signal, msg: 'ending before clients are served' });
      expect(await proxy.ended).toEqual([0, '']);
      silent.close();
    });
  }

  test('one that comes before anything is loaded is not lost', async () => {
    const proxy = startProxy(server, { WORKERS: workers });
    await until(async () => handles(proxy.pid, SIGHUP), 'it listens for signals');
    proxy.kill('SIGTERM');
    await proxy.line({ event: 'signal', signal: 'SIGTERM' });
    expect(await proxy.ended).toEqual([0, '']);
  });

  test('SIGHUP while it starts has the settings read anew when it serves', async () => {
    const proxy = startProxy(server, { WORKERS: workers });
    await until(async () => handles(proxy.pid, SIGHUP), 'it listens for signals');
    proxy.kill('SIGHUP');
    await proxy.line({ event: 'ready' });
    await proxy.line({ event: 'reload' });
    proxy.kill('SIGTERM');
    expect(await proxy.ended).toEqual([0, '']);
  });

  test('SIGUSR1 opens no debugger, and SIGUSR2 ends nothing', async () => {
    const proxy = await spawnProxy(server, { WORKERS: workers });
    const pids = [proxy.child.pid ?? 0, ...workerPids(proxy)];
    expect(pids).toHaveLength(1 + Number(workers));
    let stderr = '';
    proxy.child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const signals = ['SIGUSR1', 'SIGUSR2'] as const;
    for (const pid of pids) for (const signal of signals) process.kill(pid, signal);
    const heard = (signal: string) => proxy.lines.some((line) => line['signal'] === signal);
    await until(async () => signals.every(heard), 'it has heard both');
    for (let count = 0; count < 4; count++) await (await connect(proxy)).end();
    await proxy.stop();
    expect([proxy.child.exitCode, stderr]).toEqual([0, '']);
    expect(proxy.lines.filter(({ msg }) => String(msg).includes('died'))).toEqual([]);
  });
});

/** Proxies for tests: in this process, or as a process of its own that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PROXY_KEYS, type ProxySettings } from '../../src/cli/settings.js';
import { loadSettings } from '../../src/config/load.js';
import { type Log, silentLog } from '../../src/log.js';
import { type CommandResult, tryCommand } from '../../throwaway-servers/run-command.js';
import { runInProcess } from './command-line.js';
import { type RunningProxy, startProxy } from './in-one-process.js';
import { until } from './poll.js';
import { isLong } from './sample.js';
import type { Target } from './servers.js';
import { SERVICE_ACCOUNT } from './service-account.js';

/** UNDROP_* variables without their prefix: `{ HOLD: '2s' }`. */
export type Variables = Readonly<Record<string, string>>;

/** As it is packed: one file, which a process has read in half the time of many. */
export const MAIN = fileURLToPath(new URL('../../undrop.mjs', import.meta.url));
/** A busy machine is slow, not wrong. */
const READY_MS = 120_000;
/** Tests that don't say otherwise have a proxy that leaves held tables alone. */
const DEFAULTS: Variables = {
  LISTEN: '127.0.0.1:0',
  ADMIN_LISTEN: '',
  COLLECT: 'off',
  GRACE: '0s',
  WORKERS: '1',
  DRAIN_TIMEOUT: '100ms',
};

/** The account of `upstream` where a test has one of its own; never the administrator's. */
export function environment(upstream: Target, variables: Variables): Record<string, string> {
  const { user, password } = upstream.user === 'root' ? SERVICE_ACCOUNT : upstream;
  const all = {
    UPSTREAM: `${upstream.host}:${upstream.port}`,
    USER: user,
    PASSWORD: password,
    ...DEFAULTS,
    ...variables,
  };
  return Object.fromEntries(Object.entries(all).map(([key, value]) => [`UNDROP_${key}`, value]));
}

/** Where clients of a proxy connect, with the accounts of the server behind it. */
export interface ProxyTarget extends Target, AsyncDisposable {
  stop(): Promise<void>;
}

/** A proxy in this process. */
export async function proxyInFront(
  upstream: Target,
  variables: Variables = {},
  log: Log = silentLog,
): Promise<ProxyTarget & { readonly running: RunningProxy; readonly settings: ProxySettings }> {
  const env = environment(upstream, variables);
  const { settings } = loadSettings(PROXY_KEYS, { flags: {}, env, file: null });
  const running = await startProxy(settings, log);
  const { user, password } = upstream;
  const address = addressOf(running.addresses[0]);
  const stop = () => running.stop({ timeoutMs: 100 });
  return { ...address, user, password, running, settings, stop, [Symbol.asyncDispose]: stop };
}

export interface ProxyProcess extends ProxyTarget {
  readonly child: ChildProcess;
  /** What it logged so far, a record a line. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  kill(signal: NodeJS.Signals): void;
  /** Resolves when its processes have ended; `lines` has all that they logged. */
  readonly ended: Promise<unknown>;
}

/** `host:port` of its admin listener, or the path of a socket, as it has logged it. */
export function adminOf({ lines }: Pick<ProxyProcess, 'lines'>): string {
  return String(lines.find(({ event }) => event === 'admin')?.['listen']);
}

/**
 * Ends, stops or wakes a proxy with all of its processes, as when its machine does; other signals
 * are for the first of them.
 */
function killAll(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  const isForAll = ['SIGKILL', 'SIGSTOP', 'SIGCONT'].includes(signal);
  const pids = isForAll ? [pid, ...childrenOf(pid)] : [pid];
  for (const one of pids) {
    try {
      process.kill(one, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function childrenOf(pid = 0): readonly number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** The processes that serve the clients of a proxy, those that have ended included. */
export function workerPids({ lines }: Pick<ProxyProcess, 'lines'>): readonly number[] {
  const serving = lines.filter(({ msg }) => msg === 'started a worker');
  return serving.map(({ pid }) => Number(pid));
}

/** Has it read its settings anew; hands back the line of its log that says so. */
export async function reloadBySignal({
  lines,
  kill,
}: Pick<ProxyProcess, 'lines' | 'kill'>): Promise<Readonly<Record<string, unknown>> | undefined> {
  const reloads = () => lines.filter(({ event }) => event === 'reload');
  const before = reloads().length;
  kill('SIGHUP');
  await until(() => reloads().length > before, 'a reload');
  return reloads().at(-1);
}

/** The newest process that serves no clients. */
export function controlPid(proxy: ProxyProcess): number {
  const proxies = workerPids(proxy);
  const controls = childrenOf(proxy.child.pid).filter((pid) => !proxies.includes(pid));
  return controls.at(-1) ?? 0;
}

/**
 * `undrop serve` as a process; resolves when it takes clients. `under`: a program that runs it,
 * with its arguments (`prlimit`). `main`: a copy of undrop.
 */
export async function spawnProxy(
  upstream: Target,
  variables: Variables = {},
  under: readonly string[] = [],
  main: string = MAIN,
): Promise<ProxyProcess> {
  const [program = process.execPath, ...args] = [...under, process.execPath, main, 'serve'];
  const child = spawn(program, args, {
    env: { ...process.env, ...environment(upstream, variables) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // Not `exit`: its last lines may come after that.
  const ended = once(child, 'close');
  const lines: Record<string, unknown>[] = [];
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ready = new Promise<Record<string, unknown>>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready: ${errors}`)), READY_MS);
    let pending = '';
    child.stdout.on('data', (chunk: Buffer) => {
      pending += chunk.toString();
      const complete = pending.split('\n');
      pending = complete.pop() ?? '';
      for (const line of complete) {
        const record = JSON.parse(line) as Record<string, unknown>;
        lines.push(record);
        // Where the server is not there, it waits for it, and takes clients all the same.
        if (record['event'] !== 'ready' && record['event'] !== 'waiting') continue;
        clearTimeout(timer);
        resolve(record);
      }
    });
    ended.then(() => {
      clearTimeout(timer);
      reject(new Error(`the proxy ended before it was ready: ${errors}`));
    }, reject);
  });
  try {
    const { listen } = await ready;
    const [first = ''] = listen as string[];
    const [host = '', port = ''] = first.split(':');
    const { user, password } = upstream;
    const stop = async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
    };
    return {
      host,
      port: Number(port),
      user,
      password,
      child,
      lines,
      ended,
      kill: (signal) => killAll(child.pid, signal),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/**
 * Runs a command of undrop (`['restore', 'd.t']`) with the service account, or its own: in this
 * process, because a process costs more than what it does; in a long run one of ten as one.
 */
export async function runUndrop(
  upstream: Target,
  args: readonly string[],
  variables: Variables = {},
): Promise<CommandResult> {
  if (isLong && commands++ % 10 === 0) return spawnUndrop(upstream, args, variables);
  return runInProcess(args, { PATH: process.env['PATH'], ...environment(upstream, variables) });
}

let commands = 0;

/** The same as a process of its own, as a person types it. */
export function spawnUndrop(
  upstream: Target,
  args: readonly string[],
  variables: Variables = {},
): Promise<CommandResult> {
  return tryCommand([process.execPath, MAIN, ...args], { env: environment(upstream, variables) });
}

function addressOf(address: RunningProxy['addresses'][number] | undefined) {
  if (address === undefined || 'socketPath' in address) throw new Error('expected a TCP address');
  return address;
}

/** Proxies for tests: in this process, or as a process of its own that can be killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSettings } from '../../src/config/load.js';
import { PROXY_KEYS, type ProxySettings } from '../../src/faces/cli/settings.js';
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
export type ProxyTarget = Target & AsyncDisposable & { stop(): Promise<void> };

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

type Fields = Readonly<Record<string, unknown>>;

/** A proxy from its first moment on. */
export type LaunchedProxy = ReturnType<typeof launchProxy>;

export type ProxyProcess = ProxyTarget & LaunchedProxy;

/** The lines of its log with these fields. */
export function linesWith({ lines }: Pick<ProxyProcess, 'lines'>, fields: Fields) {
  const wanted = Object.entries(fields);
  return lines.filter((line) => wanted.every(([key, value]) => line[key] === value));
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
  for (const one of isForAll ? [pid, ...childrenOf(pid)] : [pid]) signalTo(one, signal);
}

/** Sends a signal to a process that may have ended. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Of a process that may have ended. */
export function childrenOf(pid = 0): readonly number[] {
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
export async function reloadBySignal({ lines, kill }: Pick<ProxyProcess, 'lines' | 'kill'>) {
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

/** `undrop serve` as a process. `under`: a program that runs it; `main`: a copy of undrop. */
export function launchProxy(
  upstream: Target,
  variables: Variables = {},
  { under = [] as readonly string[], main = MAIN } = {},
) {
  const [program = process.execPath, ...args] = [...under, process.execPath, main, 'serve'];
  const child = spawn(program, args, {
    env: { ...process.env, ...environment(upstream, variables) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: Fields[] = [];
  let [pending, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    const complete = `${pending}${chunk.toString()}`.split('\n');
    pending = complete.pop() ?? '';
    for (const line of complete) lines.push(JSON.parse(line) as Fields);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return {
    child,
    /** What it logged so far, a record a line. */
    lines: lines as readonly Fields[],
    /** What it has written to standard error. */
    stderr: () => stderr,
    kill: (signal: NodeJS.Signals) => killAll(child.pid, signal),
    // Not `exit`: its last lines may come after that.
    ended: once(child, 'close'),
  };
}

/** Resolves when it takes clients. `under`: with its arguments (`prlimit`). */
export async function spawnProxy(
  upstream: Target,
  variables: Variables = {},
  under: readonly string[] = [],
  main: string = MAIN,
): Promise<ProxyProcess> {
  const launched = launchProxy(upstream, variables, { under, main });
  const { child, lines, stderr, ended } = launched;
  const ready = async () => {
    for (
      const signal = AbortSignal.timeout(READY_MS);
      ;
      await once(child.stdout, 'data', { signal })
    ) {
      // Where the server is not there, it waits for it, and takes clients all the same.
      const line = lines.find(({ event }) => event === 'ready' || event === 'waiting');
      if (line !== undefined) return line;
    }
  };
  const over = ended.then(() => {
    throw new Error(`the proxy ended before it was ready: ${stderr()}`);
  });
  try {
    const { listen } = await Promise.race([ready(), over]);
    const [first = ''] = listen as string[];
    const [host = '', port = ''] = first.split(':');
    const { user, password } = upstream;
    const stop = async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
    };
    const at = { host, port: Number(port), user, password };
    return { ...launched, ...at, stop, [Symbol.asyncDispose]: stop };
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
export function spawnUndrop(upstream: Target, args: readonly string[], variables: Variables = {}) {
  return tryCommand([process.execPath, MAIN, ...args], { env: environment(upstream, variables) });
}

function addressOf(address: RunningProxy['addresses'][number] | undefined) {
  if (address === undefined || 'socketPath' in address) throw new Error('expected a TCP address');
  return address;
}

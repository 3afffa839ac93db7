/** Proxies for tests: in this process, or as a process of its own that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { reportFailure, runCommandLine } from '../../src/cli/command-line.js';
import { type RunningProxy, startProxy } from '../../src/cli/proxy/proxy.js';
import { PROXY_KEYS, type ProxySettings } from '../../src/cli/settings.js';
import { loadSettings } from '../../src/config/load.js';
import { type Log, silentLog } from '../../src/log.js';
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
  const stop = () => running.stop({ timeoutMs: 1_000, idle: 'idle-end' });
  return { ...address, user, password, running, settings, stop, [Symbol.asyncDispose]: stop };
}

export interface ProxyProcess extends ProxyTarget {
  readonly child: ChildProcess;
  /** What it logged so far, a record a line. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  readonly ended: Promise<unknown>;
}

/**
 * `undrop serve` as a process; resolves when it takes clients. `under`: a program that runs it,
 * with its arguments (`prlimit`).
 */
export async function spawnProxy(
  upstream: Target,
  variables: Variables = {},
  under: readonly string[] = [],
): Promise<ProxyProcess> {
  const [program = process.execPath, ...args] = [...under, process.execPath, MAIN, 'serve'];
  const child = spawn(program, args, {
    env: { ...process.env, ...environment(upstream, variables) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
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
      kill: (signal) => child.kill(signal),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command of undrop (`['restore', 'd.t']`) with the service account, or its own: in this
 * process, because a process costs more than what it does; in a long run as one.
 */
export async function runUndrop(
  upstream: Target,
  args: readonly string[],
  variables: Variables = {},
): Promise<CommandResult> {
  if (isLong) return spawnUndrop(upstream, args, variables);
  const said = { stdout: '', stderr: '' };
  const shell = {
    args,
    env: { PATH: process.env['PATH'], ...environment(upstream, variables) },
    stdout: { write: (text: string) => (said.stdout += text) },
    stderr: { write: (text: string) => (said.stderr += text) },
    leaveSignals: () => undefined,
  };
  const code = await runCommandLine(shell).catch((error) => reportFailure(error, shell.stderr));
  return { code, ...said };
}

/** The same as a process of its own, as a person types it. */
export async function spawnUndrop(
  upstream: Target,
  args: readonly string[],
  variables: Variables = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [MAIN, ...args], {
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
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function addressOf(address: RunningProxy['addresses'][number] | undefined) {
  if (address === undefined || 'socketPath' in address) throw new Error('expected a TCP address');
  return address;
}

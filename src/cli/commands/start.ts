/**
 * `undrop start`, which `npm start` runs, is `serve` if UNDROP_UPSTREAM or a file of settings is
 * given, and else the demo on a throwaway server. `undrop demo --tour` shows a running demo off.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import { cacheFolder } from '../../../throwaway-servers/cache.js';
import { tryCommand } from '../../../throwaway-servers/run-command.js';
import { type DemoProxy, runDemo } from '../../demo/run-demo.js';
import { SHOP_SCHEMA } from '../../demo/shop.js';
import { findDemo } from '../../demo/state.js';
import { runTour } from '../../demo/tour.js';
import { leaveSignals } from '../signals.js';
import type { Out } from './with-pool.js';

const PROJECT = join(fileURLToPath(import.meta.url), '../../../../..');
const MAIN = join(PROJECT, 'build/src/cli/main.js');

/** What `start` and `demo` need of the command line. */
export interface StartDoors {
  /** `undrop serve` with that environment; resolves to the exit code. */
  readonly serve: (env: NodeJS.ProcessEnv) => Promise<number>;
  /** Throws UNDROP_CONFIG if `startProxy` would, for its variables. */
  readonly checkSettings: (variables: Readonly<Record<string, string>>) => void;
  /** Starts the proxy by UNDROP_* variables alone; it listens when this resolves. */
  readonly startProxy: (variables: Readonly<Record<string, string>>) => Promise<DemoProxy>;
}

/** Who sets one of these doesn't mean the demo, whose server lets root in without a password. */
const OF_PRODUCTION = ['UNDROP_USER', 'UNDROP_PASSWORD', 'UNDROP_PASSWORD_FILE'] as const;

/** `undrop start`: resolves to the exit code when it was told to end. */
export function runStart(env: NodeJS.ProcessEnv, out: Out, doors: StartDoors): Promise<number> {
  // A file of settings has the upstream in it, or `serve` says that it hasn't.
  if (!env['UNDROP_UPSTREAM'] && !env['UNDROP_CONFIG']) {
    const meant = OF_PRODUCTION.find((name) => env[name]);
    if (meant === undefined) return runDemoCommand(env, out, doors);
    out.write(`undrop: ${meant} is set, and UNDROP_UPSTREAM, the address of the server, is not.\n`);
    out.write(
      'Set it to be in front of that server, or unset both for a demo with its own server.\n',
    );
    return Promise.resolve(2);
  }
  out.write(`undrop: in front of ${env['UNDROP_UPSTREAM'] ?? 'the upstream given'}\n`);
  return doors.serve(env);
}

/** `undrop demo`. */
export async function runDemoCommand(
  env: NodeJS.ProcessEnv,
  out: Out,
  doors: StartDoors,
): Promise<number> {
  leaveSignals();
  const code = await runDemo({
    env,
    cache: cacheFolder(env, PROJECT),
    command: commandName(),
    write: (line) => out.write(line),
    checkSettings: doors.checkSettings,
    startProxy: doors.startProxy,
  });
  // Everything has been ended; what still hangs must not keep a terminal that was told to end.
  setTimeout(() => process.exit(code), 1_000).unref();
  return code;
}

/**
 * The UNDROP_* variables of the demo that runs on this machine, for commands typed beside it with
 * nothing configured; none if no demo runs.
 */
export async function demoVariables(): Promise<Readonly<Record<string, string>>> {
  const demo = await findDemo();
  return demo?.variables ?? {};
}

/** `undrop demo --tour`. Only beside a demo of this very account: the tour drops tables. */
export async function runTourCommand(env: NodeJS.ProcessEnv, out: Out): Promise<number> {
  const demo = await findDemo();
  if (demo === null) {
    out.write('No demo of your account runs on this machine:\n');
    out.write('type `npm start` in another terminal first.\n');
    return 1;
  }
  const mode = demo.variables['UNDROP_MODE'];
  if (mode !== 'hold') {
    out.write(
      `UNDROP_MODE of the demo is ${mode}: nothing would be held, so nothing is dropped.\n`,
    );
    return 1;
  }
  const { host, port } = demo.proxy;
  const ending = new AbortController();
  process.once('SIGINT', () => ending.abort());
  const connection = await createConnection({ host, port, user: demo.user });
  try {
    out.write(`Connected to ${host}:${port}, with ${demo.server} behind it.\n`);
    const variables = { ...env, ...demo.variables } as Record<string, string>;
    return await runTour({
      connection,
      schema: SHOP_SCHEMA,
      write: (line) => out.write(line),
      commandName: commandName(),
      command: (args) => tryCommand([process.execPath, MAIN, ...args], { env: variables }),
      signal: ending.signal,
    });
  } finally {
    connection.destroy();
  }
}

/** How the command is typed: in a clone of the project npx finds it, elsewhere it was installed. */
function commandName(): string {
  return existsSync(join(PROJECT, 'src')) ? 'npx undrop' : 'undrop';
}

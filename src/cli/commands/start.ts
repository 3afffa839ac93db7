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
import { runDemo } from '../../demo/run-demo.js';
import { SHOP_SCHEMA } from '../../demo/shop.js';
import { findDemo } from '../../demo/state.js';
import { runTour } from '../../demo/tour.js';
import { openLog } from '../../log.js';
import { settingsOf } from '../command-settings.js';
import { PROXY_KEYS } from '../settings.js';
import type { Shell } from '../shell.js';

const PROJECT = join(fileURLToPath(import.meta.url), '../../../../..');
const MAIN = join(PROJECT, 'build/src/cli/main.js');

/** Who sets one of these doesn't mean the demo, whose server lets root in without a password. */
const OF_PRODUCTION = ['UNDROP_USER', 'UNDROP_PASSWORD', 'UNDROP_PASSWORD_FILE'] as const;

/** The settings are read once more for the proxy, with their warnings. */
const SILENT = { write: () => undefined };

/** `undrop start`: resolves to the exit code when it was told to end. */
export async function runStart(shell: Shell): Promise<number> {
  const { env, stdout } = shell;
  // A file of settings has the upstream in it, or `serve` says that it hasn't.
  if (!env['UNDROP_UPSTREAM'] && !env['UNDROP_CONFIG']) {
    const meant = OF_PRODUCTION.find((name) => env[name]);
    if (meant === undefined) return runDemoCommand(shell);
    stdout.write(
      `undrop: ${meant} is set, and UNDROP_UPSTREAM, the address of the server, is not.\n` +
        'Set it to be in front of that server, or unset both for a demo with its own server.\n',
    );
    return 2;
  }
  stdout.write(`undrop: in front of ${env['UNDROP_UPSTREAM'] ?? 'the upstream given'}\n`);
  const { runServe } = await import('../serve.js');
  return runServe({}, shell);
}

/** `undrop demo`. */
export async function runDemoCommand(shell: Shell): Promise<number> {
  const { env, stdout, stderr } = shell;
  shell.leaveSignals();
  const code = await runDemo({
    env,
    cache: cacheFolder(env, PROJECT),
    command: commandName(),
    write: (line) => stdout.write(line),
    checkSettings: (variables) => {
      settingsOf({ env: { ...env, ...variables }, stderr: SILENT }, PROXY_KEYS, {});
    },
    startProxy: async (variables) => {
      const { startProxy } = await import('../proxy/proxy.js');
      const settings = settingsOf({ env: { ...env, ...variables }, stderr }, PROXY_KEYS, {});
      return startProxy(settings, openLog(settings, { pretty: stdout.isTTY === true }));
    },
  });
  // Everything has been ended; what still hangs must not keep a terminal that was told to end.
  setTimeout(() => process.exit(code), 1_000).unref();
  return code;
}

/** `undrop demo --tour`. Only beside a demo of this very account: the tour drops tables. */
export async function runTourCommand({ env, stdout: out }: Shell): Promise<number> {
  const demo = await findDemo();
  if (demo === null) {
    out.write(
      'No demo of your account runs on this machine:\ntype `npm start` in another terminal first.\n',
    );
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
    out.write(`Connected to ${host}:${port}, in front of ${demo.server}.\n`);
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

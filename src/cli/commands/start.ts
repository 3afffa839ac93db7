/**
 * `undrop start`, which `npm start` runs, is `serve` if UNDROP_UPSTREAM or a settings file is
 * given, and else the demo on a throwaway server. `undrop demo --tour` demonstrates a running demo.
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
import { proxySettingsOf } from '../settings.js';
import type { Shell } from '../shell.js';

const PROJECT = join(fileURLToPath(import.meta.url), '../../../../..');
const MAIN = join(PROJECT, 'build/src/cli/main.js');

/**
 * These settings indicate a real server, unlike the demo's, which accepts root without a password.
 */
const OF_PRODUCTION = ['UNDROP_USER', 'UNDROP_PASSWORD', 'UNDROP_PASSWORD_FILE'] as const;

/** The settings are read once more for the proxy, with their warnings. */
const SILENT = { write: () => undefined };

/** `undrop start`: resolves to the exit code when it ends. */
export async function runStart(shell: Shell): Promise<number> {
  const { env, stdout } = shell;
  // A settings file has the upstream, or `serve` reports that it is missing.
  if (!env['UNDROP_UPSTREAM'] && !env['UNDROP_CONFIG']) {
    const meant = OF_PRODUCTION.find((name) => env[name]);
    if (meant === undefined) return runDemoCommand(shell);
    stdout.write(
      `undrop: ${meant} is set, but UNDROP_UPSTREAM, the address of the server, is not.\n` +
        'Set it to run in front of that server, or unset both for a demo with a server of its own.\n',
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
      proxySettingsOf({ env: { ...env, ...variables }, stderr: SILENT });
    },
    startProxy: async (variables) => {
      const { Supervisor } = await import('../supervisor/supervisor.js');
      const { logLevel } = proxySettingsOf({ env: { ...env, ...variables }, stderr });
      const log = openLog({ logLevel, auditFile: '' }, { pretty: stdout.isTTY === true });
      const supervisor = new Supervisor({ flags: {}, log, variables });
      await supervisor.start();
      return { stop: () => supervisor.stop(new AbortController().signal) };
    },
  });
  // Everything has ended; a hanging rest must not keep the terminal.
  setTimeout(() => process.exit(code), 1_000).unref();
  return code;
}

/**
 * `undrop demo --tour`. Only beside a demo of this very OS account, because the tour drops tables.
 */
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
      `UNDROP_MODE of the demo is ${mode}: undrop would hold no table, so the tour drops none.\n`,
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

/** The command line of undrop: npx in a clone of the project, the installed command elsewhere. */
function commandName(): string {
  return existsSync(join(PROJECT, 'src')) ? 'npx undrop' : 'undrop';
}

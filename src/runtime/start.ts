/**
 * `undrop start`, which `npm start` runs, is `serve` if a URL, UNDROP_UPSTREAM or a settings file
 * is given, and else the demo on a throwaway server. `undrop demo --tour` demonstrates a running
 * demo.
 */

import {
  type Flags,
  flagText,
  PROXY_KEYS,
  type Shell,
  settingsOf,
  wrongUsage,
} from '../faces/cli/settings.js';
import { openLog } from '../log.js';

/**
 * These settings indicate a real server, unlike the demo's, which accepts root without a password.
 */
const OF_PRODUCTION = ['UNDROP_USER', 'UNDROP_PASSWORD', 'UNDROP_PASSWORD_FILE'] as const;

/** The settings are read once more for the proxy, with their warnings. */
const SILENT = { write: () => undefined };

/** `undrop start`: resolves to the exit code when it ends. */
export async function runStart(flags: Flags, shell: Shell): Promise<number> {
  const { env, stdout } = shell;
  const server = flagText(flags, 'server');
  if (server !== null) {
    const given = settingsIn(server);
    const where = 'programs connect to 127.0.0.1:3307, or to UNDROP_LISTEN';
    stdout.write(`undrop: in front of ${given.upstream}; ${where}\n`);
    return (await import('./serve.js')).runServe(given, shell);
  }
  // A settings file has the upstream, or `serve` reports that it is missing.
  if (!env['UNDROP_UPSTREAM'] && !env['UNDROP_CONFIG']) {
    const meant = OF_PRODUCTION.find((name) => env[name]);
    if (meant === undefined) return runDemoCommand({}, shell);
    stdout.write(
      `undrop: ${meant} is set, but UNDROP_UPSTREAM, the address of the server, is not.\n` +
        'Set it to run in front of that server, or unset both for a demo with a server of its own.\n',
    );
    return 2;
  }
  stdout.write(`undrop: in front of ${env['UNDROP_UPSTREAM'] ?? 'the upstream given'}\n`);
  return (await import('./serve.js')).runServe({}, shell);
}

/** Throws UNDROP_CONFIG. The account of the URL is the service account. */
function settingsIn(text: string) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== 'mysql:' || url.username === '' || !/^\/?$/.test(url.pathname)) {
    const found = text.replace(/:[^:@]*@/, ':…@');
    throw wrongUsage(`start: expected mysql://user:password@host:port, found ${found}.`);
  }
  const [user, password] = [url.username, url.password].map(decodeURIComponent);
  return { upstream: url.host, user, ...(password && { password }) };
}

/** `undrop demo`. */
export async function runDemoCommand(flags: Flags, shell: Shell): Promise<number> {
  const { env, stdout, stderr } = shell;
  shell.leaveSignals();
  const { runDemo, runTourOfDemo } = await import('../../demo/demo.js');
  if (flags['tour'] === true) return runTourOfDemo({ env, write: (text) => stdout.write(text) });
  const code = await runDemo({
    env,
    write: (line) => stdout.write(line),
    checkSettings: (variables) => {
      settingsOf({ env: { ...env, ...variables }, stderr: SILENT }, PROXY_KEYS, {});
    },
    startProxy: async (variables) => {
      const { Supervisor } = await import('./supervisor/supervisor.js');
      const ofProxy = { env: { ...env, ...variables }, stderr };
      const { logLevel } = settingsOf(ofProxy, PROXY_KEYS, {});
      const log = await openLog({ logLevel, auditFile: '' }, { pretty: stdout.isTTY === true });
      const supervisor = new Supervisor({ flags: {}, log, variables });
      await supervisor.start();
      return { stop: () => supervisor.stop(new AbortController().signal) };
    },
  });
  // Everything has ended; a hanging rest must not keep the terminal.
  setTimeout(() => process.exit(code), 1_000).unref();
  return code;
}

/**
 * `runDemo` runs a throwaway server with the shop in it and the proxy in front, and prints what to
 * try: `npm start` without configuration.
 *
 * Invariant: it ends by a signal, by the server's death or by an error, and in each case leaves no
 * process, port or folder behind.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import { UndropError } from '../src/errors.js';
import { cacheFolder } from '../throwaway-servers/cache.js';
import { productOf } from '../throwaway-servers/installation.js';
import { freePort } from '../throwaway-servers/launch.js';
import {
  openProgress,
  provideServer,
  type ThrowawayServer,
} from '../throwaway-servers/provider.js';
import { tryCommand } from '../throwaway-servers/run-command.js';
import { connectAsRoot } from '../throwaway-servers/supervised.js';
import { commandName, PROJECT } from './program.js';
import { fillShop, SHOP_ROWS, SHOP_SCHEMA } from './shop.js';
import { writeDemoState } from './state.js';

const PREFERRED_PORT = 3307;
const PREFERRED_ADMIN_PORT = 9307;
const PROXY_STOP_MS = 10_000;
const SERVICE_USER = 'undrop';
/** Placeholders for values that are known only when the server runs. */
const UPSTREAM_TO_BE = { UNDROP_UPSTREAM: '127.0.0.1:3306', UNDROP_USER: SERVICE_USER };
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The proxy as the demo sees it. */
interface DemoProxy {
  stop(): Promise<void>;
}

interface DemoParts {
  readonly env: NodeJS.ProcessEnv;
  readonly write: (text: string) => void;
  /** Throws UNDROP_CONFIG if the proxy could not start with these UNDROP_* variables. */
  readonly checkSettings: (variables: Readonly<Record<string, string>>) => void;
  /** Starts the proxy with these UNDROP_* variables; resolves once it listens. */
  readonly startProxy: (variables: Readonly<Record<string, string>>) => Promise<DemoProxy>;
  /** Provides the server; default: `provideServer`. */
  readonly provide?: typeof provideServer;
}

/** Runs until it is told to end; resolves to the exit code. */
export async function runDemo(parts: DemoParts): Promise<number> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  for (const signal of ENDING_SIGNALS) process.on(signal, end);
  // A closed terminal fails every write; the signal that comes with it ends the demo.
  process.stdout.on('error', end);
  try {
    return await runUntil(ending.signal, parts);
  } catch (error) {
    if (ending.signal.aborted) return 0;
    throw error;
  } finally {
    for (const signal of ENDING_SIGNALS) process.off(signal, end);
    process.stdout.off('error', end);
  }
}

async function runUntil(signal: AbortSignal, parts: DemoParts): Promise<number> {
  const { env, checkSettings, startProxy, provide = provideServer } = parts;
  checkSettings({ ...UPSTREAM_TO_BE, ...demoSettings(env, await chooseListen(env)) });
  const progress = openProgress(parts.write);
  const cache = cacheFolder(env, PROJECT);
  const server = await provide({ env, cache, progress, signal });
  try {
    progress.step('filling the shop');
    const password = await prepare(server);
    const listen = await chooseListen(env);
    const variables = {
      UNDROP_UPSTREAM: `${server.host}:${server.port}`,
      UNDROP_USER: SERVICE_USER,
      UNDROP_PASSWORD: password,
      // Its socket for commands is there, and gone with it.
      ...(server.folder === null ? {} : { RUNTIME_DIRECTORY: server.folder }),
      ...demoSettings(env, listen),
    };
    signal.throwIfAborted();
    progress.step('starting the proxy');
    const proxy = await startProxy(variables);
    try {
      const text = await announce(server, env, { listen, variables });
      progress.done();
      parts.write(text);
      if (!signal.aborted) await Promise.race([once(signal, 'abort'), server.ended]);
      if (signal.aborted) return 0;
      progress.say('the throwaway server ended unexpectedly');
      return 1;
    } finally {
      progress.step('ending the proxy');
      // A proxy that hangs must not keep the server alive.
      await Promise.race([proxy.stop(), sleep(PROXY_STOP_MS, undefined, { ref: false })]);
    }
  } finally {
    progress.step('ending the server');
    await server.stop();
    progress.say('removed, with all its data');
  }
}

/** Creates the shop and an account for the proxy; returns its password. */
async function prepare(server: ThrowawayServer): Promise<string> {
  const connection: Connection = await connectAsRoot({ host: server.host, port: server.port });
  try {
    await fillShop(connection);
    const password = randomBytes(16).toString('hex');
    await connection.query('CREATE USER ?@? IDENTIFIED BY ?', [SERVICE_USER, '%', password]);
    await connection.query('GRANT ALL ON *.* TO ?@? WITH GRANT OPTION', [SERVICE_USER, '%']);
    return password;
  } finally {
    connection.destroy();
  }
}

interface Listen {
  readonly host: string;
  readonly port: number;
  /** The preferred port, if it was taken. */
  readonly takenPort: number | null;
  /** Where the console is: UNDROP_ADMIN_LISTEN, else a free port of this machine. */
  readonly admin: string;
}

async function chooseListen(env: NodeJS.ProcessEnv): Promise<Listen> {
  const hint = env['UNDROP_LISTEN'];
  const given = /^([^,]+):(\d{1,5})$/.exec(hint ?? '');
  if (hint !== undefined && given === null) {
    const problems = `UNDROP_LISTEN: the demo expects one host:port, found ${JSON.stringify(hint)}.`;
    throw new UndropError('UNDROP_CONFIG', { problems });
  }
  const [, host = '127.0.0.1', port = ''] = given ?? [];
  const admin = env['UNDROP_ADMIN_LISTEN'] ?? `127.0.0.1:${await freePort(PREFERRED_ADMIN_PORT)}`;
  if (given !== null && port !== '0') return { host, port: Number(port), takenPort: null, admin };
  const free = await freePort(PREFERRED_PORT);
  return { host, port: free, takenPort: free === PREFERRED_PORT ? null : PREFERRED_PORT, admin };
}

/** Short times, so that a newcomer sees the whole lifecycle; the environment takes precedence. */
function demoSettings(
  env: NodeJS.ProcessEnv,
  { host, port, admin }: Listen,
): Record<string, string> {
  return {
    UNDROP_MODE: env['UNDROP_MODE'] ?? 'hold',
    UNDROP_HOLD: env['UNDROP_HOLD'] ?? '10m',
    UNDROP_MIN_HOLD: env['UNDROP_MIN_HOLD'] ?? env['UNDROP_HOLD'] ?? '10m',
    UNDROP_EVAC: env['UNDROP_EVAC'] ?? '1m',
    // The lines of removed tables would push its address away.
    UNDROP_LOG_LEVEL: env['UNDROP_LOG_LEVEL'] ?? 'warn',
    UNDROP_CHECK_INTERVAL: env['UNDROP_CHECK_INTERVAL'] ?? '5s',
    // The server is new, so there is nothing to wait for.
    UNDROP_GRACE: env['UNDROP_GRACE'] ?? '0s',
    UNDROP_LISTEN: `${host}:${port}`,
    // The default may be more than the open files of this machine are enough for.
    UNDROP_MAX_CONNECTIONS: env['UNDROP_MAX_CONNECTIONS'] ?? '1000',
    // Its end waits for nobody.
    UNDROP_DRAIN_TIMEOUT: '0s',
    UNDROP_ADMIN_LISTEN: admin,
  };
}

/** Publishes the address of the demo for commands in other terminals; returns what to print. */
async function announce(
  server: ThrowawayServer,
  env: NodeJS.ProcessEnv,
  { listen, variables }: { readonly listen: Listen; readonly variables: Record<string, string> },
): Promise<string> {
  const { user, folder } = server;
  const { host, port, takenPort, admin } = listen;
  const product = productOf(server);
  if (folder !== null) {
    const { pid } = process;
    await writeDemoState(folder, { pid, server: product, proxy: { host, port }, user, variables });
  }
  const clients = await findClients(env['PATH'] ?? '', server);
  const [hold, mode] = [variables['UNDROP_HOLD'] ?? '', variables['UNDROP_MODE'] ?? ''];
  const shown = { server: product, host, port, takenPort, admin, user, clients };
  return screen({ ...shown, command: commandName(), hold, mode });
}

/**
 * Names of command-line clients on `searchPath` that can log in to the server: those of MySQL 9
 * lack the one login plugin that MySQL 5.6 and MariaDB use.
 */
export async function findClients(
  searchPath: string,
  server: { readonly flavour: 'mysql' | 'mariadb'; readonly version: string },
): Promise<readonly string[]> {
  const takesNewLogin = server.flavour === 'mysql' && Number.parseFloat(server.version) >= 8;
  const usable = ['mysql', 'mariadb'].map(async (name) => {
    const version = await readClientVersion(name, searchPath);
    const isMysql9 = /Ver (9|\d\d)\.\d/.test(version ?? '') && !version?.includes('MariaDB');
    return version !== null && (takesNewLogin || !isMysql9) ? [name] : [];
  });
  return (await Promise.all(usable)).flat();
}

/** Its version text; null if it isn't installed. */
async function readClientVersion(name: string, searchPath: string): Promise<string | null> {
  try {
    const options = { env: { PATH: searchPath }, deadlineMs: 5_000 };
    const { code, stdout } = await tryCommand([name, '--version'], options);
    return code === 0 ? stdout : null;
  } catch (error) {
    if (error instanceof UndropError) return null;
    throw error;
  }
}

// ── the screen ──────────────────────────────────────────────────────────────────────────────────

interface ScreenFacts {
  /** `MySQL 9.7.4` … */
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** The wanted port, if another program had it; else null. */
  readonly takenPort: number | null;
  /** Where the console is; empty: there is none. */
  readonly admin: string;
  readonly user: string;
  /** Command-line clients on the PATH which can log in to the server. */
  readonly clients: readonly string[];
  /** The command line of undrop as the user types it: `npx undrop` in a clone. */
  readonly command: string;
  /** The hold time as configured: `10m`. */
  readonly hold: string;
  /** The mode as configured; only `hold` holds tables. */
  readonly mode: string;
}

/** The screen, with a newline at its end. */
export function screen(facts: ScreenFacts): string {
  const { host, port, takenPort, command } = facts;
  const rows = Object.entries(SHOP_ROWS).map(
    ([table, count]) => `${table} ${count.toLocaleString('en-US')}`,
  );
  const lines = [
    '',
    `undrop is ready on ${host}:${port}, in front of ${facts.server}.`,
    ...(takenPort === null
      ? []
      : [`(Port ${takenPort} is taken by another program, or another demo.)`]),
    `Drop what you like in the schema ${SHOP_SCHEMA}. Its rows:`,
    `  ${rows.join(', ')}.`,
    '',
    'Try in a second terminal, in this folder:',
    '',
    ...(facts.clients.length === 0 ? withoutClient(command) : withClient(facts)),
    '',
    ...(facts.admin === ''
      ? []
      : [
          `Or in a browser: http://${facts.admin}/console, as ${facts.user}, without a password.`,
          '',
        ]),
    facts.mode === 'hold'
      ? `A dropped or truncated table is held for ${spell(facts.hold)}, then removed.`
      : `UNDROP_MODE is ${facts.mode}: a dropped table is gone at once.`,
    'Ctrl-C ends the proxy and the server, and takes their data away.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}

/** `10m` in words; other texts unchanged. */
function spell(duration: string): string {
  const [, count, unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  if (count === undefined) return duration;
  const word = { s: 'second', m: 'minute', h: 'hour', d: 'day' }[unit] ?? unit;
  return count === '1' ? `1 ${word}` : `${count} ${word}s`;
}

function withClient({ clients, host, port, user, command }: ScreenFacts): readonly string[] {
  return [
    ...clients.map((client) => `  ${client} -h ${host} -P ${port} -u ${user} ${SHOP_SCHEMA}`),
    '    DROP TABLE orders, order_items;',
    '    SHOW DROPPED TABLES;',
    '    UNDROP TABLE orders;',
    '    exit',
    '',
    `  ${command} restore ${SHOP_SCHEMA}.order_items`,
    '',
    'Or watch all of it, without a client:',
    '',
    `  ${command} demo --tour`,
  ];
}

function withoutClient(command: string): readonly string[] {
  return [
    `  ${command} demo --tour`,
    '',
    'No MySQL client is installed here. This tour needs none: it drops two tables,',
    'lists them and restores one. For tables that you drop yourself:',
    '',
    `  ${command} list`,
    `  ${command} restore ${SHOP_SCHEMA}.order_items`,
  ];
}

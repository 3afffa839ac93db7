/**
 * Command-line clients from the private package roots, for tests and benches: a newcomer's tools
 * run against the proxy as they are. Invariant: no configuration file of the machine is read, no
 * password is asked for, and every run has a deadline.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { inRoot } from '../../throwaway-servers/apt-root.js';
import { type CommandResult, tryCommand } from '../../throwaway-servers/run-command.js';
import { aptFolder } from './apt-folder.js';
import { ensureInstalled, type ServerName } from './server-set.js';
import type { Target } from './servers.js';

interface ClientRow {
  /** The server of the set whose packages bring it along. */
  readonly from: ServerName;
  readonly program: string;
  readonly options?: readonly string[];
}

/** A dump of the shop has ten million. */
const DUMP_CHARS_MAX = 100_000_000;

const UTF8 = ['--default-character-set=utf8mb4'];

const CLIENTS = {
  'mysql-9.7': { from: 'mysql-9.7', program: 'mysql', options: UTF8 },
  'mysqldump-9.7': { from: 'mysql-9.7', program: 'mysqldump' },
  'mysqlbinlog-9.7': { from: 'mysql-9.7', program: 'mysqlbinlog' },
  'mariadb-10.11': { from: 'mariadb-10.11', program: 'mariadb', options: UTF8 },
  'mariadb-dump-10.11': { from: 'mariadb-10.11', program: 'mariadb-dump' },
  'mariadb-11.8': { from: 'mariadb-11.8', program: 'mariadb', options: UTF8 },
  'mariadb-dump-11.8': { from: 'mariadb-11.8', program: 'mariadb-dump' },
  'mariadb-binlog-11.8': { from: 'mariadb-11.8', program: 'mariadb-binlog' },
} as const satisfies Record<string, ClientRow>;

export type ClientName = keyof typeof CLIENTS;

/**
 * Runs a client against `target` with `args` behind the login. It hands back the exit code whatever
 * that is; standard output and error are UTF-8.
 */
export async function runClient(
  name: ClientName,
  target: Target,
  args: readonly string[],
  options: { readonly input?: string; readonly deadlineMs?: number } = {},
): Promise<CommandResult> {
  const argv = await clientCommand(name);
  return tryCommand([...argv, ...loginOptions(target), ...args], {
    deadlineMs: 120_000,
    outputCharsMax: DUMP_CHARS_MAX,
    ...options,
  });
}

/** One client's output is the other's input, byte for byte; the other's exit code and errors. */
export async function pipeClients(
  from: { readonly name: ClientName; readonly target: Target; readonly args: readonly string[] },
  to: { readonly name: ClientName; readonly target: Target; readonly args: readonly string[] },
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const start = (command: readonly string[], { target, args }: typeof from) => {
    const [program = '', ...options] = command;
    return spawn(program, [...options, ...loginOptions(target), ...args]);
  };
  const commands = [await clientCommand(from.name), await clientCommand(to.name)] as const;
  // Nothing is awaited until the pipe is laid: the output of a process that has ended is discarded.
  const [printer, client] = [start(commands[0], from), start(commands[1], to)];
  // What is left of it when the other has ended finds no reader.
  client.stdin.on('error', () => undefined);
  printer.stdout.pipe(client.stdin);
  let stderr = '';
  for (const child of [printer, client]) {
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
  }
  client.stdout.resume();
  const [code] = (await once(client, 'close')) as [number | null];
  // Else it waits for its reader, and the test for it.
  printer.kill();
  return { code, stderr };
}

/** The command line of a client up to its login. */
export async function clientCommand(name: ClientName): Promise<readonly string[]> {
  const { from, program, options = [] }: ClientRow = CLIENTS[name];
  const { template } = await ensureInstalled(from);
  const own = optionsOf(program, join(template, 'root/usr'));
  return [...inRoot(template, `usr/bin/${program}`), '--no-defaults', ...own, ...options];
}

/**
 * The command line of sysbench (bookworm's), its scripts found by name: `oltp_read_write` and so on
 * follow as the first argument.
 */
export async function sysbenchCommand(): Promise<{
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}> {
  const folder = await aptFolder('sysbench', 'bookworm');
  const scripts = join(folder, 'root/usr/share/sysbench');
  return {
    argv: inRoot(folder, 'usr/bin/sysbench'),
    env: {
      LUA_PATH: `${scripts}/?.lua;${scripts}/?/init.lua;./?.lua`,
      // For caching_sha2_password; the library would look in the system's folder.
      MARIADB_PLUGIN_DIR: join(folder, 'root/usr/lib/x86_64-linux-gnu/libmariadb3/plugin'),
    },
  };
}

/** What dumps a server, and what reads such a dump, by the name of their server. */
export const DUMP_TOOLS = {
  // Reloading where it came from: the server has its GTIDs already.
  'mysql-9.7': { client: 'mysql-9.7', dump: 'mysqldump-9.7', options: ['--set-gtid-purged=OFF'] },
  'mariadb-10.11': { client: 'mariadb-10.11', dump: 'mariadb-dump-10.11', options: [] },
  'mariadb-11.8': { client: 'mariadb-11.8', dump: 'mariadb-dump-11.8', options: [] },
} as const;

/** Servers that are dumped by the tools of their own version. */
export const DUMPED = ['mysql-9.7', 'mariadb-11.8'] as const;

/** Tools that are able to log in to the server. */
export function dumpTools({ name }: { readonly name: string }) {
  return DUMP_TOOLS[name === 'mysql-9.7' ? name : 'mariadb-10.11'];
}

/** Host, port and account as options of every client here. */
export function loginOptions(target: Target): readonly string[] {
  const { host, port, user, password } = target;
  const login = ['--protocol=TCP', `--host=${host}`, `--port=${port}`, `--user=${user}`];
  return password === '' ? login : [...login, `--password=${password}`];
}

/** They go before any other; without its plugin folder MariaDB's can't log in to MySQL 9. */
function optionsOf(program: string, usr: string): readonly string[] {
  if (program === 'mysqlbinlog') return [];
  return program.startsWith('mysql')
    ? [`--character-sets-dir=${join(usr, 'share/mysql/charsets')}`]
    : [`--plugin-dir=${join(usr, 'lib/x86_64-linux-gnu/libmariadb3/plugin')}`];
}

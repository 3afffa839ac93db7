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
  /** Options which go before any other. */
  readonly options: (root: string) => readonly string[];
}

/** A dump of the shop has ten million. */
const DUMP_CHARS_MAX = 100_000_000;

const CLIENTS = {
  'mysql-9.7': {
    from: 'mysql-9.7',
    program: 'usr/bin/mysql',
    options: (root) => [...mysqlOptions(root), '--default-character-set=utf8mb4'],
  },
  'mysqldump-9.7': { from: 'mysql-9.7', program: 'usr/bin/mysqldump', options: mysqlOptions },
  'mysqlbinlog-9.7': { from: 'mysql-9.7', program: 'usr/bin/mysqlbinlog', options: () => [] },
  'mariadb-10.11': {
    from: 'mariadb-10.11',
    program: 'usr/bin/mariadb',
    options: (root) => [...mariadbOptions(root), '--default-character-set=utf8mb4'],
  },
  'mariadb-dump-10.11': {
    from: 'mariadb-10.11',
    program: 'usr/bin/mariadb-dump',
    options: mariadbOptions,
  },
  'mariadb-11.8': {
    from: 'mariadb-11.8',
    program: 'usr/bin/mariadb',
    options: (root) => [...mariadbOptions(root), '--default-character-set=utf8mb4'],
  },
  'mariadb-dump-11.8': {
    from: 'mariadb-11.8',
    program: 'usr/bin/mariadb-dump',
    options: mariadbOptions,
  },
  'mariadb-binlog-11.8': {
    from: 'mariadb-11.8',
    program: 'usr/bin/mariadb-binlog',
    options: mariadbOptions,
  },
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
  const { from, program, options } = CLIENTS[name];
  const { template } = await ensureInstalled(from);
  const root = join(template, 'root');
  return [...inRoot(template, program), '--no-defaults', ...options(root)];
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

/** What dumps a server, and what reads such a dump; both must be able to log in to it. */
export function dumpTools(server: { readonly name: string }): {
  readonly client: ClientName;
  readonly dump: ClientName;
  readonly options: readonly string[];
} {
  if (server.name !== 'mysql-9.7') {
    return { client: 'mariadb-10.11', dump: 'mariadb-dump-10.11', options: [] };
  }
  // Reloading where it came from: the server has its GTIDs already.
  return { client: 'mysql-9.7', dump: 'mysqldump-9.7', options: ['--set-gtid-purged=OFF'] };
}

/** Host, port and account as options of every client here. */
export function loginOptions(target: Target): readonly string[] {
  const { host, port, user, password } = target;
  const login = ['--protocol=TCP', `--host=${host}`, `--port=${port}`, `--user=${user}`];
  return password === '' ? login : [...login, `--password=${password}`];
}

function mysqlOptions(root: string): readonly string[] {
  return [`--character-sets-dir=${join(root, 'usr/share/mysql/charsets')}`];
}

/** Without its plugin folder it could not log in to MySQL 9. */
function mariadbOptions(root: string): readonly string[] {
  const plugins = join(root, 'usr/lib/x86_64-linux-gnu/libmariadb3/plugin');
  return [`--plugin-dir=${plugins}`];
}

/**
 * The logins of the matrix of clients: each client with a password account of each plugin that the
 * server has, first with a cold cache of the server and then with a warm one, without TLS, directly
 * and through the proxy. Cells that fail are a closed list, with the words of client or server.
 */
import { randomBytes } from 'node:crypto';
import databases, { sql } from '@databases/mysql';
import { describe, expect, test } from '@jest/globals';
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { ensurePrograms, runPhp, runPymysql } from '../support/client-programs.js';
import type { ScriptJob } from '../support/client-script.js';
import { runClient } from '../support/clients.js';
import { LOGIN_PLUGINS, type LoginPlugin, pluginOptions } from '../support/login-plugins.js';
import { createMariadb } from '../support/mariadb.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { connect, query, startServer, type Target, testServerNames } from '../support/servers.js';

const PASSWORD = 'pa$$ word;';

interface Client {
  readonly client: string;
  /** Logs in and says who it is, or what went wrong. */
  readonly who: (target: Target) => Promise<string>;
}

const CLIENTS: readonly Client[] = [
  { client: 'mysql 9.7', who: (target) => whoByCli('mysql-9.7', target) },
  { client: 'mariadb 10.11', who: (target) => whoByCli('mariadb-10.11', target) },
  { client: 'mariadb 11.8', who: (target) => whoByCli('mariadb-11.8', target) },
  { client: 'mysql2', who: whoByMysql2 },
  { client: 'mariadb of npm', who: whoByMariadb },
  { client: '@databases/mysql', who: whoByDatabases },
  { client: 'PyMySQL', who: async (target) => (await runPymysql(jobOf(target))).text },
  { client: 'mysqli of PHP', who: async (target) => (await runPhp('mysqli', jobOf(target))).text },
  { client: 'PDO of PHP', who: async (target) => (await runPhp('pdo', jobOf(target))).text },
];

const UNLOADABLE = 'ERROR 2059 (HY000): Authentication plugin';
const UNKNOWN_TO_MYSQL2 = 'Server requests authentication using unknown plugin';
const UNKNOWN_TO_PHP = 'The server requested authentication method unknown to the client';

/** Cells that fail: client, plugin, words. Every other cell succeeds. */
const FAILURES: readonly (readonly [client: string, plugin: string, words: string])[] = [
  ['mysql 9.7', 'mysql_native_password', UNLOADABLE],
  ['mysql 9.7', 'ed25519', UNLOADABLE],
  ['mysql 9.7', 'parsec', UNLOADABLE],
  ['mariadb 10.11', 'parsec', 'ERROR 1045 (28000): Plugin parsec could not be loaded'],
  ['mysql2', 'ed25519', UNKNOWN_TO_MYSQL2],
  ['mysql2', 'parsec', UNKNOWN_TO_MYSQL2],
  ['@databases/mysql', 'ed25519', UNKNOWN_TO_MYSQL2],
  ['@databases/mysql', 'parsec', UNKNOWN_TO_MYSQL2],
  ['PyMySQL', 'parsec', "(2059, \"Authentication plugin 'b'parsec'' not configured\")"],
  ['mysqli of PHP', 'ed25519', UNKNOWN_TO_PHP],
  ['mysqli of PHP', 'parsec', UNKNOWN_TO_PHP],
  ['PDO of PHP', 'ed25519', UNKNOWN_TO_PHP],
  ['PDO of PHP', 'parsec', UNKNOWN_TO_PHP],
];

function failureOf({ client }: Client, { plugin }: LoginPlugin): string | null {
  const found = FAILURES.find(([one, other]) => one === client && other === plugin);
  return found?.[2] ?? null;
}

describe.each(testServerNames())('[24] %s (wire 24)', (name) => {
  const plugins = LOGIN_PLUGINS[name] ?? [];
  const { beforeAll, open } = inHooks();
  beforeAll(ensurePrograms);
  const server = open(() => startServer(name, pluginOptions(name)));
  const proxy = open(() => proxyInFront(server));

  const cells = sample(
    plugins.flatMap((plugin) => CLIENTS.map((client) => ({ client, plugin }))),
    { name, kind: ({ client, plugin }) => [client.client, plugin.plugin] },
  );

  test.each(cells.map((cell) => [cell.client.client, cell.plugin.plugin, cell] as const))(
    '%s by %s',
    async (_client, _plugin, { client, plugin }) => {
      const [direct, through] = await Promise.all(
        [server, proxy].map((target) => logInTwice(server, target, client, plugin)),
      );
      expect(through).toEqual(direct);
      const failure = failureOf(client, plugin);
      for (const said of through ?? []) expect(said).toContain(failure ?? '<user>@%');
    },
  );
});

/** With an account of its own, which nobody has used yet: what the server caches is cold. */
async function logInTwice(
  server: Target,
  { host, port }: Target,
  { who }: Client,
  { identified }: LoginPlugin,
): Promise<readonly string[]> {
  const user = `login_${randomBytes(4).toString('hex')}`;
  await query(server, `CREATE USER ${user}@'%' ${identified(PASSWORD)}`);
  const target = { host, port, user, password: PASSWORD };
  const said = [await who(target), await who(target)];
  await query(server, `DROP USER ${user}@'%'`);
  return said.map((text) =>
    text.replaceAll(user, '<user>').replaceAll(/\(conn:\d+/g, '(conn:<id>'),
  );
}

async function whoByCli(cli: CliName, target: Target): Promise<string> {
  const args = [...connectionOptions(cli), '--batch', '-e', 'SELECT CURRENT_USER()'];
  const { stdout, stderr } = await runClient(cli, target, args);
  return `${stdout}\n${stderr}`;
}

async function whoByMysql2(target: Target): Promise<string> {
  return orError(async () => {
    await using connection = await connect(target);
    const [rows] = await connection.query('SELECT CURRENT_USER() AS who');
    return rows;
  });
}

async function whoByMariadb(target: Target): Promise<string> {
  return orError(async () => {
    const connection = await createMariadb({ ...target, allowPublicKeyRetrieval: true });
    const rows: unknown = await connection.query('SELECT CURRENT_USER() AS who');
    await connection.end();
    return rows;
  });
}

async function whoByDatabases({ host, port, user }: Target): Promise<string> {
  return orError(async () => {
    const connectionString = `mysql://${user}:${encodeURIComponent(PASSWORD)}@${host}:${port}/`;
    const pool = databases.default({ connectionString, poolSize: 1, onError: () => undefined });
    try {
      return await pool.query(sql`SELECT CURRENT_USER() AS who`);
    } finally {
      await pool.dispose();
    }
  });
}

async function orError(run: () => Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await run());
  } catch (error) {
    const { message, errno } = error as { message: string; errno?: number };
    return `${errno} ${message}`;
  }
}

/** Everybody may be in there. */
function jobOf(target: Target): ScriptJob {
  return { target, schema: 'information_schema', infile: '', tls: false };
}

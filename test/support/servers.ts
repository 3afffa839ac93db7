/**
 * The real servers as a test sees them: the list for `describe.each`, connections, schemas of its
 * own and the server's general log. Invariant: a test finds all servers of the set, or fails.
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, ConnectionOptions, RowDataPacket } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { sample, testFile } from './sample.js';
import type { LaidServer, ServerName } from './server-set.js';
import { flavourOf, SERVER_NAMES, startFromSet } from './server-set.js';
import { makeServiceAccount } from './service-account.js';

const POLL_MS = 100;

/** A running server of the set; its jest worker has it alone. */
export type TestServer = Omit<ThrowawayServer, 'stop' | 'why' | 'ended' | 'folder'>;

/** Where a connection goes: a server, or the proxy in front of one. */
export type Target = Pick<TestServer, 'host' | 'port' | 'user' | 'password'>;

/**
 * The servers of this test file, for `describe.each(testServers())('$name', (server) => …)`: in a
 * long run all of them, otherwise one MySQL and one MariaDB, which the seed of the run chooses for
 * each file anew.
 */
export function testServers(): readonly TestServer[] {
  return onesOfThisFile(allTestServers());
}

/** The names of `testServers()`, for files that start servers of their own. */
export function testServerNames(): readonly ServerName[] {
  const names = SERVER_NAMES.map((name) => ({ name, flavour: flavourOf(name) }));
  return onesOfThisFile(names).map(({ name }) => name);
}

/** What global-setup.ts has started, or why it could not. */
export interface ServerSets {
  /** One for each jest worker. */
  readonly sets: readonly (readonly TestServer[])[];
  readonly error?: string;
}

const serverSets = await whenStarted(process.env['TEST_SERVER_SETS']);

/** All servers of the set, for what each of them must be met by in every run. */
export function allTestServers(): readonly TestServer[] {
  if (serverSets.error !== undefined) throw new Error(serverSets.error);
  const worker = Number(process.env['JEST_WORKER_ID'] ?? '1');
  const set = serverSets.sets[worker - 1];
  if (set === undefined || set.length === 0) {
    throw new Error('No test servers: run this by jest project "server"; given ones, in band.');
  }
  return set;
}

/** The one of that name. */
export function testServer(name: string): TestServer {
  const found = allTestServers().find((server) => server.name === name);
  if (found === undefined) throw new Error(`There is no test server named ${name}.`);
  return found;
}

/** Downloads have deadlines of their own; a test file waits as long as they take. */
async function whenStarted(file: string | undefined): Promise<ServerSets> {
  // Jest's own process loads this file before there are any, and so do the benchmarks.
  if (file === undefined) return { sets: [] };
  while (!existsSync(file)) await sleep(POLL_MS);
  return JSON.parse(readFileSync(file, 'utf8')) as ServerSets;
}

function onesOfThisFile<One extends Pick<TestServer, 'name' | 'flavour'>>(ones: readonly One[]) {
  const kind = ({ flavour }: One) => flavour;
  const chosen = sample(ones, { name: 'servers', kind });
  tellWhich(chosen.map(({ name }) => name));
  return chosen;
}

/** scripts/test.mjs says at the end how many files met which server. */
function tellWhich(names: readonly string[]): void {
  const file = process.env['TEST_SERVERS_FILE'];
  if (file !== undefined) appendFileSync(file, `${testFile()} ${names.join(' ')}\n`);
}

/** A name, or several with dots between them, as SQL has it. */
export function quoted(...names: readonly unknown[]): string {
  return names.map((name) => `\`${String(name).replaceAll('`', '``')}\``).join('.');
}

/** A server of the set for one test alone, with more options; the test stops it. */
export async function startServer(name: string, extraOptions: readonly string[] = []) {
  const server = await startFromSet(name as LaidServer, extraOptions);
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop() });
}

/** A mysql2 connection with the words that most tests need. */
export type Session = ReturnType<typeof asSession>;

/** Whether there is such a session, by a condition on the server's PROCESSLIST. */
export async function hasProcess(server: Target, condition: string): Promise<boolean> {
  return (await query(server, processes(condition))).length > 0;
}

function processes(condition: string): string {
  return `SELECT ID FROM information_schema.PROCESSLIST WHERE ${condition}`;
}

type SessionError = { readonly errno: number; readonly sqlState: string; readonly message: string };

/** A session as root, or as `options` say. The caller ends it. */
export async function connect(server: Target, options: ConnectionOptions = {}): Promise<Session> {
  const { host, port, user, password } = server;
  const login = { host, port, user, password, connectTimeout: 60_000, ...options };
  return asSession(await createConnection(login));
}

function asSession(connection: Connection) {
  /** The rows of one text. */
  const rows = async <Row = RowDataPacket>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> => {
    const [found] = await connection.query<RowDataPacket[]>(text, [...values]);
    return found as unknown as Row[];
  };
  /** The values of the first column. */
  const column = async <Value = string>(
    text: string,
    values?: readonly unknown[],
  ): Promise<Value[]> => {
    const found = await rows<Record<string, Value>>(text, values);
    return found.flatMap((row) => Object.values(row).slice(0, 1));
  };
  /** The error of a text; null where it succeeds. */
  const errorOf = (text: string) =>
    connection.query(text).then(
      () => null,
      ({ errno, sqlState, message }: SessionError) => ({ errno, sqlState, message }),
    );
  return Object.assign(connection, {
    rows,
    column,
    errorOf,
    /** Runs texts one after another. */
    run: async (...texts: readonly string[]) => {
      for (const text of texts) await connection.query(text);
    },
    /** The names in a schema, in order; by default in its own. */
    tables: (schema?: string) =>
      column<string>(
        `SELECT TABLE_NAME AS name FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) ORDER BY TABLE_NAME`,
        [schema ?? null],
      ),
    count: async (table: string) => Number((await column(`SELECT COUNT(*) AS n FROM ${table}`))[0]),
    /** Whether there is such a session, by a condition on the server's PROCESSLIST. */
    hasProcess: async (condition: string) => (await rows(processes(condition))).length > 0,
    show: async (table: string) => {
      const [row] = await rows<Record<string, string>>(`SHOW CREATE TABLE ${table}`);
      return String(row?.['Create Table']);
    },
    errnoOf: async (text: string) => (await errorOf(text))?.errno ?? null,
  });
}

/** Runs statements on a connection of their own, one after another; hands back the last's rows. */
export async function query<Row = Record<string, unknown>>(
  server: Target,
  ...statements: readonly string[]
): Promise<Row[]> {
  const isStateless = statements.every(
    (statement) => STATELESS.test(statement) && !OF_SESSION.test(statement),
  );
  if (!isStateless || !isOwn(server)) {
    // What it changes may be seen by new sessions alone.
    await takeIdle(server)?.end();
    return queryAfresh(server, statements);
  }
  const idle = takeIdle(server);
  try {
    return await queryOn<Row>(server, idle ?? (await connect(server)), statements);
  } catch (error) {
    // It has died since.
    const { fatal } = error as { readonly fatal?: boolean };
    if (idle === null || fatal !== true) throw error;
    return queryAfresh(server, statements);
  }
}

/**
 * Statements that neither depend on a session nor leave anything in it. A connection takes longer
 * than most of them, so the last one is kept for a moment.
 */
const STATELESS =
  /^\s*(SELECT|INSERT|UPDATE|DELETE|(CREATE|DROP) (TABLE|DATABASE|VIEW)|RENAME|ALTER TABLE|SHOW|TRUNCATE)\b/i;
const OF_SESSION =
  /@|_LOCK\b|\b(FOR UPDATE|CONNECTION_ID|SLEEP|PROCESSLIST|SESSION|VARIABLES|STATUS|LAST_INSERT_ID)\b/i;
const IDLE_MS = 1_000;

type Idle = { readonly connection: Connection; readonly timer: NodeJS.Timeout };

const idles = new Map<number, Idle>();

/** A server of the set, and not what stands in front of it. */
function isOwn({ port, user, password }: Target): boolean {
  if (user !== 'root' || password !== '') return false;
  return (serverSets.sets ?? []).some((set) => set.some((server) => server.port === port));
}

function takeIdle({ port }: Target): Connection | null {
  const idle = idles.get(port);
  if (idle === undefined) return null;
  idles.delete(port);
  clearTimeout(idle.timer);
  return idle.connection;
}

async function queryOn<Row>(server: Target, connection: Connection, statements: readonly string[]) {
  try {
    const rows = await runAll<Row>(connection, statements);
    takeIdle(server)?.destroy();
    const timer = setTimeout(() => takeIdle(server)?.destroy(), IDLE_MS).unref();
    idles.set(server.port, { connection, timer });
    return rows;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function queryAfresh<Row>(server: Target, statements: readonly string[]): Promise<Row[]> {
  await using connection = await connect(server);
  return await runAll<Row>(connection, statements);
}

async function runAll<Row>(connection: Connection, statements: readonly string[]): Promise<Row[]> {
  let rows: unknown = [];
  for (const statement of statements) [rows] = await connection.query(statement);
  return rows as Row[];
}

export type FreshSchema = AsyncDisposable & { readonly name: string; drop(): Promise<void> };

/** A new empty schema with a name that no other test has. */
export async function freshSchema(server: Target, prefix?: string): Promise<FreshSchema> {
  const name = newSchemaName(prefix);
  await makeSchema(server, name);
  const drop = () => dropSchema(server, name);
  return { name, drop, [Symbol.asyncDispose]: drop };
}

export function newSchemaName(prefix = 'test'): string {
  return `${prefix}_${randomBytes(5).toString('hex')}`;
}

export async function makeSchema(server: Target, name: string): Promise<void> {
  await query(server, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
}

/** Where it is there, and whatever keys from other schemas lead there. */
export async function dropSchema(server: Target, name: string): Promise<void> {
  await query(server, 'SET foreign_key_checks = 0', `DROP DATABASE IF EXISTS ${name}`);
}

export interface LoggedCommand {
  /** The server's thread id of the session. */
  readonly threadId: number;
  /** `Query`, `Prepare`, `Connect` … */
  readonly command: string;
  readonly text: string;
}

export type GeneralLog = Awaited<ReturnType<typeof generalLog>>;

/** Empties the general log and switches it on; everything that the server is sent gets there. */
export async function generalLog(server: Target) {
  const connection = await connect(server);
  const own = connection.threadId;
  await connection.run("SET GLOBAL log_output = 'TABLE'", 'TRUNCATE TABLE mysql.general_log');
  await connection.query('SET GLOBAL general_log = ON');
  /** Switches it off again and closes its connection. */
  const stop = async () => {
    await connection.run('SET GLOBAL general_log = OFF', "SET GLOBAL log_output = 'FILE'");
    await connection.end();
  };
  return {
    /** Everything since it was switched on, in order, without what reads it. */
    read: async () => {
      const commands = await connection.rows<LoggedCommand>(
        `SELECT thread_id AS threadId, command_type AS command,
                CONVERT(argument USING utf8mb4) AS text FROM mysql.general_log`,
      );
      return commands.filter(({ threadId }) => threadId !== own);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Reads UNDROP_TEST_SERVERS and asks each server for its version. */
export async function parseGivenServers(text: string): Promise<readonly TestServer[]> {
  return Promise.all(
    text.split(',').map(async (entry) => {
      const [, name = '', address = ''] = /^\s*([^=\s]+)=(\S+)\s*$/.exec(entry) ?? [];
      const url = new URL(address);
      const target = {
        host: url.hostname,
        port: Number(url.port || '3306'),
        user: decodeURIComponent(url.username),
        password: decodeURIComponent(url.password),
      };
      const [row] = await query<{ version: string }>(target, 'SELECT version() AS version LIMIT 1');
      const version = row?.version ?? '';
      const flavour = version.includes('MariaDB') ? 'mariadb' : 'mysql';
      await makeServiceAccount(target);
      return { name, flavour, version, ...target, socketPath: null, dataDir: null } as const;
    }),
  );
}

/**
 * The SQL of undrop: the `sql` tag of @databases for texts and values; identifiers by undrop's own
 * function, because the tag's `ident` refuses names that are legal in MySQL (all names outside
 * ASCII); the connections that it runs on, the values in their rows, and the facts of their server.
 *
 * Invariants: only `quoteIdentifier` puts a name into a text. A rendered value is correct for a
 * session with sql_mode '' and utf8mb4, which the prefix of each text sets (pool/lease.ts).
 */
import type { SQLQuery } from '@databases/mysql';
import { assert, UndropError } from '../errors.js';
import { NAME_CHARACTERS_MAX } from '../names/names.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import { parseServerVersion, SERVER_IDENTITY_SQL } from '../wire/connection/handshake-v10.js';
import { databasesSql } from './databases.js';

export type { SQLQuery };
/** The tag of @databases. */
export const sql = databasesSql;

/**
 * A RENAME of a table on MySQL before 8 and MariaDB makes the names of its foreign keys longer than
 * 64 characters, if they begin with its own: such a name works in a DROP, but not in an ADD.
 */
const KEY_NAME_CHARACTERS_MAX = 127;

/** `name` in backticks. Throws UNDROP_BAD_NAME if no server accepts the name. */
export function quoteIdentifier(name: string): string {
  return quote(name, NAME_CHARACTERS_MAX);
}

/** The same for an existing foreign key. */
export function quoteKeyName(name: string): string {
  return quote(name, KEY_NAME_CHARACTERS_MAX);
}

function quote(name: string, charactersMax: number): string {
  const length = Array.from(name).length;
  if (length === 0 || length > charactersMax || name.includes('\0')) {
    throw new UndropError('UNDROP_BAD_NAME', { name: JSON.stringify(name.slice(0, 80)) });
  }
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A name, or a qualified one: `ident('shop', 'orders')`. */
export function ident(...names: readonly string[]): SQLQuery {
  return sql.__dangerous__rawValue(names.map(quoteIdentifier).join('.'));
}

/** An existing foreign key. */
export function keyIdent(name: string): SQLQuery {
  return sql.__dangerous__rawValue(quoteKeyName(name));
}

/** The values for `IN (…)`; a list may not be empty, so NULL stands for no values. */
export function valueList(values: readonly (string | number)[]): SQLQuery {
  if (values.length === 0) return sql`NULL`;
  const list = values.map((value) => sql`${value}`);
  return sql.join(list, ', ');
}

/** `SERVER_IDENTITY_SQL` as a query. */
export function serverIdentity({ flavour }: Pick<ServerVersion, 'flavour'>): SQLQuery {
  return sql.__dangerous__rawValue(SERVER_IDENTITY_SQL[flavour]);
}

/** The facts that decide where the processlist is. */
export type ListedServer = Pick<ServerFacts, 'flavour' | 'versionId' | 'performanceSchema'>;

/** The processlist in its cheapest form. Rows of other users need PROCESS. */
export function processlistOf({ flavour, versionId, performanceSchema }: ListedServer): SQLQuery {
  return flavour === 'mysql' && versionId >= 80_022 && performanceSchema
    ? sql`performance_schema.processlist`
    : sql`information_schema.PROCESSLIST`;
}

/**
 * A condition on `STATE` of the process list: the session waits for another's lock. Not every state
 * that begins with `Waiting for` is one: a commit (`waiting for handler commit`, MySQL 8 and later)
 * and the states of replicas (`Waiting for semi-sync ACK …`) end by themselves.
 * https://dev.mysql.com/doc/refman/8.4/en/general-thread-states.html
 */
export const WAITS_FOR_LOCK = sql`(STATE LIKE 'Waiting for % lock'
  OR STATE = 'Waiting for table flush')`;

/** `SELECT, INSERT ON schema.*`; on the whole server if it is null. */
export function grantClause(rights: readonly string[], schema: string | null): SQLQuery {
  const arePlain = rights.every((right) => /^[A-Z_ ]+$/.test(right));
  assert(arePlain, 'a right is words');
  const on = schema === null ? '*' : quoteIdentifier(schema);
  return sql.__dangerous__rawValue(`${rights.join(', ')} ON ${on}.*`);
}

/** The comment in every statement of undrop: step and ledger id. */
export function note(step: string, id = ''): SQLQuery {
  assert(/^[a-z][a-z-]*$/.test(step) && /^[0-9a-f]*$/.test(id), 'a note is a word and an id');
  return sql.__dangerous__rawValue(`/* undrop ${step}${id === '' ? '' : ` ${id}`} */`);
}

// ── values of statements ─────────────────────────────────────────────────────────────────────────
// Rendered here, not by the driver, which would look for `?` in the whole text, names and comments
// included.

/** A statement with its values. */
export function renderQuery(query: SQLQuery): string {
  const { text } = query.format({
    escapeIdentifier: (name) => {
      throw new Error(`Names go through ident() of connections/sql.ts, not sql.ident: ${name}`);
    },
    formatValue: (value) => ({ placeholder: renderValue(value), value: undefined }),
  });
  return text;
}

/** The statements, rendered once: for a text that is sent many times. */
export function rendered(queries: readonly SQLQuery[]): SQLQuery {
  return sql.__dangerous__rawValue(queries.map(renderQuery).join(';\n'));
}

/** A literal. Dates in UTC, to the second. */
export function renderValue(value: unknown): string {
  switch (typeof value) {
    case 'number':
      assert(Number.isFinite(value), 'a number in SQL is finite');
      return String(value);
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? '1' : '0';
    case 'string':
      return `'${value.replaceAll(/['\\\0]/g, (char) => (char === '\0' ? '\\0' : char + char))}'`;
    default:
      if (value === null) return 'NULL';
      if (value instanceof Date) return `'${value.toISOString().slice(0, 19).replace('T', ' ')}'`;
      if (Buffer.isBuffer(value)) return `X'${value.toString('hex')}'`;
      throw new TypeError(`A value of SQL is a scalar, found ${typeof value}`);
  }
}

// ── connections: the server as other rooms see it (pool/open-pool.ts) ────────────────────────────

/** BIGINT comes as bigint, DECIMAL as string, DATETIME as a Date in UTC, BLOB as Buffer. */
export type Row = Readonly<Record<string, string | number | bigint | Date | Buffer | null>>;

/** The response to one statement: its rows (none for an OK), and the OK's count. */
export type Rows = readonly Row[] & { readonly affectedRows: number };

export interface RunOptions {
  /** Milliseconds until the connection is given up and destroyed; default 10,000. */
  readonly deadlineMs?: number;
  /**
   * False: don't run the text again on a new connection if the server denies a privilege, because
   * it may not run twice; true: run it on a new connection. Default: as `withNewPrivileges`.
   */
  readonly fresh?: boolean;
  /**
   * A further statement at the end of the text, as bytes in the charset that the text has set
   * before it; its response comes last. The connection is destroyed after it.
   */
  readonly last?: Buffer;
}

export interface ServiceConnection {
  /**
   * Runs one text (an array is joined by `;`): one round trip, one `Rows` for each statement. Stops
   * at the first error and rejects with the server's own (`isServerError`), or with
   * UNDROP_DEADLINE, or with UNDROP_SERVICE_FAILED if the connection broke
   * (UNDROP_UPSTREAM_UNREACHABLE or UNDROP_UPSTREAM_TLS if there was none). Outside a task an error
   * costs the connection, so an open transaction never reaches the next user.
   */
  run(text: SQLQuery | readonly SQLQuery[], options?: RunOptions): Promise<readonly Rows[]>;
  /**
   * The same server for texts with sql_log_bin on or, if `logged` is false, off: then a text that
   * writes rejects with 1227 if the account may not turn it off. It is on by default.
   */
  logging(logged: boolean): ServiceConnection;
}

/** A connection for as long as a task lasts. */
export interface TaskConnection extends ServiceConnection {
  /** The server's id of this connection, for KILL QUERY. */
  readonly threadId: number;
  /** The connection is destroyed after the task. */
  discard(): void;
  logging(logged: boolean): TaskConnection;
}

export interface TaskOptions {
  /** Not on the only connection of a pool that has but one (the collector's). */
  readonly apart?: boolean;
  /** On a new connection, as all later ones: it has the present privileges. */
  readonly fresh?: boolean;
}

export interface ServicePool extends ServiceConnection {
  /** Whether its texts are written to the binary log. */
  readonly isLogged: boolean;
  logging(logged: boolean): ServicePool;
  /**
   * Gives `fn` a connection of its own: GET_LOCK and session variables survive server errors in it,
   * but not a deadline. If `fn` throws, the connection is destroyed.
   */
  task<T>(fn: (connection: TaskConnection) => Promise<T>, options?: TaskOptions): Promise<T>;
  /** KILL QUERY, on a separate connection, so that a full pool can't delay it. */
  killQuery(threadId: number): Promise<void>;
  /** Whether a statement of undrop waits for a lock there; read on the same connection. */
  isWaiting(threadId: number): Promise<boolean>;
  /** Closes idle connections, waits (bounded) for running ones. May be called twice. */
  dispose(): Promise<void>;
}

// ── values of rows ───────────────────────────────────────────────────────────────────────────────
// Servers differ in the type of the same expression (a literal 1 is a BIGINT on MySQL and an INT on
// MariaDB), so each reader accepts all equivalent types.

function text(row: Row, column: string): string {
  const value = row[column];
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  assert(['string', 'number', 'bigint'].includes(typeof value), `column ${column} is text`);
  return String(value);
}

function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/** A number, also from BIGINT or DECIMAL; exact up to 2^53. */
function number(row: Row, column: string): number {
  const value = row[column] ?? Number.NaN;
  const number = Number(value);
  assert(!(value instanceof Date) && !Number.isNaN(number), `column ${column} is a number`);
  return number;
}

function numberOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : number(row, column);
}

/** A TINYINT; true: not 0. */
function flag(row: Row, column: string): boolean {
  return number(row, column) !== 0;
}

/** A DATETIME; service sessions run in UTC. */
function date(row: Row, column: string): Date {
  const value = row[column];
  assert(value instanceof Date, `column ${column} is a date`);
  return value;
}

function dateOrNull(row: Row, column: string): Date | null {
  return row[column] === null ? null : date(row, column);
}

/** Reads typed values from a row: `col.text(row, 'id')`. */
export const col = { text, textOrNull, number, numberOrNull, flag, date, dateOrNull };

// ── the server ───────────────────────────────────────────────────────────────────────────────────
// Its kind and its state. By SHOW VARIABLES, because it works on every server without an error for
// missing variables. Read again for each decision.

export type ServerFacts = Readonly<Awaited<ReturnType<typeof readServerFacts>>>;

const FACTS = [
  sql`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'read_only', 'super_read_only',
    'innodb_read_only', 'innodb_adaptive_hash_index', 'lower_case_table_names', 'server_uuid',
    'server_uid', 'server_id', 'hostname', 'datadir', 'port', 'performance_schema', 'wsrep_on',
    'group_replication_group_name')`,
  sql`SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'wsrep_cluster_state_uuid')`,
  sql`SELECT ${note('facts')} UTC_TIMESTAMP() AS utcNow`,
];

/** By the server's clock. */
export async function readNow(connection: ServiceConnection): Promise<Date> {
  const [[row = {}] = []] = await connection.run(
    sql`SELECT ${note('time')} UTC_TIMESTAMP() AS utcNow`,
  );
  return col.date(row, 'utcNow');
}

export async function readServerFacts(connection: ServiceConnection) {
  const [variableRows, statusRows, timeRows = []] = await connection.run(FACTS);
  const asMap = (rows: readonly Row[] = []) =>
    new Map(rows.map((row) => [col.text(row, 'Variable_name'), col.text(row, 'Value')]));
  const [variables, status] = [asMap(variableRows), asMap(statusRows)];
  const variable = (name: string): string => variables.get(name) ?? '';
  const utcNow = col.date(timeRows[0] ?? {}, 'utcNow');
  const uptimeS = Number(status.get('Uptime'));
  const version = variable('version');
  return {
    flavour: parseServerVersion(version).flavour,
    /** The server's own text: `10.11.19-MariaDB-log`. */
    version,
    /** 90704 for 9.7.4, 50624, 101119. */
    versionId: versionIdOf(version),
    readOnly: ['read_only', 'super_read_only', 'innodb_read_only'].some((name) =>
      isOn(variable(name)),
    ),
    adaptiveHashIndex: isOn(variable('innodb_adaptive_hash_index')),
    lowerCaseTableNames: lowerCaseOf(variable('lower_case_table_names')),
    /** Identifies the data directory: the uuid, or the nearest to it. */
    serverIdentity: identityOf(variable),
    /** Identifies a Galera cluster or a group; null: the server is in none. */
    cluster: clusterOf(variable, status.get('wsrep_cluster_state_uuid') ?? ''),
    performanceSchema: isOn(variable('performance_schema')),
    utcNow,
    /** By the server's uptime, to the second. */
    startedAt: new Date(utcNow.getTime() - uptimeS * 1000),
  };
}

/**
 * Numbers of SHOW GLOBAL STATUS by their names; values that a server doesn't report are missing.
 */
export async function readStatusVariables(
  connection: ServiceConnection,
  names: readonly string[],
  options: RunOptions = {},
): Promise<ReadonlyMap<string, number>> {
  const [rows = []] = await connection.run(
    sql`SHOW GLOBAL STATUS WHERE Variable_name IN (${valueList(names)})`,
    options,
  );
  return new Map(rows.map((row) => [col.text(row, 'Variable_name'), col.number(row, 'Value')]));
}

/** 90704 for `9.7.4-2`, 101119 for `10.11.19-MariaDB`. */
export function versionIdOf(version: string): number {
  const { versionId } = parseServerVersion(version);
  if (versionId > 0) return versionId;
  const cause = `its version is ${JSON.stringify(version)}`;
  const params = { step: 'read the version', server: 'the server', cause };
  throw new UndropError('UNDROP_SERVICE_FAILED', params);
}

function identityOf(variable: (name: string) => string): string {
  const own = variable('server_uuid') || variable('server_uid');
  return own || ['hostname', 'port', 'datadir', 'server_id'].map(variable).join('|');
}

function clusterOf(variable: (name: string) => string, galera: string): string | null {
  const id = isOn(variable('wsrep_on')) ? galera : variable('group_replication_group_name');
  return id === '' ? null : `cluster ${id}`;
}

/** MariaDB 12 has more values for read_only than ON and OFF; all of them refuse writes. */
function isOn(value: string): boolean {
  return !['', 'OFF', '0'].includes(value.toUpperCase());
}

function lowerCaseOf(value: string): 0 | 1 | 2 {
  return value === '1' ? 1 : value === '2' ? 2 : 0;
}

/** The first row may come after many that are marked as deleted. */
const SKIP_MS = 120_000;

/** Whether a table has rows that this account can see. Rejects with the server's error. */
export async function hasRows(
  pool: ServiceConnection,
  { id, schema, name }: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('rows', id)} 1 AS one FROM ${ident(schema, name)} LIMIT 1`,
    { deadlineMs: SKIP_MS },
  );
  return rows.length > 0;
}

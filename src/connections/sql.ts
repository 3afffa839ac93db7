/**
 * The SQL of undrop: the `sql` tag of @databases for texts and values; identifiers by undrop's own
 * function, because the tag's `ident` refuses names that are legal in MySQL (all names outside
 * ASCII); and the text that goes over the wire. Values are rendered here, not by the driver, which
 * would look for `?` in the whole text, names and comments included.
 *
 * Invariants: only `quoteIdentifier` puts a name into a text. A rendered text is correct for a
 * session with sql_mode '' and utf8mb4, which the prefix of each text sets in the same round trip,
 * before the server reads the rest of it.
 */
import type { SQLQuery } from '@databases/mysql';
import { assert, UndropError } from '../errors.js';
import { NAME_CHARACTERS_MAX } from '../names/names.js';
import { SERVER_IDENTITY_SQL, type ServerVersion } from '../wire/connection/handshake-v10.js';
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
  return values.length === 0
    ? sql`NULL`
    : sql.join(
        values.map((value) => sql`${value}`),
        ', ',
      );
}

/** `SERVER_IDENTITY_SQL` as a query. */
export function serverIdentity({ flavour }: Pick<ServerVersion, 'flavour'>): SQLQuery {
  return sql.__dangerous__rawValue(SERVER_IDENTITY_SQL[flavour]);
}

/** The processlist in its cheapest form. Rows of other users need PROCESS. */
export function processlistOf(
  server: Pick<ServerVersion, 'flavour' | 'versionId'> & { readonly performanceSchema: boolean },
): SQLQuery {
  const { flavour, versionId, performanceSchema } = server;
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
  assert(
    rights.every((right) => /^[A-Z_ ]+$/.test(right)),
    'a right is words',
  );
  const on = schema === null ? '*' : quoteIdentifier(schema);
  return sql.__dangerous__rawValue(`${rights.join(', ')} ON ${on}.*`);
}

/** The comment in every statement of undrop: step and ledger id. */
export function note(step: string, id = ''): SQLQuery {
  assert(/^[a-z][a-z-]*$/.test(step) && /^[0-9a-f]*$/.test(id), 'a note is a word and an id');
  return sql.__dangerous__rawValue(`/* undrop ${step}${id === '' ? '' : ` ${id}`} */`);
}

// ── texts ──────────────────────────────────────────────────────────────────────────────────────

/**
 * The settings at the start of every text, whatever ran before on its connection. A lock is waited
 * for one second at most; statement-timeout.ts has shorter waits.
 */
const SETTINGS = [
  ...['NAMES utf8mb4', "sql_mode=''", "time_zone='+00:00'", 'autocommit=1', 'lock_wait_timeout=1'],
  ...['innodb_lock_wait_timeout=3', 'sql_safe_updates=0'],
  // DEFAULT would be the global value.
  ...['sql_select_limit=18446744073709551615', 'sql_big_selects=1', 'sql_quote_show_create=1'],
  ...['group_concat_max_len=1048576', 'foreign_key_checks=1', 'unique_checks=1'],
];

/**
 * Fresh row estimates, which undrop's reads don't write to the dictionary; and no time limit of the
 * server on statements, because undrop has its own (MariaDB skips comments for MySQL 5.7 and
 * later); and no missing object is passed over silently.
 */
const SETTINGS_OF_SOME = [
  ...[' /*!50708 , max_execution_time=0 */', ' /*!80000 , information_schema_stats_expiry=0 */'],
  ...[' /*M!100101 , max_statement_time=0 */', ' /*M!100502 , sql_if_exists=0 */'],
].join('');

/** A separate statement, because the setting has another name on some servers. */
const WRITES = 'SET SESSION TRANSACTION READ WRITE';
/** The number of results to skip before those of the requested statements. */
export const ANSWERS_BEFORE = 2;

export interface RenderedText {
  readonly text: string;
  /** The number of results to skip after those of the requested statements. */
  readonly answersAfter: number;
}

/**
 * A text for one round trip. `last`: one more statement, in another charset; then each character of
 * the text is a byte. Nothing may follow it, because MySQL 5.6 would keep that as part of a
 * trigger.
 */
export function renderText(
  queries: readonly SQLQuery[],
  { logged, last }: { readonly logged: boolean; readonly last?: Buffer | undefined },
): RenderedText {
  assert(queries.length > 0, 'a text has a statement');
  const unlogged = logged ? '' : ', sql_log_bin=0';
  const prefix = `SET ${SETTINGS.join(', ')}${unlogged}${SETTINGS_OF_SOME}`;
  const text = [prefix, WRITES, ...queries.map(renderQuery)].join(';\n');
  if (last !== undefined) {
    const bytes = Buffer.concat([Buffer.from(`${text};\n`), last]);
    return { text: bytes.toString('latin1'), answersAfter: 0 };
  }
  if (logged) return { text, answersAfter: 0 };
  return { text: `${text};\nSET sql_log_bin=1`, answersAfter: 1 };
}

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
  /** False runs the text with sql_log_bin off; 1227 if the account may not. Default true. */
  readonly logged?: boolean;
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
}

/** A connection for as long as a task lasts. */
export interface TaskConnection extends ServiceConnection {
  /** The server's id of this connection, for KILL QUERY. */
  readonly threadId: number;
  /** The connection is destroyed after the task. */
  discard(): void;
}

export interface TaskOptions {
  /** Not on the only connection of a pool that has but one (the collector's). */
  readonly apart?: boolean;
  /** On a new connection, as all later ones: it has the present privileges. */
  readonly fresh?: boolean;
}

export interface ServicePool extends ServiceConnection {
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

/**
 * The schemas and tables that undrop keeps on the server: creating and checking them.
 * It looks first and creates only what is missing, because even `CREATE … IF NOT EXISTS` of what
 * exists is written to the binary log. It may run twice, and from two proxies at once.
 *
 * Invariant: no name here matches the pattern of held tables; the collector never sees them.
 */

import { isConnectionLost, isServerError, unlessRefused } from '../connections/errors.js';
import type { ListedServer, ServiceConnection, ServicePool, SQLQuery } from '../connections/sql.js';
import { col, ident, note, processlistOf, sql } from '../connections/sql.js';
import { type ErrorCode, UndropError } from '../errors.js';
import { isLocalSchema, RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../names/names.js';
import * as ER from '../wire/server-errors.js';

/**
 * Version of the ledger's tables. A ledger of the next version is used as well, so that two
 * neighbouring versions can run side by side (docs/inside/decisions/undo.md).
 */
export const LEDGER_VERSION = 4;
const NEWEST_VERSION = LEDGER_VERSION + 1;

export const LEDGER = ident(RECYCLE_SCHEMA, 'ledger');
/** Rows of tables that are, or may be, held. */
export const LIVE = sql`state IN ('intent', 'HOLD', 'PURGE', 'EVAC', 'DROP')`;
export const HISTORY = ident(RECYCLE_SCHEMA, 'history');
/** An assignment for a SET: the HOST of a session in the processlist; NULL: there is none. */
export function hostOfSession(server: ListedServer, threadId: number): SQLQuery {
  return sql`@undrop_host = (SELECT ${note('owner')} HOST
    FROM ${processlistOf(server)} WHERE ID = ${threadId})`;
}

/** The port in `@undrop_host`, the HOST of a session in the processlist; NULL over a socket. */
export const PORT_OF_HOST = sql`IF(@undrop_host LIKE '%:%',
  SUBSTRING_INDEX(@undrop_host, ':', -1), NULL)`;

/**
 * Rows by name, with numbers in `wakes`: the version of the ledger, and what operators set
 * (control.ts).
 */
export const CONTROL = ident(RECYCLE_SCHEMA, 'control');

export const CONTROL_CREATION = sql`CREATE TABLE IF NOT EXISTS ${CONTROL} (
  name VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  until_at DATETIME NULL,
  set_by VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  since DATETIME NOT NULL,
  wakes BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE=InnoDB`;

/** 'retired': of a ledger that `closeLedger` has closed. */
const VERSION_ROWS = sql`FROM ${CONTROL} WHERE name IN ('version', 'retired')`;

/** Has the version of a ledger that an earlier undrop uses, or used. */
export const VERSION_TABLE_BEFORE = 'ledger_version';
const VERSION_BEFORE = ident(RECYCLE_SCHEMA, VERSION_TABLE_BEFORE);

/** Created with the ledger; again by a writer, if it was dropped. */
export const HISTORY_CREATION = sql`CREATE TABLE IF NOT EXISTS ${HISTORY} (
  seq         CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at          DATETIME(6) NOT NULL,
  event       VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  id          CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  drop_id     CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  who         VARCHAR(512) NOT NULL,
  details     TEXT NOT NULL,
  uses        BIGINT UNSIGNED NOT NULL DEFAULT 0,
  row_logged  TINYINT NOT NULL DEFAULT 1,
  PRIMARY KEY (seq),
  KEY by_id (id),
  KEY by_event (event),
  KEY by_time (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`;

/** The running services (services.ts). */
export const PROXIES = ident(RECYCLE_SCHEMA, 'proxies');

/**
 * Replicas get the table, because rows of an account that may not switch sql_log_bin off follow.
 */
const PROXIES_CREATION = sql`CREATE TABLE IF NOT EXISTS ${PROXIES} (
  id            CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  row_logged    TINYINT NOT NULL,
  host          VARCHAR(255) NOT NULL,
  listen        VARCHAR(1024) NOT NULL,
  version       VARCHAR(64) NOT NULL,
  started_at    DATETIME NOT NULL,
  seen_at       DATETIME NOT NULL,
  processes     INT UNSIGNED NOT NULL,
  collector_id  BIGINT UNSIGNED NULL,
  settings      TEXT NOT NULL,
  drops_sent    BIGINT UNSIGNED NULL,
  PRIMARY KEY (id, row_logged)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`;

/** Columns that were added since; a service of the previous version writes rows without them. */
const PROXIES_COLUMNS: ReadonlyMap<string, SQLQuery> = new Map([
  ['drops_sent', sql`BIGINT UNSIGNED NULL`],
]);

/** A ledger may have many rows; others read and write it meanwhile. */
const ADD_DEADLINE_MS = 3_600_000;

/** A column is missing; or `KNOWN_VERSION` found another version. */
const LEDGER_OTHER = [ER.BAD_FIELD_ERROR, ER.SUBQUERY_NO_1_ROW];

/** The account lacks a privilege, or the server is read-only. */
const NOT_ALLOWED = [...ER.ACCESS_DENIED, ...ER.READ_ONLY_SERVER];

/**
 * After a write that failed: resolves if one more try is worthwhile. If the ledger was dropped, it
 * is created again, empty, as at the start of a proxy. Rejects with `error` otherwise.
 */
export async function beforeNextTry(pool: ServicePool, error: unknown): Promise<void> {
  if (isServerError(error, ...ER.ABSENT_TABLE, ...LEDGER_OTHER)) await ensureLedger(pool);
  else if (!isConnectionLost(error) && !isServerError(error, ...ER.LOCK_NOT_GRANTED)) throw error;
}

/**
 * An assignment for the SET of a text that writes an intent: the text ends there with 1242 if
 * the ledger is of a version whose columns or meaning this program doesn't know.
 */
export const KNOWN_VERSION = sql`@undrop_version = (SELECT
  IF(MAX(wakes) BETWEEN ${LEDGER_VERSION} AND ${NEWEST_VERSION}, MAX(wakes),
    (SELECT 1 UNION SELECT 2)) ${VERSION_ROWS})`;

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE if the account may not, the server is read-only and has no
 * ledger yet, or the ledger is of an unknown version; with the pool's error if there is no server.
 */
export async function ensureLedger(pool: ServicePool): Promise<void> {
  await assertLedgerKnown(pool);
  try {
    const found = await readNames(pool, FIND_TABLES);
    const version = await readVersion(pool, READ_VERSION);
    if (version === null || !found.has('ledger')) await create(pool);
    // Without these drops are held all the same; an unlogged one stays in its own schema.
    if (!found.has(RECYCLE_SCHEMA_LOCAL)) await createLocal(pool);
    if (!found.has('proxies')) await unlessRefused(pool.run(PROXIES_CREATION), [], ...NOT_ALLOWED);
    else await unlessRefused(addColumns(pool, 'proxies', PROXIES_COLUMNS), null, ...NOT_ALLOWED);
    await addLedgerColumns(pool);
    await addKeys(pool);
    if (!found.has(VIEW)) await createView(pool);
    await pool.run(WRITES);
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE if the ledger is of an unknown version: then nothing is
 * written to it, and nothing collected by it. Null: there is none.
 */
export async function assertLedgerKnown(connection: ServiceConnection): Promise<number | null> {
  const own = await readVersion(connection, READ_VERSION);
  const before = await readVersion(connection, READ_VERSION_BEFORE);
  const isKnown = (version: number | null) =>
    version === null || (version >= LEDGER_VERSION && version <= NEWEST_VERSION);
  if (isKnown(own) && isKnown(before)) return own ?? before;
  const range = `knows ${LEDGER_VERSION} to ${NEWEST_VERSION}`;
  const version = isKnown(own) ? before : own;
  throw ledgerUnavailable(new Error(`its version is ${version}, this undrop ${range}`));
}

async function readVersion(connection: ServiceConnection, query: SQLQuery): Promise<number | null> {
  const [[row] = []] = await unlessRefused(connection.run(query), [], ...ER.ABSENT_TABLE);
  return row === undefined ? null : col.numberOrNull(row, 'version');
}

const READ_VERSION = sql`SELECT ${note('look')} MAX(wakes) AS version ${VERSION_ROWS}`;
const READ_VERSION_BEFORE = sql`SELECT ${note('look')} MAX(version) AS version
  FROM ${VERSION_BEFORE}`;

/** The error for a failed write to the ledger; a more specific one stays. */
export function ledgerUnavailable(cause: unknown): UndropError {
  if (cause instanceof UndropError && SAYS_ENOUGH.includes(cause.code)) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  return new UndropError('UNDROP_LEDGER_UNAVAILABLE', { server: 'the server', cause: text }, cause);
}

const SAYS_ENOUGH: readonly ErrorCode[] = [
  'UNDROP_LEDGER_UNAVAILABLE',
  'UNDROP_UPSTREAM_UNREACHABLE',
  'UNDROP_UPSTREAM_TLS',
];

/** The server checks these against the account's privileges, without executing them. */
const WRITES = [
  sql`EXPLAIN ${note('look')} INSERT INTO ${LEDGER} SELECT * FROM ${LEDGER} WHERE FALSE`,
  sql`EXPLAIN ${note('look')} UPDATE ${LEDGER} SET state = '' WHERE FALSE`,
  sql`EXPLAIN ${note('look')} DELETE FROM ${LEDGER} WHERE FALSE`,
];

const ASCII = sql`CHARACTER SET ascii COLLATE ascii_bin`;

/** Columns without a default: a ledger that lacks one of these is refused. */
const REQUIRED_COLUMNS: ReadonlyMap<string, SQLQuery> = new Map([
  ['id', sql`CHAR(32) ${ASCII} NOT NULL`],
  ['group_id', sql`CHAR(32) ${ASCII} NOT NULL`],
  ['proxy_id', sql`VARCHAR(64) NOT NULL`],
  ['thread_id', sql`BIGINT UNSIGNED NOT NULL`],
  ['schema_name', sql`VARCHAR(64) NOT NULL`],
  ['table_name', sql`VARCHAR(64) NOT NULL`],
  ['kind', sql`VARCHAR(16) NOT NULL`],
  ['dropped_at', sql`DATETIME NOT NULL`],
  ['user_name', sql`VARCHAR(128) NOT NULL`],
  ['client_address', sql`VARCHAR(255) NOT NULL`],
  ['statement_text', sql`MEDIUMTEXT NOT NULL`],
  ['hold_until', sql`DATETIME NOT NULL`],
  ['state', sql`VARCHAR(16) ${ASCII} NOT NULL`],
  ['state_since', sql`DATETIME NOT NULL`],
]);

/**
 * Columns that are NULL or have a default: a ledger that lacks one of these gets it at the start of
 * a proxy. Each column that is new belongs here, because a proxy of the previous commit goes on
 * writing rows without it.
 */
const OPTIONAL_COLUMNS: ReadonlyMap<string, SQLQuery> = new Map([
  ['upstream_port', sql`INT UNSIGNED NULL`],
  ['engine', sql`VARCHAR(64) NULL`],
  ['row_estimate', sql`BIGINT UNSIGNED NULL`],
  ['byte_estimate', sql`BIGINT UNSIGNED NULL`],
  ['pinned', sql`TINYINT NOT NULL DEFAULT 0`],
  ['hold_schema', sql`VARCHAR(64) NULL`],
  ['hold_name', sql`VARCHAR(64) NULL`],
  ['relocated', sql`TINYINT NOT NULL DEFAULT 0`],
  ['todo', sql`VARCHAR(32) ${ASCII} NULL`],
  ['failure', sql`VARCHAR(1024) NULL`],
  ['definition', sql`LONGTEXT NULL`],
  ['restore_script', sql`LONGTEXT NULL`],
  ['detached', sql`LONGTEXT NULL`],
  ['sql_log_bin', sql`TINYINT NOT NULL DEFAULT 1`],
  ['row_logged', sql`TINYINT NOT NULL DEFAULT 1`],
  ['ended_at', sql`DATETIME NULL`],
  ['restored_as', sql`VARCHAR(255) NULL`],
  ['created_at', sql`DATETIME NULL`],
  ['lengthened', sql`TINYINT NOT NULL DEFAULT 0`],
  ['account_name', sql`VARCHAR(128) NULL`],
  ['program', sql`VARCHAR(128) NULL`],
  ['client_details', sql`TEXT NULL`],
  ['locked_until', sql`DATETIME NULL`],
]);

/** A ledger that lacks one of these gets it at the start of a proxy: without it, lists are slow. */
const KEYS: ReadonlyMap<string, SQLQuery> = new Map([
  ['by_state', sql`state, relocated`],
  ['by_name', sql`schema_name, table_name`],
  ['by_group', sql`group_id`],
  ['by_todo', sql`todo`],
  ['by_size', sql`state, byte_estimate`],
  ['by_end', sql`state, pinned, hold_until`],
]);

const VIEW = 'dropped_tables';
const FIND_TABLES = sql`SELECT ${note('look')} TABLE_NAME AS name FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME IN ('ledger', 'proxies', ${VIEW})
  UNION ALL SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
    WHERE SCHEMA_NAME = ${RECYCLE_SCHEMA_LOCAL}`;

/**
 * An index of 5.6 takes 767 bytes, so 64 + 64 characters of utf8mb4 and no more. Names compare
 * binary: two tables for the server are two tables here.
 */
async function create(connection: ServiceConnection): Promise<void> {
  const columns = [...REQUIRED_COLUMNS, ...OPTIONAL_COLUMNS].map(columnText);
  await createSchema(connection, RECYCLE_SCHEMA);
  await connection.run([
    sql`CREATE TABLE IF NOT EXISTS ${LEDGER} (
      ${sql.join(columns, ', ')},
      PRIMARY KEY (id),
      ${sql.join([...KEYS].map(keyText), ', ')}
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
    HISTORY_CREATION,
    CONTROL_CREATION,
    // The last step, because the version stands for all tables.
    insertVersion('version', LEDGER_VERSION),
  ]);
}

function insertVersion(name: 'version' | 'retired', version: number): SQLQuery {
  return sql`INSERT IGNORE INTO ${CONTROL} (name, set_by, since, wakes)
    VALUES (${name}, '', UTC_TIMESTAMP(), ${version})`;
}

function keyText([name, columns]: readonly [name: string, columns: SQLQuery]): SQLQuery {
  return sql`KEY ${ident(name)} (${columns})`;
}

function columnText([name, type]: readonly [name: string, type: SQLQuery]): SQLQuery {
  return sql`${ident(name)} ${type}`;
}

async function addLedgerColumns(connection: ServiceConnection): Promise<void> {
  const found = await addColumns(connection, 'ledger', OPTIONAL_COLUMNS);
  const missing = [...REQUIRED_COLUMNS.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) throw new Error(`it lacks columns: ${missing.join(', ')}`);
}

/**
 * Reads the columns, because the table may be older than its version, by a restore for example.
 * Resolves to those that it had.
 */
async function addColumns(
  connection: ServiceConnection,
  table: string,
  columns: ReadonlyMap<string, SQLQuery>,
): Promise<ReadonlySet<string>> {
  const query = sql`SELECT ${note('look')} COLUMN_NAME AS name FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = ${table}`;
  const found = await readNames(connection, query);
  const target = ident(RECYCLE_SCHEMA, table);
  for (const column of columns) {
    if (!found.has(column[0])) await add(connection, target, sql`COLUMN ${columnText(column)}`);
  }
  return found;
}

async function addKeys(connection: ServiceConnection): Promise<void> {
  const query = sql`SELECT ${note('look')} INDEX_NAME AS name FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = 'ledger'`;
  const found = await readNames(connection, query);
  for (const key of KEYS) {
    if (found.has(key[0])) continue;
    // Drops are held without it.
    const added = add(connection, LEDGER, keyText(key));
    await unlessRefused(added, null, ...NOT_ALLOWED, ...ER.LOCK_NOT_GRANTED);
  }
}

async function readNames(
  connection: ServiceConnection,
  query: SQLQuery,
): Promise<ReadonlySet<string>> {
  const [rows = []] = await connection.run(query);
  return new Set(rows.map((row) => col.text(row, 'name')));
}

/**
 * Adds a column or a key while others write to the ledger: it waits for a lock for one second, so
 * that a drop which queues after it waits no longer; no rows are copied under a lock.
 */
async function add(connection: ServiceConnection, table: SQLQuery, what: SQLQuery): Promise<void> {
  const added = connection.run(
    sql`ALTER TABLE ${table} ADD ${what}, ALGORITHM=INPLACE, LOCK=NONE`,
    { deadlineMs: ADD_DEADLINE_MS },
  );
  // Another proxy may have added it.
  await unlessRefused(added, [], ER.DUP_FIELDNAME, ER.DUP_KEYNAME);
}

/** Creates a schema of undrop; a local one is not in the binary log. May run twice. */
export async function createSchema(connection: ServiceConnection, schema: string): Promise<void> {
  await connection.logging(!isLocalSchema(schema)).run(
    sql`CREATE DATABASE IF NOT EXISTS ${ident(schema)}
        DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  );
}

/**
 * Writes to a table beside the ledger, which `creation` (CREATE TABLE IF NOT EXISTS) makes if it is
 * absent; resolves to the number of changed rows.
 */
export async function writeOrCreate(
  connection: ServiceConnection,
  write: SQLQuery,
  creation: SQLQuery,
): Promise<number> {
  const run = async () => (await connection.run(write))[0]?.affectedRows ?? 0;
  try {
    return await run();
  } catch (error) {
    if (!isServerError(error, ...ER.ABSENT_TABLE)) throw error;
    await createBeside(connection, creation);
    return run();
  }
}

/** Replicas get the table, because rows that they get may follow. */
export async function createBeside(
  connection: ServiceConnection,
  creation: SQLQuery,
): Promise<void> {
  await createSchema(connection, RECYCLE_SCHEMA);
  await connection.logging(true).run(creation);
}

/**
 * Unlogged, because replicas must not have it. If the account may not, such drops stay in their
 * own schema.
 */
async function createLocal(connection: ServiceConnection): Promise<void> {
  await unlessRefused(createSchema(connection, RECYCLE_SCHEMA_LOCAL), undefined, ...NOT_ALLOWED);
}

/**
 * All that is held, for reports by SQL: the server evaluates it with the privileges of the account
 * that reads it (docs/undo.md).
 */
async function createView(connection: ServiceConnection): Promise<void> {
  const view = sql`CREATE SQL SECURITY INVOKER VIEW ${ident(RECYCLE_SCHEMA, VIEW)} AS
    SELECT id, group_id AS drop_id, schema_name, table_name, dropped_at, user_name, account_name,
      client_address, row_estimate, byte_estimate, state, pinned, hold_until, hold_schema,
      hold_name, statement_text
    FROM ${LEDGER} WHERE ${LIVE}`;
  const refusals = [...NOT_ALLOWED, ER.TABLE_EXISTS_ERROR];
  await unlessRefused(connection.run(view), [], ...refusals);
}

// ── rows that replicas do not see ────────────────────────────────────────────────────────────────
// Whether this account may switch sql_log_bin off. If it may, replicas don't get the ledger rows of
// drops that they don't get: a logged row would be an errant transaction there. Each row records
// whether it is logged, because a logged UPDATE of a row that a replica lacks would stop its
// replication.

const known = new WeakSet<ServicePool>();

/** Queried until it is true, because the account may get the privilege while the proxy runs. */
export async function mayUnlog(pool: ServicePool): Promise<boolean> {
  if (known.has(pool)) return true;
  const tried = pool.logging(false).run(sql`DO ${note('look')} 0`);
  const may = await unlessRefused(tried, null, ER.SPECIFIC_ACCESS_DENIED_ERROR);
  if (may !== null) known.add(pool);
  return may !== null;
}

// ── a ledger that is kept ────────────────────────────────────────────────────────────────────────
// Puts the ledger out of reach, before undrop's own schemas are dropped: it has another name, and a
// version that no proxy knows, so that none creates it anew. May be undone.
//
// Invariant: from `closeLedger` to `reopenLedger` no intent is written: an INSERT is in the ledger
// before its RENAME, or fails.

/** The name of the closed ledger. */
export const RETIRED_TABLE = 'ledger_retired';
const RETIRED = ident(RECYCLE_SCHEMA, RETIRED_TABLE);
/** Above any version. */
const NO_VERSION = 1_000_000;

export async function closeLedger(pool: ServicePool): Promise<void> {
  await writeOrCreate(pool, insertVersion('retired', NO_VERSION), CONTROL_CREATION);
  for (const close of [
    sql`INSERT ${note('retire')} IGNORE INTO ${VERSION_BEFORE} (version, made_at)
      VALUES (${NO_VERSION}, UTC_TIMESTAMP())`,
    sql`RENAME ${note('retire')} TABLE ${LEDGER} TO ${RETIRED}`,
  ]) {
    await unlessRefused(pool.run(close), [], ...ER.ABSENT_TABLE);
  }
}

/** Also of a command that was killed; if it isn't closed, this does nothing. */
export async function reopenLedger(pool: ServicePool): Promise<void> {
  for (const open of [
    sql`RENAME ${note('retire')} TABLE ${RETIRED} TO ${LEDGER}`,
    sql`DELETE ${note('retire')} FROM ${VERSION_BEFORE} WHERE version = ${NO_VERSION}`,
    sql`DELETE ${note('retire')} FROM ${CONTROL} WHERE name = 'retired'`,
  ]) {
    await unlessRefused(pool.run(open), [], ...ER.ABSENT_TABLE, ER.TABLE_EXISTS_ERROR);
  }
}

/** Whether the closed ledger has no table, and no schema, that is held or on its way. */
export async function isLedgerIdle(pool: ServicePool): Promise<boolean> {
  const look = pool.run(sql`SELECT ${note('retire')} COUNT(*) AS found FROM ${RETIRED}
    WHERE ${LIVE} OR state IN ('emptying', 'emptied')`);
  const [[row] = []] = await unlessRefused(look, [], ...ER.ABSENT_TABLE);
  return row === undefined || col.number(row, 'found') === 0;
}

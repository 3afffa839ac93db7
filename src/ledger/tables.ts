/**
 * The schemas and tables that undrop keeps on the server: creating, upgrading and checking them.
 * It looks first and creates only what is missing, because even `CREATE … IF NOT EXISTS` of what
 * exists is written to the binary log. It may run twice, and from two proxies at once.
 *
 * Invariant: no name here matches the pattern of held tables; the collector never sees them.
 */
import { type ErrorCode, UndropError } from '../errors.js';
import {
  FK_ERROR_CHILD,
  FK_ERROR_TABLES_MAX,
  fkErrorTableName,
  hasFkErrorTables,
} from '../names/names.js';
import { isLocalSchema, RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../names/recycle-schema.js';
import { isConnectionLost } from '../service/errors.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
  unlessRefused,
} from '../service/pool/pools.js';
import { numberOf, numberOrNullOf, textOf } from '../service/row.js';
import { versionIdOf } from '../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../service/sql.js';
import {
  ABSENT_TABLE,
  ACCESS_DENIED,
  ALGORITHM_NOT_SUPPORTED,
  ER_BAD_FIELD_ERROR,
  ER_DUP_FIELDNAME,
  ER_INNODB_MAX_ROW_VERSION,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ER_SUBQUERY_NO_1_ROW,
  ER_UNKNOWN_ALTER_ALGORITHM,
  LOCK_NOT_GRANTED,
  READ_ONLY_SERVER,
} from '../wire/server-errors.js';

/**
 * Version of the ledger's tables; two neighbouring versions can run side by side. There is no
 * version 3, because a proxy of version 2 would go on beside it and write `failure` without `todo`.
 */
export const LEDGER_VERSION = 4;
/** The oldest with every column that is written here, and the newest that this program knows of. */
const OLDEST_VERSION = 4;
const NEWEST_VERSION = LEDGER_VERSION + 1;

export const LEDGER = ident(RECYCLE_SCHEMA, 'ledger');
const VERSION_TABLE = ident(RECYCLE_SCHEMA, 'ledger_version');

/** A ledger may have many rows; others read and write it meanwhile. */
const UPGRADE_DEADLINE_MS = 3_600_000;

/** A column is missing; or `KNOWN_VERSION` found another version. */
const LEDGER_OTHER = [ER_BAD_FIELD_ERROR, ER_SUBQUERY_NO_1_ROW];

/** The account lacks a right, or the server is read-only. */
const NOT_ALLOWED = [...ACCESS_DENIED, ...READ_ONLY_SERVER];

/**
 * After a write that failed: resolves if it is worth one more try. If somebody has dropped
 * the ledger it is made again, empty, as at the start of a proxy; where it is another one by now
 * that is looked into. Rejects with `error` otherwise.
 */
export async function beforeNextTry(pool: ServicePool, error: unknown): Promise<void> {
  if (isServerError(error, ...ABSENT_TABLE, ...LEDGER_OTHER)) await ensureLedger(pool);
  else if (!isConnectionLost(error) && !isServerError(error, ...LOCK_NOT_GRANTED)) throw error;
}

/**
 * An assignment for the SET of a text that writes an intent: the text ends there with 1242 where
 * the ledger is of a version whose columns or meaning this program doesn't know.
 */
export const KNOWN_VERSION = sql`@undrop_version = (SELECT
  IF(MAX(version) BETWEEN ${OLDEST_VERSION} AND ${NEWEST_VERSION}, MAX(version),
    (SELECT 1 UNION SELECT 2)) FROM ${VERSION_TABLE})`;

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE where the account may not, the server is read-only and has
 * no ledger yet, a proxy that is too new made it, or it is being made anew for this one just now;
 * as the pool does where there is no server.
 */
export async function ensureLedger(pool: ServicePool): Promise<void> {
  await assertLedgerKnown(pool);
  try {
    const found = await look(pool);
    if (found.schemas === 0) await create(pool);
    else if (found.tables < 2 || (await readVersion(pool)) === null) await create(pool);
    if (!found.local) await createLocal(pool);
    await completeColumns(pool);
    if (((await readVersion(pool)) ?? LEDGER_VERSION) < LEDGER_VERSION) {
      await fillTodo(pool);
      await recordVersion(pool);
    }
    await ensureFkErrorTables(pool, { tolerate: NOT_ALLOWED });
    await pool.run(WRITES);
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE where the ledger is newer than what this program knows:
 * then nothing is written to it, and nothing collected by it. Where there is none it resolves.
 */
export async function assertLedgerKnown(connection: ServiceConnection): Promise<void> {
  try {
    const version = (await readVersion(connection)) ?? LEDGER_VERSION;
    if (version <= NEWEST_VERSION) return;
    throw ledgerUnavailable(
      new Error(
        `its version is ${version}, this undrop knows none above ${NEWEST_VERSION}: start a newer one`,
      ),
    );
  } catch (error) {
    if (!isServerError(error, ...ABSENT_TABLE)) throw error;
  }
}

/** For whatever kept a write from the ledger; what says enough by itself stays as it is. */
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

/** What is said of rows, judged by the account's rights and not executed. */
const WRITES = [
  sql`EXPLAIN ${note('look')} INSERT INTO ${LEDGER} SELECT * FROM ${LEDGER} WHERE FALSE`,
  sql`EXPLAIN ${note('look')} UPDATE ${LEDGER} SET state = '' WHERE FALSE`,
  sql`EXPLAIN ${note('look')} DELETE FROM ${LEDGER} WHERE FALSE`,
];

/** Every column that this version reads or writes. */
const COLUMNS: readonly string[] = [
  ...['id', 'group_id', 'proxy_id', 'thread_id', 'upstream_port', 'schema_name', 'table_name'],
  ...['kind', 'engine', 'dropped_at', 'user_name', 'client_address', 'statement_text'],
  ...['row_estimate', 'byte_estimate', 'hold_until', 'pinned', 'state', 'state_since'],
  ...['hold_schema', 'hold_name', 'relocated', 'failure', 'definition', 'restore_script'],
  ...['todo', 'detached', 'sql_log_bin', 'row_logged', 'ended_at', 'restored_as'],
];

interface Found {
  readonly schemas: number;
  readonly local: boolean;
  readonly tables: number;
}

async function look(connection: ServiceConnection): Promise<Found> {
  const [schemas = [], locals = [], tables = []] = await connection.run([
    countSchema(RECYCLE_SCHEMA),
    countSchema(RECYCLE_SCHEMA_LOCAL),
    sql`SELECT COUNT(*) AS n FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME IN ('ledger', 'ledger_version')`,
  ]);
  return {
    schemas: numberOf(schemas[0] ?? {}, 'n'),
    local: numberOf(locals[0] ?? {}, 'n') > 0,
    tables: numberOf(tables[0] ?? {}, 'n'),
  };
}

function countSchema(name: string) {
  return sql`SELECT ${note('look')} COUNT(*) AS n FROM information_schema.SCHEMATA
    WHERE SCHEMA_NAME = ${name}`;
}

async function readVersion(connection: ServiceConnection): Promise<number | null> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} MAX(version) AS version FROM ${VERSION_TABLE}`,
  );
  return numberOrNullOf(rows[0] ?? {}, 'version');
}

/**
 * An index of 5.6 takes 767 bytes, so 64 + 64 characters of utf8mb4 and no more. Names compare
 * binary: what the server says are two tables are two tables.
 */
async function create(connection: ServiceConnection): Promise<void> {
  await createSchema(connection, RECYCLE_SCHEMA);
  await connection.run([
    sql`CREATE TABLE IF NOT EXISTS ${LEDGER} (
      id              CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      group_id        CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      proxy_id        VARCHAR(64) NOT NULL,
      thread_id       BIGINT UNSIGNED NOT NULL,
      upstream_port   INT UNSIGNED NULL,
      schema_name     VARCHAR(64) NOT NULL,
      table_name      VARCHAR(64) NOT NULL,
      kind            VARCHAR(16) NOT NULL,
      engine          VARCHAR(64) NULL,
      dropped_at      DATETIME NOT NULL,
      user_name       VARCHAR(128) NOT NULL,
      client_address  VARCHAR(255) NOT NULL,
      statement_text  MEDIUMTEXT NOT NULL,
      row_estimate    BIGINT UNSIGNED NULL,
      byte_estimate   BIGINT UNSIGNED NULL,
      hold_until      DATETIME NOT NULL,
      pinned          TINYINT NOT NULL DEFAULT 0,
      state           VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      state_since     DATETIME NOT NULL,
      hold_schema     VARCHAR(64) NULL,
      hold_name       VARCHAR(64) NULL,
      relocated       TINYINT NOT NULL DEFAULT 0,
      todo            VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
      failure         VARCHAR(1024) NULL,
      definition      LONGTEXT NULL,
      restore_script  LONGTEXT NULL,
      detached        LONGTEXT NULL,
      sql_log_bin     TINYINT NOT NULL DEFAULT 1,
      row_logged      TINYINT NOT NULL DEFAULT 1,
      ended_at        DATETIME NULL,
      restored_as     VARCHAR(255) NULL,
      PRIMARY KEY (id),
      KEY by_state (state, relocated),
      KEY by_name (schema_name, table_name),
      KEY by_group (group_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
    sql`CREATE TABLE IF NOT EXISTS ${VERSION_TABLE} (
      version    INT NOT NULL,
      made_at    DATETIME NOT NULL,
      PRIMARY KEY (version)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
    sql`INSERT IGNORE INTO ${VERSION_TABLE} (version, made_at)
        VALUES (${LEDGER_VERSION}, UTC_TIMESTAMP())`,
  ]);
}

/** What came with a later version. Older proxies go on beside it: they name their columns. */
const LATER_COLUMNS: Readonly<Record<string, SQLQuery>> = {
  detached: sql`detached LONGTEXT NULL`,
  todo: sql`todo VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL`,
};

/** By what is there, and not by the version's number alone, which somebody may have restored. */
async function completeColumns(connection: ServiceConnection): Promise<void> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} COLUMN_NAME AS name FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = 'ledger'`,
  );
  const found = new Set(rows.map((row) => textOf(row, 'name')));
  const lost = COLUMNS.filter((name) => !found.has(name) && !Object.hasOwn(LATER_COLUMNS, name));
  if (lost.length > 0) throw new Error(`it lacks columns: ${lost.join(', ')}`);
  for (const [name, column] of Object.entries(LATER_COLUMNS)) {
    if (!found.has(name)) await addColumn(connection, column);
  }
}

/**
 * Adds a column while others write to the ledger: it waits for a lock for one second, as any
 * statement of ours, so that a drop which queues after it waits no longer; no rows are copied under
 * a lock.
 */
async function addColumn(connection: ServiceConnection, column: SQLQuery): Promise<void> {
  const options = { deadlineMs: UPGRADE_DEADLINE_MS };
  const add = sql`ALTER TABLE ${LEDGER} ADD COLUMN ${column}`;
  try {
    await connection.run(sql`${add}, ALGORITHM=INSTANT`, options);
  } catch (error) {
    // Another proxy has added the column.
    if (isServerError(error, ER_DUP_FIELDNAME)) return;
    if (!isServerError(error, ...NOT_INSTANT)) throw error;
    await connection.run(sql`${add}, ALGORITHM=INPLACE, LOCK=NONE`, options).catch(tolerateAdded);
  }
}

/** The server doesn't know the ALGORITHM, or can't do this ALTER with it (any more). */
const NOT_INSTANT = [
  ER_UNKNOWN_ALTER_ALGORITHM,
  ER_INNODB_MAX_ROW_VERSION,
  ...ALGORITHM_NOT_SUPPORTED,
];

function tolerateAdded(error: unknown): void {
  if (!isServerError(error, ER_DUP_FIELDNAME)) throw error;
}

/** `todo` of a row of version 2, which said it in the text of `failure` alone. */
export const TODO_IN_TEXT = sql`CASE
  WHEN failure LIKE 'it is being restored: %' THEN 'restoring'
  WHEN failure LIKE 'UNDROP\\_TORN: %' THEN 'torn'
  WHEN failure LIKE 'it has a DATA DIRECTORY, so %' THEN 'stays_file'
  WHEN failure LIKE 'it has partitions, which %' THEN 'stays_partitions'
  WHEN failure LIKE 'it stays in its own schema with its triggers, %' THEN 'stays_triggers'
  WHEN failure = 'the session that dropped it holds LOCK TABLES' THEN 'unlock'
  WHEN state <> 'HOLD' OR failure IS NULL THEN NULL
  WHEN hold_schema LIKE '\\_undrop%' THEN 'detach' ELSE 'relocate' END`;

/** Rows that were written by version 2. May run twice. */
async function fillTodo(pool: ServicePool): Promise<void> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('todo')} DISTINCT row_logged FROM ${LEDGER}
        WHERE todo IS NULL AND failure IS NOT NULL`,
    { deadlineMs: UPGRADE_DEADLINE_MS },
  );
  for (const row of rows) {
    const rowLogged = numberOf(row, 'row_logged') !== 0;
    const filled = pool.run(
      sql`UPDATE ${note('todo')} ${LEDGER} SET todo = ${TODO_IN_TEXT}
          WHERE todo IS NULL AND failure IS NOT NULL AND row_logged = ${rowLogged}`,
      { deadlineMs: UPGRADE_DEADLINE_MS, logged: rowLogged },
    );
    // The account was allowed once, when an unlogged row was written, and is not any more.
    await (rowLogged ? filled : unlessRefused(filled, [], ER_SPECIFIC_ACCESS_DENIED_ERROR));
  }
}

async function recordVersion(connection: ServiceConnection): Promise<void> {
  await connection.run(
    sql`INSERT IGNORE INTO ${VERSION_TABLE} (version, made_at)
        VALUES (${LEDGER_VERSION}, UTC_TIMESTAMP())`,
  );
}

/** One of our own schemas; a local one is none of the binary log. May run twice. */
export async function createSchema(connection: ServiceConnection, schema: string): Promise<void> {
  await connection.run(
    sql`CREATE DATABASE IF NOT EXISTS ${ident(schema)}
        DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    { logged: !isLocalSchema(schema) },
  );
}

/** Unlogged, as replicas must not have it. Where the account may not, such drops stay in place. */
async function createLocal(connection: ServiceConnection): Promise<void> {
  await unlessRefused(createSchema(connection, RECYCLE_SCHEMA_LOCAL), undefined, ...NOT_ALLOWED);
}

/**
 * Creates tables of ours that can't be dropped, because another one of ours refers to them. MySQL
 * before 8 names no parent in its error, but says a row for each parent before it, which nothing
 * else brings: so it is asked to drop these, in the user's session. They are empty: if one is
 * dropped after all, nothing is lost. Looks first, and may run twice.
 */
async function ensureFkErrorTables(
  connection: ServiceConnection,
  options: { readonly tolerate: readonly number[] },
): Promise<void> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} @@version AS version, COUNT(*) AS n FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = ${FK_ERROR_CHILD}`,
  );
  const [row = {}] = rows;
  const version = textOf(row, 'version');
  const flavour = /mariadb/i.test(version) ? 'mariadb' : 'mysql';
  if (!hasFkErrorTables({ flavour, versionId: versionIdOf(version) }) || numberOf(row, 'n') > 0)
    return;
  try {
    await connection.run([...parents(), child()]);
  } catch (error) {
    if (!isServerError(error, ...options.tolerate)) throw error;
  }
}

function parents(): readonly SQLQuery[] {
  return Array.from(
    { length: FK_ERROR_TABLES_MAX },
    (_, index) =>
      sql`CREATE TABLE IF NOT EXISTS ${ident(RECYCLE_SCHEMA, fkErrorTableName(index))} (
        id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB`,
  );
}

function child(): SQLQuery {
  const columns = Array.from({ length: FK_ERROR_TABLES_MAX }, (_, index) => {
    const column = ident(`id_${index + 1}`);
    return sql`${column} INT NULL, FOREIGN KEY (${column})
      REFERENCES ${ident(RECYCLE_SCHEMA, fkErrorTableName(index))} (id)`;
  });
  return sql`CREATE TABLE IF NOT EXISTS ${ident(RECYCLE_SCHEMA, FK_ERROR_CHILD)} (
    ${sql.join(columns, ', ')}) ENGINE=InnoDB`;
}

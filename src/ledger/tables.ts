/**
 * The schemas and tables that undrop keeps on the server: creating, upgrading and checking them.
 * It looks first and creates only what is missing, because even `CREATE … IF NOT EXISTS` of what
 * exists is written to the binary log. It may run twice, and from two proxies at once.
 *
 * Invariant: no name here matches the pattern of held tables; the collector never sees them.
 */
import { type ErrorCode, UndropError } from '../errors.js';
import { isLocalSchema, RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../names/names.js';
import { isConnectionLost } from '../service/errors.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
  unlessRefused,
} from '../service/pool/pools.js';
import {
  ident,
  note,
  numberOf,
  numberOrNullOf,
  type SQLQuery,
  sql,
  textOf,
} from '../service/sql.js';
import {
  ABSENT_TABLE,
  ACCESS_DENIED,
  ER_BAD_FIELD_ERROR,
  ER_DUP_FIELDNAME,
  ER_DUP_KEYNAME,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ER_SUBQUERY_NO_1_ROW,
  LOCK_NOT_GRANTED,
  READ_ONLY_SERVER,
} from '../wire/server-errors.js';

/**
 * Version of the ledger's tables; two neighbouring versions can run side by side. There is no
 * version 3, because a proxy of version 2 would go on beside it and write `failure` without `todo`.
 */
export const LEDGER_VERSION = 4;
const NEWEST_VERSION = LEDGER_VERSION + 1;
/** The one older version, which this program upgrades. */
const UPGRADED_VERSION = 2;

export const LEDGER = ident(RECYCLE_SCHEMA, 'ledger');
export const HISTORY = ident(RECYCLE_SCHEMA, 'history');
const VERSION_TABLE = ident(RECYCLE_SCHEMA, 'ledger_version');

/** With the ledger; again by whoever writes where somebody has dropped it. */
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

/** A ledger may have many rows; others read and write it meanwhile. */
const UPGRADE_DEADLINE_MS = 3_600_000;

/** A column is missing; or `KNOWN_VERSION` found another version. */
const LEDGER_OTHER = [ER_BAD_FIELD_ERROR, ER_SUBQUERY_NO_1_ROW];

/** The account lacks a right, or the server is read-only. */
const NOT_ALLOWED = [...ACCESS_DENIED, ...READ_ONLY_SERVER];

/**
 * After a write that failed: resolves if it is worth one more try. If somebody has dropped
 * the ledger, it is made again, empty, as at the start of a proxy. Rejects with `error` otherwise.
 */
export async function beforeNextTry(pool: ServicePool, error: unknown): Promise<void> {
  if (isServerError(error, ...ABSENT_TABLE, ...LEDGER_OTHER)) await ensureLedger(pool);
  else if (!isConnectionLost(error) && !isServerError(error, ...LOCK_NOT_GRANTED)) throw error;
}

/**
 * An assignment for the SET of a text that writes an intent: the text ends there with 1242 if
 * the ledger is of a version whose columns or meaning this program doesn't know.
 */
export const KNOWN_VERSION = sql`@undrop_version = (SELECT
  IF(MAX(version) BETWEEN ${LEDGER_VERSION} AND ${NEWEST_VERSION}, MAX(version),
    (SELECT 1 UNION SELECT 2)) FROM ${VERSION_TABLE})`;

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE if the account may not, the server is read-only and has
 * no ledger yet, or the ledger is of a version that this program doesn't know; as the pool does if
 * there is no server.
 */
export async function ensureLedger(pool: ServicePool): Promise<void> {
  const version = await assertLedgerKnown(pool);
  try {
    const [[found = {}] = []] = await pool.run(COUNT_TABLES);
    if (version === null || numberOf(found, 'ledgers') === 0) await create(pool);
    if (numberOf(found, 'locals') === 0) await createLocal(pool);
    await assertColumns(pool);
    if (version !== null && numberOf(found, 'todoKeys') === 0) await addTodoKey(pool);
    if (version === UPGRADED_VERSION) {
      await fillTodo(pool);
      await pool.run(RAISE_VERSION);
    }
    await pool.run(WRITES);
  } catch (error) {
    throw ledgerUnavailable(error);
  }
}

/**
 * Rejects with UNDROP_LEDGER_UNAVAILABLE if the ledger is of a version that this program doesn't
 * know: then nothing is written to it, and nothing collected by it. Null: there is none.
 */
export async function assertLedgerKnown(connection: ServiceConnection): Promise<number | null> {
  const [[row = {}] = []] = await unlessRefused(connection.run(READ_VERSION), [], ...ABSENT_TABLE);
  const version = 'version' in row ? numberOrNullOf(row, 'version') : null;
  if (version === null || (version >= UPGRADED_VERSION && version <= NEWEST_VERSION)) {
    return version;
  }
  const range = `knows ${UPGRADED_VERSION} to ${NEWEST_VERSION}`;
  throw ledgerUnavailable(new Error(`its version is ${version}, this undrop ${range}`));
}

const READ_VERSION = sql`SELECT ${note('look')} MAX(version) AS version FROM ${VERSION_TABLE}`;

/** The error for what kept a write from the ledger; one that says enough stays as it is. */
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

/** What is said of rows, checked by the server against the account's rights, and not executed. */
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
  ...['created_at', 'lengthened'],
];

/** Columns that a ledger may lack, because an earlier program made it; added at the start. */
const ADDED_COLUMNS: ReadonlyMap<string, SQLQuery> = new Map([
  ['todo', sql`todo VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL`],
  ['created_at', sql`created_at DATETIME NULL`],
  ['lengthened', sql`lengthened TINYINT NOT NULL DEFAULT 0`],
]);

const COUNT_TABLES = sql`SELECT ${note('look')}
  (SELECT COUNT(*) FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = 'ledger') AS ledgers,
  (SELECT COUNT(*) FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = 'ledger'
      AND INDEX_NAME = 'by_todo') AS todoKeys,
  (SELECT COUNT(*) FROM information_schema.SCHEMATA
    WHERE SCHEMA_NAME = ${RECYCLE_SCHEMA_LOCAL}) AS locals`;

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
      created_at      DATETIME NULL,
      lengthened      TINYINT NOT NULL DEFAULT 0,
      PRIMARY KEY (id),
      KEY by_state (state, relocated),
      KEY by_name (schema_name, table_name),
      KEY by_group (group_id),
      KEY by_todo (todo)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
    sql`CREATE TABLE IF NOT EXISTS ${VERSION_TABLE} (
      version    INT NOT NULL,
      made_at    DATETIME NOT NULL,
      PRIMARY KEY (version)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
    HISTORY_CREATION,
    RAISE_VERSION,
  ]);
}

/** The last step, because what it says has to be there. */
const RAISE_VERSION = sql`INSERT IGNORE INTO ${VERSION_TABLE} (version, made_at)
  VALUES (${LEDGER_VERSION}, UTC_TIMESTAMP())`;

/** It looks at the columns, because somebody may have restored an older table. */
async function assertColumns(connection: ServiceConnection): Promise<void> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} COLUMN_NAME AS name FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = 'ledger'`,
  );
  const found = new Set(rows.map((row) => textOf(row, 'name')));
  const lost = COLUMNS.filter((name) => !found.has(name));
  if (lost.length === 0) return;
  const missing = lost.filter((name) => !ADDED_COLUMNS.has(name));
  if (missing.length > 0) throw new Error(`it lacks columns: ${missing.join(', ')}`);
  for (const name of lost) await addColumn(connection, ADDED_COLUMNS.get(name) ?? sql``);
}

/**
 * Adds a column of a later version while others write to the ledger: it waits for a lock for one
 * second, so that a drop which queues after it waits no longer; no rows are copied under a lock.
 */
async function addColumn(connection: ServiceConnection, column: SQLQuery): Promise<void> {
  const added = connection.run(
    sql`ALTER TABLE ${LEDGER} ADD COLUMN ${column}, ALGORITHM=INPLACE, LOCK=NONE`,
    { deadlineMs: UPGRADE_DEADLINE_MS },
  );
  // Another proxy may have added the column.
  await unlessRefused(added, [], ER_DUP_FIELDNAME);
}

/** The same with its key: without it looks are slower, and it is added another time. */
async function addTodoKey(connection: ServiceConnection): Promise<void> {
  const added = connection.run(
    sql`ALTER TABLE ${LEDGER} ADD KEY by_todo (todo), ALGORITHM=INPLACE, LOCK=NONE`,
    { deadlineMs: UPGRADE_DEADLINE_MS },
  );
  await unlessRefused(added, [], ER_DUP_KEYNAME, ...LOCK_NOT_GRANTED, ...NOT_ALLOWED);
}

/**
 * Fills `todo` in the rows of version 2, which had it in the text of `failure` alone. Recovery
 * finds out again why a table stays in its own schema. May run twice.
 */
async function fillTodo(connection: ServiceConnection): Promise<void> {
  await connection.run(
    sql`UPDATE ${note('todo')} ${LEDGER} SET todo = CASE
        WHEN failure LIKE 'it is being restored: %' THEN 'restoring'
        WHEN failure LIKE 'UNDROP\\_TORN: %' THEN 'torn'
        WHEN state <> 'HOLD' THEN NULL
        WHEN hold_schema LIKE '\\_undrop%' THEN 'detach' ELSE 'relocate' END
      WHERE todo IS NULL AND failure IS NOT NULL AND row_logged = 1`,
    { deadlineMs: UPGRADE_DEADLINE_MS },
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

/**
 * Writes to a table beside the ledger, which is created if it is absent; resolves to how many rows
 * were changed.
 */
export async function writeOrCreate(
  connection: ServiceConnection,
  write: SQLQuery,
  creation: SQLQuery,
): Promise<number> {
  try {
    const [changed] = await connection.run(write);
    return changed?.affectedRows ?? 0;
  } catch (error) {
    if (!isServerError(error, ...ABSENT_TABLE)) throw error;
    await createSchema(connection, RECYCLE_SCHEMA);
    const [, changed] = await connection.run([creation, write]);
    return changed?.affectedRows ?? 0;
  }
}

/**
 * Unlogged, because replicas must not have it. If the account may not, such drops stay in their
 * own schema.
 */
async function createLocal(connection: ServiceConnection): Promise<void> {
  await unlessRefused(createSchema(connection, RECYCLE_SCHEMA_LOCAL), undefined, ...NOT_ALLOWED);
}

// ── rows that replicas do not see ────────────────────────────────────────────────────────────────
// Whether this account may switch sql_log_bin off. If it may, the ledger rows of drops that
// replicas don't see are not seen by them either: a logged one would be an errant transaction
// there. Each row says what was done with it, because a logged UPDATE of a row that a replica
// hasn't got would stop its replication.

const known = new WeakSet<ServicePool>();

/** Asked of the server until it is so: the account may get the right while the proxy runs. */
export async function mayUnlog(pool: ServicePool): Promise<boolean> {
  if (known.has(pool)) return true;
  const tried = pool.run(sql`DO ${note('look')} 0`, { logged: false }).then(() => true);
  const may = await unlessRefused(tried, false, ER_SPECIFIC_ACCESS_DENIED_ERROR);
  if (may) known.add(pool);
  return may;
}

/**
 * The locks of a session's LOCK TABLES, as far as servers report them to others: MySQL 8 and later
 * table by table; older ones and MariaDB only which tables are in use by any session.
 * https://dev.mysql.com/doc/refman/9.0/en/performance-schema-metadata-locks-table.html
 */

import { isServerError, tolerantly, unlessRefused } from '../../connections/errors.js';
import type { Rows, ServicePool, SQLQuery } from '../../connections/sql.js';
import { col, note, readServerFacts, sql } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { type QualifiedTable, RECYCLE_SCHEMA } from '../../names/names.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';

/**
 * LOCK TABLES takes kinds of metadata lock that nothing else keeps between two statements; so does
 * LOCK INSTANCE FOR BACKUP, beside which all others may change rows only. A view that is locked
 * doesn't keep LOCK TABLES from ending with the last table.
 */
export function sessionLocksSql(threadId: number): SQLQuery {
  return sql`SELECT
      (SELECT ENABLED FROM performance_schema.setup_instruments
       WHERE NAME = 'wait/lock/metadata/sql/mdl') AS known,
      taken.kind, taken.schemaName, taken.tableName
    FROM (SELECT 1 AS one) AS one
    LEFT JOIN (
      SELECT DISTINCT held.OBJECT_TYPE AS kind, held.OBJECT_SCHEMA AS schemaName,
        held.OBJECT_NAME AS tableName
      FROM performance_schema.metadata_locks AS held
      JOIN performance_schema.threads AS owner ON owner.THREAD_ID = held.OWNER_THREAD_ID
      WHERE owner.PROCESSLIST_ID = ${threadId} AND held.LOCK_STATUS = 'GRANTED'
        AND (held.OBJECT_TYPE = 'TABLE'
            AND held.LOCK_TYPE IN ('SHARED_NO_READ_WRITE', 'SHARED_READ_ONLY', 'SHARED_NO_WRITE')
          OR held.OBJECT_TYPE = 'BACKUP LOCK' AND held.LOCK_TYPE = 'SHARED')
        AND NOT EXISTS (SELECT 1 FROM information_schema.VIEWS
          WHERE TABLE_SCHEMA = held.OBJECT_SCHEMA AND TABLE_NAME = held.OBJECT_NAME)
    ) AS taken ON TRUE`;
}

export type SessionLocks = Readonly<ReturnType<typeof readLocks>>;

export const NO_LOCKS: SessionLocks = { lockedTables: null, hasBackupLock: false };

export function readLocks(rows: Rows) {
  const isKnown = rows.length > 0 && rows.every((row) => col.textOrNull(row, 'known') === 'YES');
  const locks = rows.filter((row) => col.textOrNull(row, 'kind') === 'TABLE');
  const tables: readonly QualifiedTable[] = locks.map((row) => ({
    schema: col.text(row, 'schemaName'),
    table: col.text(row, 'tableName'),
  }));
  return {
    /**
     * The tables that the session has locked by LOCK TABLES; null: the server doesn't report them.
     */
    lockedTables: isKnown ? tables : null,
    /** The session has run LOCK INSTANCE FOR BACKUP: no other session may rename anything. */
    hasBackupLock: rows.some((row) => col.textOrNull(row, 'kind') === 'BACKUP LOCK'),
  };
}

/**
 * The present locks; on servers that don't report them, the tables in use by any session. Null if
 * the server or the pool refuses, which is always safe.
 */
export async function readSessionLocks(
  pool: ServicePool,
  { threadId, server }: { readonly threadId: number; readonly server: ServerVersion },
): Promise<readonly QualifiedTable[] | null> {
  const showsLocks = isMysql8(server);
  const look = showsLocks ? sessionLocksSql(threadId) : sql`SHOW OPEN TABLES WHERE In_use > 0`;
  const { value } = await tolerantly(() => pool.run(look));
  const [rows] = value;
  if (rows === undefined) return null;
  if (showsLocks) return readLocks(rows).lockedTables;
  return rows.map((row) => ({ schema: col.text(row, 'Database'), table: col.text(row, 'Table') }));
}

// ── sessions that lock the ledger ────────────────────────────────────────────────────────────────
// A transaction on a direct connection that has read the ledger with locks keeps undrop from
// writing to it. Through undrop such reads are refused (sql/recycle-schema-write.ts).

const HOLDERS_MAX = 3;
/** A client may be waiting. */
const HOLDERS_DEADLINE_MS = 1_000;

/**
 * Oldest first, each `who` as `user@host:port`; none if the server doesn't tell. MySQL 8 and later
 * know who has locked the ledger; the others only which transactions have any locks.
 */
export async function findLockHolders(
  pool: ServicePool,
  { isCertain }: { readonly isCertain: boolean },
): Promise<readonly { readonly id: number; readonly who: string }[]> {
  const server = await readServerFacts(pool);
  const knows = isMysql8(server) && server.performanceSchema;
  if (isCertain && !knows) return [];
  const ids = knows
    ? sql`SELECT PROCESSLIST_ID FROM performance_schema.data_locks
          JOIN performance_schema.threads USING (THREAD_ID)
        WHERE OBJECT_SCHEMA = ${RECYCLE_SCHEMA} AND OBJECT_NAME = 'ledger'
          AND LOCK_STATUS = 'GRANTED'`
    : sql`SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX
        WHERE trx_lock_structs > 0`;
  const look = sql`SELECT ${note('look')} ID AS id, CONCAT(USER, '@', HOST) AS who
    FROM information_schema.PROCESSLIST WHERE ID IN (${ids}) AND ID <> CONNECTION_ID()
      AND USER <> SUBSTRING_INDEX(USER(), '@', 1)
    ORDER BY TIME DESC LIMIT ${HOLDERS_MAX}`;
  const running = pool.run(look, { deadlineMs: HOLDERS_DEADLINE_MS, fresh: false });
  const [rows = []] = await unlessRefused(running, []);
  return rows.map((row) => ({ id: col.number(row, 'id'), who: col.text(row, 'who') }));
}

/**
 * The error of a write that waited for a lock in vain, with the connections that may have it; else
 * as it is. Without their users, because a client gets it.
 */
export async function withLockHolders(pool: ServicePool, error: unknown): Promise<unknown> {
  const isLate = error instanceof UndropError && error.code === 'UNDROP_DEADLINE';
  if (!isLate && !isServerError(error, ...ER.LOCK_NOT_GRANTED)) return error;
  const { value: holders } = await tolerantly(() => findLockHolders(pool, { isCertain: false }));
  if (holders.length === 0) return error;
  const ids = holders.map(({ id }) => `connection ${id}`).join(', ');
  return new Error(`${(error as Error).message.replace(/\.$/, '')}; ${ids} may have locked it`);
}

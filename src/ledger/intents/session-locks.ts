/**
 * The locks of a session's LOCK TABLES, as far as servers report them to others: MySQL 8 and later
 * table by table; older ones and MariaDB only which tables are in use by any session.
 * https://dev.mysql.com/doc/refman/9.0/en/performance-schema-metadata-locks-table.html
 */

import type { QualifiedTable } from '../../names/names.js';
import * as col from '../../service/columns.js';
import { isServiceError } from '../../service/errors.js';
import type { Rows, ServicePool } from '../../service/pool/pools.js';
import { type SQLQuery, sql } from '../../service/sql.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';

export interface LockedTable extends QualifiedTable {
  /** LOCK TABLES … WRITE. */
  readonly isWrite: boolean;
}

/**
 * LOCK TABLES takes kinds of metadata lock that nothing else keeps between two statements; so does
 * LOCK INSTANCE FOR BACKUP, beside which all others may change rows only. A view that is locked
 * doesn't keep LOCK TABLES from ending with the last table.
 */
export function sessionLocksSql(threadId: number): SQLQuery {
  return sql`SELECT
      (SELECT ENABLED FROM performance_schema.setup_instruments
       WHERE NAME = 'wait/lock/metadata/sql/mdl') AS known,
      taken.kind, taken.schemaName, taken.tableName, taken.lockType
    FROM (SELECT 1 AS one) AS one
    LEFT JOIN (
      SELECT DISTINCT held.OBJECT_TYPE AS kind, held.OBJECT_SCHEMA AS schemaName,
        held.OBJECT_NAME AS tableName, held.LOCK_TYPE AS lockType
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

export interface SessionLocks {
  /**
   * The tables that the session has locked by LOCK TABLES; null: the server doesn't report them.
   */
  readonly lockedTables: readonly LockedTable[] | null;
  /** The session has run LOCK INSTANCE FOR BACKUP: no other session may rename anything. */
  readonly hasBackupLock: boolean;
}

export const NO_LOCKS: SessionLocks = { lockedTables: null, hasBackupLock: false };

export function readLocks(rows: Rows): SessionLocks {
  const isKnown = rows.length > 0 && rows.every((row) => col.textOrNull(row, 'known') === 'YES');
  const locks = rows.filter((row) => col.textOrNull(row, 'kind') === 'TABLE');
  const lockedTables = locks.map((row) => ({
    schema: col.text(row, 'schemaName'),
    table: col.text(row, 'tableName'),
    isWrite: col.text(row, 'lockType') === 'SHARED_NO_READ_WRITE',
  }));
  return {
    lockedTables: isKnown ? lockedTables : null,
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
): Promise<readonly LockedTable[] | null> {
  try {
    if (server.flavour === 'mariadb' || server.versionId < 80_000) return await readUsed(pool);
    const [rows] = await pool.run(sessionLocksSql(threadId));
    return rows === undefined ? null : readLocks(rows).lockedTables;
  } catch (error) {
    if (isServiceError(error)) return null;
    throw error;
  }
}

async function readUsed(pool: ServicePool): Promise<readonly LockedTable[]> {
  const [rows = []] = await pool.run(sql`SHOW OPEN TABLES WHERE In_use > 0`);
  return rows.map((row) => {
    return { schema: col.text(row, 'Database'), table: col.text(row, 'Table'), isWrite: false };
  });
}

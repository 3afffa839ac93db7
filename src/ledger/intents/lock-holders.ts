/**
 * Sessions that keep undrop from writing to its ledger: a transaction on a direct connection that
 * has read it with locks. Through undrop such reads are refused (sql/recycle-schema-write.ts).
 */

import { UndropError } from '../../errors.js';
import { RECYCLE_SCHEMA } from '../../names/names.js';
import * as col from '../../service/columns.js';
import { isServerError, tolerantly, unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql } from '../../service/sql.js';
import * as ER from '../../wire/server-errors.js';
import { shapeOf } from '../write.js';

const HOLDERS_MAX = 3;
/** A client may be waiting. */
const DEADLINE_MS = 1_000;

export interface LockHolder {
  readonly id: number;
  /** `user@host:port`. */
  readonly who: string;
}

/**
 * Oldest first; none if the server doesn't tell. MySQL 8 and later know who has locked the ledger;
 * the others only which transactions have any locks.
 */
export async function findLockHolders(
  pool: ServicePool,
  { isCertain }: { readonly isCertain: boolean },
): Promise<readonly LockHolder[]> {
  const { flavour, versionId, performanceSchema } = await shapeOf(pool);
  const knows = flavour === 'mysql' && versionId >= 80_000 && performanceSchema;
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
  const running = pool.run(look, { deadlineMs: DEADLINE_MS, fresh: false });
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

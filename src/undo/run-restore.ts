/**
 * Brings one held table back: finds it, gives it its name by one atomic RENAME, tells the ledger,
 * and gives it back its foreign keys.
 *
 * Invariant: whoever loses the race (against the collector, another restore, a DBA) changes
 * nothing.
 */

import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import { putBack } from '../moves/put-back.js';
import { type Reattached, reattach } from '../moves/reattach.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { note, sql } from '../service/sql.js';
import { type HeldTable, listHeld, type TableName } from './list.js';
import { planRestore, type RestoreRequest } from './next-step.js';

export interface RestoreReport {
  readonly id: string;
  /** Where it came from; null where the ledger had no row of it. */
  readonly origin: TableName | null;
  readonly restoredAs: TableName;
  readonly droppedAt: Date | null;
  readonly user: string | null;
  readonly rowEstimate: number | null;
  /** The foreign keys that were its own, and what became of them. */
  readonly foreignKeys: readonly Reattached[];
  /** Why nobody knows which it had, or null. */
  readonly foreignKeysProblem: string | null;
  /** Still held under the same name, newest first. */
  readonly others: readonly HeldTable[];
  /** False: the ledger could not be told, recovery will notice; null: it never knew the table. */
  readonly recorded: boolean | null;
}

/**
 * Rejects with UNDROP_NO_SUCH_HELD, UNDROP_AMBIGUOUS, UNDROP_NOT_RESTORABLE, UNDROP_NO_ORIGIN,
 * UNDROP_BAD_TARGET, UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN, UNDROP_NOT_HELD or UNDROP_BUSY; then
 * nothing was changed.
 */
export async function restore(pool: ServicePool, request: RestoreRequest): Promise<RestoreReport> {
  const { table, to, others } = planRestore(await listHeld(pool), request);
  await assertSchema(pool, table, to.schema);
  await putBack(pool, {
    id: table.id,
    holdSchema: table.holdSchema,
    holdName: table.holdName,
    toSchema: to.schema,
    toTable: to.table,
    logged: table.logged,
  });
  const recorded = await record(pool, table, to);
  return {
    ...(await comeBack(pool, table, to)),
    id: table.id,
    origin: table.origin,
    restoredAs: to,
    droppedAt: table.droppedAt,
    user: table.user,
    rowEstimate: table.rowEstimate,
    others,
    recorded,
  };
}

/** The table is back whatever comes of this. */
async function comeBack(
  pool: ServicePool,
  table: HeldTable,
  restoredAs: TableName,
): Promise<Pick<RestoreReport, 'foreignKeys' | 'foreignKeysProblem'>> {
  const { id, origin, logged } = table;
  if (origin === null) return { foreignKeys: [], foreignKeysProblem: null };
  try {
    const [row] = await findRows(pool, { by: 'id', prefix: id });
    if (row === undefined) return { foreignKeys: [], foreignKeysProblem: null };
    const { detached } = row;
    const foreignKeys = await reattach(pool, { id, origin, restoredAs, detached, logged });
    return { foreignKeys, foreignKeysProblem: null };
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return { foreignKeys: [], foreignKeysProblem: error.message };
  }
}

async function assertSchema(pool: ServicePool, table: HeldTable, schema: string): Promise<void> {
  const [rows] = await pool.run(
    sql`${note('restore', table.id)} SELECT 1 AS one FROM information_schema.SCHEMATA
      WHERE SCHEMA_NAME = ${schema}`,
  );
  if (rows?.length === 0) {
    throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema });
  }
}

/** The table is back whatever comes of this. */
async function record(pool: ServicePool, table: HeldTable, to: TableName): Promise<boolean | null> {
  if (table.rowLogged === null) return null;
  const state: LedgerRow['state'] = 'restored';
  const restoredAs = `${to.schema}.${to.table}`;
  try {
    await recordState(pool, { id: table.id, state, restoredAs, rowLogged: table.rowLogged });
    return true;
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return false;
  }
}

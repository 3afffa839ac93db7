/**
 * The ledger, the audit and the history follow what the collector does to a table.
 *
 * Invariant: an error of the ledger does not stop the lifecycle.
 */

import type { HistoryEvent } from '../audit.js';
import { isServerError } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { type LedgerRow, type LedgerState, LIVE_STATES } from '../ledger/entry.js';
import { reportAndKeep } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import { ghostIdOf, isRetiredBarrier } from '../names/names.js';
import type { ActionContext } from './action-context.js';
import type { Collectable } from './collectable.js';

/** Whether a live row has that id for that schema. */
export async function hasLiveRow(
  connection: ServicePool,
  { id, schema }: Pick<Collectable, 'id' | 'schema'>,
): Promise<boolean> {
  const rows = await findRows(connection, { by: 'id', prefix: id }, { texts: false });
  return rows.some(
    (row) => row.id === id && row.holdSchema === schema && LIVE_STATES.includes(row.state),
  );
}

/**
 * Records the change in the row of the table, if there is one.
 */
export async function followChange(
  { connection, log }: ActionContext,
  { id, schema }: Collectable,
  change: { readonly state: LedgerState; readonly holdName?: string },
): Promise<LedgerRow | null> {
  let row: LedgerRow | undefined;
  try {
    [row] = await findRows(connection, { by: 'id', prefix: id }, { texts: false });
    if (row === undefined) return null;
    await recordState(connection, { id, holdSchema: schema, rowLogged: row.rowLogged, ...change });
  } catch (error) {
    if (!isServerError(error)) throw error;
    log.warn(
      { event: 'collector', id, err: error },
      'cannot record the new state of a held table; recovery will',
    );
  }
  return row ?? null;
}

/**
 * Whether the table never was a user's, so that the audit has no line for it: the barrier table of
 * a DROP DATABASE, or the ghost table of a refused statement.
 */
export function isOwnTable(table: Collectable, row: LedgerRow | null): boolean {
  return isRetiredBarrier(table) || (row === null && ghostIdOf(table.id) === table.id);
}

/** Writes the change of a user's table into the log, the audit and the history. */
export async function reportChange(
  context: ActionContext,
  { table, row }: { readonly table: Collectable; readonly row: LedgerRow | null },
  eventOf: (held: ReturnType<typeof auditFields>) => HistoryEvent,
): Promise<void> {
  const event = eventOf(auditFields(context.proxyId, table, row));
  await reportAndKeep(context, [event], { rowLogged: row?.rowLogged ?? table.logged });
}

/** The audit fields of a held table. */
function auditFields(proxyId: string, table: Collectable, row: LedgerRow | null) {
  const { id, schema: holdSchema, name: holdName } = table;
  const { dropId = null, schema = null, table: own = null } = row ?? {};
  return { proxyId, id, dropId, schema, table: own, holdSchema, holdName };
}

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
import { recordStates } from '../ledger/write.js';
import { ghostIdOf, isRetiredBarrier } from '../names/names.js';
import type { ActionContext } from './action-context.js';
import type { Collectable } from './collectable.js';

/** Whether each table has a live row for its schema. */
export async function haveLiveRows(
  connection: ServicePool,
  tables: readonly Collectable[],
): Promise<boolean> {
  const ids = tables.map(({ id }) => id);
  const rows = await findRows(connection, { by: 'ids', ids }, { texts: false });
  const live = rows.filter(({ state }) => LIVE_STATES.includes(state));
  return tables.every(({ id, schema }) =>
    live.some((row) => row.id === id && row.holdSchema === schema),
  );
}

/**
 * Records the state of the tables in their rows, as far as they have any, and writes the change of
 * users' tables into the log, the audit and the history. `tables`: as they are now, of one schema.
 */
export async function followChange(
  context: ActionContext,
  { tables, state }: { readonly tables: readonly Collectable[]; readonly state: LedgerState },
  eventOf: (table: Collectable, held: ReturnType<typeof auditFields>) => HistoryEvent,
): Promise<void> {
  if (tables.length === 0) return;
  const rows = await recordChange(context, tables, state);
  const own = tables.filter((table) => !isOwnTable(table, rows.get(table.id)));
  const isLogged = (table: Collectable) => rows.get(table.id)?.rowLogged ?? table.logged;
  for (const rowLogged of [true, false]) {
    const events = own
      .filter((table) => isLogged(table) === rowLogged)
      .map((table) => eventOf(table, auditFields(context.proxyId, table, rows.get(table.id))));
    if (events.length > 0) await reportAndKeep(context, events, { rowLogged });
  }
}

async function recordChange(
  { connection, log }: ActionContext,
  tables: readonly Collectable[],
  state: LedgerState,
): Promise<ReadonlyMap<string, LedgerRow>> {
  const ids = tables.map(({ id }) => id);
  const rows = new Map<string, LedgerRow>();
  try {
    const found = await findRows(connection, { by: 'ids', ids }, { texts: false });
    for (const row of found) rows.set(row.id, row);
    for (const rowLogged of [true, false]) {
      const named = tables.filter(({ id }) => rows.get(id)?.rowLogged === rowLogged);
      const change = { state, rowLogged, ...(named[0] && { holdSchema: named[0].schema }) };
      if (named.length > 0) await recordStates(connection, change, named.map(holdNameOf));
    }
  } catch (error) {
    if (!isServerError(error)) throw error;
    log.warn(
      { event: 'collector', ids, err: error },
      'cannot record the new state of held tables; recovery will',
    );
  }
  return rows;
}

function holdNameOf({ id, name }: Collectable) {
  return { id, holdName: name };
}

/**
 * Whether the table never was a user's, so that the audit has no line for it: the barrier table of
 * a DROP DATABASE, or the ghost table of a refused statement.
 */
function isOwnTable(table: Collectable, row: LedgerRow | undefined): boolean {
  return isRetiredBarrier(table) || (row === undefined && ghostIdOf(table.id) === table.id);
}

/** The audit fields of a held table. */
function auditFields(proxyId: string, table: Collectable, row: LedgerRow | undefined) {
  const { id, schema: holdSchema, name: holdName } = table;
  const { dropId = null, schema = null, table: own = null } = row ?? {};
  return { proxyId, id, dropId, schema, table: own, holdSchema, holdName };
}

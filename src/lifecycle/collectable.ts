/**
 * Finds what the collector may touch.
 *
 * Invariant: only names of the strict pattern; in the schemas that are ours by the name alone,
 * elsewhere only with a live ledger row of that id that knows the table in that schema. A user's
 * table is never mistaken for one of ours.
 */
import { type LedgerRow, LIVE_STATES } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { RECYCLE_SCHEMA_LOCAL, RECYCLE_SCHEMAS } from '../names/recycle-schema.js';
import { type HoldTable, listHoldTables } from '../service/hold-tables.js';
import { isServerError, type ServiceConnection } from '../service/pools.js';

/** A table that the lifecycle has in its hands. */
export interface Collectable extends HoldTable {
  /** Whether what is done to it is written to the binary log. */
  readonly logged: boolean;
}

/** The ledger, or its schema, is not there. The lifecycle goes on by names. */
export const NO_LEDGER = [1146, 1049, 1017] as const;

/** Everything collectable, oldest first: by due time, then by id, which has the time of the drop. */
export async function listCollectable(
  connection: ServiceConnection,
): Promise<readonly Collectable[]> {
  const home = await listHoldTables(connection, RECYCLE_SCHEMAS);
  const tables = home.map((table) => ({ ...table, logged: table.schema !== RECYCLE_SCHEMA_LOCAL }));
  return [...tables, ...(await listElsewhere(connection))].sort(
    (a, b) => a.due.getTime() - b.due.getTime() || (a.id < b.id ? -1 : 1),
  );
}

/** Tables that could not be moved into the recycle schema and are held in their own. */
async function listElsewhere(connection: ServiceConnection): Promise<readonly Collectable[]> {
  const rows = (await debts(connection)).filter(({ holdSchema }) => isForeign(holdSchema));
  if (rows.length === 0) return [];
  const byId = new Map(rows.map((row) => [row.id, row]));
  const schemas = new Set(rows.map(({ holdSchema }) => holdSchema ?? ''));
  const found = await listHoldTables(connection, [...schemas]);
  return found.flatMap((table) => {
    const row = byId.get(table.id);
    return row === undefined || !knows(row, table) ? [] : [{ ...table, logged: row.sqlLogBin }];
  });
}

/** Whether this live row is the ledger's word that `table` is held in that schema. */
export function knows(row: LedgerRow, table: HoldTable): boolean {
  return row.id === table.id && row.holdSchema === table.schema && LIVE_STATES.includes(row.state);
}

function isForeign(schema: string | null): boolean {
  return schema !== null && !RECYCLE_SCHEMAS.includes(schema);
}

async function debts(connection: ServiceConnection): Promise<readonly LedgerRow[]> {
  try {
    return await findRows(connection, { by: 'debt' });
  } catch (error) {
    if (isServerError(error, ...NO_LEDGER)) return [];
    throw error;
  }
}

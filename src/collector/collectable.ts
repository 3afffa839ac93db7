/**
 * `listCollectable` finds the tables that the collector may act on.
 *
 * Invariant: it returns only names of the strict pattern; in undrop's schemas by the name alone,
 * elsewhere only with a live ledger row of that id for that schema. A user's table is never
 * mistaken for a held one. Tables of a statement that has not ended are left out, because they may
 * be put back.
 */

import { unlessRefused } from '../connections/errors.js';
import * as held from '../connections/hold-tables.js';
import type { ServiceConnection, ServicePool } from '../connections/sql.js';
import type { LedgerRow } from '../ledger/entry.js';
import { intentsWithLiveSession } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import { openGroupsOf } from '../ledger/schema-drops.js';
import { isLocalSchema, isRecycleSchema, PINNED_UNTIL } from '../names/names.js';
import * as ER from '../wire/server-errors.js';

/** A table that the collector may act on. */
export interface Collectable extends held.HoldTable {
  /** Whether changes to it are written to the binary log. */
  readonly logged: boolean;
  /** The reason for its early removal (limits.ts). */
  readonly early?: string;
}

/** Identifies the table in a log line. */
export function logFields({ id, schema, name }: Collectable): object {
  return { id, schema, name };
}

export interface Look {
  /** Oldest first: by due time, then by id, which has the time of the drop. */
  readonly tables: readonly Collectable[];
  /** The tables with a later due time. */
  readonly later: held.Later;
}

/**
 * All collectable tables, but for those that are held until after `dueBy`; by default all.
 * `activeIds`: drops in progress in this process.
 */
export async function listCollectable(
  connection: ServicePool,
  activeIds: ReadonlySet<string>,
  dueBy: Date = PINNED_UNTIL,
): Promise<Look> {
  const active = new Set(activeIds);
  const schemas = await held.readRecycleSchemas(connection);
  const { tables: recycled, later } = await held.listDueTables(connection, schemas, dueBy);
  // After the names, because an intent is written before its table is renamed.
  const awaited = await readAwaited(connection, (id) => active.has(id) || activeIds.has(id));
  const tables = recycled
    .filter(({ id }) => !awaited.has(id))
    .map((table) => ({ ...table, logged: !isLocalSchema(table.schema) }));
  const all = [...tables, ...(await listElsewhere(connection))].sort(
    (a, b) => a.due.getTime() - b.due.getTime() || (a.id < b.id ? -1 : 1),
  );
  return { tables: all, later };
}

/**
 * Ids of tables of a statement that hasn't ended: while it waits for locks, perhaps for longer than
 * the hold, they may still be put back. A DROP DATABASE has ended when recovery has resolved it;
 * any other drop when its session is gone.
 */
async function readAwaited(connection: ServicePool, isActive: (id: string) => boolean) {
  const ledger = findRows(connection, { by: 'intent' }, { texts: false });
  const intents = await unlessRefused(ledger, [], ...ER.ABSENT_TABLE);
  if (intents.length === 0) return new Set();
  const dropIds = intents.map(({ dropId }) => dropId);
  const groups = await openGroupsOf(connection, dropIds);
  const alive = await intentsWithLiveSession(connection, intents);
  const isOpen = ({ id, dropId }: LedgerRow) => isActive(id) || alive.has(id) || groups.has(dropId);
  return new Set(intents.filter(isOpen).map(({ id }) => id));
}

/** Tables that could not be moved into the recycle schema and are held in their own. */
async function listElsewhere(connection: ServiceConnection): Promise<readonly Collectable[]> {
  const ledger = findRows(connection, { by: 'elsewhere' }, { texts: false });
  const rows = await unlessRefused(ledger, [], ...ER.ABSENT_TABLE);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const schemas = rows.flatMap(({ holdSchema }) => holdSchema ?? []);
  const own = [...new Set(schemas)].filter((schema) => !isRecycleSchema(schema));
  const found = await held.listHoldTables(connection, own);
  const counts = new Map<string, number>();
  for (const { id } of found) counts.set(id, (counts.get(id) ?? 0) + 1);
  return found.flatMap((table) => {
    const row = byId.get(table.id);
    if (row?.holdSchema !== table.schema) return [];
    // A user who may create tables there could create one with the same id.
    const isHeld = counts.get(table.id) === 1 || row.holdName === table.name;
    return isHeld ? [{ ...table, logged: row.sqlLogBin }] : [];
  });
}

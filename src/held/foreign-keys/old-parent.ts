/**
 * Where the table is to which a key led when its own table was dropped, if another table has its
 * name by now. The ledger knows it of tables that were dropped since; of what was renamed or
 * dropped past undrop nobody does. Changes nothing.
 */
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { LiveName } from '../restored.js';

export type DropTime = Pick<LedgerRow, 'id' | 'groupId'>;

/** Drops of one name that are looked at, from the newest on. */
const ROWS_MAX = 1_000;

/** As a clause; null: the table of that name is the old parent, as far as the ledger knows. */
export async function findOldParent(
  pool: ServicePool,
  { schema, table }: LiveName,
  { id, groupId }: DropTime,
): Promise<string | null> {
  const how = { texts: false, rowsMax: ROWS_MAX };
  const rows = await findRows(pool, { by: 'name', schema, table }, how);
  // Ids are in the order of the drops, and those of one statement are of one moment.
  const later = rows.filter((row) => row.id > id || row.groupId === groupId).toReversed();
  let backAt: Date | null = null;
  for (const row of later) {
    // In between another table had the name.
    if (backAt !== null && row.droppedAt <= backAt) continue;
    const isBack = row.state === 'restored' && row.restoredAs === `${schema}.${table}`;
    if (!isBack) return placeOf(row);
    backAt = row.endedAt;
  }
  return null;
}

function placeOf({ id, state, restoredAs }: LedgerRow): string {
  switch (state) {
    case 'restored':
      return `the old one is ${restoredAs}`;
    case 'removed':
    case 'gone':
      return 'the old one is gone';
    default:
      return `the old one is held as ${id}`;
  }
}

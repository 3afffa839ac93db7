/**
 * A table that was dropped in a moment in which something of it was off: a foreign key that was
 * being led back to its parent's name, or everything, as the table itself was just coming back. Who
 * dropped it has not seen that. It comes back all the same, as the table's own row in the ledger
 * gets it.
 */
import { type Detached, type ForeignKey, NOTHING_DETACHED } from '../ledger/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { recordDetached } from '../ledger/record-detached.js';
import type { ServicePool } from '../service/pools.js';
import type { KeyedTable } from './add-keys.js';

/** Drops at once: the child's may have been told to the ledger before its parent's. */
const AT_ONCE_MS = 60_000;

/** A key of a child. `child.id` is the parent's. */
export async function giveToDropped(
  pool: ServicePool,
  child: KeyedTable,
  key: ForeignKey,
): Promise<void> {
  await give(pool, child, { ...NOTHING_DETACHED, keysOut: [key] }, ({ droppedAt }) => droppedAt);
}

/**
 * To what was dropped under that name at that time or since. Of several drops that are under way at
 * once one succeeds, and nobody knows yet which.
 */
export async function give(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  detached: Detached,
  timeOf: (row: LedgerRow) => Date,
): Promise<void> {
  const [from] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  if (from === undefined) return;
  const since = timeOf(from).getTime() - AT_ONCE_MS;
  const rows = await findRows(pool, { by: 'name', schema, table }, { texts: false });
  const recent = rows.filter(({ droppedAt }) => droppedAt.getTime() >= since);
  const held = recent.find(({ state }) => state === 'HOLD');
  const intents = recent.filter(({ state }) => state === 'intent');
  for (const row of held === undefined ? intents : [...intents, held]) {
    await recordDetached(pool, {
      id: row.id,
      detached,
      definition: null,
      rowLogged: row.rowLogged,
    });
  }
}

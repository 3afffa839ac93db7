/**
 * A table that was dropped again while it came back: what was not on it yet belongs to it when it
 * comes back the next time.
 */
import type { ServicePool } from '../service/pools.js';
import { give } from './give-to-dropped.js';
import { lookAtTable } from './look-at-table.js';
import { type ReattachOptions, renamed } from './reattach.js';

/** Behind everything else of a restore; nothing where the table is there. */
export async function passOn(pool: ServicePool, options: ReattachOptions): Promise<void> {
  const { id, origin, restoredAs, detached } = options;
  const table = { id, ...restoredAs };
  if ((await lookAtTable(pool, table)) !== 'missing') return;
  const isHome = restoredAs.schema === origin.schema;
  const keysOut = detached.keysOut.map((key) => renamed(key, origin, restoredAs));
  const { checks } = detached;
  const own = { keysOut, keysIn: [], triggers: isHome ? detached.triggers : [], checks };
  await give(pool, table, own, ({ endedAt, droppedAt }) => endedAt ?? droppedAt);
}

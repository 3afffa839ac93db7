/**
 * Keeps trying on held tables that a foreign key still binds to live ones, mostly because another
 * session has a table of the key locked: as long as the key exists, a DELETE of live rows may
 * delete held ones.
 *
 * Invariant: a table is reported as free only after the server's own dictionary had no such key.
 */

import { systemClock } from '../../clock.js';
import { col, readServerFacts, type ServicePool } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import type { PendingWork } from '../../ledger/entry.js';
import { foreignKeysIn } from '../../ledger/intents/intent-text.js';
import { foldName, recycleSchemaFor } from '../../names/names.js';
import { FREEING, pauseBefore } from '../../tries.js';
import type { RelocateTable } from './blockers.js';
import { detachAndRelocate, detachMoved, type Relocation } from './relocate.js';

/** The failure of a table that is still bound; null: it is free, or not held. */
export function bindingOf(relocation: Relocation): PendingWork | null {
  const pendingWork = relocation.outcome === 'put-back' ? null : (relocation.pendingWork ?? null);
  return pendingWork?.binds === undefined ? null : pendingWork;
}

/** Tries again, for a while, what the `first` try has left. In order; does not reject. */
export async function untilFree(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  first: readonly Relocation[],
): Promise<readonly Relocation[]> {
  const endMs = performance.now() + FREEING.givenUpMs;
  const all = [...first];
  const mayBecomeFree = (one: Relocation) => bindingOf(one)?.binds === 'passing';
  while (all.some(mayBecomeFree) && performance.now() < endMs) {
    await systemClock.sleep(pauseBefore(FREEING, 0));
    for (const [index, relocation] of all.entries()) {
      if (performance.now() >= endMs) break;
      if (!mayBecomeFree(relocation)) continue;
      const table = tables[index];
      assert(table?.id === relocation.id, 'one report for each table, in order');
      all[index] = await tryAgain(pool, table, relocation);
    }
  }
  return all;
}

const KEY_MADE: PendingWork = {
  todo: 'detach',
  text: 'it has a new foreign key',
  binds: 'passing',
};

/**
 * The same for tables that one RENAME took into the recycle schema, because they had no foreign
 * keys at the last check: a key that was created before the RENAME went with its table.
 */
export async function freeMoved(
  pool: ServicePool,
  tables: readonly RelocateTable[],
): Promise<readonly Relocation[]> {
  if (tables.length === 0) return [];
  const server = await readServerFacts(pool);
  const [rows = []] = await pool.run(foreignKeysIn(recycleSchemaFor(pool.isLogged), server));
  const ends = rows.flatMap((row) => [col.text(row, 'child'), col.text(row, 'parent')]);
  const names = new Set(ends.map(foldName));
  const first = tables.map(({ id, fromSchema: holdSchema, holdName }) => {
    const pendingWork = names.has(foldName(holdName)) ? KEY_MADE : null;
    return { id, outcome: 'moved', holdSchema, holdName, pendingWork } as const;
  });
  return untilFree(pool, tables, first);
}

async function tryAgain(
  pool: ServicePool,
  table: RelocateTable,
  before: Relocation,
): Promise<Relocation> {
  if (before.outcome === 'moved') return detachMoved(pool, { table, moved: before });
  const [relocation] = await detachAndRelocate(pool, [table]);
  assert(relocation !== undefined, 'one report for each table');
  return relocation;
}

/**
 * What follows the RENAME to a hold name: the table is freed of what would bind the live, then
 * moved into the recycle schema. What can't be freed at once stays where it is, as a debt. May run
 * twice, and at once with another proxy.
 */
import type { TryOptions } from '../service/kill-after.js';
import type { ServicePool } from '../service/pools.js';
import { detach } from './detach.js';
import { type RelocateTable, type Relocation, relocate } from './relocate.js';
import { STAYS_WITH_TRIGGERS } from './stays.js';

/** RENAME into another schema; also where this account doesn't see the triggers. */
const HAS_TRIGGERS = 1435;

/** One `Relocation` for each table, in order. Does not reject. */
export async function takeHome(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const failures = await detach(pool, tables, how);
  const freed = tables.map((table, index) => {
    const stays = failures[index] ?? table.stays ?? null;
    return { ...table, stays };
  });
  const relocations = await relocate(pool, freed, how);
  return relocations.map((relocation) => {
    if (relocation.outcome !== 'failed' || relocation.errno !== HAS_TRIGGERS) return relocation;
    return { ...relocation, failure: `${STAYS_WITH_TRIGGERS}: ${relocation.failure}` };
  });
}

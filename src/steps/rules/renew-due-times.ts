/**
 * New due times for tables that were renamed to their hold names a moment ago: later ones where
 * time was lost meanwhile, earlier ones where a rule says so of empty tables, and they are.
 *
 * Invariant: under its hold name nobody writes to a table. What isn't seen empty there, or can't be
 * looked at, keeps its time.
 */

import { renew } from '../../held/relocate/due-times.js';
import type { RelocateTable } from '../../held/relocate/relocate.js';
import type { HoldTime, Ruling } from '../../policy/decide.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { isEmptyTable } from './rules.js';

export interface LastLook {
  /** The due time was fixed long before the RENAME. */
  readonly isLate: boolean;
  /** UNDROP_HOLD. */
  readonly holdMs: number;
  readonly rulingOf: (id: string) => Ruling | undefined;
}

export async function renewDueTimes(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { isLate, holdMs, rulingOf }: LastLook,
): Promise<readonly RelocateTable[]> {
  const sooner = new Map<string, HoldTime>();
  for (const { id, fromSchema, holdName } of tables) {
    const hold = rulingOf(id)?.holdIfEmpty ?? null;
    if (hold === null || (await isEmptyTable(pool, fromSchema, holdName)) !== true) continue;
    sooner.set(id, hold);
  }
  if (!isLate && sooner.size === 0) return tables;
  const holdOf = (id: string) => {
    const ruling = rulingOf(id);
    const late = isLate ? ruling?.holdIfLate : null;
    return sooner.get(id) ?? late ?? ruling?.hold ?? holdMs;
  };
  return renew(pool, tables, { holdMs: holdOf, maySooner: (id) => sooner.has(id) });
}

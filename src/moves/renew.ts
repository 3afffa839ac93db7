/**
 * New hold names for tables that are about to be relocated: a due time is fixed before the user's
 * RENAME, and what that RENAME waited for a lock would be missing from the time in HOLD. The id
 * stays, and whoever looks for a held table looks by it; the ledger follows the name.
 *
 * Invariant: the due time is only ever moved into the future.
 */
import { UndropError } from '../errors.js';
import { formatHoldName, parseHoldName } from '../names/hold-name.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { dateOf } from '../service/row.js';
import { note, sql } from '../service/sql.js';
import type { RelocateTable } from './relocate.js';

export interface RenewOptions {
  /** How long they are to be held from now on. */
  readonly holdMs: number;
  /** What is less than this is not worth another name; default 0. */
  readonly lostMsMin?: number;
}

/** The tables, to be held from now on. Where the server doesn't tell the time, as they were. */
export async function renew(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { holdMs, lostMsMin = 0 }: RenewOptions,
): Promise<readonly RelocateTable[]> {
  try {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('renew', tables[0]?.id)} UTC_TIMESTAMP() AS utcNow`,
    );
    const due = new Date(dateOf(rows[0] ?? {}, 'utcNow').getTime() + holdMs);
    return tables.map((table) => {
      const held = parseHoldName(table.holdName);
      const isWorth = held !== null && due.getTime() - held.due.getTime() > lostMsMin;
      if (!isWorth || held.state !== 'HOLD') return table;
      return { ...table, newName: formatHoldName({ ...held, due }) };
    });
  } catch (error) {
    // They are held, if for less time; a drop that is done must not fail for this.
    if (isServerError(error) || error instanceof UndropError) return tables;
    throw error;
  }
}

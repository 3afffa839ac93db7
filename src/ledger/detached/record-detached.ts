/**
 * Records the detached parts of a held table. Two proxies may do so at once, each with the parts
 * that it found; so nothing is overwritten: old and new parts are merged, and if the row has
 * changed meanwhile, merged again.
 */
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql, textOrNullOf } from '../../service/sql.js';
import { DETACHED_RECORD_TRIES } from '../../tries.js';
import { LEDGER } from '../tables.js';
import { type Detached, formatDetached, mergeDetached, parseDetached } from './detached.js';

interface DetachedRecord {
  readonly id: string;
  readonly detached: Detached;
  /** The complete definition; null keeps the present one. */
  readonly definition: string | null;
  /** Whether the row is in the binary log. */
  readonly rowLogged: boolean;
}

/**
 * Call it before anything is detached, and when a child's key leads to the original name again.
 * False if the row's table is no longer held, or the row keeps changing: then nothing may be
 * detached.
 */
export async function recordDetached(
  pool: ServicePool,
  { id, detached, definition, rowLogged }: DetachedRecord,
): Promise<boolean> {
  for (let tries = 1; tries <= DETACHED_RECORD_TRIES; tries++) {
    const [[row] = []] = await pool.run(
      sql`SELECT ${note('detach', id)} detached FROM ${LEDGER} WHERE id = ${id} AND ${HELD}`,
    );
    if (row === undefined) return false;
    const before = textOrNullOf(row, 'detached');
    const [written] = await pool.run(
      sql`UPDATE ${note('detach', id)} ${LEDGER}
        SET detached = ${formatDetached(mergeDetached(parseDetached(before), detached))},
          definition = COALESCE(${definition}, definition)
        WHERE id = ${id} AND ${HELD} AND detached <=> ${before}`,
      { logged: rowLogged },
    );
    if (written?.affectedRows === 1) return true;
  }
  return false;
}

const HELD = sql`state IN ('intent', 'HOLD')`;

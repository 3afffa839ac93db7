/**
 * Whether an intent that is being recorded waits for somebody's lock: FLUSH TABLES WITH READ LOCK,
 * a backup. The server is asked, as a statement that is slow is none that waits.
 */
import { isServerError, type ServicePool } from '../service/pools.js';
import { note, sql } from '../service/sql.js';

/** `id`: the first of its tables. False where the server can't say. */
export async function isIntentWaiting(pool: ServicePool, id: string): Promise<boolean> {
  try {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('waits')} 1 FROM information_schema.PROCESSLIST
        WHERE ID <> CONNECTION_ID() AND STATE LIKE 'Waiting for %'
          AND INFO LIKE ${`%undrop intent ${id}%`}`,
    );
    return rows.length > 0;
  } catch (error) {
    if (isServerError(error)) return false;
    throw error;
  }
}

/**
 * An intent that has no answer. It may wait for somebody's lock (FLUSH TABLES WITH READ LOCK, a
 * backup): the server is asked, because a slow statement need not wait for a lock. And it may have
 * been given up: its statement goes on until the KILL arrives, and what it writes then is there.
 */
import { systemClock } from '../../clock.js';
import { type ServicePool, unlessRefused } from '../../service/pool/pools.js';
import { WAITS_FOR_LOCK } from '../../service/pool/statement-timeout.js';
import { note, type SQLQuery, sql } from '../../service/sql.js';
import { forgetIntents } from '../write.js';

/** Longer than a lock of the service lasts, and its KILL. */
const LOOKS_MAX = 50;
const CHECK_EVERY_MS = 100;

/** `id`: the first of its tables. False if the server can't say. */
export function isIntentWaiting(pool: ServicePool, id: string): Promise<boolean> {
  return unlessRefused(isIntentRunning(pool, id, sql` AND ${WAITS_FOR_LOCK}`), false);
}

/**
 * Deletes intents that nobody has seen being written, after the end of what writes them. Rejects
 * if that has no end within some seconds either: then recovery forgets them.
 */
export async function forgetUnanswered(
  pool: ServicePool,
  ids: readonly string[],
  options: { readonly sqlLogBin: boolean },
): Promise<void> {
  const [id = ''] = ids;
  for (let looks = 1; await isIntentRunning(pool, id); looks++) {
    if (looks === LOOKS_MAX) throw new Error('an intent that was given up is still being written');
    await systemClock.sleep(CHECK_EVERY_MS);
  }
  await forgetIntents(pool, ids, options);
}

async function isIntentRunning(
  pool: ServicePool,
  id: string,
  how: SQLQuery = sql``,
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('runs')} 1 FROM information_schema.PROCESSLIST
        WHERE ID <> CONNECTION_ID() AND INFO LIKE ${`%undrop intent ${id}%`}${how}`,
  );
  return rows.length > 0;
}

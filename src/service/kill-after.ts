/**
 * Runs a text that may wait for a metadata lock, and ends the wait after a moment by KILL QUERY from
 * a second connection: no server of the set has a lock timeout below one second.
 *
 * Invariant: nobody waits behind us for longer than `killAfterMs`; a KILL never hits another text.
 */
import { isServerError, type Rows, type ServicePool } from './pools.js';
import type { SQLQuery } from './sql.js';

export const KILL_AFTER_MS = 200;

/** Rejects with the server's 1317 or 1205 where the time was over (`isKilled`). */
export function runOrKill(
  _pool: ServicePool,
  _text: SQLQuery | readonly SQLQuery[],
  _options: { readonly killAfterMs?: number; readonly logged?: boolean } = {},
): Promise<readonly Rows[]> {
  throw new Error('not built yet');
}

/** Whether the statement gave up waiting for a lock: interrupted (1317) or timed out (1205). */
export function isKilled(error: unknown): boolean {
  return isServerError(error, 1317, 1205);
}

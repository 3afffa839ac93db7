/**
 * Runs a text that may wait for a metadata lock, and ends the wait after a moment by KILL QUERY
 * from a second connection: no server of the set has a lock timeout below one second.
 *
 * Invariant: nobody waits behind us for longer than `killAfterMs`; a KILL never hits another text.
 */
import {
  isServerError,
  type Rows,
  type RunOptions,
  type ServicePool,
  type TaskConnection,
} from './pools.js';
import type { SQLQuery } from './sql.js';

export const KILL_AFTER_MS = 200;

export interface KillAfterOptions extends Pick<RunOptions, 'logged' | 'last'> {
  readonly killAfterMs?: number;
}

/** Rejects with the server's 1317 or 1205 where the time was over (`isKilled`). */
export function runOrKill(
  pool: ServicePool,
  text: SQLQuery | readonly SQLQuery[],
  options: KillAfterOptions = {},
): Promise<readonly Rows[]> {
  return pool.task((connection) => runOrKillOn(connection, pool, text, options));
}

/** The same on a connection that the caller has already; the last text that it runs there. */
export async function runOrKillOn(
  connection: TaskConnection,
  pool: ServicePool,
  text: SQLQuery | readonly SQLQuery[],
  options: KillAfterOptions = {},
): Promise<readonly Rows[]> {
  const { killAfterMs = KILL_AFTER_MS, ...how } = options;
  let kill: Promise<unknown> | null = null;
  const timer = setTimeout(() => {
    // The answer may already be on its way here; what the KILL hits then must not be the next
    // text of somebody else. If the KILL itself fails, lock_wait_timeout ends the wait.
    connection.discard();
    kill = pool.killQuery(connection.threadId).catch(() => undefined);
  }, killAfterMs);
  try {
    return await connection.run(text, how);
  } finally {
    clearTimeout(timer);
    await kill;
  }
}

/** Whether the statement gave up waiting for a lock: interrupted (1317) or timed out (1205). */
export function isKilled(error: unknown): boolean {
  return isServerError(error, 1317, 1205);
}

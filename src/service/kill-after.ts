/**
 * Runs a text that may wait for a metadata lock, and ends the wait after a moment by KILL QUERY
 * from a second connection: no server of the set has a lock timeout below one second.
 *
 * Invariant: nobody waits behind us for longer than `killAfterMs`, or than the patience that is
 * left; a KILL never hits another text.
 */

import { systemClock } from '../clock.js';
import { LOOK_MS, type Patience } from './patience.js';
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
  /** A client waits: a try that is seen waiting is given up before, when this is used up. */
  readonly patience?: Patience | undefined;
}

/** What a text that may wait for a lock is run with. */
export type TryOptions = Pick<KillAfterOptions, 'patience'> & { readonly logged: boolean };

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
  const { killAfterMs = KILL_AFTER_MS, patience, ...how } = options;
  const done = new AbortController();
  const watching = watch(connection, pool, { killAfterMs, patience, signal: done.signal });
  try {
    return await connection.run(text, how);
  } finally {
    done.abort();
    await watching;
  }
}

/** Whether the statement gave up waiting for a lock: interrupted (1317) or timed out (1205). */
export function isKilled(error: unknown): boolean {
  return isServerError(error, 1317, 1205);
}

interface Watch {
  readonly killAfterMs: number;
  readonly patience: Patience | undefined;
  /** The text has ended. */
  readonly signal: AbortSignal;
}

/** Ends with the text, or when it was killed. Does not reject. */
async function watch(
  connection: TaskConnection,
  pool: ServicePool,
  { killAfterMs, patience, signal }: Watch,
): Promise<void> {
  const endMs = performance.now() + killAfterMs;
  for (let leftMs = killAfterMs; leftMs > 0; leftMs = endMs - performance.now()) {
    await systemClock.sleep(patience === undefined ? leftMs : Math.min(leftMs, LOOK_MS), signal);
    if (signal.aborted) return;
    if (patience === undefined) continue;
    const isWaiting = await Promise.race([isSeenWaiting(pool, connection), ending(signal)]);
    if (signal.aborted) return;
    if (isWaiting && patience.seenWaiting()) break;
  }
  // The answer may already be on its way here; what the KILL hits then must not be the next
  // text of somebody else. If the KILL itself fails, lock_wait_timeout ends the wait.
  connection.discard();
  await pool.killQuery(connection.threadId).catch(() => undefined);
}

async function isSeenWaiting(pool: ServicePool, { threadId }: TaskConnection): Promise<boolean> {
  try {
    return await pool.isWaiting(threadId);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return false;
  }
}

function ending(signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
}

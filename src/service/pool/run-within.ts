/**
 * Runs a query that may take long, and ends it by a KILL QUERY from another connection, because
 * MySQL 5.6 has no time limit for a statement.
 */
import { systemClock } from '../../clock.js';
import { ER_QUERY_INTERRUPTED } from '../../wire/server-errors.js';
import type { SQLQuery } from '../sql.js';
import { isServerError, type Rows, type ServicePool, type TaskConnection } from './pools.js';

export interface SearchBound {
  readonly withinMs: number;
  /** Called repeatedly; true ends the query, too. Default: only the time does. */
  readonly givesWay?: (() => Promise<boolean>) | undefined;
}

/**
 * The rows of the last text; null: it took too long, or gave way. Rejects with all other errors of
 * the server or the pool.
 */
export async function runWithin(
  pool: ServicePool,
  texts: readonly SQLQuery[],
  bound: SearchBound,
): Promise<Rows | null> {
  const { withinMs } = bound;
  if (withinMs <= 0) return null;
  try {
    return await pool.task(async (connection) => {
      const done = new AbortController();
      const killing = killAfter(pool, connection, { ...bound, signal: done.signal });
      try {
        const all = await connection.run(texts, { deadlineMs: withinMs + DEADLINE_MS });
        return all.at(-1) ?? null;
      } finally {
        done.abort();
        await killing;
      }
    });
  } catch (error) {
    if (!isServerError(error, ER_QUERY_INTERRUPTED)) throw error;
    return null;
  }
}

/** The time that a KILL may need. */
const DEADLINE_MS = 10_000;
/** How often `givesWay` is called. */
const CHECK_MS = 200;

async function killAfter(
  pool: ServicePool,
  connection: TaskConnection,
  { withinMs, givesWay, signal }: SearchBound & { readonly signal: AbortSignal },
): Promise<void> {
  const endMs = performance.now() + withinMs;
  for (let isOver = false; !isOver; ) {
    const leftMs = Math.max(0, endMs - performance.now());
    const pauseMs = givesWay === undefined ? leftMs : Math.min(leftMs, CHECK_MS);
    await systemClock.sleep(pauseMs, signal);
    if (signal.aborted) return;
    isOver = performance.now() >= endMs || (await givesWay?.().catch(() => true)) === true;
  }
  if (signal.aborted) return;
  connection.discard();
  await pool.killQuery(connection.threadId).catch(() => undefined);
}

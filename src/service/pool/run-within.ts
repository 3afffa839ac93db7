/**
 * Runs a look that may take long, and ends it by a KILL QUERY from another connection: MySQL 5.6
 * has no time limit for a statement.
 */
import { once } from 'node:events';
import { systemClock } from '../../clock.js';
import { ER_QUERY_INTERRUPTED } from '../../wire/server-errors.js';
import type { SQLQuery } from '../sql.js';
import { isServerError, type Rows, type ServicePool, type TaskConnection } from './pools.js';

/** Null: it took longer. Rejects with whatever else the server or the pool says. */
export async function runWithin(
  pool: ServicePool,
  query: SQLQuery,
  withinMs: number,
): Promise<Rows | null> {
  if (withinMs <= 0) return null;
  try {
    return await pool.task(async (connection) => {
      const done = new AbortController();
      const killing = killAfter(pool, connection, { withinMs, signal: done.signal });
      try {
        const [rows] = await connection.run(query, { deadlineMs: withinMs + DEADLINE_MS });
        return rows ?? null;
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

/** A KILL may take so long to be heard. */
const DEADLINE_MS = 10_000;

async function killAfter(
  pool: ServicePool,
  connection: TaskConnection,
  { withinMs, signal }: { readonly withinMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const ended = once(signal, 'abort').catch(() => undefined);
  await Promise.race([systemClock.sleep(withinMs, signal), ended]);
  if (signal.aborted) return;
  connection.discard();
  await pool.killQuery(connection.threadId).catch(() => undefined);
}

/**
 * One DROP DATABASE at a time for each pool of service connections: each has two of them for
 * itself, and others are needed to go on.
 */
import { systemClock } from '../clock.js';
import type { ServicePool } from '../service/pools.js';

const last = new WeakMap<ServicePool, Promise<unknown>>();

/** Null where those before it took longer than `withinMs`; then `work` wasn't begun. */
export async function oneAtATime<T>(
  pool: ServicePool,
  work: () => Promise<T>,
  { withinMs }: { readonly withinMs: number },
): Promise<{ readonly value: T } | null> {
  const before = last.get(pool) ?? Promise.resolve();
  const waited = new AbortController();
  const turn = before.then(() => true);
  const isOurs = Promise.race([turn, systemClock.sleep(withinMs, waited.signal).then(() => false)]);
  const result = isOurs.then(async (isFree) => {
    waited.abort();
    return isFree ? { value: await work() } : null;
  });
  // Whoever gave up leaves the turn to those before it.
  last.set(pool, Promise.all([before, result.catch(() => undefined)]));
  return result;
}

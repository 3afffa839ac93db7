/**
 * Turns at the service account's pool for statements of undrop's own: work of one kind is done one
 * after the other. No work in a queue waits for a client's session, so each turn ends.
 */
import type { ServicePool } from '../../service/pool/pools.js';

/**
 * read, restore: all requests of a user have one connection at a time. restore alone: needs several
 * connections of the pool at once; the others don't wait for it.
 */
export type QueueKey = 'restore' | `read ${string}` | `restore ${string}`;

/** The last of those that wait, by pool and kind. */
const queues = new WeakMap<ServicePool, Map<QueueKey, Promise<unknown>>>();

export function inQueue<T>(pool: ServicePool, key: QueueKey, work: () => Promise<T>): Promise<T> {
  const ofPool = queues.get(pool) ?? new Map<QueueKey, Promise<unknown>>();
  queues.set(pool, ofPool);
  const done = (ofPool.get(key) ?? Promise.resolve()).then(work);
  const forget = () => {
    if (ofPool.get(key) === over) ofPool.delete(key);
  };
  const over: Promise<unknown> = done.then(forget, forget);
  ofPool.set(key, over);
  return done;
}

/** A restore of several steps: in the turn of its user, then of all. */
export function inRestoreQueue<T>(
  pool: ServicePool,
  user: string,
  work: () => Promise<T>,
): Promise<T> {
  return inQueue(pool, `restore ${user}`, () => inQueue(pool, 'restore', work));
}

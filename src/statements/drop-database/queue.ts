/**
 * The queue of DROP DATABASE statements for each pool of service connections: each of them has
 * three connections for itself, and others are needed to go on.
 */
import type { ServicePool } from '../../service/pool/pools.js';

const last = new WeakMap<ServicePool, Promise<unknown>>();

export interface QueuePlace {
  /** No one that came before is left. */
  readonly isFirst: boolean;
  /** Whoever leaves early leaves the turn to those before. */
  leave(): void;
}

export function joinQueue(pool: ServicePool): QueuePlace {
  const before = last.get(pool);
  const place = { isFirst: before === undefined, leave: (): void => undefined };
  const left = new Promise<void>((resolve) => {
    place.leave = resolve;
  });
  const end = Promise.all([before, left]).then(() => {
    if (last.get(pool) === end) last.delete(pool);
  });
  last.set(pool, end);
  void before?.then(() => {
    place.isFirst = true;
  });
  return place;
}

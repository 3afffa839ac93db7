/**
 * The drops that this process is in the middle of, by server: what one that is gone keeps open is
 * none of another's, which has the row of the ledger too, behind a failover.
 */
import type { ServicePool } from '../../service/pool/pools.js';

export class ActiveDrops {
  readonly #ids = new WeakMap<ServicePool, Set<string>>();

  /** Ids of those that are done with that pool. */
  at(pool: ServicePool): Set<string> {
    const ids = this.#ids.get(pool) ?? new Set();
    this.#ids.set(pool, ids);
    return ids;
  }
}

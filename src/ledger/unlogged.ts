/**
 * Whether this account may switch sql_log_bin off. If it may, the ledger rows of drops that
 * replicas don't see are not seen by them either: a logged one would be an errant transaction
 * there. Each row says what was done with it, because a logged UPDATE of a row that a replica
 * hasn't got would stop its replication.
 */
import { type ServicePool, unlessRefused } from '../service/pool/pools.js';
import { note, sql } from '../service/sql.js';
import { ER_SPECIFIC_ACCESS_DENIED_ERROR } from '../wire/server-errors.js';

const known = new WeakMap<ServicePool, Promise<boolean>>();

/** Asked of the server once for each pool. */
export function mayUnlog(pool: ServicePool): Promise<boolean> {
  const before = known.get(pool);
  if (before !== undefined) return before;
  const tried = pool.run(sql`DO ${note('look')} 0`, { logged: false }).then(() => true);
  const asked = unlessRefused(tried, false, ER_SPECIFIC_ACCESS_DENIED_ERROR);
  known.set(pool, asked);
  asked.catch(() => known.delete(pool));
  return asked;
}

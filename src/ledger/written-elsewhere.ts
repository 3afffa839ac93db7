/**
 * Rows of the ledger that replication has brought, on a server that may be written to: they are
 * about drops on the source, where their sessions are and their tables will be renamed. What was
 * done about them here would stop the replica, or come back to the source.
 *
 * Invariant: where nothing is replicated any more (a replica that was promoted), all rows are this
 * server's.
 */

import type { ServicePool } from '../service/pools.js';
import { numberOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, serverIdentity, sql } from '../service/sql.js';
import { processlistOf, serverOf } from './owner.js';

/** Ids of the rows that are to be left alone for that. */
export async function writtenElsewhere(
  pool: ServicePool,
  rows: readonly { readonly id: string; readonly proxyId: string }[],
): Promise<ReadonlySet<string>> {
  const labelled = rows.filter(({ proxyId }) => serverOf(proxyId) !== null);
  if (labelled.length === 0) return new Set();
  const server = await readServerFacts(pool);
  // MariaDB's own threads are of the same user.
  const [answer = []] = await pool.run(
    sql`SELECT ${note('elsewhere')} CRC32(${serverIdentity(server)}) AS here,
        EXISTS (SELECT 1 FROM ${processlistOf(server)}
          WHERE USER = 'system user' AND COMMAND <> 'Daemon') AS replicates`,
  );
  const facts = answer[0] ?? {};
  if (numberOf(facts, 'replicates') === 0) return new Set();
  const here = String(numberOf(facts, 'here'));
  const others = labelled.filter(({ proxyId }) => serverOf(proxyId) !== here);
  return new Set(others.map(({ id }) => id));
}

/**
 * Rows of the ledger that replication has brought, on a server that may be written to: they are
 * about drops on the source, where their sessions are and their tables will be renamed. What was
 * done about them here would stop the replica, or come back to the source.
 *
 * Invariant: where nothing is replicated any more (a replica that was promoted), all rows are this
 * server's.
 */

import type { ServiceConnection, ServicePool } from '../service/pools.js';
import { numberOf } from '../service/row.js';
import { readServerFacts, type ServerFacts } from '../service/server-facts.js';
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
  if (!(await doesReplicate(pool, server))) return new Set();
  const [answer = []] = await pool.run(
    sql`SELECT ${note('elsewhere')} CRC32(${serverIdentity(server)}) AS here`,
  );
  const here = String(numberOf(answer[0] ?? {}, 'here'));
  const others = labelled.filter(({ proxyId }) => serverOf(proxyId) !== here);
  return new Set(others.map(({ id }) => id));
}

/** Whether it takes over what others do: a replica, one of two primaries, a node of a group. */
export async function doesReplicate(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<boolean> {
  // MariaDB's own threads are of the same user.
  const [answer = []] = await connection.run(
    sql`SELECT ${note('elsewhere')} EXISTS (SELECT 1 FROM ${processlistOf(server)}
          WHERE USER = 'system user' AND COMMAND <> 'Daemon') AS replicates`,
  );
  return numberOf(answer[0] ?? {}, 'replicates') !== 0;
}

/**
 * The owner of an intent: a user session, by its id in the processlist and the port from which the
 * server sees it (not the local port: there may be an address translation or a relay in between).
 * Ids start again from 1 when the server does; id and port together don't recur, so an owner never
 * counts as gone because of a clock.
 */
import type { ServiceConnection, ServicePool } from '../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../service/server-facts.js';
import {
  note,
  numberOf,
  processlistOf,
  type SQLQuery,
  serverIdentity,
  sql,
} from '../service/sql.js';
import { AT } from './intents/intent-text.js';

/**
 * Ids of rows that replication has brought, on a writable server: they are about drops on the
 * source, whose sessions are there. Changes to them here would stop the replica, or come back to
 * the source. Invariant: if nothing is replicated any longer (a replica that was promoted), all
 * rows are this server's.
 */
export async function writtenElsewhere(
  pool: ServicePool,
  rows: readonly { readonly id: string; readonly proxyId: string }[],
): Promise<ReadonlySet<string>> {
  const labelled = rows.filter(({ proxyId }) => proxyId.includes(AT));
  if (labelled.length === 0) return new Set();
  const server = await readServerFacts(pool);
  if (!(await doesReplicate(pool, server))) return new Set();
  const [answer = []] = await pool.run(
    sql`SELECT ${note('elsewhere')} CRC32(${serverIdentity(server)}) AS here`,
  );
  const here = `${AT}${numberOf(answer[0] ?? {}, 'here')}`;
  const others = labelled.filter(({ proxyId }) => !proxyId.endsWith(here));
  return new Set(others.map(({ id }) => id));
}

/**
 * Whether servers outside its own cluster write to it: a replica, one of two primaries. A node of a
 * cluster has threads that apply the changes of the other nodes.
 */
export async function hasSource(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<boolean> {
  return hasThread(connection, server, server.cluster === null ? OF_ANY : OF_SOURCE);
}

/**
 * Whether it applies changes of other servers: a replica, one of two primaries, a node of a group.
 */
export async function doesReplicate(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<boolean> {
  return hasThread(connection, server, OF_ANY);
}

/** MariaDB's own threads have the same user. */
const OF_ANY = sql`COMMAND <> 'Daemon'`;
/** A thread that reads from a source outside. */
const OF_SOURCE = sql`(COMMAND LIKE '%\\_IO' OR STATE LIKE '%source to send event'
  OR STATE LIKE '%onnecting to source')`;

async function hasThread(
  connection: ServiceConnection,
  server: ServerFacts,
  which: SQLQuery,
): Promise<boolean> {
  const [answer = []] = await connection.run(
    sql`SELECT ${note('elsewhere')} EXISTS (SELECT 1 FROM ${processlistOf(server)}
          WHERE USER = 'system user' AND ${which}) AS found`,
  );
  return numberOf(answer[0] ?? {}, 'found') !== 0;
}

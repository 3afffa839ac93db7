/**
 * Who owns an intent: a user session, by its id in the processlist and the port from which the
 * server sees it come (not the one that we dialled from: there may be an address translation or a
 * relay between). Ids start again from 1 when the server does; id and port together don't come
 * back, so an owner is never taken for gone because of a clock.
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
 * Ids of the rows that replication has brought, on a server that may be written to: they are about
 * drops on the source, whose sessions are there. What was done about them here would stop the
 * replica, or come back to the source. Invariant: if nothing is replicated any more (a replica that
 * was promoted), all rows are this server's.
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
 * Whether others than its own cluster write to it: a replica, one of two primaries. A node of a
 * cluster has threads that apply what the other nodes did.
 */
export async function hasSource(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<boolean> {
  return hasThread(connection, server, server.cluster === null ? OF_ANY : OF_SOURCE);
}

/** Whether it takes over what others do: a replica, one of two primaries, a node of a group. */
export async function doesReplicate(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<boolean> {
  return hasThread(connection, server, OF_ANY);
}

/** MariaDB's own threads are of the same user. */
const OF_ANY = sql`COMMAND <> 'Daemon'`;
/** One that reads from a source outside. */
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

/**
 * The owner of an intent: a user session, by its id in the processlist and the port from which the
 * server sees it (not the local port: there may be an address translation or a relay in between).
 * Ids start again from 1 when the server does; id and port together don't recur, so an owner never
 * counts as gone because of a clock.
 */

import type { ServerFacts, ServiceConnection, ServicePool, SQLQuery } from '../connections/sql.js';
import {
  col,
  note,
  processlistOf,
  readServerFacts,
  serverIdentity,
  sql,
  valueList,
} from '../connections/sql.js';
import { cellsOf, type LedgerRow, rowColumns } from './entry.js';
import { AT } from './intents/intent-text.js';
import { findRows, IS_BROKEN_OFF } from './read.js';
import { IS_RESTORING } from './schema-restores.js';
import { LEDGER } from './tables.js';

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
  const here = `${AT}${col.number(answer[0] ?? {}, 'here')}`;
  const others = labelled.filter(({ proxyId }) => !proxyId.endsWith(here));
  return new Set(others.map(({ id }) => id));
}

/**
 * Whether servers outside its own cluster write to it: a replica, one of two primaries. A node of a
 * cluster has threads that apply the changes of the other nodes.
 */
export function hasSource(connection: ServiceConnection, server: ServerFacts): Promise<boolean> {
  return doesReplicate(connection, server, server.cluster === null ? OF_ANY : OF_SOURCE);
}

/** MariaDB's own threads have the same user. */
const OF_ANY = sql`COMMAND <> 'Daemon'`;
/** A thread that reads from a source outside. */
const OF_SOURCE = sql`(COMMAND LIKE '%\\_IO' OR STATE LIKE '%source to send event'
  OR STATE LIKE '%onnecting to source')`;

/**
 * Whether it applies changes of other servers: a replica, one of two primaries, a node of a group.
 */
export async function doesReplicate(
  connection: ServiceConnection,
  server: ServerFacts,
  which: SQLQuery = OF_ANY,
): Promise<boolean> {
  const [answer = []] = await connection.run(
    sql`SELECT ${note('elsewhere')} EXISTS (SELECT 1 FROM ${processlistOf(server)}
          WHERE USER = 'system user' AND ${which}) AS found`,
  );
  return col.number(answer[0] ?? {}, 'found') !== 0;
}

// ── which owners are connected ───────────────────────────────────────────────────────────────────
// Rows from replication have their owners on the source. Rows without one are orphans, because
// their process was killed, or their client disconnected while a DROP DATABASE goes on, which
// recovery skips. Recovery looks for orphans every few seconds, because a live table's foreign key
// may lead to a held one until then; so the check costs the same however many tables are held.

const OWNED = ['id', 'proxyId', 'threadId', 'upstreamPort', 'droppedAt'] as const;
type Owned = Pick<LedgerRow, (typeof OWNED)[number]>;

/** How far the server's clock may have been set back while a live owner still counts as alive. */
const RESTART_MARGIN_MS = 60_000;

/**
 * The intents whose statement isn't over. An intent may have been taken over, or given back,
 * between the read of the ledger and that of the sessions; then it has another owner now.
 */
export async function intentsWithLiveSession(
  pool: ServicePool,
  intents: readonly Owned[],
): Promise<ReadonlySet<string>> {
  const alive = await liveOwners(pool, intents);
  const dead = new Map(intents.flatMap((row) => (alive.has(row.id) ? [] : [[row.id, row]])));
  if (dead.size === 0) return alive;
  const again = await findRows(pool, { by: 'intent' }, { texts: false });
  const passedOn = again.filter(({ id, threadId, upstreamPort }) => {
    const before = dead.get(id);
    if (before === undefined) return false;
    return threadId !== before.threadId || upstreamPort !== before.upstreamPort;
  });
  return new Set([...alive, ...passedOn.map(({ id }) => id)]);
}

/** Ids of the rows whose session is in the processlist, or may be in the source's. */
export async function liveOwners(
  pool: ServicePool,
  rows: readonly Owned[],
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set();
  const server = await readServerFacts(pool);
  const threadIds = [...new Set(rows.map(({ threadId }) => threadId))];
  const [found = []] = await pool.run(
    sql`SELECT ${note('owners')} ID AS id, HOST AS host FROM ${processlistOf(server)}
        WHERE ID IN (${valueList(threadIds)})`,
  );
  const hosts = new Map(found.map((row) => [col.number(row, 'id'), col.text(row, 'host')]));
  const alive = rows.filter(({ threadId, upstreamPort, droppedAt }) => {
    const host = hosts.get(threadId);
    if (host === undefined) return false;
    if (upstreamPort !== null) return host.endsWith(`:${upstreamPort}`);
    // Over a socket there is no port. A row from well before the server's start has no owner.
    return droppedAt.getTime() > server.startedAt.getTime() - RESTART_MARGIN_MS;
  });
  const elsewhere = await writtenElsewhere(pool, rows);
  return new Set([...alive.map(({ id }) => id), ...elsewhere]);
}

/** Enough to see that there is one; recovery reads all of them. */
const ROWS_MAX = 1_000;

/**
 * Ids of orphans. `activeIds`: drops in progress in this process. A row that has just changed its
 * owner, or ended, isn't one.
 */
export async function findOrphans(
  pool: ServicePool,
  activeIds: ReadonlySet<string>,
): Promise<readonly string[]> {
  const open = (await readOpen(pool)).filter(({ id }) => !activeIds.has(id));
  if (open.length === 0) return [];
  const alive = await liveOwners(pool, open);
  const dead = open.filter(({ id }) => !alive.has(id));
  if (dead.length === 0) return [];
  const now = new Map((await readOpen(pool)).map(({ id, threadId }) => [id, threadId]));
  return dead.filter(({ id, threadId }) => now.get(id) === threadId).map(({ id }) => id);
}

/** By the keys `by_state` and `by_todo`. Mostly there are none. */
async function readOpen(pool: ServicePool): Promise<readonly Owned[]> {
  const open = sql`state IN ('intent', 'emptying', 'emptied', 'dropping')`;
  const parts = [open, IS_BROKEN_OFF, IS_RESTORING].map(
    (which) => sql`SELECT ${rowColumns(OWNED)} FROM ${LEDGER} WHERE ${which}`,
  );
  const [rows = []] = await pool.run(
    sql`${note('orphans')} ${sql.join(parts, sql` UNION ALL `)} LIMIT ${ROWS_MAX}`,
  );
  return rows.map((row) => cellsOf(row, OWNED));
}

/** The RENAME of an owner that is gone may still wait in the server for a second. */
export async function isRenaming(pool: ServicePool, id: string): Promise<boolean> {
  // In two parts, so that this statement doesn't find that of another proxy.
  const isOfIt = sql`CONCAT('%RENAME /*%HOLD\\_', ${id}, '\\_%')`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', id)} 1 AS one FROM ${processlistOf(await readServerFacts(pool))}
        WHERE ID <> CONNECTION_ID() AND INFO LIKE ${isOfIt}`,
  );
  return rows.length > 0;
}

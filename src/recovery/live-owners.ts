/**
 * Which of the sessions that ledger rows speak of are there still: by the thread's id and the port
 * from which the server sees it come. Those of rows that replication brings are on the source.
 */
import { processlistOf, writtenElsewhere } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import type { ServicePool } from '../service/pool/pools.js';
import { numberOf, textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, sql } from '../service/sql.js';

export interface Owned {
  readonly id: string;
  readonly proxyId: string;
  readonly threadId: number;
  /** Null over a socket. */
  readonly upstreamPort: number | null;
  readonly droppedAt: Date;
}

/** How far the server's clock may have been set back and a live owner still be taken for alive. */
const RESTART_MARGIN_MS = 60_000;

/**
 * Of intents those whose statement isn't over: somebody may have taken one over, or given it back,
 * between the look at the ledger and that at the sessions. Then it has another owner by now.
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
  const server = await readServerFacts(pool);
  const threadIds = [...new Set(rows.map(({ threadId }) => threadId))];
  const list = sql.join(
    threadIds.map((threadId) => sql`${threadId}`),
    ', ',
  );
  const [found = []] = await pool.run(
    sql`SELECT ${note('owners')} ID AS id, HOST AS host FROM ${processlistOf(server)}
        WHERE ID IN (${list})`,
  );
  const hosts = new Map(found.map((row) => [numberOf(row, 'id'), textOf(row, 'host')]));
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

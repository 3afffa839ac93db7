/**
 * Whether something in the ledger is under way that nobody is in the middle of any more: its
 * process was killed. A look of every few seconds, as a live table's foreign key may lead to a held
 * one until recovery comes; so it costs the same however many tables are held.
 */
import { hasOwner } from '../ledger/intents/group-owner.js';
import { LEDGER } from '../ledger/tables.js';
import type { Row, ServicePool } from '../service/pool/pools.js';
import { dateOf, numberOf, numberOrNullOf, textOf } from '../service/row.js';
import { note, sql } from '../service/sql.js';
import { liveOwners, type Owned } from './live-owners.js';

/** Enough to see that there is one; recovery has walks for all of them. */
const ROWS_MAX = 1_000;

interface Open extends Owned {
  readonly groupId: string;
  readonly isSchema: boolean;
}

/**
 * Ids of such rows. `activeIds`: drops that this process is in the middle of. What has just changed
 * hands, or come to its end, is none.
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
  const left = dead.filter(({ id, threadId }) => now.get(id) === threadId);
  const ofGroups = new Set(open.flatMap((row) => (row.isSchema ? [row.groupId] : [])));
  const orphans: string[] = [];
  for (const { id, groupId, isSchema } of left) {
    // The rest of a DROP DATABASE is for whoever ends that.
    if (!isSchema && ofGroups.has(groupId)) continue;
    if (!isSchema || !(await hasOwner(pool, groupId))) orphans.push(id);
  }
  return orphans;
}

/** By the key `by_state`. Behind it mostly nothing. */
async function readOpen(pool: ServicePool): Promise<readonly Open[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('orphans')} id, group_id, proxy_id, thread_id, upstream_port, dropped_at, kind
        FROM ${LEDGER} WHERE state IN ('intent', 'emptying', 'emptied', 'dropping')
        LIMIT ${ROWS_MAX}`,
  );
  return rows.map(asOpen);
}

function asOpen(row: Row): Open {
  return {
    id: textOf(row, 'id'),
    groupId: textOf(row, 'group_id'),
    proxyId: textOf(row, 'proxy_id'),
    threadId: numberOf(row, 'thread_id'),
    upstreamPort: numberOrNullOf(row, 'upstream_port'),
    droppedAt: dateOf(row, 'dropped_at'),
    isSchema: textOf(row, 'kind') === 'schema',
  };
}

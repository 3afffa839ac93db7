/**
 * The ledger's record of restoring tables: the target of each (`restored_as`), that it isn't
 * complete (`todo`), and the connection that restores it, as the owner of an intent.
 *
 * Invariants: the mark is written before the RENAME, and removed only when the table is complete,
 * or the missing parts can't be reattached. A restore is taken over only from an owner that is
 * gone, by one statement that changes the row only as it was read.
 */

import { isServerError, tolerantly } from '../connections/errors.js';
import { note, type ServicePool, type SQLQuery, sql, valueList } from '../connections/sql.js';
import { inBatches, type QualifiedTable, writtenName } from '../names/names.js';
import { DEADLOCK_TRIES } from '../tries.js';
import * as ER from '../wire/server-errors.js';
import { type Detached, hasDetached } from './detached/detached.js';
import { type LedgerRow, type PendingWork, RESTORING } from './entry.js';
import { hostOfSession, LEDGER, PORT_OF_HOST } from './tables.js';
import { assignPendingWork, shapeOf } from './write.js';

type Row = Pick<LedgerRow, 'id' | 'rowLogged' | 'state'>;

/** A table, and the name that it gets. */
export interface Target {
  readonly row: Pick<LedgerRow, 'id' | 'rowLogged' | 'pendingWork'>;
  readonly to: QualifiedTable;
}

/**
 * Records the targets and the start of the restore in the ledger; `owner` is the id of its
 * connection. An intent keeps its owner, the session that drops the table; one without detached
 * parts gets no mark, because that session puts it back. May run twice.
 */
export async function markRestoring(
  pool: ServicePool,
  targets: readonly Target[],
  owner: number,
): Promise<void> {
  await changeEach(pool, targets, owner, (ids, names) => {
    return sql`SET ${assignPendingWork(RESTORING)}, restored_as = ELT(FIELD(id, ${ids}), ${names}),
        ${ofOwner(owner)}
      WHERE id IN (${ids}) AND (state = 'HOLD' OR (state = 'intent' AND detached IS NOT NULL))`;
  });
}

/** The table stays held, and its row gets back what it had. */
export async function unmarkRestoring(pool: ServicePool, { row, to }: Target): Promise<void> {
  const before = row.pendingWork?.todo === 'restoring' ? null : row.pendingWork;
  await changeEach(pool, [{ row, to }], 0, (ids) => {
    return sql`SET ${assignPendingWork(before)}, ${ofOwner(0)}
      WHERE id IN (${ids}) AND todo = 'restoring' AND state IN ('HOLD', 'intent')`;
  });
}

/** The tables have their names; if nothing was detached, all is done. May run twice. */
export async function recordRestored(
  pool: ServicePool,
  targets: readonly Target[],
  owner: number,
): Promise<void> {
  await changeEach(pool, targets, owner, (ids, names) => {
    return sql`SET state_since = IF(state = 'restored', state_since, UTC_TIMESTAMP()),
        state = 'restored', ended_at = COALESCE(ended_at, UTC_TIMESTAMP()),
        restored_as = ELT(FIELD(id, ${ids}), ${names}),
        failure = IF(detached IS NULL, NULL, failure), todo = IF(detached IS NULL, NULL, todo),
        ${ofOwner(owner)}
      WHERE id IN (${ids})`;
  });
}

async function changeEach(
  pool: ServicePool,
  targets: readonly Target[],
  owner: number,
  change: (ids: SQLQuery, names: SQLQuery) => SQLQuery,
): Promise<void> {
  const host = sql`SET ${hostOfSession(await shapeOf(pool), owner)}`;
  for (const logged of [true, false]) {
    const all = targets.filter(({ row }) => row.rowLogged === logged);
    for (const some of inBatches(all, TARGETS_OF_UPDATE)) {
      const ids = valueList(some.map(({ row }) => row.id));
      const names = valueList(some.map(({ to }) => writtenName(to).slice(0, 255)));
      const update = sql`UPDATE ${note('restore')} ${LEDGER} ${change(ids, names)}`;
      await unlessDeadlocked(() => pool.logging(logged).run([host, update]));
    }
  }
}

/** The names are found by their places in a list. */
const TARGETS_OF_UPDATE = 200;

/** Another writer may change the same rows in another order: the outcomes of their drop. */
async function unlessDeadlocked(write: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await write();
      return;
    } catch (error) {
      if (!isServerError(error, ER.LOCK_DEADLOCK) || tries === DEADLOCK_TRIES) throw error;
    }
  }
}

/** The owner of an intent stays the session that drops the table. */
export function ofOwner(owner: number): SQLQuery {
  return sql`thread_id = IF(state = 'intent', thread_id, ${owner}),
    upstream_port = IF(state = 'intent', upstream_port, ${PORT_OF_HOST})`;
}

/** A table is restored even if the ledger can't be written. False: it could not. */
export async function isWritten(write: () => Promise<unknown>): Promise<boolean> {
  const { problem } = await tolerantly(async () => [await write()]);
  return problem === null;
}

/** False: it is over, or another proxy was faster. */
export function takeOverRestore(
  pool: ServicePool,
  row: Row & Pick<LedgerRow, 'threadId' | 'pendingWork'>,
  owner: number,
): Promise<boolean> {
  const where = sql` AND todo <=> ${row.pendingWork?.todo ?? null} AND thread_id = ${row.threadId}`;
  return changeRestore(pool, row, { sets: sql`todo = todo`, owner, where });
}

/** The owner leaves it. `pendingWork`: the missing parts; null: none. */
export async function leaveRestore(
  pool: ServicePool,
  row: Row,
  pendingWork: PendingWork | null,
): Promise<void> {
  await changeRestore(pool, row, { sets: assignPendingWork(pendingWork), owner: 0 });
}

/** For a table or a schema. False: its row no longer has that state, or isn't as in `where`. */
export async function changeRestore(
  pool: ServicePool,
  { id, state, rowLogged }: Row,
  what: { readonly sets: SQLQuery; readonly owner: number; readonly where?: SQLQuery },
): Promise<boolean> {
  const { sets, owner, where = sql`` } = what;
  const [, changed] = await pool.logging(rowLogged).run([
    sql`SET ${hostOfSession(await shapeOf(pool), owner)}`,
    sql`UPDATE ${note('restore', id)} ${LEDGER} SET ${sets}, ${ofOwner(owner)}
        WHERE id = ${id} AND state = ${state}${where}`,
  ]);
  return (changed?.affectedRows ?? 0) > 0;
}

/** The parts that a restore has still to reattach, in words. */
export function toCome(detached: Detached): string {
  if (!hasDetached(detached)) return RESTORING.text;
  const { checks, keysOut, keysIn, triggers } = detached;
  const named = [
    ...checks.map(({ name }) => `CHECK ${name}`),
    ...keysOut.map(({ name }) => `foreign key ${name}`),
    ...keysIn.map(({ key, childTable }) => `foreign key ${key.name} of ${childTable}`),
    ...triggers.map(({ name }) => `trigger ${name}`),
  ];
  return `${RESTORING.text}, still to come: ${named.join(', ')}`;
}

// ── the connection that restores ─────────────────────────────────────────────────────────────────
// It does nothing else, and there is one for each pool, as long as any restore of this process is
// under way. The ledger's rows of the tables name it, and recovery leaves them alone while it is in
// the processlist; so its end, however it comes, ends the ownership.

interface Restorer {
  readonly threadId: Promise<number>;
  readonly end: () => void;
  restores: number;
}

const restorers = new WeakMap<ServicePool, Restorer>();

/** `work` gets the id of the connection. May be nested. */
export async function asRestorer<T>(
  pool: ServicePool,
  work: (owner: number) => Promise<T>,
): Promise<T> {
  const restorer = restorers.get(pool) ?? newRestorer(pool);
  restorers.set(pool, restorer);
  restorer.restores += 1;
  try {
    return await work(await restorer.threadId);
  } finally {
    restorer.restores -= 1;
    if (restorer.restores === 0) {
      restorers.delete(pool);
      restorer.end();
    }
  }
}

function newRestorer(pool: ServicePool): Restorer {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const threadId = new Promise<number>((resolve, reject) => {
    const task = pool.task(async (connection) => {
      connection.discard();
      resolve(connection.threadId);
      await ended;
    });
    task.catch(reject);
  });
  return { threadId, end, restores: 0 };
}

/**
 * The ledger's record of restoring a table: its target (`restored_as`), that it isn't complete
 * (`todo`), and the connection that restores it, as the owner of an intent.
 *
 * Invariants: the mark is written before the RENAME, and removed only when the table is complete,
 * or the missing parts can't be reattached. A restore is taken over only from an owner that is
 * gone, by one statement that changes the row only as it was read.
 */
import { UndropError } from '../errors.js';
import { type QualifiedTable, writtenName } from '../names/names.js';
import { tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { note, processlistOf, type SQLQuery, sql } from '../service/sql.js';
import { RESTORE_MARK_TRIES } from '../tries.js';
import { type Detached, hasDetached } from './detached/detached.js';
import { type Failure, type LedgerRow, RESTORING } from './entry.js';
import { findRows } from './read.js';
import { LEDGER, PORT_OF_HOST } from './tables.js';
import { assignFailure, shapeOf } from './write.js';

type Row = Pick<LedgerRow, 'id' | 'rowLogged' | 'state'>;

/**
 * Records the target and the start of the restore in the ledger; `owner` is the id of its
 * connection. Resolves to a function that takes this back, for a table that stays held.
 */
export async function markRestoring(
  pool: ServicePool,
  id: string,
  { to, owner }: { readonly to: QualifiedTable; readonly owner: number },
): Promise<() => Promise<void>> {
  for (let tries = 1; ; tries++) {
    const { value, error } = await tolerantly(() => findRows(pool, { by: 'id', prefix: id }));
    if (error instanceof UndropError && error.code === 'UNDROP_LEDGER_ROW') throw error;
    const [row] = value;
    // An intent: the statement that dropped it has failed, and its session puts it back.
    const isHeld = row?.state === 'HOLD' || row?.state === 'intent';
    const isPutBack = row?.state === 'intent' && !hasDetached(row.detached);
    if (row === undefined || !isHeld || isPutBack) return async () => undefined;
    const mark = assignFailure({ ...RESTORING, text: toCome(row.detached) });
    const sets = sql`${mark}, restored_as = ${writtenName(to).slice(0, 255)}`;
    let isOutdated = false;
    await untold(async () => {
      isOutdated = !(await change(pool, row, { sets, owner }));
    });
    // The outcome of its drop, for one, was written since.
    if (isOutdated && tries < RESTORE_MARK_TRIES) continue;
    const failure = row.failure?.todo === 'restoring' ? null : row.failure;
    return async () => {
      await untold(() => leaveRestore(pool, row, failure));
    };
  }
}

/** A table is restored even if the ledger can't be written. False: it could not. */
export async function untold(write: () => Promise<unknown>): Promise<boolean> {
  const { problem } = await tolerantly(async () => [await write()]);
  return problem === null;
}

/** False: it is over, or another proxy was faster. */
export async function takeOverRestore(
  pool: ServicePool,
  row: Row & Pick<LedgerRow, 'threadId' | 'failure'>,
  owner: number,
): Promise<boolean> {
  const where = sql` AND todo = ${row.failure?.todo ?? null} AND thread_id = ${row.threadId}`;
  return change(pool, row, { sets: sql`todo = todo`, owner, where });
}

/** The owner leaves it. `failure`: the missing parts; null: none. */
export async function leaveRestore(
  pool: ServicePool,
  row: Row,
  failure: Failure | null,
): Promise<void> {
  await change(pool, row, { sets: assignFailure(failure), owner: 0 });
}

/** The owner of an intent stays the session that drops the table. */
async function change(
  pool: ServicePool,
  { id, state, rowLogged }: Row,
  what: { readonly sets: SQLQuery; readonly owner: number; readonly where?: SQLQuery },
): Promise<boolean> {
  const { sets, owner, where = sql`` } = what;
  const own = (value: SQLQuery, kept: SQLQuery) =>
    state === 'intent' ? sql`${kept} = ${kept}` : sql`${kept} = ${value}`;
  const [, changed] = await pool.run(
    [
      sql`SET @undrop_host = (SELECT ${note('owner')} HOST
            FROM ${processlistOf(await shapeOf(pool))} WHERE ID = ${owner})`,
      sql`UPDATE ${note('restore', id)} ${LEDGER} SET ${sets},
            ${own(sql`${owner}`, sql`thread_id`)}, ${own(PORT_OF_HOST, sql`upstream_port`)}
          WHERE id = ${id} AND state = ${state}${where}`,
    ],
    { logged: rowLogged },
  );
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

/**
 * Brings one held table back: finds it, gives it its name by one atomic RENAME, tells the ledger,
 * and gives it back its foreign keys and its triggers. A view is made anew.
 *
 * Invariant: whoever loses the race (against the collector, another restore, a DBA) changes
 * nothing.
 */

import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import { passOn } from '../moves/pass-on.js';
import { putBack } from '../moves/put-back.js';
import { type Reattached, type ReattachOptions, reattach } from '../moves/reattach.js';
import { type ReattachedTrigger, reattachTriggers } from '../moves/reattach-triggers.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { note, sql } from '../service/sql.js';
import { type Held, type HeldTable, listAll, type TableName } from './list.js';
import { isIdPrefix, planRestore, type RestorePlan, type RestoreRequest } from './next-step.js';
import { restoreView } from './restore-view.js';
import { parseTableName } from './table-name.js';

/** Of one name that was dropped and ended; one is enough to say so. */
const ROWS_MAX = 1_000;

export interface RestoreReport {
  readonly kind: Held['kind'];
  readonly id: string;
  /** Where it came from; null where the ledger had no row of it. */
  readonly origin: TableName | null;
  readonly restoredAs: TableName;
  readonly droppedAt: Date | null;
  readonly user: string | null;
  readonly rowEstimate: number | null;
  /** The foreign keys that were its own, and what became of them. */
  readonly foreignKeys: readonly Reattached[];
  /** Why nobody knows which it had, or null. */
  readonly foreignKeysProblem: string | null;
  /** The same of its triggers. */
  readonly triggers: readonly ReattachedTrigger[];
  readonly triggersProblem: string | null;
  /** Still held under the same name, newest first. */
  readonly others: readonly Held[];
  /** False: the ledger could not be told, recovery will notice; null: it never knew the table. */
  readonly recorded: boolean | null;
}

/**
 * Rejects with UNDROP_NO_SUCH_HELD, UNDROP_AMBIGUOUS, UNDROP_NOT_RESTORABLE, UNDROP_NO_ORIGIN,
 * UNDROP_BAD_TARGET, UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN, UNDROP_NOT_HELD or UNDROP_BUSY; then
 * nothing was changed.
 */
export async function restore(pool: ServicePool, request: RestoreRequest): Promise<RestoreReport> {
  const { table, to, others } = await plan(pool, request);
  await assertSchema(pool, table, to.schema);
  const recorded =
    table.kind === 'view'
      ? await restoreView(pool, table, to)
      : await restoreTable(pool, table, to);
  const cameBack = table.kind === 'view' ? NOTHING_OFF : await comeBack(pool, table, to);
  return {
    ...cameBack,
    kind: table.kind,
    id: table.id,
    origin: table.origin,
    restoredAs: to,
    droppedAt: table.droppedAt,
    user: table.user,
    rowEstimate: table.rowEstimate,
    others,
    recorded,
  };
}

async function restoreTable(
  pool: ServicePool,
  table: HeldTable,
  to: TableName,
): Promise<boolean | null> {
  await putBack(pool, {
    id: table.id,
    holdSchema: table.holdSchema,
    holdName: table.holdName,
    toSchema: to.schema,
    toTable: to.table,
    logged: table.logged,
  });
  return record(pool, table, to);
}

/** Who asks for what is back already, or removed for good, is told so. */
async function plan(pool: ServicePool, request: RestoreRequest): Promise<RestorePlan> {
  const held = await listAll(pool);
  try {
    return planRestore(held, request);
  } catch (error) {
    if (!(error instanceof UndropError) || error.code !== 'UNDROP_NO_SUCH_HELD') throw error;
    const { target } = request;
    const { value: found } = await tolerantly(() => findEnded(pool, target));
    const [last] = [...found].sort((one, other) => endedMs(other) - endedMs(one));
    if (last === undefined || last.endedAt === null) throw error;
    const time = last.endedAt.toISOString().slice(0, 19).replace('T', ' ');
    const similar = ` It ${howItEnded(last)} at ${time} UTC${asWhat(last)}.`;
    throw new UndropError('UNDROP_NO_SUCH_HELD', { target, similar }, error);
  }
}

/** By the name that it was dropped under, else by its id or the beginning of it. */
async function findEnded(pool: ServicePool, target: string): Promise<readonly LedgerRow[]> {
  const options = { rowsMax: ROWS_MAX, texts: false };
  const name = parseTableName(target);
  if (name !== null) {
    const { schema, table } = name;
    const filter = { by: 'ended', table, ...(schema === null ? {} : { schema }) } as const;
    const named = await findRows(pool, filter, options);
    if (named.length > 0) return named;
  }
  const prefix = target.replaceAll('-', '').toLowerCase();
  if (!isIdPrefix(prefix)) return [];
  const rows = await findRows(pool, { by: 'id', prefix }, options);
  return rows.filter(({ endedAt }) => endedAt !== null);
}

/** The last thing that became of it. */
function howItEnded({ state }: LedgerRow): string {
  if (state === 'restored') return 'was restored';
  return state === 'removed' ? 'was removed for good' : 'was seen to be gone, not by undrop,';
}

function asWhat({ state, restoredAs }: LedgerRow): string {
  return state === 'restored' ? ` as ${restoredAs ?? 'before'}` : '';
}

function endedMs({ endedAt }: LedgerRow): number {
  return endedAt?.getTime() ?? 0;
}

type CameBack = Pick<
  RestoreReport,
  'foreignKeys' | 'foreignKeysProblem' | 'triggers' | 'triggersProblem'
>;

const NOTHING_OFF: CameBack = {
  foreignKeys: [],
  foreignKeysProblem: null,
  triggers: [],
  triggersProblem: null,
};

/** The table is back whatever comes of this. */
async function comeBack(
  pool: ServicePool,
  table: HeldTable,
  restoredAs: TableName,
): Promise<CameBack> {
  const { id, origin, logged } = table;
  if (origin === null) return NOTHING_OFF;
  const found = await tolerantly(() => findRows(pool, { by: 'id', prefix: id }));
  const { problem } = found;
  if (problem !== null)
    return { ...NOTHING_OFF, foreignKeysProblem: problem, triggersProblem: problem };
  const [row] = found.value;
  if (row === undefined) return NOTHING_OFF;
  const options: ReattachOptions = { id, origin, restoredAs, detached: row.detached, logged };
  const keys = await tolerantly(() => reattach(pool, options));
  // Behind the keys: what a trigger does with the rows isn't checked before they are there.
  const triggers = await tolerantly(() => reattachTriggers(pool, options));
  await tolerantly(async () => {
    await passOn(pool, options);
    return [];
  });
  return {
    foreignKeys: keys.value,
    foreignKeysProblem: keys.problem,
    triggers: triggers.value,
    triggersProblem: triggers.problem,
  };
}

async function tolerantly<T>(
  work: () => Promise<readonly T[]>,
): Promise<{ readonly value: readonly T[]; readonly problem: string | null }> {
  try {
    return { value: await work(), problem: null };
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return { value: [], problem: error.message };
  }
}

async function assertSchema(pool: ServicePool, table: Held, schema: string): Promise<void> {
  const [rows] = await pool.run(
    sql`${note('restore', table.id)} SELECT 1 AS one FROM information_schema.SCHEMATA
      WHERE SCHEMA_NAME = ${schema}`,
  );
  if (rows?.length === 0) {
    throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema });
  }
}

/** The table is back whatever comes of this. */
async function record(pool: ServicePool, table: HeldTable, to: TableName): Promise<boolean | null> {
  if (table.rowLogged === null) return null;
  const state: LedgerRow['state'] = 'restored';
  const restoredAs = `${to.schema}.${to.table}`;
  try {
    await recordState(pool, { id: table.id, state, restoredAs, rowLogged: table.rowLogged });
    return true;
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return false;
  }
}

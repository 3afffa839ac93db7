/**
 * Restores held tables, one or many: named, selected by drop, user and time, of a dropped schema,
 * or found by a statement of SQL; in exchange for the live tables of their names, too. All get
 * their names first, then each its keys and triggers, because the parent of a key may be another.
 *
 * Invariant: a failure for one table is reported and affects no other; if the server stops
 * responding, nothing further is tried, and the same request continues later.
 */

import { assert } from '../assert.js';
import { systemClock } from '../clock.js';
import type { LedgerRow } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import { asRestorer } from '../ledger/table-restores.js';
import { inGroups, type QualifiedTable, writtenName } from '../names/names.js';
import { isServiceError, tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { pauseBefore, RESTORE_OWNER } from '../tries.js';
import {
  findDropped,
  findEndedRows,
  findSelected,
  findTarget,
  idDigits,
  isAbsent,
  isIdWith,
  noSuchHeld,
  parseTableName,
  qualifiedOrigin,
  type SelectionRequest,
  withFate,
} from './find-dropped.js';
import { type DroppedTable, describeRow, type ListedTable, listAll } from './held-tables.js';
import { addWaitingKeys, unfinishedName } from './make-whole.js';
import { type Placed, Placing, previewing } from './place-tables.js';
import {
  type HeldPlan,
  isFateUnknown,
  newestWhole,
  planRestore,
  type RestorePlan,
} from './plan-restore.js';
import { type Finishing, finishRestored, type RestoreReport } from './restore-table.js';
import { exchange, type SwapBy } from './swap.js';

export interface RestoreRequest {
  /** A table, a qualified table, an id or unique digits at one of its ends (4 or more). */
  readonly target: string;
  /** `[schema.]name` to restore as; default: the original name. */
  readonly to?: string | undefined;
  /** In exchange for the live table; default: not. */
  readonly swaps?: boolean;
}

/** Restores one table. Rejects as `planOne` and `Placing.place` do. */
export async function restore(
  pool: ServicePool,
  { swapBy, ...request }: RestoreRequest & Pick<RestoreOptions, 'swapBy'>,
): Promise<RestoreReport> {
  const plan = await planOne(pool, { ...request, swaps: swapBy !== undefined });
  const choices = [{ what: request.target, plan }];
  const { done, failed } = await restoreAll(pool, choices, swapBy && { swapBy });
  for (const { error } of failed) throw error;
  const [report] = done;
  assert(report !== undefined, 'it is restored or has failed');
  return report;
}

// ── the list ─────────────────────────────────────────────────────────────────────────────────────

export type ManyRequest =
  | ({ readonly by: 'name'; readonly targets: readonly string[] } & Omit<RestoreRequest, 'target'>)
  | ({ readonly by: 'selection' } & SelectionRequest);

/** The plan for one table, or its refusal. */
export type Choice = {
  /** The requested name, or `schema.table` with its id. */
  readonly what: string;
} & ({ readonly plan: RestorePlan } | { readonly error: unknown });

/** Rejects with UNDROP_NO_SUCH_HELD if no held table belongs to a requested drop. */
export async function choose(pool: ServicePool, request: ManyRequest): Promise<readonly Choice[]> {
  if (request.by === 'selection') return chooseSelected(pool, request);
  const { by: _name, targets, ...how } = request;
  const choices = new Map<string, Choice>();
  // For several targets one list of all, because a list for each would take longer.
  const all = targets.length > 1 ? await listAll(pool) : null;
  for (const target of targets) {
    const choice = await choiceOf(target, () => planOne(pool, { target, ...how }, all));
    choices.set('plan' in choice ? choice.plan.table.id : target, choice);
  }
  return [...choices.values()];
}

/** With the refusal of `plan`, if it has one. */
export async function choiceOf(
  what: string,
  plan: () => RestorePlan | Promise<RestorePlan>,
): Promise<Choice> {
  try {
    return { what, plan: await plan() };
  } catch (error) {
    if (!isServiceError(error) || isFateUnknown(error)) throw error;
    return { what, error };
  }
}

async function chooseSelected(
  pool: ServicePool,
  request: SelectionRequest,
): Promise<readonly Choice[]> {
  const { held, unfinished } = await findSelected(pool, request);
  const choices: Choice[] = [];
  for (const row of unfinished) {
    const plan = await resume(pool, row);
    if (plan !== null) choices.push({ what: namedText(plan.table), plan });
  }
  for (const same of groupByName(held)) {
    const table = newestWhole(same);
    const what = table === undefined ? '' : namedText(table);
    choices.push(await choiceOf(what, () => planRestore(same, { target: what })));
  }
  if (choices.length > 0) return choices;
  throw noSuchHeld(request.text);
}

/** Tables of one name together; tables without a name separately. */
function groupByName(tables: readonly ListedTable[]): readonly (readonly ListedTable[])[] {
  return inGroups(tables, ({ id, origin }) => (origin === null ? id : JSON.stringify(origin)));
}

function namedText(table: Pick<DroppedTable, 'id' | 'origin'>): string {
  const name = qualifiedOrigin(table);
  return name === null ? table.id : `${name} (${table.id})`;
}

export interface FailedRestore {
  readonly what: string;
  readonly error: unknown;
}

export interface ManyReport<T> {
  readonly done: readonly T[];
  readonly failed: readonly FailedRestore[];
  /** Tables that were not tried, because the server didn't answer. */
  readonly untried: readonly string[];
}

export interface RestoreOptions extends Pick<Finishing, 'anyParent' | 'wholeSchema'> {
  /** Drops the live table of that name, which is held in exchange; default: nobody may. */
  readonly swapBy?: (live: QualifiedTable) => SwapBy;
  /** Called after each, with its position among all selected tables. */
  readonly onResult?: OnResult<RestoreReport>;
}

type OnResult<T> = (result: T | FailedRestore, at: { done: number; of: number }) => void;

/** An error of the server about one table does not reject. */
export function restoreAll(
  pool: ServicePool,
  choices: readonly Choice[],
  { onResult = () => undefined, swapBy, ...how }: RestoreOptions = {},
): Promise<ManyReport<RestoreReport>> {
  return asRestorer(pool, async (owner) => {
    const placing = new Placing(pool, owner);
    const plans = choices.flatMap((one) => ('plan' in one && !one.plan.wasBack ? one.plan : []));
    await placing.read(plans);
    if (swapBy === undefined) await placing.renameTogether(plans);
    const placed = await tryEach(choices, {
      nameOf: ({ what }) => what,
      work: async (choice) => {
        if ('error' in choice) throw choice.error;
        const { what, plan } = choice;
        const isSwap = !plan.wasBack && swapBy !== undefined;
        const one = isSwap
          ? await swap(pool, placing, { plan, swapBy })
          : await placing.place(plan);
        return { ...one, what };
      },
      onResult: (result, at) => {
        if ('error' in result) onResult(result, at);
      },
    });
    const finishing = { ...how, ...(await readNeighbours(pool, placed.done)) };
    const finished = await tryEach(placed.done, {
      nameOf: ({ what }) => what,
      work: (one) => finishRestored(pool, one, finishing),
      onResult: (result, { done }) => {
        onResult(result, { done: placed.failed.length + done, of: choices.length });
      },
    });
    return {
      done: finished.done,
      failed: [...placed.failed, ...finished.failed],
      untried: [...placed.untried, ...finished.untried],
    };
  });
}

/** A dry run: the plans, and refusals as far as a read can tell. */
export function previewAll(
  pool: ServicePool,
  choices: readonly Choice[],
  how: { readonly swaps: boolean },
): Promise<ManyReport<RestorePlan>> {
  const preview = previewing(pool, how);
  const work = async (choice: Choice) => {
    if ('error' in choice) throw choice.error;
    return preview(choice.plan);
  };
  return tryEach(choices, { nameOf: ({ what }) => what, work });
}

/** Adds keys that have waited for these tables, which are parents from now on. */
async function readNeighbours(
  pool: ServicePool,
  placed: readonly Placed[],
): Promise<Pick<Finishing, 'back' | 'waited' | 'broken'>> {
  const homes = placed.flatMap(({ table: { origin }, to }) => [to.schema, origin?.schema ?? []]);
  const schemas = [...new Set(homes.flat())];
  const tables = placed.map(({ to }) => to.table);
  const { value: waited } = await tolerantly(async () =>
    tables.length === 0 ? [] : addWaitingKeys(pool, { schemas, tables }),
  );
  const back = new Set(placed.map(({ to }) => writtenName(to)));
  return { back, waited, broken: new Map() };
}

/** The pool needs four connections. */
async function swap(
  pool: ServicePool,
  placing: Placing,
  { plan, swapBy }: { readonly plan: HeldPlan } & Required<Pick<RestoreOptions, 'swapBy'>>,
): Promise<Placed> {
  const { table, to, isExact = false } = plan;
  const begun = await findBegun(pool, to, await readBegun(pool, [to], { swaps: true }));
  if (begun !== null) {
    const finished = { ...(await placing.place(begun)), swapped: null };
    // The same request again: the held table is now the one that the earlier try has moved away.
    if (table.how === 'SWAP' && !isExact) return finished;
    await finishRestored(pool, finished, await readNeighbours(pool, [finished]));
  }
  const exchanged = await exchange(pool, placing, { plan, by: swapBy(to) });
  return exchanged ?? { ...(await placing.place(plan)), swapped: null };
}

interface EachOptions<I, T> {
  readonly nameOf: (item: I) => string;
  readonly work: (item: I) => Promise<T>;
  readonly onResult?: OnResult<T>;
}

/**
 * Works on one after another. An error of the server about one of them does not reject; if the
 * server doesn't answer, the rest isn't tried.
 */
export async function tryEach<I, T>(
  items: readonly I[],
  { nameOf, work, onResult = () => undefined }: EachOptions<I, T>,
): Promise<ManyReport<T>> {
  const done: T[] = [];
  const failed: FailedRestore[] = [];
  for (const [index, item] of items.entries()) {
    const at = { done: index + 1, of: items.length };
    try {
      const result = await work(item);
      done.push(result);
      onResult(result, at);
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const failure = { what: nameOf(item), error };
      failed.push(failure);
      onResult(failure, at);
      if (isFateUnknown(error)) return { done, failed, untried: items.slice(at.done).map(nameOf) };
    }
  }
  return { done, failed, untried: [] };
}

// ── interrupted restores ────────────────────────────────────────────────────────────────────────

/**
 * A name means a table with an interrupted restore before an older one. Rejects as `planRestore`
 * does, and with UNDROP_AMBIGUOUS; the error for a table that is restored already, or removed for
 * good, reports that.
 */
async function planOne(
  pool: ServicePool,
  request: RestoreRequest,
  all: readonly ListedTable[] | null = null,
): Promise<RestorePlan> {
  const { target } = request;
  try {
    const found = all === null ? await findDropped(pool, target) : findTarget(all, target);
    const plan = planRestore(found, request);
    if (isIdWith(plan.table.id, idDigits(target))) return plan;
    return (await findBegun(pool, plan.to, await readBegun(pool, [plan.to], request))) ?? plan;
  } catch (error) {
    if (!isAbsent(error)) throw error;
    const { value: rows } = await tolerantly(() => findEndedRows(pool, target));
    const [newest] = rows;
    const plan = newest === undefined ? null : await resume(pool, newest);
    if (plan !== null && isFor(request, plan)) return plan;
    throw await withFate(pool, { target, error }, rows);
  }
}

/** Whether the request has no new name, or the present name of the table. */
function isFor({ to }: RestoreRequest, { table, to: restoredAs }: RestorePlan): boolean {
  if (to === undefined) return true;
  const wanted = parseTableName(to);
  const schema = wanted?.schema ?? table.origin?.schema;
  return wanted?.table === restoredAs.table && schema === restoredAs.schema;
}

/**
 * Restores to those names that have begun, and may have been interrupted; and, as a swap would
 * exchange the table, only without one those that have left triggers or keys out.
 */
export async function readBegun(
  pool: ServicePool,
  names: readonly QualifiedTable[],
  { swaps = false }: Pick<RestoreRequest, 'swaps'>,
): Promise<readonly LedgerRow[]> {
  const filter = { by: swaps ? 'restoring' : 'unfinished', as: names.map(writtenName) } as const;
  const { value } = await tolerantly(() => findRows(pool, filter, { texts: false }));
  return value;
}

/** The interrupted restore among `begun` that gave a table that name; null: none. */
export async function findBegun(
  pool: ServicePool,
  to: QualifiedTable,
  begun: readonly LedgerRow[],
): Promise<RestorePlan | null> {
  for (const row of begun) {
    const plan = row.restoredAs === writtenName(to) ? await resume(pool, row) : null;
    if (plan !== null) return plan;
  }
  return null;
}

/**
 * For a table that is no longer held: the rest of an interrupted restore; null if there is none, or
 * it has an owner.
 */
async function resume(pool: ServicePool, row: LedgerRow): Promise<RestorePlan | null> {
  const to = await unfinishedName(pool, row);
  if (to === null) return null;
  const pauseMs = pauseBefore(RESTORE_OWNER, 0);
  for (let waitedMs = 0; (await liveOwners(pool, [row])).size > 0; waitedMs += pauseMs) {
    if (waitedMs >= RESTORE_OWNER.givenUpMs) return null;
    await systemClock.sleep(pauseMs);
  }
  const table = { ...describeRow(row.id, row), logged: row.sqlLogBin, rowLogged: row.rowLogged };
  return { wasBack: true, table, row, to, others: [] };
}

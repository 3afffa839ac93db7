/**
 * Restores held tables, one or many: named, selected by drop, user and time, of a dropped schema,
 * or found by a statement of SQL; in exchange for the live tables of their names, too. All get
 * their names first, then each its keys and triggers, because the parent of a key may be another.
 *
 * Invariant: a failure for one table is reported and affects no other; if the server stops
 * responding, nothing further is tried, and the same request continues later.
 */

import { systemClock } from '../clock.js';
import { isServiceError, tolerantly } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { assert, UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import { asRestorer } from '../ledger/table-restores.js';
import { keyOf, type QualifiedTable, writtenName } from '../names/names.js';
import { pauseBefore, RESTORE_OWNER } from '../tries.js';
import * as finder from './find-dropped.js';
import { newestFirst } from './held-tables.js';
import { addWaitingKeys, unfinishedName } from './make-whole.js';
import { type Placed, Placing } from './place-tables.js';
import * as planning from './plan-restore.js';
import { type Finishing, finishRestored, type RestoreReport } from './restore-table.js';
import { type Exchange, exchange, type SwapBy } from './swap.js';

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
  const { done, failed } = await restoreAll(pool, [plan], swapBy && { swapBy });
  for (const { error } of failed) throw error;
  const [report] = done;
  assert(report !== undefined, 'it is restored or has failed');
  return report;
}

// ── the list ─────────────────────────────────────────────────────────────────────────────────────

export type NamedRequest = { readonly targets: readonly string[] } & Omit<RestoreRequest, 'target'>;

/** The plan for one table, or its refusal. */
export type Choice = planning.RestorePlan | FailedRestore;

/** Plans, and refusals of single tables. */
export async function choose(
  pool: ServicePool,
  { targets, ...how }: NamedRequest,
): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  for (const target of targets) {
    const choice = await planOrRefuse(target, () => planOne(pool, { target, ...how }));
    choices.set('error' in choice ? target : choice.table.id, choice);
  }
  return [...choices.values()];
}

/** The plan for what was asked, or its refusal. */
export async function planOrRefuse(
  what: string,
  plan: () => planning.RestorePlan | Promise<planning.RestorePlan>,
): Promise<Choice> {
  try {
    return { ...(await plan()), what };
  } catch (error) {
    if (!isServiceError(error) || planning.isFateUnknown(error)) throw error;
    return { what, error };
  }
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
  /** All get their names by one RENAME, or none; then the live tables of some are held instead. */
  readonly atOnce?: Pick<Exchange, 'isTaken' | 'after'> & {
    /** Otherwise each is tried if the RENAME fails. */
    readonly isAll: boolean;
  };
  /** Called after each, with its position among all selected tables. */
  readonly onResult?: OnResult<RestoreReport>;
}

type OnResult<T> = (result: T | FailedRestore, at: { done: number; of: number }) => void;

/** An error of the server about one table does not reject. */
export function restoreAll(
  pool: ServicePool,
  choices: readonly Choice[],
  { onResult = () => undefined, swapBy, atOnce, ...how }: RestoreOptions = {},
): Promise<ManyReport<RestoreReport>> {
  return asRestorer(pool, async (owner) => {
    const placing = new Placing(pool, owner);
    const plans = choices.flatMap((one) => ('error' in one || one.wasBack ? [] : one));
    await placing.read(plans);
    const isPlain = atOnce === undefined;
    const isTogether = isPlain ? swapBy === undefined && plans.length > 1 : plans.length > 0;
    const request = { isTaken: () => false, ...atOnce, plans, by: swapBy ?? nobody };
    const isAll = atOnce?.isAll === true;
    const together = isTogether ? await tryAtOnce(pool, placing, request, isAll) : null;
    const placed = await tryEach(choices, {
      nameOf: ({ what }) => what,
      work: async (plan) => {
        if ('error' in plan) throw plan.error;
        if (together !== null && !plan.wasBack) return together(plan);
        return plan.wasBack || swapBy === undefined
          ? placing.place(plan)
          : swap(pool, placing, { plan, swapBy });
      },
      onResult: (result, at) => {
        if ('error' in result) onResult(result, at);
      },
    });
    const finishing = { ...how, ...(await readNeighbours(pool, placed.done)) };
    const finished = await tryEach(placed.done, {
      nameOf: ({ plan }) => plan.what,
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

function nobody(live: QualifiedTable): never {
  throw new UndropError('UNDROP_NAME_TAKEN', { id: '', table: writtenName(live) });
}

/**
 * Resolves to a function that tells how each was placed; or throws why none was if `isAll`; null:
 * each has to be tried.
 */
async function tryAtOnce(
  pool: ServicePool,
  placing: Placing,
  request: Exchange,
  isAll: boolean,
): Promise<((plan: planning.HeldPlan) => Promise<Placed>) | null> {
  try {
    const placed = await exchange(pool, placing, request);
    const found = new Map(placed?.map((one) => [one.plan, one]));
    return async (plan) => found.get(plan) ?? placing.place(plan);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    if (!isAll) return null;
    return async () => {
      throw error;
    };
  }
}

/** Adds keys that have waited for these tables, which are parents from now on. */
async function readNeighbours(
  pool: ServicePool,
  placed: readonly Placed[],
): Promise<Pick<Finishing, 'back' | 'waited' | 'broken'>> {
  const plans = placed.map(({ plan }) => plan);
  const homes = plans.flatMap(({ table: { origin }, to }) => [to.schema, origin?.schema ?? []]);
  const schemas = [...new Set(homes.flat())];
  const tables = plans.map(({ to }) => to.table);
  const { value: waited } = await tolerantly(async () =>
    tables.length === 0 ? [] : addWaitingKeys(pool, { schemas, tables }),
  );
  const back = new Set(plans.map(({ to }) => writtenName(to)));
  return { back, waited, broken: new Map() };
}

/** The pool needs four connections. */
async function swap(
  pool: ServicePool,
  placing: Placing,
  { plan, swapBy }: { readonly plan: planning.HeldPlan } & Required<Pick<RestoreOptions, 'swapBy'>>,
): Promise<Placed> {
  const { table, to, isExact = false } = plan;
  const begun = (await findBegun(pool, [to], { swaps: true })).get(writtenName(to));
  if (begun !== undefined) {
    const finished = { ...(await placing.place(begun)), swapped: null };
    // The same request again: the held table is now the one that the earlier try has moved away.
    if (table.how === 'SWAP' && !isExact) return finished;
    await finishRestored(pool, finished, await readNeighbours(pool, [finished]));
  }
  const one = { plans: [plan], isTaken: () => true, by: swapBy };
  const [exchanged] = (await exchange(pool, placing, one)) ?? [];
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
      if (planning.isFateUnknown(error))
        return { done, failed, untried: items.slice(at.done).map(nameOf) };
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
  { target, to: written, swaps = false }: RestoreRequest,
): Promise<planning.RestorePlan> {
  const to = written === undefined ? null : planning.parseNewName(written);
  try {
    const plan = planning.planRestore(await finder.findDropped(pool, target), { target, to });
    if (finder.isIdWith(plan.table.id, finder.idDigits(target))) return { ...plan, isExact: true };
    const begun = (await findBegun(pool, [plan.to], { swaps })).get(writtenName(plan.to));
    return begun !== undefined && isRestOf(begun, plan) ? begun : plan;
  } catch (error) {
    if (!finder.isAbsent(error)) throw error;
    const { value: rows } = await tolerantly(() => finder.findEndedRows(pool, target));
    const [newest] = rows;
    const plan = newest === undefined ? null : await resume(pool, newest);
    if (plan !== null && isFor(to, plan)) return plan;
    throw await finder.withFate(pool, { target, error }, rows);
  }
}

/** Whether an interrupted restore is meant by a name: not if a later drop of that name is held. */
export function isRestOf(begun: planning.RestorePlan, { table, to }: planning.HeldPlan): boolean {
  const { origin } = begun.table;
  const isSame = origin !== null && table.origin !== null && keyOf(origin) === keyOf(table.origin);
  const isLater = newestFirst(table, begun.table) < 0;
  return isSame && !isLater && keyOf(begun.to) === keyOf(to);
}

/** Whether the request has no new name, or the present name of the table. */
function isFor(to: finder.WrittenName | null, { table, to: at }: planning.RestorePlan): boolean {
  if (to === null) return true;
  return to.table === at.table && (to.schema ?? table.origin?.schema) === at.schema;
}

/**
 * By `schema.table`: the restores that gave a table one of these names, and may have been
 * interrupted; or, as a swap would exchange the table, only without one, have left triggers or keys
 * out.
 */
export async function findBegun(
  pool: ServicePool,
  names: readonly QualifiedTable[],
  { swaps }: { readonly swaps: boolean },
): Promise<ReadonlyMap<string, planning.RestorePlan>> {
  const plans = new Map<string, planning.RestorePlan>();
  if (names.length === 0) return plans;
  const filter = { by: swaps ? 'restoring' : 'unfinished', as: names.map(writtenName) } as const;
  const { value: begun } = await tolerantly(() => findRows(pool, filter, { texts: false }));
  for (const row of begun) {
    const { restoredAs } = row;
    const plan = restoredAs === null || plans.has(restoredAs) ? null : await resume(pool, row);
    if (restoredAs !== null && plan !== null) plans.set(restoredAs, plan);
  }
  return plans;
}

/**
 * For a table that is no longer held: the rest of an interrupted restore; null if there is none, or
 * it has an owner.
 */
export async function resume(
  pool: ServicePool,
  row: LedgerRow,
): Promise<planning.RestorePlan | null> {
  const to = await unfinishedName(pool, row);
  if (to === null) return null;
  const pauseMs = pauseBefore(RESTORE_OWNER, 0);
  for (let waitedMs = 0; (await liveOwners(pool, [row])).size > 0; waitedMs += pauseMs) {
    if (waitedMs >= RESTORE_OWNER.givenUpMs) return null;
    await systemClock.sleep(pauseMs);
  }
  return planning.planRest(row, to);
}

/**
 * Restores held tables, one or many: named, selected by drop, user and time, or found by a
 * statement of SQL. Each is restored by a RENAME of its own, parents before children.
 *
 * Invariant: a failure for one table is reported and affects no other; if the server stops
 * responding, nothing further is tried, and the same request continues later.
 */

import { systemClock } from '../clock.js';
import type { LedgerRow } from '../ledger/entry.js';
import { liveOwners } from '../ledger/owner.js';
import { findRows, findRowsIfAny } from '../ledger/read.js';
import { inBatches, inGroups, type QualifiedTable, writtenName } from '../names/names.js';
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
import { unfinishedName } from './make-whole.js';
import {
  isFateUnknown,
  newestWhole,
  parentsFirst,
  planRestore,
  type RestorePlan,
} from './plan-restore.js';
import { type RestoreOptions, type RestoreReport, restoreTable } from './restore-table.js';

export interface RestoreRequest {
  /** A table, a qualified table, an id or unique digits at one of its ends (4 or more). */
  readonly target: string;
  /** `[schema.]name` to restore as; default: the original name. */
  readonly to?: string | undefined;
  /** In exchange for the live table; default: not. */
  readonly swaps?: boolean;
}

/** Restores one table. Rejects as `planOne` and `restoreTable` do. */
export async function restore(pool: ServicePool, request: RestoreRequest): Promise<RestoreReport> {
  return restoreTable(pool, await planOne(pool, request));
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

export interface ManyOptions<T> {
  /** `restoreTable`, or a dry run. */
  readonly restoreOne: (
    plan: RestorePlan,
    beside: Required<Pick<RestoreOptions, 'back' | 'toCome'>>,
  ) => Promise<T>;
  /** Called after each, with its position among all selected tables. */
  readonly onResult?: (result: T | FailedRestore, at: { done: number; of: number }) => void;
}

/** An error of the server about one table does not reject. */
export async function restoreAll<T>(
  pool: ServicePool,
  choices: readonly Choice[],
  { restoreOne, onResult }: ManyOptions<T>,
): Promise<ManyReport<T>> {
  const ordered = await inOrderOfKeys(pool, choices);
  const back = new Set<string>();
  const toCome = new Set(
    ordered.flatMap((choice) => ('plan' in choice ? [writtenName(choice.plan.to)] : [])),
  );
  const restore = async (choice: Choice) => {
    if ('error' in choice) throw choice.error;
    const name = writtenName(choice.plan.to);
    toCome.delete(name);
    const result = await restoreOne(choice.plan, { back, toCome });
    back.add(name);
    return result;
  };
  return tryEach(ordered, {
    nameOf: ({ what }) => what,
    work: restore,
    ...(onResult && { onResult }),
  });
}

interface EachOptions<I, T> extends Pick<ManyOptions<T>, 'onResult'> {
  readonly nameOf: (item: I) => string;
  readonly work: (item: I) => Promise<T>;
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

/** With their definitions, which may be long. */
const ROWS_OF_QUERY = 100;

/** Parents first; refused tables stay in the requested position. */
async function inOrderOfKeys(
  pool: ServicePool,
  choices: readonly Choice[],
): Promise<readonly Choice[]> {
  if (choices.length < 2) return choices;
  const ids = choices.flatMap((choice) => ('plan' in choice ? [choice.plan.table.id] : []));
  const rows: LedgerRow[] = [];
  for (const some of inBatches(ids, ROWS_OF_QUERY)) {
    rows.push(...(await findRowsIfAny(pool, { by: 'ids', ids: some })));
  }
  const keysOf = new Map(rows.map(({ id, detached }) => [id, detached.keysOut]));
  const keyed = choices.map((choice) => {
    const table = 'plan' in choice ? choice.plan.table : null;
    const keys = keysOf.get(table?.id ?? '') ?? [];
    const parents = keys.map((key) => ({ schema: key.parentSchema, table: key.parentTable }));
    return { choice, name: table?.origin ?? null, parents };
  });
  return parentsFirst(keyed).map(({ choice }) => choice);
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

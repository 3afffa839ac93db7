/**
 * `restoreMany` restores several held tables, named one by one or selected by drop, user and time:
 * each by a RENAME of its own, parents before children. It reads the held tables once for all of
 * them.
 *
 * Invariant: a failure for one table is reported and affects no other; if the server stops
 * answering, nothing further is tried, and the same request continues later.
 */
import { UndropError } from '../errors.js';
import { readTable } from '../held/foreign-keys/read-table.js';
import { schemaExists } from '../held/rename-back.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { inBatches } from '../names/names.js';
import { isServiceError, type ServicePool, unlessRefused } from '../service/pool/pools.js';
import { ABSENT_TABLE } from '../wire/server-errors.js';
import { type DropFilter, filterDrops } from './filter.js';
import { type DroppedTable, describeRow, type ListedTable, listAll, listFor } from './list.js';
import { parentsFirst } from './parents-first.js';
import { ambiguousOf, idDigits, isIdPrefix, newestWhole, planRestore } from './plan-restore.js';
import { isFateUnknown, notSeen, type Plan, planOrResume, resume } from './run-restore.js';

export type ManyRequest =
  | { readonly by: 'name'; readonly targets: readonly string[]; readonly to?: string | undefined }
  | {
      readonly by: 'drop';
      /** The beginning of a group id, or of the id of one of its tables; null: any. */
      readonly drop: string | null;
      readonly filter: DropFilter;
      /** The same, as the user typed it. */
      readonly text: string;
    };

/** The plan for one table, or its refusal. */
type Choice =
  | { readonly what: string; readonly plan: Plan }
  | { readonly what: string; readonly error: unknown };

export interface FailedRestore {
  /** The requested name, or `schema.table` with its id. */
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
  readonly restoreOne: (plan: Plan) => Promise<T>;
  /** Called after each, with its position among all selected tables. */
  readonly onResult?: (result: T | FailedRestore, at: { done: number; of: number }) => void;
}

/** Rejects with UNDROP_NO_SUCH_HELD if the request matches no held table. */
export async function restoreMany<T>(
  pool: ServicePool,
  request: ManyRequest,
  { restoreOne, onResult = () => undefined }: ManyOptions<T>,
): Promise<ManyReport<T>> {
  const choices = await choose(pool, request);
  const done: T[] = [];
  const failed: FailedRestore[] = [];
  for (const [index, choice] of choices.entries()) {
    const at = { done: index + 1, of: choices.length };
    try {
      if ('error' in choice) throw choice.error;
      const report = await restoreOne(choice.plan);
      done.push(report);
      onResult(report, at);
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const failure = { what: choice.what, error };
      failed.push(failure);
      onResult(failure, at);
      if (!isFateUnknown(error)) continue;
      return { done, failed, untried: choices.slice(at.done).map(({ what }) => what) };
    }
  }
  return { done, failed, untried: [] };
}

/** In place of `restoreTable`: the plan, or its refusal, as far as a read can tell. */
export function previewing(
  pool: ServicePool,
  { swaps }: { readonly swaps: boolean },
): (plan: Plan) => Promise<Plan> {
  const given = new Set<string>();
  return async (plan) => {
    if (plan.wasBack) return plan;
    const { id } = plan.table;
    const { schema, table } = plan.to;
    if (plan.table.unseen) throw notSeen(plan.table);
    if (!(await schemaExists(pool, schema))) {
      throw new UndropError('UNDROP_SCHEMA_MISSING', { id, schema });
    }
    const isLive = !swaps && (await readTable(pool, { id, schema, table })) !== 'missing';
    const name = `${schema}.${table}`;
    if (isLive || given.has(name)) throw new UndropError('UNDROP_NAME_TAKEN', { id, table: name });
    given.add(name);
    return plan;
  };
}

const IDS_OF_TEXT = 200;

/** Parents first; refused tables stay in the requested position. */
async function choose(pool: ServicePool, request: ManyRequest): Promise<readonly Choice[]> {
  const choices =
    request.by === 'name'
      ? await chooseByName(pool, request)
      : await chooseByDrop(pool, await listAll(pool), request);
  if (choices.length < 2) return choices;
  const ids = choices.flatMap((choice) => ('plan' in choice ? [choice.plan.table.id] : []));
  const rows: LedgerRow[] = [];
  for (const some of inBatches(ids, IDS_OF_TEXT)) {
    const found = findRows(pool, { by: 'ids', ids: some });
    rows.push(...(await unlessRefused(found, [], ...ABSENT_TABLE)));
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

async function chooseByName(
  pool: ServicePool,
  { targets, to }: Extract<ManyRequest, { by: 'name' }>,
): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  // For several targets one list of all, because a list for each would take longer.
  const all = targets.length > 1 ? await listAll(pool) : null;
  for (const what of targets) {
    try {
      const held = all ?? (await listFor(pool, what));
      const plan = await planOrResume(pool, held, { target: what, to });
      choices.set(plan.table.id, { what, plan });
    } catch (error) {
      if (!isServiceError(error) || isFateUnknown(error)) throw error;
      choices.set(what, { what, error });
    }
  }
  return [...choices.values()];
}

async function chooseByDrop(
  pool: ServicePool,
  held: readonly ListedTable[],
  { drop, filter, text }: Extract<ManyRequest, { by: 'drop' }>,
): Promise<readonly Choice[]> {
  const ids = new Set(held.map(({ id }) => id));
  // Tables whose restore was interrupted have their names, but not all their detached parts.
  const begin = findRows(pool, { by: 'restoring' }, { texts: false });
  const begun = await unlessRefused(begin, [], ...ABSENT_TABLE);
  const unfinished = begun.filter(({ id }) => !ids.has(id));
  const described = unfinished.map((row) => describeRow(row.id, row));
  const groupId = drop === null ? null : findDrop([...held, ...described], drop, text);
  const isMeant = (table: DroppedTable) => groupId === null || table.groupId === groupId;
  const choices: Choice[] = [];
  for (const { id } of filterDrops(described.filter(isMeant), filter)) {
    const row = unfinished.find((one) => one.id === id);
    const plan = row === undefined ? null : await resume(pool, row);
    if (plan !== null) choices.push({ what: nameOf(plan.table), plan });
  }
  const chosen = filterDrops(held.filter(isMeant), filter);
  for (const same of groupByName(chosen)) choices.push(chooseNewest(same));
  if (choices.length > 0) return choices;
  throw new UndropError('UNDROP_NO_SUCH_HELD', { target: text, fate: '' });
}

/** The one group that matches. */
function findDrop(tables: readonly DroppedTable[], drop: string, text: string): string {
  const digits = idDigits(drop);
  const begins = (id: string | null) => id?.startsWith(digits) === true;
  const found = isIdPrefix(digits)
    ? tables.filter(({ id, groupId }) => begins(groupId) || begins(id))
    : [];
  const groups = [...new Set(found.flatMap(({ groupId }) => groupId ?? []))];
  const [only] = groups;
  if (only === undefined) throw new UndropError('UNDROP_NO_SUCH_HELD', { target: text, fate: '' });
  if (groups.length > 1) throw ambiguousOf(text, groups);
  return only;
}

/** Tables of one name together; tables without a name separately. */
function groupByName(tables: readonly ListedTable[]): readonly (readonly ListedTable[])[] {
  const groups = new Map<string, ListedTable[]>();
  for (const table of tables) {
    const key = table.origin === null ? table.id : JSON.stringify(table.origin);
    groups.set(key, [...(groups.get(key) ?? []), table]);
  }
  return [...groups.values()];
}

/** For tables of one name, newest first. */
function chooseNewest(same: readonly ListedTable[]): Choice {
  const table = newestWhole(same);
  const others = same.filter((other) => other !== table);
  const what = table === undefined ? '' : nameOf(table);
  try {
    const plan = planRestore(same, { target: table?.id ?? '' });
    return { what, plan: { ...plan, others, wasBack: false } };
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    return { what, error };
  }
}

function nameOf({ id, origin }: Pick<DroppedTable, 'id' | 'origin'>): string {
  return origin === null ? id : `${origin.schema}.${origin.table} (${id})`;
}

/**
 * `restoreMany` brings back several held tables, named one by one or chosen by drop, user and time:
 * each by a RENAME of its own, parents before children. It looks once for all of them.
 *
 * Invariant: one that can't come back keeps none of the others from it, and is reported; when the
 * server doesn't answer any more, nothing further is tried, and the same request goes on later.
 */
import { UndropError } from '../errors.js';
import { readTable } from '../held/foreign-keys/read-table.js';
import { schemaExists } from '../held/rename-back.js';
import { findRows } from '../ledger/read.js';
import { inBatches } from '../names/names.js';
import { isServiceError, type ServicePool, unlessRefused } from '../service/pool/pools.js';
import { ABSENT_TABLE } from '../wire/server-errors.js';
import { type DropFilter, filterDrops } from './filter.js';
import { type DroppedTable, describeRow, type ListedTable, listAll } from './list.js';
import { parentsFirst } from './parents-first.js';
import { ambiguousOf, idDigits, isIdPrefix, planRestore } from './plan-restore.js';
import {
  isFateUnknown,
  notSeen,
  type Plan,
  planOrResume,
  type RestoreReport,
  restoreTable,
  resume,
} from './run-restore.js';

export type ManyRequest =
  | { readonly by: 'name'; readonly targets: readonly string[]; readonly to?: string | undefined }
  | {
      readonly by: 'drop';
      /** The beginning of a group id, or of the id of one of its tables; null: any. */
      readonly drop: string | null;
      readonly filter: DropFilter;
      /** The same, as somebody has typed it. */
      readonly text: string;
    };

/** What to do about one table, or why nothing can be done. */
export type Choice =
  | { readonly what: string; readonly plan: Plan }
  | { readonly what: string; readonly error: unknown };

export interface FailedRestore {
  /** As it was asked for, or `schema.table` with its id. */
  readonly what: string;
  readonly error: unknown;
}

export interface ManyReport {
  readonly restored: readonly RestoreReport[];
  readonly failed: readonly FailedRestore[];
  /** Those that were not tried, because the server gave no answer. */
  readonly untried: readonly string[];
}

/** Called after each table, with its place among all that were chosen. */
export type OnResult = (
  result: RestoreReport | FailedRestore,
  at: { readonly done: number; readonly of: number },
) => void;

export interface ManyOptions {
  readonly onResult: OnResult;
  /** How one is restored; default by its plan. */
  readonly restoreOne?: (plan: Plan) => Promise<RestoreReport>;
}

/** Rejects with UNDROP_NO_SUCH_HELD if the request is for nothing that is held. */
export async function restoreMany(
  pool: ServicePool,
  request: ManyRequest,
  { onResult, restoreOne = (plan) => restoreTable(pool, plan) }: ManyOptions,
): Promise<ManyReport> {
  const choices = await choose(pool, request);
  const restored: RestoreReport[] = [];
  const failed: FailedRestore[] = [];
  for (const [index, choice] of choices.entries()) {
    const { what } = choice;
    const at = { done: index + 1, of: choices.length };
    try {
      if ('error' in choice) throw choice.error;
      const report = await restoreOne(choice.plan);
      restored.push(report);
      onResult(report, at);
    } catch (error) {
      if (!isServiceError(error)) throw error;
      failed.push({ what, error });
      onResult({ what, error }, at);
      if (!isFateUnknown(error)) continue;
      return { restored, failed, untried: choices.slice(index + 1).map((left) => left.what) };
    }
  }
  return { restored, failed, untried: [] };
}

/** What would be done, in the order in which it would; nothing is changed. */
export async function previewMany(
  pool: ServicePool,
  request: ManyRequest,
  { mayBeTaken }: { readonly mayBeTaken: boolean },
): Promise<readonly Choice[]> {
  const schemas = new Map<string, boolean>();
  const given = new Set<string>();
  const looked: Choice[] = [];
  for (const choice of await choose(pool, request)) {
    if ('error' in choice || choice.plan.wasBack) {
      looked.push(choice);
      continue;
    }
    const { what, plan } = choice;
    const { id } = plan.table;
    const { schema, table } = plan.to;
    const isThere = schemas.get(schema) ?? (await schemaExists(pool, schema));
    schemas.set(schema, isThere);
    const name = JSON.stringify([schema, table]);
    const refuse = (error: UndropError) => looked.push({ what, error });
    if (plan.table.unseen) refuse(notSeen(plan.table));
    else if (!isThere) refuse(new UndropError('UNDROP_SCHEMA_MISSING', { id, schema }));
    else if (given.has(name) || (!mayBeTaken && (await isTaken(pool, { id, schema, table })))) {
      refuse(new UndropError('UNDROP_NAME_TAKEN', { id, table: `${schema}.${table}` }));
    } else looked.push(choice);
    given.add(name);
  }
  return looked;
}

async function isTaken(pool: ServicePool, at: Parameters<typeof readTable>[1]): Promise<boolean> {
  return (await readTable(pool, at)) !== 'missing';
}

/** Parents first; what can't be restored stands where it was asked for. */
async function choose(pool: ServicePool, request: ManyRequest): Promise<readonly Choice[]> {
  const held = await listAll(pool);
  const choices =
    request.by === 'name'
      ? await chooseByName(pool, held, request)
      : await chooseByDrop(pool, held, request);
  if (choices.length < 2) return choices;
  const ids = choices.flatMap((choice) => ('plan' in choice ? [choice.plan.table.id] : []));
  const rows = new Map<string, readonly { parentSchema: string; parentTable: string }[]>();
  for (const some of inBatches(ids, 200)) {
    const found = findRows(pool, { by: 'ids', ids: some });
    for (const { id, detached } of await unlessRefused(found, [], ...ABSENT_TABLE)) {
      rows.set(id, detached.keysOut);
    }
  }
  const keyed = choices.map((choice) => {
    const table = 'plan' in choice ? choice.plan.table : null;
    const keys = rows.get(table?.id ?? '') ?? [];
    const parents = keys.map(({ parentSchema: schema, parentTable }) => {
      return { schema, table: parentTable };
    });
    const name = table?.origin ?? { schema: '', table: `${choice.what} is not restored` };
    return { choice, name, parents };
  });
  return parentsFirst(keyed).map(({ choice }) => choice);
}

async function chooseByName(
  pool: ServicePool,
  held: readonly ListedTable[],
  { targets, to }: Extract<ManyRequest, { by: 'name' }>,
): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  for (const what of targets) {
    try {
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
  // Those whose restore broke off have their names again, and not all that was taken off them.
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

/** The one group that is meant. */
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

/** Tables of one name together; without a name each for itself. */
function groupByName(tables: readonly ListedTable[]): readonly (readonly ListedTable[])[] {
  const groups = new Map<string, ListedTable[]>();
  for (const table of tables) {
    const { origin, id } = table;
    const key = origin === null ? id : JSON.stringify([origin.schema, origin.table]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [table]);
    else group.push(table);
  }
  return [...groups.values()];
}

/** Of tables of one name, newest first. */
function chooseNewest(same: readonly ListedTable[]): Choice {
  const whole = same.find(({ state, torn }) => state === 'HOLD' && !torn);
  const table = whole ?? same[0];
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

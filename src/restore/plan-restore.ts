/**
 * Decides which of the found tables is restored, its new name, and the order of several. Pure; the
 * refusals are UndropErrors.
 *
 * Invariants: for several tables of one name the newest complete one is taken. No table gets a name
 * that is undrop's own.
 */
import { UndropError } from '../errors.js';
import type { LedgerRow } from '../ledger/entry.js';
import { foldName, isUserSchema, parseHoldName, type QualifiedTable } from '../names/names.js';
import { noSuchHeld, parseTableName, qualifiedOrigin } from './find-dropped.js';
import type { ListedTable } from './held-tables.js';

export type RestorePlan =
  | {
      readonly wasBack: false;
      readonly table: ListedTable;
      readonly to: QualifiedTable;
      /** Further held tables of the same name, newest first. */
      readonly others: readonly ListedTable[];
    }
  /** The table has its name, but not yet its keys and triggers. */
  | {
      readonly wasBack: true;
      readonly table: Omit<ListedTable, 'holdSchema' | 'holdName' | 'state' | 'due'>;
      readonly row: LedgerRow;
      readonly to: QualifiedTable;
      readonly others: readonly [];
    };

export type HeldPlan = Extract<RestorePlan, { readonly wasBack: false }>;

/**
 * `found`: the tables that `target` means, newest first. `to`: `[schema.]name` as users type it;
 * default: the original name.
 */
export function planRestore(
  found: readonly ListedTable[],
  { target, to: written }: { readonly target: string; readonly to?: string | undefined },
): HeldPlan {
  const table = newestWhole(found);
  if (table === undefined) throw noSuchHeld(target);
  if (table.torn)
    throw new UndropError('UNDROP_TORN', { table: qualifiedOrigin(table) ?? table.id });
  if (table.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id: table.id, state: table.state });
  }
  const to = chooseName(table, written);
  return { wasBack: false, table, to, others: found.filter((other) => other !== table) };
}

/** The first of `found` that can be restored, else the first; `found`: newest first. */
export function newestWhole<T extends Pick<ListedTable, 'state' | 'torn'>>(
  found: readonly T[],
): T | undefined {
  return found.find(canComeBack) ?? found[0];
}

export function canComeBack({ state, torn }: Pick<ListedTable, 'state' | 'torn'>): boolean {
  return state === 'HOLD' && torn !== true;
}

function chooseName(table: ListedTable, to: string | undefined): QualifiedTable {
  const noOrigin = () => new UndropError('UNDROP_NO_ORIGIN', { id: table.id });
  if (to === undefined) {
    if (table.origin === null || isAdopted(table)) throw noOrigin();
    return table.origin;
  }
  const parsed = parseTableName(to);
  if (parsed === null) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  const schema = parsed.schema ?? table.origin?.schema;
  const isOwn = parsed.table === table.origin?.table;
  if (schema === undefined || (isOwn && isAdopted(table))) throw noOrigin();
  // A hold name may be collected as one, unless it is the table's original name.
  const isOurs = !isUserSchema(schema) || (parseHoldName(parsed.table) !== null && !isOwn);
  if (isOurs) throw new UndropError('UNDROP_BAD_TARGET', { target: to });
  return { schema, table: parsed.table };
}

/** A table of Vitess has its hold name in the ledger; its own is lost (recovery/adopt.ts). */
function isAdopted({ id, origin }: ListedTable): boolean {
  return origin !== null && parseHoldName(origin.table)?.id === id;
}

interface KeyedItem {
  /** Null: no key leads to it. */
  readonly name: QualifiedTable | null;
  /** The tables that its foreign keys lead to. */
  readonly parents: readonly QualifiedTable[];
}

/**
 * Orders tables so that each comes after its parents, as far as that is possible: a key is then
 * added to a table whose parent exists. Independent items keep their order; a cycle begins where it
 * is first met.
 */
export function parentsFirst<T extends KeyedItem>(items: readonly T[]): readonly T[] {
  const byName = new Map(items.map((item) => [item.name && foldedKey(item.name), item]));
  const met = new Set<T>();
  const ordered: T[] = [];
  const visit = (item: T): void => {
    if (met.has(item)) return;
    met.add(item);
    for (const parent of item.parents) {
      const found = byName.get(foldedKey(parent));
      if (found !== undefined) visit(found);
    }
    ordered.push(item);
  };
  for (const item of items) visit(item);
  return ordered;
}

/** Equal for names that are the same on a server that folds their case. */
export function foldedKey({ schema, table }: QualifiedTable): string {
  return JSON.stringify([foldName(schema), foldName(table)]);
}

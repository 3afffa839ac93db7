/**
 * `previewAll` finds out what a restore would do with each table, by the checks of the restore
 * itself. EXPLAIN UNDROP, `--dry-run` and the console print it. Changes nothing.
 */

import type { ServicePool } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { countKeyRows, SEARCH_MS } from '../held/foreign-keys/broken-rows.js';
import { placeKeys } from '../held/foreign-keys/reattach.js';
import { isMissing } from '../held/locate.js';
import { NOTHING_DETACHED } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { writtenName } from '../names/names.js';
import { formatCount } from '../printer.js';
import { assertPlaced } from './place-tables.js';
import type { HeldPlan, RestorePlan } from './plan-restore.js';
import { type Choice, type ManyReport, tryEach } from './restore.js';

export interface Preview {
  readonly plan: RestorePlan;
  /** Why it would not be restored, as far as a read can tell; null: it would. */
  readonly refusal: UndropError | null;
  readonly foreignKeys: number;
  readonly triggers: number;
  /** A live table that would be held; keys that don't come back, or that rows break. */
  readonly notes: readonly string[];
}

export interface Previewing {
  /** In exchange for the live tables. */
  readonly swaps: boolean;
  /** Keys are added also where another table has the name of the parent. */
  readonly anyParent: boolean;
  /** Schemas that are created first. */
  readonly made?: ReadonlySet<string>;
}

/** For all tables of a request together. */
const COUNT_MS = 4 * SEARCH_MS;

/** The failed ones have no plan. */
export async function previewAll(
  pool: ServicePool,
  choices: readonly Choice[],
  how: Previewing,
): Promise<ManyReport<Preview>> {
  const given = new Set<string>();
  const looked = await tryEach(choices, {
    nameOf: ({ what }) => what,
    work: async (plan) => {
      if ('error' in plan) throw plan.error;
      const [id, table] = [plan.table.id, writtenName(plan.to)];
      const one = await look(pool, plan, how);
      const isGiven = given.has(table);
      if (one.refusal === null) given.add(table);
      return isGiven
        ? { ...one, refusal: new UndropError('UNDROP_NAME_TAKEN', { id, table }) }
        : one;
    },
  });
  const endMs = performance.now() + COUNT_MS;
  const told = await tryEach(looked.done, {
    nameOf: ({ plan }) => plan.what,
    work: async ({ row, ...one }) => {
      const { plan } = one;
      const notes =
        plan.wasBack || !row
          ? []
          : await keyNotes(pool, { plan, row }, { ...how, beside: given, endMs });
      return { ...one, notes: [...one.notes, ...notes] };
    },
  });
  const failed = [...looked.failed, ...told.failed];
  return { done: told.done, failed, untried: [...looked.untried, ...told.untried] };
}

/** Its refusals are failures, as they would be of the restore. */
export function withoutRefused({ done, ...others }: ManyReport<Preview>): ManyReport<Preview> {
  const refused = done.flatMap(({ plan: { what }, refusal: error }) =>
    error === null ? [] : { what, error },
  );
  const failed = [...refused, ...others.failed];
  return { ...others, done: done.filter(({ refusal }) => refusal === null), failed };
}

/** `beside`: the names of all that come back; `endMs`: no rows are counted after it. */
type How = Previewing & { readonly beside: ReadonlySet<string>; readonly endMs: number };

async function look(pool: ServicePool, plan: RestorePlan, { swaps, made }: Previewing) {
  const { id } = plan.table;
  const [row] = await findRows(pool, { by: 'ids', ids: [id] });
  const { keysOut, triggers } = row?.detached ?? NOTHING_DETACHED;
  const known = { plan, row, foreignKeys: keysOut.length, triggers: triggers.length };
  if (plan.wasBack) return { ...known, refusal: null, notes: ['finishes an earlier restore'] };
  if (made?.has(plan.to.schema) && !plan.table.unseen)
    return { ...known, refusal: null, notes: [] };
  const isTaken = !(await isMissing(pool, id, plan.to));
  const notes = isTaken && swaps ? ['the live table of that name is held instead'] : [];
  return { ...known, refusal: await refusalOf(pool, plan, isTaken && !swaps), notes };
}

async function refusalOf(
  pool: ServicePool,
  plan: HeldPlan,
  isTaken: boolean,
): Promise<UndropError | null> {
  try {
    await assertPlaced(pool, plan);
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
  const params = { id: plan.table.id, table: writtenName(plan.to) };
  return isTaken ? new UndropError('UNDROP_NAME_TAKEN', params) : null;
}

async function keyNotes(
  pool: ServicePool,
  { plan: { table, to }, row }: { readonly plan: HeldPlan; readonly row: LedgerRow },
  { anyParent, beside, endMs }: How,
): Promise<readonly string[]> {
  const { id, detached } = row;
  if (detached.keysOut.length === 0) return [];
  const places = await placeKeys(pool, {
    ...{ id, origin: row, restoredAs: to, detached, dropped: row, anyParent },
  });
  const notes: string[] = [];
  for (const { key, isParentMissing, isAwaiting, oldParent } of places) {
    const parent = writtenName({ schema: key.parentSchema, table: key.parentTable });
    // It leads to itself, or to one that comes back with it.
    if (beside.has(parent)) continue;
    if (isParentMissing) {
      notes.push(`${key.name} refers to ${parent}, which is missing`);
      continue;
    }
    if (oldParent !== null) notes.push(`${key.name}: ${parent} is another table now; ${oldParent}`);
    if (isAwaiting) notes.push(`${key.name} is not added without WITH KEYS`);
    const child = { schema: table.holdSchema, table: table.holdName };
    const rows = await countKeyRows(pool, child, { key, withinMs: endMs - performance.now() });
    if (rows === null) notes.push(`not counted: rows that would break ${key.name}`);
    else if (rows.withoutParent > 0) {
      notes.push(`${formatCount(rows.withoutParent)} rows would break ${key.name}`);
    }
  }
  return notes;
}

/**
 * Adds the foreign keys again that were detached from a table while it was held, and those of its
 * children.
 *
 * Invariant: the table keeps its name and its rows, whatever can't be reattached; that is reported.
 */

import { isKilled, isUnanswered } from '../../connections/errors.js';
import { readServerFacts, type ServicePool } from '../../connections/sql.js';
import { timeText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import * as parts from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { type QualifiedTable, writtenName } from '../../names/names.js';
import { REATTACH_TRIES } from '../../tries.js';
import { isMissing } from '../locate.js';
import { addKeys, type RepointOptions, readKey, readTable, repointForeignKey } from './add-keys.js';
import { countKeyRows, type KeyRows, SEARCH_MS } from './broken-rows.js';

/** The result for a CHECK, trigger or foreign key. */
export interface Reattached {
  readonly name: string;
  /** The table that has it, `schema.table`. */
  readonly table: string;
  /** Why it is missing, or differs; null: it is reattached. */
  readonly problem: string | null;
}

export interface ReattachedKey extends Reattached {
  /** Its parent table, `schema.table`. */
  readonly parent: string;
  /** No table has that name. */
  readonly isParentMissing: boolean;
  /**
   * The present place of its original parent, if it refers to another table of that name; null: it
   * doesn't, as far as the ledger shows.
   */
  readonly oldParent: string | null;
  /**
   * The id of its parent, which was replaced before the drop of this table and is held; null: none.
   */
  readonly heldParent: string | null;
  /** It was not added, because another table has the name of its parent. */
  readonly isAwaiting: boolean;
  /** The rows by that other table; null: there is none, or they were not counted in time. */
  readonly rows: KeyRows | null;
}

export interface ReattachOptions {
  readonly id: string;
  /** Its original name, and its present one. */
  readonly origin: QualifiedTable;
  readonly restoredAs: QualifiedTable;
  readonly detached: parts.Detached;
  /** When it was dropped; the table that had a parent's name then is the parent. */
  readonly dropped: Pick<LedgerRow, 'id' | 'dropId'>;
  /**
   * All tables of its schema are restored into the other one, so that keys among them lead there.
   */
  readonly wholeSchema?: boolean;
  /** Keys are added also where another table has the name of the parent; default: they wait. */
  readonly anyParent?: boolean;
  /** `schema.table` of those that the same request restored before; each is a parent. */
  readonly back?: ReadonlySet<string>;
}

function isCopy({ origin, restoredAs, wholeSchema = false }: ReattachOptions): boolean {
  return wholeSchema && restoredAs.schema !== origin.schema;
}

/** Does not reject for the server's errors on a key. */
export async function reattach(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly ReattachedKey[]> {
  const { id, restoredAs, detached } = options;
  if (!parts.hasDetached(detached)) return [];
  const server = await readServerFacts(pool);
  const reports = [...(await reattachOwnKeys(pool, options))];
  // Live children keep referring to the name that they know.
  const children = isCopy(options) ? [] : detached.keysIn;
  for (const child of children.filter(({ isDone, isLost }) => !isDone || isLost)) {
    const how = { server, id, away: restoredAs };
    const problem = await tried(() => repointOrSay(pool, child, how));
    const { childSchema: schema, childTable: table, key } = child;
    if (problem === null) continue;
    const isParentMissing = await isMissing(pool, id, parentOf(key));
    const place = { ...NO_OTHER, key, isParentMissing, isAwaiting: false };
    reports.push(describe({ schema, table }, place, { problem, rows: null }));
  }
  return reports;
}

/** The same for the table's own keys alone. */
export async function reattachOwnKeys(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly ReattachedKey[]> {
  const { id, restoredAs, detached } = options;
  if (detached.keysOut.length === 0) return [];
  const how = { server: await readServerFacts(pool) };
  const places = await placeKeys(pool, options);
  const ready = places.flatMap(({ key, isAwaiting }) => (isAwaiting ? [] : [key]));
  const problems = await triedAll(ready, async (keys) => {
    if (!(await addKeys(pool, { id, ...restoredAs, keys }, how)))
      throw new Error('the table was dropped again');
  });
  const endMs = performance.now() + SEARCH_MS;
  const reports: ReattachedKey[] = [];
  for (const place of places) {
    const { key, isAwaiting, oldParent } = place;
    const bound = { key, withinMs: endMs - performance.now() };
    const rows = oldParent === null ? null : await countKeyRows(pool, restoredAs, bound);
    const problem = isAwaiting
      ? awaitingText(id, { oldParent, rows })
      : (problems[ready.indexOf(key)] ?? shortened(key, id));
    reports.push(describe(restoredAs, place, { problem, rows }));
  }
  return reports;
}

/** A warning of MySQL has 128 characters, so the remedy comes early. */
function awaitingText(id: string, { oldParent, rows }: Pick<ReattachedKey, 'oldParent' | 'rows'>) {
  return (
    `its parent was replaced; \`undrop restore ${id} --keys\` adds it; ` +
    `${oldParent}; ${keyRowsText(rows)}`
  );
}

export function keyRowsText(rows: KeyRows | null): string {
  if (rows === null) return 'rows without a parent there: not counted';
  return `rows with a parent there: ${rows.withParent}, without: ${rows.withoutParent}`;
}

/** Why it has another name, or null. */
function shortened({ name }: parts.ForeignKey, id: string): string | null {
  if (!parts.isTooLong(name)) return null;
  return `it is named ${parts.nameToAdd(name, id)}, because no server adds a key with a name that long`;
}

/** A lost key is not added, because another table may have the child's name now. */
async function repointOrSay(pool: ServicePool, child: parts.ChildKey, options: RepointOptions) {
  const { childSchema: schema, childTable: table, key, isLost = false } = child;
  const isThere = isLost
    ? (await readKey(pool, { id: options.id, schema, table }, key.name)) !== null
    : await repointForeignKey(pool, child, options);
  if (!isThere) throw new Error('its table was dropped meanwhile');
}

/** Renames keys that the server named after the table, as the server itself does. */
function renamed(key: parts.ForeignKey, options: ReattachOptions): parts.ForeignKey {
  const { origin, restoredAs } = options;
  const made = `${origin.table}_ibfk_`;
  const name = key.name.startsWith(made)
    ? `${restoredAs.table}_ibfk_${key.name.slice(made.length)}`
    : key.name;
  const isNear = key.parentSchema === origin.schema;
  if (isNear && isCopy(options)) return { ...key, name, parentSchema: restoredAs.schema };
  if (!isNear || key.parentTable !== origin.table) return { ...key, name };
  return { ...key, name, parentSchema: restoredAs.schema, parentTable: restoredAs.table };
}

/** Adds all at once, or if that fails one by one; the problem of each, or null. */
export async function triedAll<T>(
  all: readonly T[],
  add: (some: readonly T[]) => Promise<void>,
): Promise<readonly (string | null)[]> {
  if ((await tried(() => add(all))) === null) return all.map(() => null);
  const problems: (string | null)[] = [];
  for (const one of all) problems.push(await tried(() => add([one])));
  return problems;
}

/** Temporary problems. */
const IS_LOCKED = 'another session has a table locked';
const NO_ANSWER = 'the server did not answer';

/** Whether another try may succeed. */
export function mayPass(problem: string | null): boolean {
  return [IS_LOCKED, NO_ANSWER].some((one) => one === problem);
}

/** The problem, or null. Rejects if another proxy is the collector now. */
export async function tried(work: () => Promise<unknown>): Promise<string | null> {
  for (let tries = 1; ; tries++) {
    try {
      await work();
      return null;
    } catch (error) {
      if (isKilled(error) && tries < REATTACH_TRIES) continue;
      if (isKilled(error)) return IS_LOCKED;
      if (isUnanswered(error)) return NO_ANSWER;
      if (error instanceof UndropError && error.code === 'UNDROP_NOT_COLLECTOR') throw error;
      return error instanceof Error ? error.message : String(error);
    }
  }
}

function describe(
  table: QualifiedTable,
  { key, isParentMissing, isAwaiting, oldParent, heldParent }: Omit<KeyPlace, 'isThere'>,
  { problem, rows }: Pick<ReattachedKey, 'problem' | 'rows'>,
): ReattachedKey {
  return {
    name: key.name,
    table: writtenName(table),
    parent: writtenName(parentOf(key)),
    problem,
    isParentMissing,
    oldParent: problem === null ? oldParent : null,
    heldParent,
    isAwaiting,
    rows,
  };
}

// ── which table a key leads to ───────────────────────────────────────────────────────────────────
// A parent that was dropped after the child, or with it, may have come back under its name; if
// another table has that name, the key would lead to rows that the child never referred to. Under
// foreign_key_checks=0 the parent may also have been replaced before the child was dropped, as by a
// dump; then either is its parent.

type Parents = Pick<ReattachedKey, 'oldParent' | 'heldParent'>;

const NO_OTHER: Parents = { oldParent: null, heldParent: null };

interface KeyPlace extends Parents, Pick<ReattachedKey, 'isParentMissing' | 'isAwaiting'> {
  /** By its present name, to its present parent. */
  readonly key: parts.ForeignKey;
  /** The table has it. */
  readonly isThere: boolean;
}

/** Where each of the table's own keys leads, in their order. */
export async function placeKeys(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly KeyPlace[]> {
  const { id, restoredAs, detached, dropped, anyParent = false, back } = options;
  const look = await readTable(pool, { id, ...restoredAs });
  const there = new Set(typeof look === 'string' ? [] : look.keys?.map(({ name }) => name));
  const place = async (before: parts.ForeignKey): Promise<KeyPlace> => {
    const key = renamed(before, options);
    const isThere = there.has(key.name) || there.has(parts.nameToAdd(key.name, id));
    const to = parentOf(key);
    const isParentMissing = await isMissing(pool, id, to);
    const isOwn = to.schema === restoredAs.schema && to.table === restoredAs.table;
    const asked = { from: parentOf(before), to, child: options.origin, name: before.name };
    const isSure = isParentMissing || isOwn || back?.has(writtenName(to)) === true;
    const parents = isSure ? NO_OTHER : await findParents(pool, asked, dropped);
    const isAwaiting = parents.oldParent !== null && !isThere && !anyParent;
    return { key, isThere, isParentMissing, isAwaiting, ...parents };
  };
  return Promise.all(detached.keysOut.map(place));
}

function parentOf({ parentSchema: schema, parentTable: table }: parts.ForeignKey): QualifiedTable {
  return { schema, table };
}

/** The maximum of drops of one name, from the newest on. */
const DROPS_MAX = 1_000;

/** A key, by its name and its table at the drop. */
interface AskedKey {
  /** The name of its parent at that time. */
  readonly from: QualifiedTable;
  /** The name that it leads to. */
  readonly to: QualifiedTable;
  readonly child: QualifiedTable;
  readonly name: string;
}

/**
 * The parents of a key that are not the table of that name now. The ledger has only tables that
 * were dropped through undrop, not renamed ones.
 */
async function findParents(
  pool: ServicePool,
  key: AskedKey,
  { id, dropId }: ReattachOptions['dropped'],
): Promise<Parents> {
  const how = { texts: false, rowsMax: DROPS_MAX };
  const rows = (await findRows(pool, { by: 'name', ...key.from }, how)).toReversed();
  // Ids are in the order of the drops, and those of one statement are of one moment.
  const isLater = (row: LedgerRow) => row.id > id || row.dropId === dropId;
  const later = rows.filter(isLater);
  const oldParent = findPlace(later, key);
  const before = rows.findLast((row) => !isLater(row));
  const isHeld = oldParent === null && before?.state === 'HOLD';
  const isBack = oldParent !== null && before && findPlace([before, ...later], key) === null;
  if (!isHeld && !isBack) return { oldParent, heldParent: null };
  if (!(await hadChild(pool, before, key))) return { oldParent, heldParent: null };
  return { oldParent: null, heldParent: isHeld ? before.id : null };
}

/**
 * The present place of the table of the first drop, as a clause; null: it has the name. `drops`:
 * all of the name from then on, oldest first.
 */
function findPlace(drops: readonly LedgerRow[], { to }: AskedKey): string | null {
  let backAt: Date | null = null;
  for (const row of drops) {
    // Another table had the name in between.
    if (backAt !== null && row.droppedAt <= backAt) continue;
    const isBack = row.state === 'restored' && row.restoredAs === writtenName(to);
    if (!isBack) return placeOf(row);
    backAt = row.endedAt;
  }
  return null;
}

/** Whether the key led to that table when it was dropped. */
async function hadChild(pool: ServicePool, { id }: LedgerRow, { child, name }: AskedKey) {
  const [row] = await findRows(pool, { by: 'ids', ids: [id] });
  const isSame = ({ childSchema, childTable, key }: parts.ChildKey) =>
    childSchema === child.schema && childTable === child.table && key.name === name;
  return row?.detached.keysIn.some(isSame) === true;
}

function placeOf({ id, state, restoredAs, endedAt }: LedgerRow): string {
  switch (state) {
    case 'restored':
      return `the old one was restored as ${restoredAs}`;
    case 'removed':
    case 'gone':
      return `the old one was removed at ${endedAt === null ? '?' : timeText(endedAt)}`;
    case 'HOLD':
    case 'intent':
      return `the old one is held as ${id}`;
    default:
      return `the old one, ${id}, is being removed`;
  }
}

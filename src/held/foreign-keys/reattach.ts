/**
 * Adds the foreign keys again that were detached from a table while it was held, and those of its
 * children.
 *
 * Invariant: the table keeps its name and its rows, whatever can't be reattached; that is reported.
 */
import { UndropError } from '../../errors.js';
import {
  type ChildKey,
  type Detached,
  type ForeignKey,
  hasDetached,
  isTooLong,
  nameToAdd,
} from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import type { QualifiedTable } from '../../names/names.js';
import { isUnanswered } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { isKilled } from '../../service/pool/statement-timeout.js';
import { readServerFacts } from '../../service/server-facts.js';
import { note, numberOf, sql } from '../../service/sql.js';
import { REATTACH_TRIES } from '../../tries.js';
import {
  addKeys,
  type KeyedTable,
  type RepointOptions,
  readKey,
  repointForeignKey,
} from './add-keys.js';

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
   * The present place of its original parent, if another table has that name; null: unknown, or the
   * same.
   */
  readonly oldParent: string | null;
}

export interface ReattachOptions {
  readonly id: string;
  /** Its original name, and its present one. */
  readonly origin: { readonly schema: string; readonly table: string };
  readonly restoredAs: { readonly schema: string; readonly table: string };
  readonly detached: Detached;
  /** When it was dropped; the table that had a parent's name then is the parent. */
  readonly dropped: Pick<LedgerRow, 'id' | 'groupId'>;
  readonly logged: boolean;
  /**
   * All tables of its schema are restored into the other one, so that keys among them lead there.
   */
  readonly wholeSchema?: boolean;
  /**
   * Tables, as `schema.table`, that are still held while another table has the name: a key to one
   * isn't added yet, because it would lead to that other table, and follow it to any name.
   */
  readonly awaited?: ReadonlySet<string>;
}

function isCopy({ origin, restoredAs, wholeSchema = false }: ReattachOptions): boolean {
  return wholeSchema && restoredAs.schema !== origin.schema;
}

/** Does not reject for the server's errors on a key. */
export async function reattach(
  pool: ServicePool,
  options: ReattachOptions,
): Promise<readonly ReattachedKey[]> {
  const { id, restoredAs, detached, logged } = options;
  if (!hasDetached(detached)) return [];
  const server = await readServerFacts(pool);
  const how = { server, logged };
  const table: KeyedTable = { id, ...restoredAs };
  const keys = detached.keysOut.map((key) => renamed(key, options));
  const isAwaited = ({ parentSchema, parentTable }: ForeignKey) =>
    options.awaited?.has(`${parentSchema}.${parentTable}`) === true;
  const ready = keys.filter((key) => !isAwaited(key));
  const problems = await triedAll(ready, async (some) => {
    if (!(await addKeys(pool, { ...table, keys: some }, how)))
      throw new Error('the table was dropped again');
  });
  const problemOf = (key: ForeignKey) =>
    isAwaited(key) ? IS_AWAITED : (problems[ready.indexOf(key)] ?? shortened(key, id));
  const reports = await Promise.all(
    keys.map(async (key) =>
      describe(pool, options, { table: restoredAs, key, problem: problemOf(key) }),
    ),
  );
  // Live children keep referring to the name that they know.
  const children = isCopy(options) ? [] : detached.keysIn;
  for (const child of children.filter(({ isDone, isLost }) => !isDone || isLost)) {
    const problem = await tried(() => repointOrSay(pool, child, { ...how, id, away: restoredAs }));
    const { childSchema: schema, childTable, key } = child;
    const of = { schema, table: childTable };
    if (problem !== null) reports.push(await describe(pool, options, { table: of, key, problem }));
  }
  return reports;
}

/** Why it has another name, or null. */
function shortened({ name }: ForeignKey, id: string): string | null {
  if (!isTooLong(name)) return null;
  return `it is named ${nameToAdd(name, id)}, because no server adds a key with a name that long`;
}

/** A lost key is not added, because another table may have the child's name now. */
async function repointOrSay(
  pool: ServicePool,
  child: ChildKey,
  options: RepointOptions,
): Promise<void> {
  const { childSchema: schema, childTable: table, key, isLost = false } = child;
  const now = isLost ? await readKey(pool, { id: options.id, schema, table }, key) : null;
  const isThere = isLost
    ? now !== null && typeof now !== 'string'
    : await repointForeignKey(pool, child, options);
  if (!isThere) throw new Error('its table was dropped meanwhile');
}

/** Renames keys that the server named after the table, as the server itself does. */
function renamed(key: ForeignKey, options: ReattachOptions): ForeignKey {
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
const IS_AWAITED = 'its parent table is still held, and another table has the name of the parent';

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

async function describe(
  pool: ServicePool,
  { id, dropped, restoredAs }: ReattachOptions,
  {
    table,
    key,
    problem,
  }: {
    readonly table: { readonly schema: string; readonly table: string };
    readonly key: ForeignKey;
    readonly problem: string | null;
  },
): Promise<ReattachedKey> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', id)} COUNT(*) AS n FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = ${key.parentSchema} AND TABLE_NAME = ${key.parentTable}`,
  );
  const parent = { schema: key.parentSchema, table: key.parentTable };
  const isParentMissing = numberOf(rows[0] ?? {}, 'n') === 0;
  const isOwn = parent.schema === restoredAs.schema && parent.table === restoredAs.table;
  const isAnother = problem === null && !isParentMissing && !isOwn;
  return {
    name: key.name,
    table: `${table.schema}.${table.table}`,
    parent: `${parent.schema}.${parent.table}`,
    problem,
    isParentMissing,
    oldParent: isAnother ? await findOldParent(pool, parent, dropped) : null,
  };
}

/** The maximum of drops of one name, from the newest on. */
const DROPS_MAX = 1_000;

/**
 * The present place of the parent of a key, which was dropped itself, as a clause. The ledger has
 * only tables that were dropped through undrop, not renamed ones; null: the table of that name is
 * the old parent, as far as the ledger shows.
 */
async function findOldParent(
  pool: ServicePool,
  { schema, table }: QualifiedTable,
  { id, groupId }: ReattachOptions['dropped'],
): Promise<string | null> {
  const how = { texts: false, rowsMax: DROPS_MAX };
  const rows = await findRows(pool, { by: 'name', schema, table }, how);
  // Ids are in the order of the drops, and those of one statement are of one moment.
  const later = rows.filter((row) => row.id > id || row.groupId === groupId).toReversed();
  let backAt: Date | null = null;
  for (const row of later) {
    // Another table had the name in between.
    if (backAt !== null && row.droppedAt <= backAt) continue;
    const isBack = row.state === 'restored' && row.restoredAs === `${schema}.${table}`;
    if (!isBack) return placeOf(row);
    backAt = row.endedAt;
  }
  return null;
}

function placeOf({ id, state, restoredAs }: LedgerRow): string {
  switch (state) {
    case 'restored':
      return `the old one is ${restoredAs}`;
    case 'removed':
    case 'gone':
      return 'the old one is gone';
    default:
      return `the old one is held as ${id}`;
  }
}

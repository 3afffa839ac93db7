/**
 * Detaches from a held table everything that would affect live tables: its own foreign keys, which
 * would block or cascade changes of a live parent's rows; its triggers; and the foreign keys of
 * live children, which followed the table to its hold name and get its original name again, as
 * after a native drop. After a TRUNCATE the table that has taken the name is such a child, by the
 * ledger: it gets the keys that were the held table's.
 *
 * Invariants: all that is detached is in the ledger before, by its original names. Each step waits
 * for locks for a moment only; a step that fails is reported, and done later with the pending
 * relocations. It may run twice, and continues from the present state.
 */

import { isKilled, isServerError, isServiceError } from '../../connections/errors.js';
import { LockWaitBudget, type TryOptions } from '../../connections/pool/statement-timeout.js';
import { col, readServerFacts, type ServerFacts, type ServicePool } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import * as parts from '../../ledger/detached/detached.js';
import type { PendingWork } from '../../ledger/entry.js';
import { foreignKeysOf, type KeyedServer } from '../../ledger/intents/intent-text.js';
import { findRows } from '../../ledger/read.js';
import type { QualifiedTable } from '../../names/names.js';
import { isRecycleSchema, isSameName, parseHoldName } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';
import type { RelocateTable } from '../relocate/blockers.js';
import { dropTriggers, type FoundTriggers, findTriggers } from '../triggers/detach-triggers.js';
import { alter, dropKey, type KeyOptions, readTable, repointForeignKey } from './add-keys.js';

/** The failure of each table, or null. Does not reject. */
export async function detach(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions = {},
): Promise<readonly (PendingWork | null)[]> {
  for (const { id, holdName } of tables) {
    assert(parseHoldName(holdName)?.id === id, 'only from a table under its hold name');
  }
  const failures: (PendingWork | null)[] = [];
  const failWith = (error: unknown): readonly PendingWork[] => {
    const failure = undone(error instanceof Error ? error.message : String(error));
    return tables.map((_table, index) => ({ ...(failures[index] ?? failure), binds: 'passing' }));
  };
  try {
    const server = await readServerFacts(pool);
    const failed = await takeOff(pool, tables, { ...how, server, failures }).then(
      () => failures,
      failWith,
    );
    return await withBinding(pool, tables, { server, failures: failed });
  } catch (error) {
    return failWith(error);
  }
}

/** Adds the failure of each table, or null, to `failures`. */
async function takeOff(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { failures, ...how }: KeyOptions & { readonly failures: (PendingWork | null)[] },
): Promise<void> {
  const context = { ...how, tables };
  const plans = await Promise.all(tables.map((table) => planAndRecord(pool, table, context)));
  // Their own keys first, because the children of one table may be others of them.
  for (const plan of plans) failures.push(isPlan(plan) ? await dropOwn(pool, plan, how) : plan);
  // If no client waits, the children have a time of their own.
  const time = how.lockWaitBudget ?? new LockWaitBudget();
  for (const [index, plan] of plans.entries()) {
    if (!isPlan(plan) || failures[index] !== null) continue;
    failures[index] =
      (await repointChildren(pool, plan, { ...how, time })) ??
      plan.found.problem ??
      (await dropTriggers(pool, plan.table, { ...how, triggers: plan.found.triggers }));
  }
}

/**
 * By the server's own dictionary, whatever was done before. A key of its own counts also if its
 * parent is held, because that may be restored first; the key of a held child is the child's.
 */
async function withBinding(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  known: { readonly server: ServerFacts; readonly failures: readonly (PendingWork | null)[] },
): Promise<readonly (PendingWork | null)[]> {
  const places = tables.map(({ fromSchema: schema, holdName: table }) => ({ schema, table }));
  const [keys = []] = await pool.run(foreignKeysOf(places, known.server));
  return tables.map(({ holdName }, index) => {
    const failure = known.failures[index] ?? null;
    const key = keys.find((row) => {
      const [child, parent] = [col.text(row, 'child'), col.text(row, 'parent')];
      if (isSameName(child, holdName)) return !isSameName(parent, holdName);
      return isSameName(parent, holdName) && parseHoldName(child) === null;
    });
    if (key !== undefined) {
      const text = `the foreign key ${col.text(key, 'name')} is still on it`;
      return { ...undone(text, 'passing'), ...failure };
    }
    if (failure === null) return null;
    const { binds: _none, ...free } = failure;
    return free;
  });
}

interface Plan {
  readonly table: RelocateTable;
  readonly detached: parts.Detached;
  /** Their present names. */
  readonly ownKeys: readonly string[];
  /** Its present triggers. */
  readonly found: FoundTriggers;
}

function isPlan(plan: Plan | PendingWork | null): plan is Plan {
  return plan !== null && 'table' in plan;
}

function undone(text: string, binds: 'passing' | 'lasting' = 'lasting'): PendingWork {
  return { todo: 'detach', text, binds };
}

/** Null if there is nothing to detach; else all of it is in the ledger now. */
async function planAndRecord(
  pool: ServicePool,
  table: RelocateTable,
  context: KeyOptions & { readonly tables: readonly RelocateTable[] },
): Promise<Plan | PendingWork | null> {
  const { id, fromSchema: schema, holdName } = table;
  const [look, children, found] = await Promise.all([
    readTable(pool, { id, schema, table: holdName }),
    findChildren(pool, table, context.server),
    findTriggers(pool, table, context.server),
  ]);
  // After the reads: the row has what another proxy has detached before them.
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  // The relocation renames a view back.
  if (typeof look === 'string') return null;
  if (look.keys === null) return undone('undrop cannot parse its foreign keys');
  if (typeof children === 'string') return undone(children);
  const { triggers } = found;
  const before = row?.detached ?? parts.NOTHING_DETACHED;
  const hasSome =
    look.keys.length + children.length + triggers.length > 0 || parts.hasDetached(before);
  if (!hasSome) return found.problem;
  if (row === undefined) return undone('the ledger has no row for it');
  const where = { ...context, table, schema: row.schema };
  const keys = await Promise.all(
    look.keys.map(async (key) => [key, await withOriginalNames(pool, key, where)] as const),
  );
  const keysOut = keys.map(([, key]) => key);
  // Not the present schema, which may be undrop's already.
  const own = { parentSchema: row.schema, parentTable: table.table };
  const keysIn = children.map((child) => ({ ...child, key: { ...child.key, ...own } }));
  const detached = parts.mergeDetached(before, { keysOut, keysIn, triggers, checks: [] });
  const isKnown = before.keysOut.length + before.checks.length > 0 && row.definition !== null;
  // The original one, for people and for comparisons.
  let definition = isKnown ? null : parts.ownDefinition(look.definition, holdName, table.table);
  for (const [now, own] of keys) {
    const printed = parts.printedKey(own, row.schema);
    definition &&= definition.replace(parts.printedKey(now, schema), () => printed);
  }
  if (!(await parts.recordDetached(pool, { id, detached, definition }))) {
    return undone('its foreign keys and triggers could not be recorded in the ledger');
  }
  return { table, detached, ownKeys: look.keys.map(({ name }) => name), found };
}

/**
 * Tables with foreign keys, or that are parents in some; all of them if the server can't report it.
 */
export async function findKeyed(
  pool: ServicePool,
  { places, server }: { readonly places: QualifiedTable[]; readonly server: KeyedServer },
): Promise<(name: string) => boolean> {
  if (places.length === 0) return () => false;
  try {
    const [rows = []] = await pool.run(foreignKeysOf(places, server));
    const found = rows.flatMap((row) => [col.text(row, 'child'), col.text(row, 'parent')]);
    return (name) => found.some((one) => isSameName(one, name));
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return () => true;
  }
}

/** Foreign keys of live tables to it. Other held tables lose theirs on their own. */
async function findChildren(
  pool: ServicePool,
  { id, fromSchema, holdName }: RelocateTable,
  server: ServerFacts,
): Promise<readonly parts.ChildKey[] | string> {
  const held = { schema: fromSchema, table: holdName };
  const [rows = []] = await pool.run(foreignKeysOf([held], server));
  const found: parts.ChildKey[] = [];
  for (const row of rows) {
    const [childSchema, childTable] = [col.text(row, 'childSchema'), col.text(row, 'child')];
    const isItself = isSameName(childSchema, fromSchema) && isSameName(childTable, holdName);
    if (isItself || !isSameName(col.text(row, 'parent'), holdName)) continue;
    if (parseHoldName(childTable) !== null) continue;
    const look = await readTable(pool, { id, schema: childSchema, table: childTable });
    if (typeof look === 'string') continue;
    const name = col.text(row, 'name');
    const key = look.keys?.find((candidate) => candidate.name === name);
    if (key === undefined)
      return `undrop cannot parse the foreign key ${name} of ${childSchema}.${childTable}`;
    found.push({ childSchema, childTable, key, isDone: false });
  }
  return found;
}

interface OriginalPlace {
  readonly table: RelocateTable;
  /** Its original schema. */
  readonly schema: string;
  /** Tables that may be parents as well. */
  readonly tables: readonly RelocateTable[];
}

/** Replaces names that the server derived from the hold name, and parents that are held as well. */
export async function withOriginalNames(
  pool: ServicePool,
  key: parts.ForeignKey,
  { table, schema, tables }: OriginalPlace,
): Promise<parts.ForeignKey> {
  const made = `${table.holdName}_ibfk_`;
  const name = key.name.toLowerCase().startsWith(made.toLowerCase())
    ? `${table.table}_ibfk_${key.name.slice(made.length)}`
    : key.name;
  const to = (parentSchema: string, parentTable: string) => {
    return { ...key, name, parentSchema, parentTable };
  };
  const id = parseHoldName(key.parentTable)?.id;
  if (id === undefined) return { ...key, name };
  if (id === table.id) return to(schema, table.table);
  const beside = tables.find((one) => one.id === id && !isRecycleSchema(one.fromSchema));
  if (beside !== undefined) return to(beside.fromSchema, beside.table);
  const [row] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  return row === undefined ? { ...key, name } : to(row.schema, row.table);
}

async function dropOwn(
  pool: ServicePool,
  plan: Plan,
  how: TryOptions,
): Promise<PendingWork | null> {
  const { id, fromSchema: schema, holdName } = plan.table;
  return failureOf('its foreign keys', () =>
    alter(pool, { id, schema, table: holdName }, { ...how, changes: plan.ownKeys.map(dropKey) }),
  );
}

async function repointChildren(
  pool: ServicePool,
  plan: Plan,
  { time, ...how }: KeyOptions & { readonly time: LockWaitBudget },
): Promise<PendingWork | null> {
  const { id, fromSchema, holdName } = plan.table;
  let { detached } = plan;
  let failure: PendingWork | null = null;
  for (const child of detached.keysIn.filter(({ isDone }) => !isDone)) {
    const what = `the foreign key of ${child.childSchema}.${child.childTable}`;
    if (time.isOver) {
      failure ??= undone(`${what} was not tried`, 'passing');
      continue;
    }
    const away = { schema: fromSchema, table: holdName };
    let isThere = false;
    const problem = await failureOf(what, async () => {
      isThere = await repointForeignKey(pool, child, { ...how, id, away });
    });
    failure ??= problem;
    if (problem !== null) continue;
    const done = { isDone: true, ...(isThere ? {} : { isLost: true as const }) };
    const keysIn = detached.keysIn.map((key) =>
      parts.isSameChildKey(key, child) ? { ...key, ...done } : key,
    );
    detached = { ...detached, keysIn };
  }
  if (detached !== plan.detached) {
    await parts.recordDetached(pool, { id, detached, definition: null });
  }
  return failure;
}

async function failureOf(what: string, work: () => Promise<void>): Promise<PendingWork | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const isFinal = !isServiceError(error) || isServerError(error, ...ER.SERVICE_DENIED);
    const binds = isFinal ? 'lasting' : 'passing';
    if (isKilled(error)) return undone(`${what}: another session has a table locked`, 'passing');
    return undone(`${what}: ${error instanceof Error ? error.message : String(error)}`, binds);
  }
}

/**
 * Moves held tables from their own schema into the recycle schema, by a RENAME that is tried for a
 * moment only. If the name of a CHECK is taken there, the table leaves its CHECKs behind. A table
 * that can't be moved stays held in its schema, and is tried again (pending.ts). May run twice, and
 * at once with another proxy's recovery: tables which that has moved count as moved.
 *
 * Invariant: renames hold names only. A view that was renamed by mistake, which the server refuses
 * to move, gets its own name back.
 */

import { isKilled, isServerError, tolerantly } from '../../connections/errors.js';
import { idsWith, listRecycledHoldTables } from '../../connections/hold-tables.js';
import type { TryOptions } from '../../connections/pool/statement-timeout.js';
import { LockWaitBudget, runWithTimeout } from '../../connections/pool/statement-timeout.js';
import { col, ident, note, type ServicePool, sql } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import type { PendingWork } from '../../ledger/entry.js';
import { OUTCOMES_OF_PART, readDefinitions, shapeOf } from '../../ledger/write.js';
import * as names from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';
import { detach, findKeyed } from '../foreign-keys/detach.js';
import { giveTriggers } from '../triggers/reattach-triggers.js';
import type { LastingBlocker, RelocateTable } from './blockers.js';
import { blockedByTriggers, lastingBlocker } from './blockers.js';
import { detachChecks, giveCheckNames } from './checks.js';

export type Relocation =
  | {
      readonly id: string;
      readonly outcome: 'moved';
      readonly holdSchema: string;
      readonly holdName: string;
      /** Why it still binds live tables; default null: it doesn't. */
      readonly pendingWork?: PendingWork | null;
    }
  /**
   * It has its own name again, and nothing is held: it is a view, or can't be held because of
   * `why`.
   */
  | { readonly id: string; readonly outcome: 'put-back'; readonly why?: string }
  /** Held under its hold name in its own schema, as far as is known. */
  | {
      readonly id: string;
      readonly outcome: 'failed';
      readonly errno: number | null;
      readonly pendingWork: PendingWork;
    };

/**
 * Detaches what would bind live tables, and moves the tables that are free of it. Returns a
 * `Relocation` for each table, in order. Does not reject.
 */
export async function detachAndRelocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions = {},
): Promise<readonly Relocation[]> {
  const failures = await detach(pool, tables, how);
  const detached: RelocateTable[] = [];
  for (const [index, table] of tables.entries()) {
    const blocker = failures[index] ?? table.blocker ?? null;
    const isFree = blocker === null && table.isEmptied === true;
    // Without them it stays where it is, and is tried again.
    const give = () => giveTriggers(pool, table).catch((error: unknown) => whyFailed(error));
    detached.push({ ...table, blocker: isFree ? await give() : blocker });
  }
  const relocations = await relocate(pool, detached, how);
  for (const [index, one] of relocations.entries()) {
    const table = detached[index];
    if (one.outcome !== 'moved' || table?.isEmptied !== true) continue;
    // Without them the copy has names of the server.
    await tolerantly(async () => [await giveCheckNames(pool, table, one)]);
  }
  return relocations;
}

/**
 * The same for tables without foreign keys and triggers at the last check. They are moved at once,
 * and checked again meanwhile, because another session may have created foreign keys up to their
 * RENAME, which followed it; after that the name that a key would need doesn't exist.
 */
export async function moveToRecycleSchema(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { server, ...how }: TryOptions & Pick<Parameters<typeof findKeyed>[1], 'server'>,
): Promise<readonly Relocation[]> {
  const recycleSchema = names.recycleSchemaFor(pool.isLogged);
  const places: names.QualifiedTable[] = [];
  for (const { fromSchema, holdName, newName = holdName, blocker = null } of tables) {
    if (blocker !== null) continue;
    places.push({ schema: fromSchema, table: holdName }, { schema: recycleSchema, table: newName });
  }
  const [relocations, isKeyed] = await Promise.all([
    relocate(pool, tables, how),
    findKeyed(pool, { places, server }),
  ]);
  const all: Relocation[] = [];
  for (const [index, relocation] of relocations.entries()) {
    const table = tables[index];
    assert(table !== undefined, 'one report for each table');
    const isBound =
      relocation.outcome === 'moved' && (isKeyed(table.holdName) || isKeyed(relocation.holdName));
    all.push(isBound ? await detachMoved(pool, { table, moved: relocation }, how) : relocation);
  }
  return all;
}

/** Detaches what went along with a table. */
export async function detachMoved(
  pool: ServicePool,
  { table, moved }: { table: RelocateTable; moved: Relocation & { outcome: 'moved' } },
  how: TryOptions = {},
): Promise<Relocation> {
  const { holdSchema: fromSchema, holdName } = moved;
  const [pendingWork = null] = await detach(pool, [{ ...table, fromSchema, holdName }], how);
  return { ...moved, pendingWork };
}

/**
 * A `Relocation` for each table, in order. Does not reject: a table that can't be reached or moved
 * is reported as failed, and recovery finds it.
 */
export async function relocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions = {},
): Promise<readonly Relocation[]> {
  for (const { id, holdName, newName = holdName } of tables) {
    const isHeld = [holdName, newName].every((name) => names.parseHoldName(name)?.id === id);
    assert(isHeld, 'only a table under its hold name is relocated');
  }
  const moving = tables.filter((table) => (table.blocker ?? null) === null && !isThere(table));
  if (moving.length < tables.length) {
    const relocations = await relocate(pool, moving, how);
    return tables.map(({ id, blocker = null, fromSchema, holdName }) => {
      const found = relocations.find((relocation) => relocation.id === id);
      if (found !== undefined) return found;
      return blocker === null
        ? { id, outcome: 'moved', holdSchema: fromSchema, holdName }
        : { id, outcome: 'failed', errno: null, pendingWork: blocker };
    });
  }
  if (tables.length === 0) return [];
  try {
    return await rename(pool, tables, how);
  } catch (error) {
    const [only] = tables;
    // The connection is broken, or all of them together can't be moved.
    if (only === undefined || tables.length > 1) return oneByOne(pool, tables, { ...how, error });
    // MySQL 8.0.16 and later: the name of a CHECK is unique in its schema.
    const isTaken = isServerError(error, ER.CHECK_CONSTRAINT_DUP_NAME);
    const other = isTaken ? relocateWithoutChecks : explain;
    return [await other(pool, only, { ...how, error })];
  }
}

/** The RENAME of its drop has moved it. */
function isThere({ fromSchema, holdName, newName = holdName }: RelocateTable): boolean {
  return names.isRecycleSchema(fromSchema) && newName === holdName;
}

type Failing = TryOptions & { readonly error: unknown };

async function oneByOne(pool: ServicePool, tables: readonly RelocateTable[], failing: Failing) {
  const { error, ...how } = failing;
  const { lockWaitBudget = new LockWaitBudget() } = how;
  const relocations: Relocation[] = [];
  for (const table of tables) {
    const isLeft = lockWaitBudget.isOver || !isServerError(error);
    if (isLeft) relocations.push(failed(table, error));
    else relocations.push(...(await relocate(pool, [table], how)));
  }
  return relocations;
}

/** Moves a table whose CHECK has a name that is taken there: without its CHECKs. */
async function relocateWithoutChecks(pool: ServicePool, table: RelocateTable, failing: Failing) {
  const { error: _taken, ...how } = failing;
  try {
    const problem = await detachChecks(pool, table, how);
    if (problem !== null) throw new Error(problem);
    const [moved] = await rename(pool, [table], how);
    assert(moved !== undefined, 'one report for each table');
    return moved;
  } catch (error) {
    return explain(pool, table, { ...how, error });
  }
}

async function rename(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const holdSchema = names.recycleSchemaFor(pool.isLogged);
  const pairs = tables.map(
    ({ fromSchema, holdName, newName = holdName }) =>
      sql`${ident(fromSchema, holdName)} TO ${ident(holdSchema, newName)}`,
  );
  const step = note('relocate', tables[0]?.id);
  const statement = sql`RENAME ${step} TABLE ${sql.join(pairs, ', ')}`;
  await runWithTimeout(pool, statement, how);
  return tables.map(({ id, holdName, newName = holdName }) => {
    return { id, outcome: 'moved', holdSchema, holdName: newName };
  });
}

/** Explains the result for one table that the RENAME did not move. */
async function explain(
  pool: ServicePool,
  table: RelocateTable,
  { lockWaitBudget, error }: Failing,
): Promise<Relocation> {
  const { id, fromSchema, holdName } = table;
  if (isKilled(error) || !isServerError(error)) return failed(table, error);
  try {
    const [[here] = []] = await pool.run(
      sql`SELECT ${note('locate', id)} TABLE_TYPE AS kind FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${fromSchema} AND TABLE_NAME = ${holdName}`,
    );
    // Another proxy may have moved it, under a due time of its own.
    const recycled = await listRecycledHoldTables(pool, [idsWith(id)]);
    const isThere = recycled.find(({ state }) => state === 'HOLD');
    if (isThere !== undefined) {
      return { id, outcome: 'moved', holdSchema: isThere.schema, holdName: isThere.name };
    }
    if (here === undefined || col.text(here, 'kind') !== 'VIEW') return failed(table, error);
    const own = ident(fromSchema, table.table);
    const back = sql`RENAME ${note('put-back-view', id)}
      TABLE ${ident(fromSchema, holdName)} TO ${own}`;
    await runWithTimeout(pool, back, { lockWaitBudget });
    return { id, outcome: 'put-back' };
  } catch (inspectionError) {
    return failed(table, inspectionError);
  }
}

function failed({ id }: RelocateTable, error: unknown): Relocation {
  const errno = isServerError(error) ? error.errno : null;
  const pendingWork = whyFailed(error);
  const isLocked = isKilled(error);
  return { id, outcome: 'failed', errno: isLocked ? ER.LOCK_WAIT_TIMEOUT : errno, pendingWork };
}

function whyFailed(error: unknown): PendingWork {
  if (isKilled(error)) return { todo: 'relocate', text: 'another session has it locked' };
  const text = error instanceof Error ? error.message : String(error);
  // The server returns that also for triggers that this account can't see.
  const hasTriggers = isServerError(error, ER.TRG_IN_WRONG_SCHEMA);
  return hasTriggers ? blockedByTriggers(text) : { todo: 'relocate', text };
}

/** Why each table, under any name, stays in its own schema as long as it is held; or null. */
export async function readLastingBlockers(
  pool: ServicePool,
  tables: Parameters<typeof readDefinitions>[1],
): Promise<readonly (LastingBlocker | null)[]> {
  const server = await shapeOf(pool);
  const all: (LastingBlocker | null)[] = [];
  for (const part of names.inBatches(tables, OUTCOMES_OF_PART)) {
    const { shown } = await readDefinitions(pool, part, sql`DO ${note('look', part[0]?.id)} 0`);
    for (const { id } of part) {
      // If the server can't show it, relocating it will give the reason.
      const definition = shown.get(id);
      all.push(definition === undefined ? null : lastingBlocker(definition, server));
    }
  }
  return all;
}

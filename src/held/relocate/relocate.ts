/**
 * Moves held tables from their own schema into the recycle schema, by a RENAME that is tried for a
 * moment only. If the name of a CHECK is taken there, a table goes to a spare schema, or leaves its
 * CHECKs behind. A table that can't be moved stays held in its schema, and is tried again
 * (pending.ts). May run twice, and at once with another proxy's recovery: tables which that has
 * moved count as moved.
 *
 * Invariant: renames hold names only. A view that was renamed by mistake, which the server refuses
 * to move, gets its own name back.
 */
import { assert } from '../../assert.js';
import type { Failure } from '../../ledger/entry.js';
import { foreignKeysOf, type KeyedServer } from '../../ledger/intents/intent-text.js';
import { createSchema } from '../../ledger/tables.js';
import { shapeOf } from '../../ledger/write.js';
import {
  isRecycleSchema,
  isSameName,
  parseHoldName,
  recycleSchemaFor,
  spareSchemasFor,
} from '../../names/names.js';
import { isServerError, isServiceError } from '../../service/errors.js';
import { findRecycled } from '../../service/hold-tables.js';
import type { ServicePool } from '../../service/pool/pools.js';
import {
  isKilled,
  LockWaitBudget,
  runWithTimeout,
  type TryOptions,
} from '../../service/pool/statement-timeout.js';
import { ident, note, sql, textOf } from '../../service/sql.js';
import {
  ER_CHECK_CONSTRAINT_DUP_NAME,
  ER_LOCK_WAIT_TIMEOUT,
  ER_TRG_IN_WRONG_SCHEMA,
} from '../../wire/server-errors.js';
import { detach } from '../foreign-keys/detach.js';
import { readTable } from '../foreign-keys/read-table.js';
import { locateHoldTable } from '../locate.js';
import {
  blockedByTriggers,
  type LastingBlocker,
  lastingBlocker,
  type RelocateTable,
} from './blockers.js';
import { detachChecks } from './checks.js';

export type Relocation =
  | {
      readonly id: string;
      readonly outcome: 'moved';
      readonly holdSchema: string;
      readonly holdName: string;
      /** Why it still binds live tables; default null: it doesn't. */
      readonly failure?: Failure | null;
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
      readonly failure: Failure;
    };

/**
 * Detaches what would bind live tables, and moves the tables that are free of it. Returns a
 * `Relocation` for each table, in order. Does not reject.
 */
export async function detachAndRelocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const failures = await detach(pool, tables, how);
  const detached = tables.map((table, index) => {
    return { ...table, blocker: failures[index] ?? table.blocker ?? null };
  });
  return relocate(pool, detached, how);
}

/**
 * The same for tables without foreign keys and triggers at the last check. They are moved at once,
 * and checked again meanwhile, because another session may have created foreign keys up to their
 * RENAME, which followed it; after that the name that a key would need doesn't exist.
 */
export async function moveToRecycleSchema(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { server, ...how }: TryOptions & { readonly server: KeyedServer },
): Promise<readonly Relocation[]> {
  const recycleSchema = recycleSchemaFor(how.logged);
  const places: { readonly schema: string; readonly table: string }[] = [];
  for (const { fromSchema, holdName, newName = holdName, blocker = null } of tables) {
    if (blocker !== null) continue;
    places.push({ schema: fromSchema, table: holdName }, { schema: recycleSchema, table: newName });
  }
  const [relocations, isKeyed] = await Promise.all([
    relocate(pool, tables, how),
    findKeyed(pool, places, server),
  ]);
  const all: Relocation[] = [];
  for (const [index, relocation] of relocations.entries()) {
    const table = tables[index];
    assert(table !== undefined, 'one report for each table');
    // A spare schema was not checked for keys yet.
    const isBound =
      relocation.outcome === 'moved' &&
      (relocation.holdSchema !== recycleSchema ||
        isKeyed(table.holdName) ||
        isKeyed(relocation.holdName));
    if (isBound) {
      const { holdSchema: fromSchema, holdName } = relocation;
      const [failure = null] = await detach(pool, [{ ...table, fromSchema, holdName }], how);
      all.push({ ...relocation, failure });
    } else all.push(relocation);
  }
  return all;
}

/**
 * Tables with foreign keys, or that are parents in some; all of them if the server can't report it.
 */
async function findKeyed(
  pool: ServicePool,
  places: readonly { readonly schema: string; readonly table: string }[],
  server: KeyedServer,
): Promise<(name: string) => boolean> {
  if (places.length === 0) return () => false;
  try {
    const [rows = []] = await pool.run(foreignKeysOf(places, server));
    const found = rows.flatMap((row) => [textOf(row, 'child'), textOf(row, 'parent')]);
    return (name) => found.some((one) => isSameName(one, name));
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return () => true;
  }
}

/**
 * A `Relocation` for each table, in order. Does not reject: a table that can't be reached or moved
 * is reported as failed, and recovery finds it.
 */
export async function relocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const holdSchema = recycleSchemaFor(how.logged);
  for (const { id, holdName, newName = holdName } of tables) {
    const isHeld = [holdName, newName].every((name) => parseHoldName(name)?.id === id);
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
        : { id, outcome: 'failed', errno: null, failure: blocker };
    });
  }
  if (tables.length === 0) return [];
  try {
    return await rename(pool, tables, { ...how, holdSchema });
  } catch (error) {
    const [only] = tables;
    // The connection is broken, or all of them together can't be moved.
    if (only === undefined || tables.length > 1) return oneByOne(pool, tables, { ...how, error });
    // MySQL 8.0.16 and later: the name of a CHECK is unique in its schema.
    const mayBeTaken = isServerError(error, ER_CHECK_CONSTRAINT_DUP_NAME) || isKilled(error);
    const other = mayBeTaken ? relocateBeside : explain;
    return [await other(pool, only, { ...how, error })];
  }
}

/** The RENAME of its drop has moved it. */
function isThere({ fromSchema, holdName, newName = holdName }: RelocateTable): boolean {
  return isRecycleSchema(fromSchema) && newName === holdName;
}

type Failing = TryOptions & { readonly error: unknown };

async function oneByOne(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { error, ...how }: Failing,
): Promise<readonly Relocation[]> {
  const { lockWaitBudget = new LockWaitBudget() } = how;
  const relocations: Relocation[] = [];
  for (const table of tables) {
    const isLeft = lockWaitBudget.isOver || !isServerError(error);
    if (isLeft) relocations.push(failed(table, error));
    else relocations.push(...(await relocate(pool, [table], how)));
  }
  return relocations;
}

/**
 * Moves a table to a spare schema that can take it, because a restore copies no rows from there;
 * else without its CHECKs. A RENAME also waits while another one takes the name of a CHECK in the
 * same schema, so a wait that was given up proves little about the table itself.
 */
async function relocateBeside(
  pool: ServicePool,
  table: RelocateTable,
  { error: first, ...how }: Failing,
): Promise<Relocation> {
  const { logged } = how;
  let error = first;
  try {
    const spares = await findSpareSchemas(pool, table, { logged });
    if (spares === null) return explain(pool, table, { ...how, error });
    // Skips the first, which other sessions try as well.
    for (const { schema, exists } of isKilled(first) ? spares.slice(1) : spares) {
      try {
        if (!exists) await createSchema(pool, schema);
        const [moved] = await rename(pool, [table], { ...how, holdSchema: schema });
        assert(moved !== undefined, 'one report for each table');
        return moved;
      } catch (spareError) {
        if (!isServerError(spareError)) throw spareError;
        error = spareError;
      }
    }
    // Others have the table itself locked.
    const isLocked = isKilled(first) && isKilled(error) && error !== first;
    if (isLocked) return failed(table, error);
    const problem = await detachChecks(pool, table, how);
    if (problem !== null) throw new Error(problem);
    const [moved] = await rename(pool, [table], { ...how, holdSchema: recycleSchemaFor(logged) });
    assert(moved !== undefined, 'one report for each table');
    return moved;
  } catch (otherError) {
    return explain(pool, table, { ...how, error: otherError });
  }
}

async function rename(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { holdSchema, logged, lockWaitBudget }: TryOptions & { readonly holdSchema: string },
): Promise<readonly Relocation[]> {
  const pairs = tables.map(
    ({ fromSchema, holdName, newName = holdName }) =>
      sql`${ident(fromSchema, holdName)} TO ${ident(holdSchema, newName)}`,
  );
  const step = note('relocate', tables[0]?.id);
  const statement = sql`RENAME ${step} TABLE ${sql.join(pairs, ', ')}`;
  await runWithTimeout(pool, statement, { logged, lockWaitBudget });
  return tables.map(({ id, holdName, newName = holdName }) => {
    return { id, outcome: 'moved', holdSchema, holdName: newName };
  });
}

/** Explains the result for one table that the RENAME did not move. */
async function explain(
  pool: ServicePool,
  table: RelocateTable,
  { logged, lockWaitBudget, error }: Failing,
): Promise<Relocation> {
  const { id, fromSchema, holdName } = table;
  if (isKilled(error) || !isServerError(error)) return failed(table, error);
  try {
    const [here] = await locateHoldTable(pool, [fromSchema], holdName);
    // Another proxy may have moved it, under a due time of its own.
    const recycled = await findRecycled(pool, id);
    const isThere = recycled.find(({ state }) => state === 'HOLD');
    if (isThere !== undefined) {
      return { id, outcome: 'moved', holdSchema: isThere.schema, holdName: isThere.name };
    }
    if (here?.isView !== true) return failed(table, error);
    const own = ident(fromSchema, table.table);
    const back = sql`RENAME ${note('put-back-view', id)}
      TABLE ${ident(fromSchema, holdName)} TO ${own}`;
    await runWithTimeout(pool, back, { logged, lockWaitBudget });
    return { id, outcome: 'put-back' };
  } catch (inspectionError) {
    return failed(table, inspectionError);
  }
}

function failed({ id }: RelocateTable, error: unknown): Relocation {
  if (isKilled(error)) {
    const text = 'another session has it locked';
    const failure = { todo: 'relocate', text } as const;
    return { id, outcome: 'failed', errno: ER_LOCK_WAIT_TIMEOUT, failure };
  }
  const errno = isServerError(error) ? error.errno : null;
  const text = error instanceof Error ? error.message : String(error);
  // The server returns that also for triggers that this account can't see.
  const hasTriggers = errno === ER_TRG_IN_WRONG_SCHEMA;
  const failure = hasTriggers ? blockedByTriggers(text) : ({ todo: 'relocate', text } as const);
  return { id, outcome: 'failed', errno, failure };
}

/** Why the table, under any name, stays in its own schema as long as it is held; or null. */
export async function readLastingBlocker(
  pool: ServicePool,
  { id, schema, name }: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<LastingBlocker | null> {
  try {
    const look = await readTable(pool, { id, schema, table: name });
    return typeof look === 'string' ? null : lastingBlocker(look.definition, await shapeOf(pool));
  } catch (error) {
    // The server can't show it: relocating it will give the reason.
    if (isServerError(error)) return null;
    throw error;
  }
}

// ── spare schemas ────────────────────────────────────────────────────────────────────────────────
// For a table of which the name of a CHECK is taken in the recycle schema. A schema with tables
// that aren't held ones belongs to others, whatever its name: it is passed over, so that a DROP of
// it never takes our tables along.

/** MySQL 8.0.16. */
const NAMED_BY_SCHEMA = 80_016;

/** Another session may create a schema, or move a CHECK of that name into it, at the same time. */
const SPARES_MAX = 3;

/**
 * Schemas to try in this order: the first free one, then others, which differ between concurrent
 * sessions. Other sessions move tables too, so only a RENAME shows whether one can take the table.
 * Null if the table has no CHECK whose name is unique in its schema.
 */
async function findSpareSchemas(
  pool: ServicePool,
  table: RelocateTable,
  { logged }: { readonly logged: boolean },
): Promise<readonly { readonly schema: string; readonly exists: boolean }[] | null> {
  const { flavour, versionId } = await shapeOf(pool);
  if (flavour !== 'mysql' || versionId < NAMED_BY_SCHEMA) return null;
  const schemas = spareSchemasFor(logged);
  const ours = sql.join(
    schemas.map((schema) => sql`${schema}`),
    ', ',
  );
  const own = sql`SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS
    WHERE TABLE_SCHEMA = ${table.fromSchema} AND TABLE_NAME = ${table.holdName}
      AND CONSTRAINT_TYPE = 'CHECK'
      AND CONSTRAINT_NAME NOT LIKE ${`${table.holdName.replaceAll('_', '\\_')}\\_chk\\_%`}`;
  const [existing = [], foreign = [], taken = [], named = []] = await pool.run([
    sql`SELECT ${note('spare', table.id)} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME IN (${ours})`,
    sql`SELECT DISTINCT TABLE_SCHEMA AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA IN (${ours}) AND TABLE_NAME NOT LIKE '\\_vt\\_%'`,
    sql`SELECT DISTINCT CONSTRAINT_SCHEMA AS name FROM information_schema.CHECK_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA IN (${ours}) AND CONSTRAINT_NAME IN (${own})`,
    sql`${own} LIMIT 1`,
  ]);
  if (named.length === 0) return null;
  const there = new Set(existing.map((row) => textOf(row, 'name')));
  const closed = new Set([...foreign, ...taken].map((row) => textOf(row, 'name')));
  const [first, ...others] = schemas.filter((schema) => !closed.has(schema));
  if (first === undefined) return [];
  const at = others.length === 0 ? 0 : Number.parseInt(table.id.slice(-6), 16) % others.length;
  const inOrder = [first, ...others.slice(at), ...others.slice(0, at)].slice(0, SPARES_MAX + 1);
  return inOrder.map((schema) => ({ schema, exists: there.has(schema) }));
}

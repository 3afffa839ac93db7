/**
 * Moves held tables from their own schema into the recycle schema, or where the name of a CHECK is
 * taken there, into a spare one, or where none takes it, without its CHECKs: a RENAME, tried for a
 * moment only. What can't be moved stays where it is, held, and becomes a debt. May run twice, and
 * at once with another proxy's recovery: what somebody else has moved is moved.
 *
 * Invariant: renames hold names only. A view that was renamed by mistake, which the server refuses
 * to move, gets its own name back.
 */
import { assert } from '../../assert.js';
import type { Failure } from '../../ledger/entry.js';
import { createSchema } from '../../ledger/tables.js';
import { parseHoldName } from '../../names/hold-name.js';
import { recycleSchemaFor } from '../../names/recycle-schema.js';
import { findHoldTables, readRecycleSchemas } from '../../service/hold-tables.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import {
  isKilled,
  LockWaitBudget,
  runWithTimeout,
  type TryOptions,
} from '../../service/pool/statement-timeout.js';
import { textOf } from '../../service/row.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import { parseServerVersion } from '../../wire/connection/handshake-v10.js';
import { ER_CHECK_CONSTRAINT_DUP_NAME, ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';
import { locateHoldTable } from '../locate.js';
import { type LastingBlocker, lastingBlocker, NOT_TRIED } from './blockers.js';
import { detachChecks } from './checks.js';
import { findSpareSchemas, type SpareSchema } from './spare-schema.js';

export interface RelocateTable {
  readonly id: string;
  readonly fromSchema: string;
  readonly holdName: string;
  /** Its hold name from then on (due-times.ts); default: the same. */
  readonly newName?: string;
  /** Its own name, under which a view that was renamed by mistake is put back. */
  readonly table: string;
  /** Why it is to stay in its own schema; default null: it is to be moved. */
  readonly stays?: Failure | null;
}

export type Relocation =
  | {
      readonly id: string;
      readonly outcome: 'moved';
      readonly holdSchema: string;
      readonly holdName: string;
      /** It still binds the live, which is a debt; default null. */
      readonly failure?: Failure | null;
    }
  /** It is a view: it has its own name again, and nothing is held. */
  | { readonly id: string; readonly outcome: 'put-back' }
  /** Held under its hold name in its own schema, as far as is known. */
  | {
      readonly id: string;
      readonly outcome: 'failed';
      readonly errno: number | null;
      readonly failure: Failure;
    };

/**
 * One `Relocation` for each table, in order. Does not reject: what can't be reached or moved is
 * reported as failed, and is found by recovery.
 */
export async function relocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const { logged } = how;
  const holdSchema = recycleSchemaFor(logged);
  for (const { id, holdName, newName = holdName } of tables) {
    const isHeld = [holdName, newName].every((name) => parseHoldName(name)?.id === id);
    assert(isHeld, 'only a table under its hold name is relocated');
  }
  const moving = tables.filter(({ stays = null }) => stays === null);
  if (moving.length < tables.length) {
    const relocations = await relocate(pool, moving, how);
    return tables.map(({ id, stays }) => {
      const found = relocations.find((relocation) => relocation.id === id);
      return found ?? { id, outcome: 'failed', errno: null, failure: stays ?? NOT_TRIED };
    });
  }
  if (tables.length === 0) return [];
  try {
    await rename(pool, tables, holdSchema, how);
    return tables.map((table) => moved(table, holdSchema));
  } catch (error) {
    const [only] = tables;
    if (tables.length === 1 && only !== undefined) {
      // MySQL 8.0.16 and later: the name of a CHECK is unique in its schema.
      const mayBeTaken = isServerError(error, ER_CHECK_CONSTRAINT_DUP_NAME) || isKilled(error);
      if (mayBeTaken) return [await relocateBeside(pool, only, { ...how, error })];
      return [await explain(pool, only, { ...how, error })];
    }
    // The connection is broken, or all of them together can't be moved: each for itself.
    return oneByOne(pool, tables, { ...how, error });
  }
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
  assert(relocations.length === tables.length, 'one report for each table');
  return relocations;
}

/** Where another session makes a schema, or moves a CHECK of that name into it. */
const SPARES_MAX = 3;

/**
 * Into a spare schema that takes it, from where a restore copies no rows; else without its CHECKs.
 * A RENAME also waits where another one takes the name of a CHECK in the same schema, so one that
 * was given up says little of the table itself.
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
    // The first is the one that all others go for as well.
    const found = inOrder(spares, table).slice(isKilled(first) ? 1 : 0);
    for (const { schema: holdSchema, exists } of found.slice(0, SPARES_MAX)) {
      try {
        if (!exists) await createSchema(pool, holdSchema);
        await rename(pool, [table], holdSchema, how);
        return moved(table, holdSchema);
      } catch (spareError) {
        if (!isServerError(spareError)) throw spareError;
        error = spareError;
      }
    }
    // It is the table that others have locked.
    const isLocked = isKilled(first) && isKilled(error) && error !== first;
    if (!isLocked) {
      const problem = await detachChecks(pool, table, how);
      if (problem !== null) throw new Error(problem);
      const holdSchema = recycleSchemaFor(logged);
      await rename(pool, [table], holdSchema, how);
      return moved(table, holdSchema);
    }
  } catch (otherError) {
    error = otherError;
  }
  return explain(pool, table, { ...how, error });
}

/** The first, then others that sessions at once don't all have in common. */
function inOrder(spares: readonly SpareSchema[], { id }: RelocateTable): readonly SpareSchema[] {
  const [first, ...others] = spares;
  if (first === undefined || others.length === 0) return spares;
  const at = Number.parseInt(id.slice(-6), 16) % others.length;
  return [first, ...others.slice(at), ...others.slice(0, at)];
}

async function rename(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  holdSchema: string,
  { logged, lockWaitBudget }: TryOptions,
): Promise<void> {
  const pairs = tables.map(
    ({ fromSchema, holdName, newName = holdName }) =>
      sql`${ident(fromSchema, holdName)} TO ${ident(holdSchema, newName)}`,
  );
  const step = note('relocate', tables[0]?.id);
  await runWithTimeout(pool, sql`RENAME ${step} TABLE ${sql.join(pairs, ', ')}`, {
    logged,
    lockWaitBudget,
  });
}

/** What became of one table that the RENAME did not move. */
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
    const recycled = await findHoldTables(pool, await readRecycleSchemas(pool), id);
    const isThere = recycled.find(({ state }) => state === 'HOLD');
    if (isThere !== undefined) {
      return { id, outcome: 'moved', holdSchema: isThere.schema, holdName: isThere.name };
    }
    if (here?.isView !== true) return failed(table, error);
    await runWithTimeout(pool, putBackView(table), { logged, lockWaitBudget });
    return { id, outcome: 'put-back' };
  } catch (lookError) {
    return failed(table, lookError);
  }
}

function putBackView({ id, fromSchema, holdName, table }: RelocateTable): SQLQuery {
  const step = note('put-back-view', id);
  return sql`RENAME ${step} TABLE ${ident(fromSchema, holdName)} TO ${ident(fromSchema, table)}`;
}

function moved(
  { id, holdName, newName = holdName }: RelocateTable,
  holdSchema: string,
): Relocation {
  return { id, outcome: 'moved', holdSchema, holdName: newName };
}

function failed({ id }: RelocateTable, error: unknown): Relocation {
  if (isKilled(error)) {
    const text = 'another session has it locked';
    const failure = { todo: 'relocate', text } as const;
    return { id, outcome: 'failed', errno: ER_LOCK_WAIT_TIMEOUT, failure };
  }
  const errno = isServerError(error) ? error.errno : null;
  const text = error instanceof Error ? error.message : String(error);
  return { id, outcome: 'failed', errno, failure: { todo: 'relocate', text } };
}

/** Why the table, under whatever name, isn't to be relocated once it is held; or null. */
export async function whyItStays(
  pool: ServicePool,
  table: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<LastingBlocker | null> {
  try {
    const [versions = [], definitions = []] = await pool.run([
      sql`SELECT ${note('whereabouts', table.id)} @@version AS version`,
      sql`SHOW CREATE TABLE ${note('whereabouts', table.id)} ${ident(table.schema, table.name)}`,
    ]);
    const [version, definition] = [versions[0], definitions[0]];
    if (version === undefined || definition === undefined) return null;
    const server = parseServerVersion(textOf(version, 'version'));
    // A view has no such column.
    const text = definition['Create Table'];
    return typeof text === 'string' ? lastingBlocker(text, server) : null;
  } catch (error) {
    // It is a view, or gone: relocating it will say so.
    if (isServerError(error)) return null;
    throw error;
  }
}

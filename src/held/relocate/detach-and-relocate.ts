/**
 * What follows the RENAME to a hold name: the table is freed of what would bind the live, then
 * moved into the recycle schema. What can't be freed at once stays where it is, as a debt. May run
 * twice, and at once with another proxy.
 */
import { UndropError } from '../../errors.js';
import { foreignKeysOf, type KeyedServer } from '../../ledger/detached/foreign-keys.js';
import { isSameName } from '../../names/names.js';
import { recycleSchemaFor } from '../../names/recycle-schema.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import type { TryOptions } from '../../service/pool/statement-timeout.js';
import { textOf } from '../../service/row.js';
import { ER_TRG_IN_WRONG_SCHEMA } from '../../wire/server-errors.js';
import { detach } from '../foreign-keys/detach.js';
import { blockedByTriggers } from './blockers.js';
import { type RelocateTable, type Relocation, relocate } from './relocate.js';

/** One `Relocation` for each table, in order. Does not reject. */
export async function detachAndRelocate(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  how: TryOptions,
): Promise<readonly Relocation[]> {
  const failures = await detach(pool, tables, how);
  const freed = tables.map((table, index) => {
    const stays = failures[index] ?? table.stays ?? null;
    return { ...table, stays };
  });
  const relocations = await relocate(pool, freed, how);
  return relocations.map((relocation) => {
    if (relocation.outcome !== 'failed') return relocation;
    // The server says so of triggers that this account doesn't see, too.
    if (relocation.errno !== ER_TRG_IN_WRONG_SCHEMA) return relocation;
    return { ...relocation, failure: blockedByTriggers(relocation.failure.text) };
  });
}

/**
 * The same of tables that had nothing to be taken off when they were looked at: moved at once, and
 * looked at again meanwhile: another session may have made foreign keys up to their RENAME, which
 * followed it. After that nothing has the name of which one could be made.
 */
export async function moveToRecycleSchema(
  pool: ServicePool,
  tables: readonly RelocateTable[],
  { server, ...how }: TryOptions & { readonly server: KeyedServer },
): Promise<readonly Relocation[]> {
  const recycleSchema = recycleSchemaFor(how.logged);
  const moving = tables.filter(({ stays = null }) => stays === null);
  const here = moving.map(({ fromSchema, holdName }) => ({ schema: fromSchema, table: holdName }));
  const there = moving.map((table) => ({ schema: recycleSchema, table: recycledName(table) }));
  const [relocations, keyed] = await Promise.all([
    relocate(pool, tables, how),
    findKeyed(pool, [...here, ...there], server),
  ]);
  // Where the name of a CHECK was taken.
  const beside = relocations.flatMap((relocation) =>
    relocation.outcome === 'moved' && relocation.holdSchema !== recycleSchema
      ? [{ schema: relocation.holdSchema, table: relocation.holdName }]
      : [],
  );
  const keyedBeside = await findKeyed(pool, beside, server);
  const all: Relocation[] = [];
  for (const [index, relocation] of relocations.entries()) {
    const table = tables[index];
    const names = table === undefined ? [] : [table.holdName, recycledName(table)];
    const isKeyed = names.some((name) => keyed(name) || keyedBeside(name));
    all.push(
      table !== undefined && isKeyed ? await free(pool, table, relocation, how) : relocation,
    );
  }
  return all;
}

function recycledName({ holdName, newName = holdName }: RelocateTable): string {
  return newName;
}

/** Which of them have foreign keys, or are the parents of some. All, where nobody can tell. */
async function findKeyed(
  pool: ServicePool,
  names: readonly { readonly schema: string; readonly table: string }[],
  server: KeyedServer,
): Promise<(name: string) => boolean> {
  if (names.length === 0) return () => false;
  try {
    const [rows = []] = await pool.run(foreignKeysOf(names, server));
    const found = rows.flatMap((row) => [textOf(row, 'child'), textOf(row, 'parent')]);
    return (name) => found.some((one) => isSameName(one, name));
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return () => true;
  }
}

/** Takes its keys off, and leads its children's back, from where it is now. */
async function free(
  pool: ServicePool,
  table: RelocateTable,
  relocation: Relocation,
  how: TryOptions,
): Promise<Relocation> {
  if (relocation.outcome !== 'moved') return relocation;
  const { holdSchema: fromSchema, holdName } = relocation;
  const [failure = null] = await detach(pool, [{ ...table, fromSchema, holdName }], how);
  return { ...relocation, failure };
}

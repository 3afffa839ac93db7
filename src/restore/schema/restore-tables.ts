/**
 * The tables of a dropped schema: all get their names first, in a few RENAMEs, then each its keys
 * and triggers, because the parent of a key may be another of them. May run twice, and continues
 * from the present state.
 *
 * Invariants: the ledger has the target names before a RENAME. A table that can't get its name
 * stays held, with the reason.
 */

import { UndropError } from '../../errors.js';
import type { ReattachOptions } from '../../held/foreign-keys/reattach.js';
import { hasDetached } from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findDropsSince, findRows } from '../../ledger/read.js';
import { markTablesRestoring, recordTablesRestored } from '../../ledger/schema-restores.js';
import { recordState } from '../../ledger/write.js';
import { foldName, inBatches, isRecycleSchema, writtenName } from '../../names/names.js';
import { isServerError, tolerantly } from '../../service/errors.js';
import { type HoldTable, mapHoldTables } from '../../service/hold-tables.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout } from '../../service/pool/statement-timeout.js';
import * as col from '../../service/columns.js';
import { ident, note, sql } from '../../service/sql.js';
import { RESTORE_RENAME_TRIES } from '../../tries.js';
import { namesWithLeftOver, takeLeftOver } from '../left-over.js';
import { addWaitingKeys, makeWhole, problemsOf } from '../make-whole.js';
import { isFateUnknown } from '../plan-restore.js';
import { HOW_TO_MEND } from '../print-held.js';
import { isRenamedBack, isRestored, renameBack } from '../rename-back.js';

export interface RestoredTable {
  readonly id: string;
  readonly table: string;
  /** restored: by this run. back: by an earlier one. left: not in the schema. */
  readonly outcome: 'restored' | 'back' | 'left';
  /** Why it is missing, or which parts of it are. */
  readonly problems: readonly string[];
  /** Names of its triggers if it is in another schema, where none is created. */
  readonly triggersLeft: readonly string[];
}

/** `to`: the target schema. */
interface RestoreTablesOptions extends Pick<ReattachOptions, 'anyParent'> {
  readonly groupId: string;
  readonly to: string;
  readonly onProgress: (line: string) => void;
}

type End = Pick<RestoredTable, 'outcome' | 'problems'>;

/** A table with its hold name. */
interface HeldTable {
  readonly row: LedgerRow;
  readonly held: HoldTable;
}

/** A RENAME of this many tables locks them for milliseconds. */
const BATCH = 20;

/**
 * The possible moves of the tables of a drop, as far as a read can tell: the tables that can get
 * their names, and by the id of the row the results of the others. Changes nothing.
 */
export async function sortTables(
  pool: ServicePool,
  { groupId, to }: Pick<RestoreTablesOptions, 'groupId' | 'to'>,
) {
  const rows = (await findRows(pool, { by: 'drop', groupId })).toReversed();
  const homes = rows.flatMap(({ holdSchema }) => holdSchema ?? []);
  const elsewhere = homes.filter((schema) => !isRecycleSchema(schema));
  const held = await mapHoldTables(pool, new Set(elsewhere));
  const taken = await tableNames(pool, to);
  const ends = new Map<string, End>();
  const moving: HeldTable[] = [];
  for (const row of rows) {
    const table = held.get(row.id);
    if (table?.state !== 'HOLD') ends.set(row.id, await findEnd(pool, row, { table, to }));
    else if (!taken.has(row.table)) moving.push({ row, held: table });
    else ends.set(row.id, left(`${to}.${row.table} exists; it stays held as ${row.id}`));
  }
  return { rows, moving, ends };
}

/** Rejects if the server can't be reached; then the same call continues. */
export async function restoreTables(
  pool: ServicePool,
  { groupId, to, onProgress, anyParent = false }: RestoreTablesOptions,
): Promise<readonly RestoredTable[]> {
  const { rows, moving, ends } = await sortTables(pool, { groupId, to });
  const became = new Map(ends);
  const [first] = moving;
  const withMore =
    first === undefined ? new Set<string>() : await namesWithLeftOver(pool, first.row.schema);
  const taking = new Set<string>();
  for (const { row } of moving) {
    if (!withMore.has(foldName(row.table))) continue;
    await takeLeftOver(pool, row.id);
    taking.add(row.id);
  }
  // An interrupted run, or an operator, has given these their names.
  const named = rows.filter(({ id, state }) => ends.get(id) === BACK && state !== 'restored');
  for (const row of named) await recordTablesRestored(pool, [row], to);
  for (const batch of inBatches(moving, BATCH)) {
    for (const [id, end] of await renameAll(pool, batch, to)) became.set(id, end);
    if (moving.length > BATCH) {
      onProgress(`${became.size} of ${rows.length} tables have their names.`);
    }
  }
  const reports: RestoredTable[] = [];
  for (const row of rows) {
    const { id, table } = row;
    const { outcome, problems } = became.get(id) ?? left('it was not found');
    const isKeyed = outcome !== 'left' && (hasDetached(row.detached) || taking.has(id));
    const more = isKeyed ? await addWhatWasTaken(pool, row, { to, anyParent }) : [];
    const isCopy = row.schema !== to;
    const triggersLeft = isCopy ? row.detached.triggers.map(({ name }) => name) : [];
    reports.push({ id, table, outcome, problems: [...problems, ...more], triggersLeft });
    if (reports.length % PROGRESS_EVERY === 0) {
      onProgress(`${reports.length} of ${rows.length} tables have their keys and triggers.`);
    }
  }
  // The keys of a copy have the names of the original schema in the ledger.
  const schemas = [...new Set([to, ...rows.map(({ schema }) => schema)])];
  const tables = reports.flatMap(({ table, outcome }) => (outcome === 'left' ? [] : [table]));
  await tolerantly(() => addWaitingKeys(pool, { schemas, tables }));
  return reports;
}

const PROGRESS_EVERY = 100;

function left(problem: string): End {
  return { outcome: 'left', problems: [problem] };
}

async function tableNames(pool: ServicePool, schema: string): Promise<ReadonlySet<string>> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema}`,
  );
  return new Set(rows.map((row) => col.text(row, 'name')));
}

/** The result for a table that is not in HOLD. */
async function findEnd(
  pool: ServicePool,
  row: LedgerRow,
  { table: held, to }: { readonly table: HoldTable | undefined; readonly to: string },
): Promise<End> {
  const { table, state, restoredAs } = row;
  const name = { schema: to, table };
  if (held !== undefined) return left(`its rows are being deleted (${held.state})`);
  const isPlaced = (one: LedgerRow) =>
    one.state === 'restored' && one.restoredAs === writtenName(name);
  if (state === 'restored' && !isPlaced(row))
    return left(`it was restored as ${restoredAs ?? 'something else'}`);
  if (state === 'removed') return left('it was removed for good');
  if (state === 'intent')
    return left(row.failure?.todo === 'torn' ? HOW_TO_MEND : 'its drop is not resolved yet');
  const again = (await findDropsSince(pool, row, name)).findLast((drop) => !isPlaced(drop));
  if (again !== undefined) return left(`it was dropped again, as ${again.id}`);
  if (await isRestored(pool, row, name)) return BACK;
  return left(
    state === 'restored'
      ? 'it was restored before, and altered, renamed or replaced since'
      : 'it is no longer held; it was renamed or removed past undrop',
  );
}

const BACK = { outcome: 'back', problems: [] } as const;
const RESTORED = { outcome: 'restored', problems: [] } as const;

/** All in one RENAME, or if that fails one by one. */
async function renameAll(
  pool: ServicePool,
  tables: readonly HeldTable[],
  to: string,
): Promise<ReadonlyMap<string, End>> {
  const rows = tables.map(({ row }) => row);
  await markTablesRestoring(pool, rows, to);
  const pairs = tables.map(
    ({ row, held }) => sql`${ident(held.schema, held.name)} TO ${ident(to, row.table)}`,
  );
  const rename = sql`RENAME ${note('put-back', rows[0]?.id)} TABLE ${sql.join(pairs, ', ')}`;
  try {
    // The same for all rows of one statement.
    await runWithTimeout(pool, rename, { logged: rows[0]?.sqlLogBin !== false });
    await recordTablesRestored(pool, rows, to);
    return new Map(rows.map(({ id }) => [id, RESTORED]));
  } catch (error) {
    if (!isServerError(error)) throw error;
  }
  const ends = new Map<string, End>();
  for (const table of tables) {
    const problem = await renameOne(pool, table, to);
    ends.set(table.row.id, problem === null ? RESTORED : left(problem));
  }
  return ends;
}

/** MySQL looks for the new name first, MariaDB for the old one. */
const MAY_BE_BACK: ReadonlySet<string> = new Set(['UNDROP_NOT_HELD', 'UNDROP_NAME_TAKEN']);

/** Null, or why it stays held. */
async function renameOne(
  pool: ServicePool,
  { row, held }: HeldTable,
  to: string,
): Promise<string | null> {
  const { id, table, sqlLogBin: logged, rowLogged } = row;
  const what = { id, holdSchema: held.schema, to: { schema: to, table } };
  for (let tries = 1; ; tries++) {
    try {
      await renameBack(pool, { ...what, holdName: held.name, logged });
      break;
    } catch (error) {
      if (!(error instanceof UndropError) || isFateUnknown(error)) throw error;
      if (error.code === 'UNDROP_BUSY' && tries < RESTORE_RENAME_TRIES) continue;
      // A KILL that hits the RENAME of all at its end returns 1317 although it is done.
      if (MAY_BE_BACK.has(error.code) && (await isRenamedBack(pool, what))) break;
      const failure = row.failure?.todo === 'restoring' ? null : row.failure;
      await recordState(pool, { id, state: 'HOLD', onlyFrom: 'HOLD', failure, rowLogged });
      return error.message;
    }
  }
  await recordTablesRestored(pool, [row], to);
  return null;
}

/** Adds its keys and triggers; returns the problems. */
async function addWhatWasTaken(
  pool: ServicePool,
  { id, schema, table, sqlLogBin: logged }: LedgerRow,
  { to, anyParent }: { readonly to: string; readonly anyParent: boolean },
): Promise<readonly string[]> {
  const how = { id, logged, wholeSchema: true, anyParent };
  const report = await makeWhole(pool, how, { schema: to, table });
  return problemsOf(id, schema === to ? report : { ...report, triggers: [] });
}

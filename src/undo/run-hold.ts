/**
 * `changeHold` gives a held table another due time, by a RENAME to another hold name; the ledger
 * follows, with its restore script. An operator lengthens, pins and ends a hold by it.
 *
 * Invariant: renames a hold name to a hold name of the same id, in the same schema. The loser of a
 * race (against the collector, a restore, another change) changes nothing.
 */
import { UndropError } from '../errors.js';
import { tolerantly } from '../held/finish-restore.js';
import { wakeCollectors } from '../ledger/control.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { recordOutcome } from '../ledger/write.js';
import { formatHoldName, isPinned, isSameName } from '../names/names.js';
import { findHoldTables } from '../service/hold-tables.js';
import { isServerError, type ServicePool, unlessRefused } from '../service/pool/pools.js';
import { isKilled, runWithTimeout } from '../service/pool/statement-timeout.js';
import { dateOf, ident, note, sql } from '../service/sql.js';
import { ABSENT_TABLE, ABSENT_TO_RENAME } from '../wire/server-errors.js';
import { type ListedTable, listFor } from './list.js';
import { findOneHeld, type HoldChange, notChanged, planHold } from './plan-hold.js';
import { explainAbsent, isReadOnly, notSeen } from './run-restore.js';

export interface HoldReport {
  readonly table: ListedTable;
  /** The due time before; `table.due` is the new one. */
  readonly dueBefore: Date;
  /**
   * False: the ledger could not be updated, recovery will do that; null: it has no row for the
   * table.
   */
  readonly recorded: boolean | null;
}

/** The table that matches. Rejects with UNDROP_NO_SUCH_HELD or UNDROP_AMBIGUOUS. */
export async function findHeld(pool: ServicePool, target: string): Promise<ListedTable> {
  try {
    return findOneHeld(await listFor(pool, target), target);
  } catch (error) {
    throw await explainAbsent(pool, target, error);
  }
}

/** By the server's clock. */
export async function readNow(pool: ServicePool): Promise<Date> {
  const [[row = {}] = []] = await pool.run(sql`SELECT ${note('time')} UTC_TIMESTAMP() AS utcNow`);
  return dateOf(row, 'utcNow');
}

/**
 * Rejects with UNDROP_HOLD_NOT_CHANGED, UNDROP_TORN, UNDROP_NOT_HELD, UNDROP_BUSY,
 * UNDROP_READ_ONLY or UNDROP_MISSING_RIGHT; then nothing was changed. May run twice.
 */
export async function changeHold(
  pool: ServicePool,
  table: ListedTable,
  { change, holdMsMin }: { readonly change: HoldChange; readonly holdMsMin: number },
): Promise<HoldReport> {
  const { id, holdSchema, holdName, due: dueBefore } = table;
  if (table.unseen) throw notSeen(table);
  const found = findRows(pool, { by: 'ids', ids: [id] });
  const [row] = await unlessRefused(found, [], ...ABSENT_TABLE);
  if (row?.state === 'intent') {
    throw notChanged(table, 'the statement that dropped it is not over yet', 'Try again.');
  }
  const due = planHold(table, change, { now: await readNow(pool), holdMsMin });
  const newName = formatHoldName({ state: 'HOLD', id, due });
  const changed = { ...table, holdName: newName, due };
  if (isSameName(newName, holdName)) return { table, dueBefore, recorded: row ? true : null };
  const from = ident(holdSchema, holdName);
  const rename = sql`RENAME ${note('hold', id)} TABLE ${from} TO ${ident(holdSchema, newName)}`;
  try {
    await runWithTimeout(pool, rename, { logged: table.logged });
  } catch (error) {
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if (!isKilled(error) || !(await isNamed(pool, changed))) throw explain(table, error);
  }
  const recorded = row === undefined ? null : await record(pool, row, { changed, dueBefore });
  await tolerantly(async () => [await wakeCollectors(pool)]);
  return { table: changed, dueBefore, recorded };
}

/** The new due time stays even if this fails. */
async function record(
  pool: ServicePool,
  { id, relocated, failure }: LedgerRow,
  { changed, dueBefore }: { readonly changed: ListedTable; readonly dueBefore: Date },
): Promise<boolean> {
  const { holdSchema, holdName, due } = changed;
  const lengthened = isPinned(dueBefore) || due > dueBefore;
  const outcome = { id, holdSchema, holdName, relocated, failure, lengthened };
  const { problem } = await tolerantly(async () => {
    await recordOutcome(pool, { tables: [outcome] });
    return [];
  });
  return problem === null;
}

async function isNamed(pool: ServicePool, table: ListedTable): Promise<boolean> {
  const found = await findHoldTables(pool, [table.holdSchema], table.id);
  return found.some(({ name }) => isSameName(name, table.holdName));
}

/** An error that an operator can act on if the server refuses; else `error` itself. */
function explain({ id, holdSchema, holdName }: ListedTable, error: unknown): unknown {
  if (!isServerError(error)) return error;
  const table = `${holdSchema}.${holdName}`;
  const cause = error.sqlMessage;
  if (isKilled(error)) return new UndropError('UNDROP_BUSY', { table, cause }, error);
  if (isServerError(error, ...ABSENT_TO_RENAME)) {
    return new UndropError('UNDROP_NOT_HELD', { id, table }, error);
  }
  return isReadOnly(error) ? new UndropError('UNDROP_READ_ONLY', { id, cause }, error) : error;
}

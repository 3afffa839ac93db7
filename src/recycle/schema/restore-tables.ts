/**
 * The tables of a dropped schema, which are restored as those of any other request. May run twice,
 * and continues from the present state.
 *
 * Invariant: a table that can't get its name stays held, with the reason.
 */

import { type HoldTable, mapHoldTables } from '../../connections/hold-tables.js';
import { col, note, type ServicePool, sql } from '../../connections/sql.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findDropsSince, findRows } from '../../ledger/read.js';
import { isRecycleSchema, writtenName } from '../../names/names.js';
import { describeTable } from '../held-tables.js';
import { problemsOf } from '../make-whole.js';
import { isFateUnknown, planRest, type RestorePlan } from '../plan-restore.js';
import { HOW_TO_MEND } from '../print/print-held.js';
import { isRestored } from '../rename-back.js';
import { restoreAll } from '../restore.js';

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

interface Schema {
  readonly dropId: string;
  /** The target schema. */
  readonly to: string;
}

type End = Pick<RestoredTable, 'outcome' | 'problems'>;

const PROGRESS_EVERY = 100;

/**
 * Tells of the tables of a drop, as far as a read can, which can get their names or go on being
 * restored, and by the id of the row the results of the others. Changes nothing.
 */
export async function sortTables(pool: ServicePool, { dropId, to }: Schema) {
  const rows = (await findRows(pool, { by: 'drop', dropId })).toReversed();
  const homes = rows.flatMap(({ holdSchema }) => holdSchema ?? []);
  const elsewhere = homes.filter((schema) => !isRecycleSchema(schema));
  const held = await mapHoldTables(pool, new Set(elsewhere));
  const taken = await tableNames(pool, to);
  const ends = new Map<string, End>();
  const plans = new Map<string, RestorePlan>();
  for (const row of rows) {
    const { id, table: name } = row;
    const table = held.get(id);
    const at = { schema: to, table: name };
    if (table?.state === 'HOLD' && !taken.has(name)) {
      const dropped = describeTable(table, row);
      plans.set(id, { what: id, wasBack: false, table: dropped, to: at, others: [] });
      continue;
    }
    const end =
      table?.state === 'HOLD'
        ? left(`${to}.${name} exists; it stays held as ${id}`)
        : await findEnd(pool, row, { table, to });
    ends.set(id, end);
    const isUndone = row.state !== 'restored' || row.pendingWork !== null;
    if (end === BACK && isUndone) plans.set(id, { ...planRest(row, at), what: id });
  }
  return { rows, plans, ends };
}

interface How {
  readonly anyParent?: boolean | undefined;
  readonly onProgress: (line: string) => void;
}

/** Rejects if the server can't be reached; then the same call continues. */
export async function restoreTables(
  pool: ServicePool,
  { onProgress, anyParent = false, ...schema }: Schema & How,
): Promise<readonly RestoredTable[]> {
  const { rows, plans, ends } = await sortTables(pool, schema);
  const { done, failed } = await restoreAll(pool, [...plans.values()], {
    ...{ anyParent, wholeSchema: true },
    onResult: (_result, at) => {
      if (at.done % PROGRESS_EVERY === 0) onProgress(`${at.done} of ${at.of} tables are restored.`);
    },
  });
  for (const { error } of failed) if (isFateUnknown(error)) throw error;
  const reports = new Map(done.map((report) => [report.id, report]));
  const refusals = new Map(failed.map(({ what, error }) => [what, (error as Error).message]));
  return rows.map((row): RestoredTable => {
    const { id, table, detached } = row;
    const [report, refusal] = [reports.get(id), refusals.get(id)];
    const isCopy = row.schema !== schema.to;
    const triggersLeft = isCopy ? detached.triggers.map(({ name }) => name) : [];
    if (report !== undefined) {
      const problems = problemsOf(id, isCopy ? { ...report, triggers: [] } : report);
      return {
        id,
        table,
        outcome: report.wasBack ? 'back' : 'restored',
        problems,
        triggersLeft,
      };
    }
    const end = ends.get(id) ?? left(refusal ?? 'it was not found');
    const problems = refusal === undefined ? end.problems : [refusal];
    return { id, table, ...end, problems, triggersLeft };
  });
}

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
    return left(row.pendingWork?.todo === 'torn' ? HOW_TO_MEND : 'its drop is not resolved yet');
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

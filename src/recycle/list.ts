/**
 * The lists of dropped tables, for every face: a line for each statement that dropped, or for each
 * table. The ledger determines what is on a page; the server is asked about the tables of that
 * page.
 *
 * Invariants: a list of one page shows a table only where the server has it. A longer one, and a
 * line of several tables, show the ledger, which follows each change of undrop. Nobody sees a table
 * that the asker may not see.
 */

import { unlessRefused } from '../connections/errors.js';
import type { ServiceConnection } from '../connections/sql.js';
import { type LedgerRow, LIVE_STATES } from '../ledger/entry.js';
import { type LedgerDrop, readDrops } from '../ledger/overview.js';
import { findPage, findRowsIfAny, type LedgerCursor } from '../ledger/read.js';
import type { Selection, Sort } from '../ledger/selection.js';
import { inBatches } from '../names/names.js';
import * as ER from '../wire/server-errors.js';
import { type Asker, OPERATOR } from './asker.js';
import type { DroppedTable, EndedTable, KnownTable } from './held-tables.js';
import {
  describeEnded,
  describeHeld,
  describeRow,
  listAll,
  listPage,
  NAMED_MAX,
  withWhatIsLeft,
} from './held-tables.js';

/** A line: one table, or what the ledger has of several. */
export type ListedDrop =
  | DroppedTable
  | EndedTable
  | (LedgerDrop & Pick<KnownTable, 'how' | 'user' | 'droppedAt'>);

interface Wanted {
  readonly sort: Sort;
  /** Null: all. */
  readonly limit: number | null;
}

export interface ListPage<T> {
  readonly lines: readonly T[];
  /** The rows of this page in the ledger, including those that the server lacks. */
  readonly ledger: { readonly lines: number; readonly tables: number };
  readonly isLast: boolean;
}

/** Others wait while a page is decoded. */
const PAGE_ROWS = 500;
/** An operator's list that is sorted in another way than by time is one page. */
const SORTED_MAX = 100_000;

/** Pages of lines, one for each statement that dropped; for operators. */
export async function* listDrops(
  connection: ServiceConnection,
  selection: Selection,
  { sort, limit }: Wanted,
): AsyncGenerator<ListPage<ListedDrop>> {
  let after: string | null = null;
  let left = limit ?? Number.POSITIVE_INFINITY;
  let drops: readonly LedgerDrop[];
  const pageRows = sort === 'dropped' ? PAGE_ROWS : SORTED_MAX;
  do {
    const rowsMax = Math.min(left, pageRows);
    drops = await readDrops(connection, selection, { sort, rowsMax, after });
    const tables = drops.reduce((sum, drop) => sum + drop.tables, 0);
    const ledger = { lines: drops.length, tables };
    yield { lines: await asLines(connection, drops), ledger, isLast: drops.length < rowsMax };
    after = drops.at(-1)?.dropId ?? null;
    left -= drops.length;
  } while (drops.length === pageRows && left > 0);
}

async function asLines(
  connection: ServiceConnection,
  drops: readonly LedgerDrop[],
): Promise<readonly ListedDrop[]> {
  if (drops.length === 0) return [];
  const ids = drops.map(({ id }) => id);
  const found = await findRowsIfAny(connection, { by: 'ids', ids }, { texts: false });
  const rows = new Map(found.map((row) => [row.id, row]));
  const single = drops.flatMap(({ tables, id }) => (tables === 1 ? (rows.get(id) ?? []) : []));
  const tables = await look(connection, single, drops.length >= PAGE_ROWS);
  const listed = new Map(tables.map((table) => [table.id, table]));
  return drops.flatMap((drop): readonly ListedDrop[] => {
    if (drop.tables === 1) return [listed.get(drop.id) ?? []].flat();
    const row = rows.get(drop.id);
    if (row === undefined) return [];
    const { how, user, droppedAt } = describeRow(row.id, row);
    return [{ ...drop, how, user, droppedAt }];
  });
}

/** Pages of tables that the asker may see. */
export async function* listDroppedTables(
  connection: ServiceConnection,
  selection: Selection,
  { sort, limit, asker = OPERATOR }: Wanted & { readonly asker?: Asker },
): AsyncGenerator<ListPage<DroppedTable | EndedTable>> {
  const filter = { by: 'selection', sort, ...selection } as const;
  const cursor: LedgerCursor = { after: null };
  const mayBeSeen = asker.filter();
  const isOperator = asker === OPERATOR;
  const pageMax = isOperator && sort !== 'dropped' ? SORTED_MAX : PAGE_ROWS;
  let left = limit ?? Number.POSITIVE_INFINITY;
  let isLong = false;
  for (let isLast = false; !isLast && left > 0; ) {
    const rowsMax = Math.min(isOperator ? left : Math.max(left, asker.rowsMin), pageMax);
    const page = { cursor, rowsMax };
    const rows = await asker.queued(() =>
      unlessRefused(findPage(connection, filter, page), [], ...ER.ABSENT_TABLE),
    );
    isLast = rows.length < rowsMax;
    isLong ||= rows.length >= PAGE_ROWS;
    const seen = (await mayBeSeen(rows)).filter(searchFor(selection));
    const lines: (DroppedTable | EndedTable)[] = [];
    // A few are located by their names, which costs the same among any number.
    for (const some of inBatches(seen, isLong ? seen.length : NAMED_MAX)) {
      if (lines.length < left)
        lines.push(...(await asker.queued(() => look(connection, some, isLong))));
    }
    left -= isOperator ? rows.length : lines.length;
    yield { lines, ledger: { lines: rows.length, tables: rows.length }, isLast };
  }
  const { withEnded, ...conditions } = selection;
  if (isOperator && withEnded === true && left > 0 && Object.keys(conditions).length === 0) {
    const unknown = (await listAll(connection)).filter(({ dropId }) => dropId === null);
    const lines = unknown.slice(0, left);
    yield { lines, ledger: { lines: 0, tables: 0 }, isLast: true };
  }
}

/** The selection by those of the conditions that are given. */
export function selectionBy(
  given: {
    readonly [K in keyof Selection]: Selection[K] | null | undefined;
  },
): Selection {
  const conditions = Object.entries(given).filter(([, value]) => value != null);
  return Object.fromEntries(conditions) as Selection;
}

/** The maximum of tables that are read for an answer. */
export const TABLES_MAX = 10_000;

/**
 * At least `limit` held tables that the asker may see, if there are as many among the first
 * `TABLES_MAX`. `isCut`: the others were not read, although too few were found.
 */
export async function findHeldTables(
  connection: ServiceConnection,
  selection: Selection,
  wanted: { readonly sort: Sort; readonly limit: number; readonly asker: Asker },
): Promise<{ readonly tables: readonly DroppedTable[]; readonly isCut: boolean }> {
  const tables: DroppedTable[] = [];
  let looked = 0;
  for await (const page of listDroppedTables(connection, selection, wanted)) {
    looked += page.ledger.lines;
    for (const table of page.lines) if ('due' in table && table.origin !== null) tables.push(table);
    const isCut = !page.isLast && looked >= TABLES_MAX && tables.length < wanted.limit;
    if (isCut) return { tables, isCut };
  }
  return { tables, isCut: false };
}

/** The tables of these rows, in their order; from the ledger alone if the list is long. */
async function look(
  connection: ServiceConnection,
  rows: readonly LedgerRow[],
  isLong: boolean,
): Promise<readonly (DroppedTable | EndedTable)[]> {
  const ledgers = isLong ? rows.flatMap((row) => describeHeld(row) ?? []) : [];
  const known = new Map<string, DroppedTable | EndedTable>(ledgers.map((one) => [one.id, one]));
  for (const row of rows) {
    const ended = describeEnded(row);
    if (ended !== null) known.set(row.id, ended);
  }
  const open = rows.filter(({ id, state }) => !known.has(id) && LIVE_STATES.includes(state));
  const listed = await withWhatIsLeft(connection, await listPage(connection, open));
  for (const table of listed) known.set(table.id, table);
  return rows.flatMap(({ id }) => known.get(id) ?? []);
}

/** The text is in what the asker sees of a row, in any case: the ledger also reads statements. */
function searchFor({ text }: Selection): (row: LedgerRow) => boolean {
  if (text === undefined) return () => true;
  return ({ id, dropId, schema, table, user, program, statementText, isStatementHidden }) => {
    const statement = isStatementHidden ? '' : statementText;
    const fields = [id, dropId, `${schema}.${table}`, user, program, statement].join(' ');
    return fields.toLowerCase().includes(text.toLowerCase());
  };
}

/**
 * The lines of `undrop list`: a line for each statement that dropped, or for each table. The ledger
 * determines what is on a page; the server is asked about the tables of that page.
 *
 * Invariant: a list of one page shows a table only where the server has it. A longer one, and a
 * line of several tables, show the ledger, which follows each change of undrop.
 */
import {
  type DropFit,
  type LedgerDrop,
  readDrops,
  readTables,
  type Sort,
} from '../ledger/drops.js';
import { type LedgerRow, LIVE_STATES } from '../ledger/entry.js';
import { findRowsIfAny } from '../ledger/read.js';
import type { ServiceConnection } from '../service/pool/pools.js';
import {
  type DroppedTable,
  describeEnded,
  describeHeld,
  describeRow,
  type EndedTable,
  type ListedTable,
  listPage,
  listUnknown,
  withWhatIsLeft,
} from './held-tables.js';

/** A line: one table, or what the ledger has of several. */
export type ListedDrop =
  | ListedTable
  | EndedTable
  | (LedgerDrop & Pick<DroppedTable, 'how' | 'user' | 'droppedAt'>);

interface Wanted {
  readonly sort: Sort;
  /** Null: all. */
  readonly limit: number | null;
}

export interface ListPage<T> {
  readonly lines: readonly T[];
  /** The rows of this page in the ledger, including those that the server lacks. */
  readonly ledger: { readonly lines: number; readonly tables: number };
}

const PAGE_ROWS = 500;
/** A list that is sorted in another way than by time is one page. */
const SORTED_MAX = 100_000;

/** Pages of lines, one for each statement that dropped. */
export async function* listDrops(
  connection: ServiceConnection,
  fit: DropFit,
  { sort, limit }: Wanted,
): AsyncGenerator<ListPage<ListedDrop>> {
  let after: string | null = null;
  let left = limit ?? Number.POSITIVE_INFINITY;
  let drops: readonly LedgerDrop[];
  const pageRows = sort === 'dropped' ? PAGE_ROWS : SORTED_MAX;
  do {
    const rowsMax = Math.min(left, pageRows);
    drops = await readDrops(connection, fit, { sort, rowsMax, after });
    const tables = drops.reduce((sum, drop) => sum + drop.tables, 0);
    yield { lines: await asLines(connection, drops), ledger: { lines: drops.length, tables } };
    after = drops.at(-1)?.groupId ?? null;
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
  const tables = await look(connection, single, drops.length);
  const listed = new Map(tables.map((table) => [table.id, table]));
  return drops.flatMap((drop): readonly ListedDrop[] => {
    if (drop.tables === 1) return [listed.get(drop.id) ?? []].flat();
    const row = rows.get(drop.id);
    if (row === undefined) return [];
    const { how, user, droppedAt } = describeRow(row.id, row);
    return [{ ...drop, how, user, droppedAt }];
  });
}

/** Pages of tables. */
export async function* listDroppedTables(
  connection: ServiceConnection,
  fit: DropFit,
  { sort, limit }: Wanted,
): AsyncGenerator<ListPage<ListedTable | EndedTable>> {
  let after: string | null = null;
  let left = limit ?? Number.POSITIVE_INFINITY;
  let rows: readonly LedgerRow[];
  const pageRows = sort === 'dropped' ? PAGE_ROWS : SORTED_MAX;
  let isFirst = true;
  do {
    const rowsMax = Math.min(left, pageRows);
    rows = await readTables(connection, fit, { sort, rowsMax, after });
    const inAll = isFirst ? rows.length : PAGE_ROWS;
    const ledger = { lines: rows.length, tables: rows.length };
    yield { lines: await look(connection, rows, inAll), ledger };
    after = rows.at(-1)?.id ?? null;
    left -= rows.length;
    isFirst = false;
  } while (rows.length === pageRows && left > 0);
  const { withEnded, ...conditions } = fit;
  if (withEnded === true && left > 0 && Object.keys(conditions).length === 0) {
    const lines = (await listUnknown(connection)).slice(0, left);
    yield { lines, ledger: { lines: 0, tables: 0 } };
  }
}

/** The tables of these rows, in their order; from the ledger alone if `inAll` is a long list. */
async function look(
  connection: ServiceConnection,
  rows: readonly LedgerRow[],
  inAll: number,
): Promise<readonly (ListedTable | EndedTable)[]> {
  const ledgers = inAll < PAGE_ROWS ? [] : rows.flatMap((row) => describeHeld(row) ?? []);
  const known = new Map<string, ListedTable | EndedTable>(ledgers.map((one) => [one.id, one]));
  for (const row of rows) {
    const ended = describeEnded(row);
    if (ended !== null) known.set(row.id, ended);
  }
  const open = rows.filter(({ id, state }) => !known.has(id) && LIVE_STATES.includes(state));
  const listed = await withWhatIsLeft(connection, await listPage(connection, open));
  for (const table of listed) known.set(table.id, table);
  return rows.flatMap(({ id }) => known.get(id) ?? []);
}

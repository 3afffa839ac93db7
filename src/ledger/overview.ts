/**
 * The ledger for overviews and lists: totals of all that is held, statements that dropped, and
 * pages of its history. Each costs one reading of the live rows, or a page along an index.
 */

import type { Row, ServiceConnection, SQLQuery } from '../connections/sql.js';
import { col, note, sql } from '../connections/sql.js';
import type { TableState } from '../names/names.js';
import { asLike } from '../wildcards.js';
import { readIfAny as read } from './read.js';
import { isSelected, OF_TABLE, type Selection, type Sort } from './selection.js';
import { HISTORY, LEDGER, LIVE } from './tables.js';

/** Bytes and tables of all that is held, and of what goes when. */
export interface Summary {
  readonly states: readonly { readonly state: string; readonly tables: number; bytes: number }[];
  /** By the day of its due time: the bytes that come back then; UTC. */
  readonly days: readonly { readonly day: string; readonly tables: number; bytes: number }[];
  readonly pinned: number;
  /** Held tables that were dropped within the last hour. */
  readonly lately: number;
}

export type HistoryLine = Readonly<ReturnType<typeof lineOf>>;

export interface HistoryFit {
  readonly id?: string;
  readonly event?: string | null;
  readonly who?: string | null;
  readonly table?: string | null;
  /** The seq after which a page begins. */
  readonly cursor?: string | null;
  readonly limit: number;
}

export async function readSummary(connection: ServiceConnection): Promise<Summary> {
  const states = await read(
    connection,
    sql`SELECT ${note('read')} state, COUNT(*) AS found, SUM(COALESCE(byte_estimate, 0)) AS bytes,
          SUM(pinned) AS pinned, SUM(dropped_at > UTC_TIMESTAMP() - INTERVAL 1 HOUR) AS lately
        FROM ${LEDGER} WHERE ${LIVE} GROUP BY state`,
  );
  const days = await read(
    connection,
    sql`SELECT ${note('read')} CAST(DATE(hold_until) AS CHAR) AS day, COUNT(*) AS found,
          SUM(COALESCE(byte_estimate, 0)) AS bytes
        FROM ${LEDGER} WHERE ${LIVE} AND state = 'HOLD' AND pinned = 0
        GROUP BY day ORDER BY day LIMIT ${DAYS_MAX}`,
  );
  return {
    states: states.map((row) => ({ state: col.text(row, 'state'), ...countsOf(row) })),
    days: days.map((row) => ({ day: col.text(row, 'day'), ...countsOf(row) })),
    pinned: states.reduce((sum, row) => sum + col.number(row, 'pinned'), 0),
    lately: states.reduce((sum, row) => sum + (col.numberOrNull(row, 'lately') ?? 0), 0),
  };
}

/** Tables in HOLD whose due time is over, the first ones. */
export async function readOverdue(connection: ServiceConnection) {
  const rows = await read(
    connection,
    sql`SELECT ${note('read')} id, state, hold_until, dropped_at FROM ${LEDGER}
        WHERE state = 'HOLD' AND pinned = 0 AND hold_until < UTC_TIMESTAMP() AND ${OF_TABLE}
        ORDER BY hold_until LIMIT ${OVERDUE_MAX}`,
  );
  return rows.map((row) => ({
    id: col.text(row, 'id'),
    state: col.text(row, 'state') as TableState,
    due: col.date(row, 'hold_until'),
    droppedAt: col.date(row, 'dropped_at'),
  }));
}

/** A held table by the name that it had. */
export type HeldName = Readonly<Awaited<ReturnType<typeof readHeldNames>>[number]>;

/** The newest 500 in HOLD, newest first. */
export async function readHeldNames(connection: ServiceConnection) {
  const rows = await read(
    connection,
    sql`SELECT ${note('names')} id, schema_name, table_name, hold_until, pinned FROM ${LEDGER}
        WHERE state = 'HOLD' AND ${OF_TABLE} ORDER BY id DESC LIMIT ${HELD_NAMES_MAX}`,
  );
  return rows.map((row) => ({
    id: col.text(row, 'id'),
    schema: col.text(row, 'schema_name'),
    table: col.text(row, 'table_name'),
    /** ISO 8601; null: it is pinned. */
    until: col.number(row, 'pinned') === 1 ? null : col.date(row, 'hold_until').toISOString(),
  }));
}

const HELD_NAMES_MAX = 500;
const OVERDUE_MAX = 1_000;
const DAYS_MAX = 90;

function countsOf(row: Row) {
  return { tables: col.number(row, 'found'), bytes: col.number(row, 'bytes') };
}

/** Newest first. */
export async function readHistory(
  connection: ServiceConnection,
  { id, event, who, table, cursor, limit }: HistoryFit,
): Promise<readonly HistoryLine[]> {
  const conditions = [
    ...(id === undefined ? [] : [sql`id = ${id}`]),
    ...(event ? [sql`event = ${event}`] : []),
    ...(who ? [sql`who LIKE ${`%${asLike(who)}%`}`] : []),
    ...(table ? [isAbout(table)] : []),
    ...(cursor ? [sql`seq < ${cursor}`] : []),
    sql`TRUE`,
  ];
  const rows = await read(
    connection,
    sql`SELECT ${note('read')} seq, at, event, id, drop_id, who, details FROM ${HISTORY}
        WHERE ${sql.join(conditions, sql` AND `)} ORDER BY seq DESC LIMIT ${limit}`,
  );
  return rows.map(lineOf);
}

function lineOf(row: Row) {
  const details: Readonly<Record<string, unknown>> = JSON.parse(col.text(row, 'details'));
  const [schema, name] = [details['schema'], details['table']];
  return {
    seq: col.text(row, 'seq'),
    /** UTC, ISO 8601. */
    at: col.date(row, 'at').toISOString(),
    event: col.text(row, 'event'),
    who: col.text(row, 'who'),
    details,
    id: col.textOrNull(row, 'id'),
    dropId: col.textOrNull(row, 'drop_id'),
    /** `schema.table`; null: it is about no table. */
    table: typeof name === 'string' ? `${String(schema)}.${name}` : null,
  };
}

/** A part of its name, or `schema.table`, which is in two fields. */
function isAbout(text: string): SQLQuery {
  const like = (part: string, start = '') =>
    sql`details LIKE ${`%${start}${asLike(JSON.stringify(part).slice(1, -1))}%`}`;
  const [, schema, table] = /^`?([^`.]+)`?\.`?([^`]+?)`?$/.exec(text) ?? [];
  if (schema === undefined || table === undefined) return like(text);
  const [ofSchema, ofTable] = [like(schema, '"schema":"'), like(table, '"table":"')];
  return sql`(${like(text)} OR (${ofSchema} AND ${ofTable}))`;
}

// ── lists ────────────────────────────────────────────────────────────────────────────────────────
// A line for each statement that dropped, page by page. A page costs the same among 100,000 held
// tables as among ten: it is read backwards along an index by ids, which sort by time.
//
// Invariant: no list decides about rows. It shows the ledger; recycle/list.ts compares a page of it
// with the server.

interface Page {
  readonly sort: Sort;
  readonly rowsMax: number;
  /** The id after which the page begins; only for `dropped`. */
  readonly after?: string | null;
}

/** The statements with matching held tables, in that order. */
export async function readDrops(
  connection: ServiceConnection,
  selection: Selection,
  { sort, rowsMax, after = null }: Page,
): Promise<readonly LedgerDrop[]> {
  const order = {
    dropped: sql`group_id DESC`,
    size: sql`bytes DESC, group_id DESC`,
    expires: sql`until IS NULL, until, group_id DESC`,
  }[sort];
  const isAfter = after === null ? sql`` : sql` AND group_id < ${after}`;
  const isOpen = sql`state = 'HOLD' AND pinned = 0`;
  const rows = await read(
    connection,
    sql`SELECT ${note('read')} group_id, MAX(id) AS id, COUNT(*) AS found,
          MIN(schema_name) AS first_schema, MAX(schema_name) AS last_schema,
          SUM(byte_estimate) AS bytes, SUM(byte_estimate IS NULL) AS unknown_sizes,
          CAST(MIN(IF(${isOpen}, hold_until, NULL)) AS DATETIME) AS until, SUM(state = 'HOLD' AND pinned) AS pinned,
          SUM(state <> 'intent' AND relocated = 0) AS in_place,
          SUM(state NOT IN ('intent', 'HOLD')) AS ending, SUM(state = 'intent') AS unsettled
        FROM ${LEDGER} WHERE ${isSelected(selection)}${isAfter}
        GROUP BY group_id ORDER BY ${order} LIMIT ${rowsMax}`,
  );
  return rows.map(asDrop);
}

export type LedgerDrop = Readonly<ReturnType<typeof asDrop>>;

/** The held tables of one statement. */
function asDrop(row: Row) {
  const schema = col.text(row, 'first_schema');
  return {
    dropId: col.text(row, 'group_id'),
    /** The newest of its tables. */
    id: col.text(row, 'id'),
    tables: col.number(row, 'found'),
    /** Null: they are of several schemas. */
    schema: schema === col.text(row, 'last_schema') ? schema : null,
    /** The known sizes; null: none is known. */
    bytes: col.numberOrNull(row, 'bytes'),
    unknown: col.number(row, 'unknown_sizes'),
    /** When the first of those that aren't pinned leaves HOLD; null: none does. */
    until: col.dateOrNull(row, 'until'),
    pinned: col.number(row, 'pinned'),
    /** Held in their own schema. */
    inPlace: col.number(row, 'in_place'),
    /** Their hold is over. */
    ending: col.number(row, 'ending'),
    /** The statement isn't over, or was broken off. */
    unsettled: col.number(row, 'unsettled'),
  };
}

export async function countTables(
  connection: ServiceConnection,
  selection: Selection,
): Promise<number> {
  const [row = {}] = await read(
    connection,
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER} WHERE ${isSelected(selection)}`,
  );
  return 'found' in row ? col.number(row, 'found') : 0;
}

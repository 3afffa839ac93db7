/**
 * The ledger for the overview: totals of all that is held, and pages of its history. Each costs one
 * reading of the live rows, or a page along an index.
 */
import type { TableState } from '../names/names.js';
import * as col from '../service/columns.js';
import type { Row, ServiceConnection } from '../service/pool/pools.js';
import { note, type SQLQuery, sql } from '../service/sql.js';
import { asLike } from '../wildcards.js';
import { readIfAny as read } from './read.js';
import { OF_TABLE } from './selection.js';
import { HISTORY, LEDGER, LIVE } from './tables.js';

/** Bytes and tables of all that is held, and of what goes when. */
export interface Summary {
  readonly states: readonly { readonly state: string; readonly tables: number; bytes: number }[];
  /** By the day of its due time: the bytes that come back then; UTC. */
  readonly days: readonly { readonly day: string; readonly tables: number; bytes: number }[];
  readonly pinned: number;
  /** Only the newest were read; default: all. */
  readonly isPart?: boolean;
}

export interface HistoryLine {
  readonly seq: string;
  /** UTC, ISO 8601. */
  readonly at: string;
  readonly event: string;
  readonly who: string;
  readonly id: string | null;
  readonly dropId: string | null;
  /** `schema.table`; null: it is about no table. */
  readonly table: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

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
          SUM(pinned) AS pinned FROM ${LEDGER} WHERE ${LIVE} GROUP BY state`,
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
  return rows.map((row) => {
    const details = JSON.parse(col.text(row, 'details')) as HistoryLine['details'];
    const [schema, name] = [details['schema'], details['table']];
    return {
      ...{ seq: col.text(row, 'seq'), at: col.date(row, 'at').toISOString() },
      ...{ event: col.text(row, 'event'), who: col.text(row, 'who'), details },
      ...{ id: col.textOrNull(row, 'id'), dropId: col.textOrNull(row, 'drop_id') },
      table: typeof name === 'string' ? `${String(schema)}.${name}` : null,
    };
  });
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

/** The tables of a drop that are still held. */
export async function countLive(connection: ServiceConnection, dropId: string): Promise<number> {
  const [row] = await read(
    connection,
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER}
        WHERE ${LIVE} AND group_id = ${dropId}`,
  );
  return row === undefined ? 0 : col.number(row, 'found');
}

/** Reads the ledger's rows of tables, page by page; schema-drops.ts reads those of schemas. */

import { unlessRefused } from '../connections/errors.js';
import type { Row, ServiceConnection, SQLQuery } from '../connections/sql.js';
import { col, note, sql, valueList } from '../connections/sql.js';
import { assert } from '../errors.js';
import { dropIdOf, parseHoldName, type QualifiedTable } from '../names/names.js';
import * as ER from '../wire/server-errors.js';
import { KEYS_CHARACTERS, keyPart } from './detached/detached.js';
import type { LedgerRow } from './entry.js';
import * as entry from './entry.js';
import type { Selection, Sort } from './selection.js';
import { hasDigits, isSelected, OF_TABLE, ORDER_BY, sameName } from './selection.js';
import { LEDGER, LIVE, ledgerUnavailable } from './tables.js';

/** Tables of any of these names in any of these schemas. */
export interface KeyParents {
  readonly schemas: readonly string[];
  readonly tables: readonly string[];
}

const TEXTS = ['statementText', 'definition', 'detached'];
const SHORT = entry.PROPERTIES.filter((property) => !TEXTS.includes(property));
const ROWS_MAX = 100_000;
const READ_DEADLINE_MS = 60_000;

/**
 * Newest first, unless the filter has an order; at most `rowsMax` (default 100,000), and only those
 * after `after`, or after the first `offset`. Without `texts` the long columns (definition,
 * detached) are left empty, and the statement is cut; default with them.
 */
export async function findRows(
  connection: ServiceConnection,
  filter: RowFilter,
  options: {
    readonly rowsMax?: number;
    readonly after?: string | null;
    readonly offset?: number;
    readonly texts?: boolean;
  } = {},
): Promise<readonly LedgerRow[]> {
  const { rowsMax = ROWS_MAX, after = null, offset = 0, texts = true } = options;
  const isAfter = after === null ? sql`` : sql` AND id < ${after}`;
  const long = texts ? sql`definition, detached` : sql`NULL AS definition, NULL AS detached`;
  const statement = texts ? entry.STATEMENT_CHARACTERS_MAX : entry.STATEMENT_HEAD_CHARACTERS;
  const found = connection.run(
    sql`SELECT ${note('read')} ${entry.rowColumns(SHORT)},
          LEFT(statement_text, ${statement}) AS statement_text, ${long}
        FROM ${LEDGER} ${keyFor(filter)} WHERE ${condition(filter)}${isAfter}
        ORDER BY ${orderOf(filter)}
        LIMIT ${rowsMax} OFFSET ${offset}`,
    { deadlineMs: READ_DEADLINE_MS },
  );
  const [rows = []] = (await unlessRefused(found, null, ER.BAD_FIELD_ERROR)) ?? olderLedger();
  return rows.map((row) => entry.cellsOf(row, entry.PROPERTIES));
}

function olderLedger(): never {
  throw ledgerUnavailable(new Error('it is of an older undrop: reload the service first'));
}

/** The rows of a query; none if there is no ledger. */
export async function readIfAny(
  connection: ServiceConnection,
  query: SQLQuery,
): Promise<readonly Row[]> {
  const run = connection.run(query, { deadlineMs: READ_DEADLINE_MS });
  const [rows = []] = await unlessRefused(run, [], ...ER.ABSENT_TABLE);
  return rows;
}

/** Drops of a table that had that name after the row's table was restored, newest first. */
export async function findDropsSince(
  connection: ServiceConnection,
  { id, endedAt }: LedgerRow,
  at: QualifiedTable,
): Promise<readonly LedgerRow[]> {
  const drops = await findRows(connection, { by: 'name', ...at }, { texts: false });
  return drops.filter((drop) => drop.id !== id && endedAt !== null && drop.droppedAt > endedAt);
}

/** Whether the copy that a TRUNCATE has left is gone: a copy of the copy is none the less one. */
export async function isCopyGone(
  connection: ServiceConnection,
  { id, schema, table }: LedgerRow,
): Promise<boolean> {
  const drops = await findRows(connection, { by: 'name', schema, table }, { texts: false });
  return drops.some((drop) => drop.id > id && entry.howDropped(drop) !== 'TRUNCATE');
}

/** The same as `findRows`; none if there is no ledger. */
export function findRowsIfAny(...what: Parameters<typeof findRows>): Promise<readonly LedgerRow[]> {
  return unlessRefused(findRows(...what), [], ...ER.ABSENT_TABLE);
}

export interface LedgerCursor {
  /** The id after which the next page begins; null: at the beginning. */
  after: string | null;
  /** The rows that were read, where the filter has an order; default: 0. */
  offset?: number;
}

/**
 * Up to `rowsMax` rows after the cursor, in the order of `findRows`, without the long columns. The
 * cursor then stands after them; at the beginning again if these were the last.
 */
export async function findPage(
  connection: ServiceConnection,
  filter: RowFilter,
  { cursor, rowsMax }: { readonly cursor: LedgerCursor; readonly rowsMax: number },
): Promise<readonly LedgerRow[]> {
  const { after, offset = 0 } = cursor;
  const isOrdered = filter.by === 'selection' && (filter.sort ?? 'dropped') !== 'dropped';
  const place = isOrdered ? { offset } : { after };
  const rows = await findRows(connection, filter, { rowsMax, ...place, texts: false });
  const isLast = rows.length < rowsMax;
  if (isOrdered) cursor.offset = isLast ? 0 : offset + rows.length;
  else cursor.after = isLast ? null : (rows.at(-1)?.id ?? null);
  return rows;
}

/** The ledger's rows by the ids of these hold names; a ghost table has the row of its drop. */
export async function findByHoldNames(
  connection: ServiceConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, LedgerRow>> {
  const ids = names.flatMap((name) => parseHoldName(name)?.id ?? []);
  if (ids.length === 0) return new Map();
  const all = { by: 'ids', ids: ids.map(dropIdOf) } as const;
  const found = await findRows(connection, all, { texts: false });
  const rows = new Map(found.map((row) => [row.id, row]));
  return new Map(
    ids.flatMap((id) => {
      const row = rows.get(dropIdOf(id));
      return row === undefined ? [] : [[id, row] as const];
    }),
  );
}

/** Totals of the held tables in the ledger. */
export type LedgerTotals = Readonly<Awaited<ReturnType<typeof readTotals>>>;

export async function readTotals(connection: ServiceConnection) {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('totals')} state, days, SUM(bytes) AS bytes,
          SUM(moves) AS moves, SUM(pinned) AS pinned, SUM(late) AS overdue, SUM(stuck) AS stuck
        FROM (SELECT state, COALESCE(byte_estimate, 0) AS bytes, pinned,
            state = 'HOLD' AND relocated = 0 AND COALESCE(todo, '') NOT LIKE 'blocked%' AS moves,
            ${IS_DUE} AND hold_until < UTC_TIMESTAMP() - INTERVAL 10 MINUTE AS late,
            state = 'intent' AND state_since < UTC_TIMESTAMP() - INTERVAL 1 MINUTE AS stuck,
            IF(${IS_DUE}, LEAST(GREATEST(DATEDIFF(hold_until, UTC_DATE()), 0), 7), NULL) AS days
          FROM ${LEDGER} WHERE ${LIVE}) AS held
        GROUP BY state, days`,
    { deadlineMs: READ_DEADLINE_MS },
  );
  const sumOf = (column: string, among: readonly Row[] = rows) =>
    among.reduce((sum, row) => sum + col.number(row, column), 0);
  const inState = (wanted: string) => rows.filter((row) => col.text(row, 'state') === wanted);
  const states = [...new Set(rows.map((row) => col.text(row, 'state')))];
  const due = rows.filter((row) => row['days'] !== null);
  return {
    /** Bytes of tables by state, as far as they are known. */
    bytes: Object.fromEntries<number>(
      states.map((state) => [state, sumOf('bytes', inState(state))]),
    ),
    /** Drops that are not settled after a minute. */
    intents: sumOf('stuck'),
    /** Tables that have to be moved into the recycle schema. */
    relocations: sumOf('moves'),
    pinned: sumOf('pinned'),
    /** Tables in HOLD that were due ten minutes ago. */
    overdue: sumOf('overdue'),
    /** Bytes in HOLD by the days until they are due: 0 to 7, which is a week or more. */
    dueBytes: Object.fromEntries<number>(
      due.map((row) => [col.text(row, 'days'), col.number(row, 'bytes')]),
    ),
  };
}

const IS_DUE = sql`state = 'HOLD' AND pinned = 0`;

/** Statements of many tables, from the first intent to the last restore script. */
export async function readSettling(connection: ServiceConnection) {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('read')} group_id, MIN(schema_name) AS schema_name, COUNT(*) AS found,
          SUM(state <> 'intent' AND NOT (${UNSETTLED})) AS settled
        FROM ${LEDGER} WHERE ${OF_TABLE} AND group_id IN (SELECT group_id FROM ${LEDGER}
          WHERE state = 'intent' OR ${UNSETTLED})
        GROUP BY group_id HAVING COUNT(*) > 1 ORDER BY group_id`,
    { deadlineMs: READ_DEADLINE_MS },
  );
  return rows.map((row) => ({
    dropId: col.text(row, 'group_id'),
    schema: col.text(row, 'schema_name'),
    /** The number of settled ones. */
    settled: col.number(row, 'settled'),
    tables: col.number(row, 'found'),
  }));
}

/** The condition of each kind of filter; with `OF_TABLE` also on rows that have ended. */
const CONDITIONS = {
  /** Newest first, if it has no order. */
  selection: (filter: Selection & { readonly sort?: Sort }) => isSelected(filter),
  /** The row of that id, or rows whose id begins so (hex digits). */
  id: ({ prefix }: { readonly prefix: string }) => sql`${hasPrefix(prefix)} AND ${OF_TABLE}`,
  /** Rows whose id begins or ends so (hex digits). */
  digits: ({ digits }: { readonly digits: string }) =>
    sql`${hasDigits(sql`id`, digits)} AND ${OF_TABLE}`,
  ids: ({ ids }: { readonly ids: readonly string[] }) =>
    sql`id IN (${valueList(ids)}) AND ${OF_TABLE}`,
  /** Its restore to one of these `schema.table` has begun, and may have been interrupted. */
  restoring: ({ as }: { readonly as: readonly string[] }) =>
    sql`todo = 'restoring' AND ${OF_TABLE} AND restored_as IN (${valueList(as)})`,
  /** The same, or it was restored without some of its triggers or keys. */
  unfinished: ({ as }: { readonly as: readonly string[] }) =>
    sql`todo IN ('restoring', 'triggers', 'keys') AND ${OF_TABLE}
      AND restored_as IN (${valueList(as)})`,
  /**
   * It was restored without some of its triggers, as far as the last restore found. `dropId`: of
   * that statement; default: of all.
   */
  triggers: ({ dropId }: { readonly dropId?: string }) =>
    sql`state = 'restored' AND todo = 'triggers' AND ${OF_TABLE}
      ${dropId === undefined ? sql`` : sql` AND group_id = ${dropId}`}`,
  /** Restored, perhaps without keys; if it isn't null, without keys to one of these. */
  keys: ({ parents }: { readonly parents: KeyParents | null }) =>
    sql`state = 'restored' AND todo IN ('keys', 'triggers') AND ${OF_TABLE}
      AND ${parents === null ? HAS_KEYS : mayHaveKey(parents)}`,
  /** The same as `restoring`, without tables of a schema that is being restored. */
  'broken-off': () => IS_BROKEN_OFF,
  /** Tables that were dropped under that name, in any schema if it is null. */
  name: (name: { readonly schema: string | null; readonly table: string }) =>
    sql`${OF_TABLE} AND ${hasName(name)}`,
  /** `only`: limits them to these ids. */
  intent: (filter: { readonly only?: readonly string[] }) => sql`state = 'intent'${among(filter)}`,
  /** All tables of one statement. */
  drop: ({ dropId }: { readonly dropId: string }) => sql`group_id = ${dropId} AND ${OF_TABLE}`,
  /** Live ones of one statement. */
  group: ({ dropId }: { readonly dropId: string }) => sql`group_id = ${dropId} AND ${LIVE}`,
  /** Held in its own schema: its relocation has to be done. */
  pending: (filter: { readonly only?: readonly string[] }) =>
    sql`state = 'HOLD' AND relocated = 0${among(filter)}`,
  /** Held for a minute, without a definition and restore script in its row. */
  unsettled: () => sql`${UNSETTLED} AND state_since < UTC_TIMESTAMP() - INTERVAL 1 MINUTE`,
  /** In its own schema, in any state: a table that is collected there stays there to the end. */
  elsewhere: () => sql`state IN ('HOLD', 'PURGE', 'EVAC', 'DROP') AND relocated = 0`,
} as const;

type Kind = keyof typeof CONDITIONS;
type Fit<K extends Kind> =
  Parameters<(typeof CONDITIONS)[K]> extends [infer Filter] ? Filter : unknown;
type RowFilter = { [K in Kind]: { readonly by: K } & Fit<K> }[Kind];

function condition(filter: RowFilter): SQLQuery {
  return CONDITIONS[filter.by](filter as never);
}

const HAS_KEYS = sql`detached NOT LIKE '{"keysOut":[]%'`;

/** With several tables for all of their schemas, because each look at a text takes its time. */
function mayHaveKey({ schemas, tables }: KeyParents): SQLQuery {
  const [table] = tables.length === 1 ? tables : [];
  const keys = schemas.map((schema) => keyPart(schema, table));
  const found = keys.map((key) => sql`INSTR(LEFT(detached, ${KEYS_CHARACTERS}), ${key}) > 0`);
  return sql`(${sql.join(found, sql` OR `)})`;
}

/** A name without wildcards has few rows; servers rather read all by the order of ids. */
function keyFor(filter: RowFilter): SQLQuery {
  const { schema, like }: Selection = filter.by === 'selection' ? filter : {};
  const isName = like !== undefined && !/[%_]/.test(like.replaceAll(/\\./g, ''));
  return schema !== undefined && isName ? sql`FORCE INDEX (by_name)` : sql``;
}

function orderOf(filter: RowFilter): SQLQuery {
  return filter.by === 'selection' ? ORDER_BY[filter.sort ?? 'dropped'] : ORDER_BY.dropped;
}

function hasPrefix(prefix: string): SQLQuery {
  assert(/^[0-9a-f]{1,32}$/.test(prefix), 'an id begins with hex digits');
  return sql`id LIKE ${`${prefix}%`}`;
}

function among({ only }: { readonly only?: readonly string[] }): SQLQuery {
  return only === undefined ? sql`` : sql` AND id IN (${valueList(only)})`;
}

const UNSETTLED = sql`state = 'HOLD' AND restore_script IS NULL`;
/** By the key `by_todo`. Its table may be live again. */
export const IS_BROKEN_OFF = sql`todo = 'restoring' AND ${OF_TABLE}
  AND state IN ('HOLD', 'restored') AND group_id NOT IN (
    SELECT s.group_id FROM ${LEDGER} AS s WHERE s.todo = 'restoring' AND s.kind = 'schema')`;

function hasName({ schema, table }: { schema: string | null; table: string }): SQLQuery {
  const inSchema = schema === null ? sql`` : sql` AND ${sameName(sql`schema_name`, schema)}`;
  return sql`${sameName(sql`table_name`, table)}${inSchema}`;
}

/** The script that restores the table by hand; null if the ledger doesn't have it yet. */
export async function readRestoreScript(
  connection: ServiceConnection,
  id: string,
): Promise<string | null> {
  const [[row] = []] = await connection.run(
    sql`SELECT ${note('read', id)} restore_script AS script FROM ${LEDGER} WHERE id = ${id}`,
  );
  return row === undefined ? null : col.textOrNull(row, 'script');
}

/**
 * Chooses the key that a purge follows, and makes the statements of its range scan. Pure. `DELETE …
 * LIMIT n` alone reads all rows marked as deleted again and again while a snapshot is open
 * elsewhere; a range scan of a unique key does not. Bounds stay on the server, in session
 * variables, so no value changes on the way (collations, DECIMAL, fractions of a second); nor is
 * one computed there: a function of two variables may have another type than they.
 *
 * Invariants: every DELETE has a LIMIT. A bound that does not compare as expected makes a chunk
 * smaller, never larger. Only columns whose values compare in a range exactly as the key orders
 * them are used: not ENUM, SET, BIT or an unknown type.
 */
import { inGroups } from '../../names/names.js';
import type { HoldTable } from '../../service/hold-tables.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import type { Chunk } from './pace.js';

interface PurgedTable extends Pick<HoldTable, 'schema' | 'name' | 'id'> {
  /** Null: the whole table. */
  readonly partition: string | null;
}

export interface PurgeStatement {
  readonly query: SQLQuery;
  /** Its result counts deleted rows. */
  readonly isDelete: boolean;
}

/** Rows up to `low` are deleted; `high` is the last row of one DELETE. */
type Bound = 'low' | 'high';

/** The chunk, and whether `low` has a value: rows before it are deleted. */
type ChunkFrom = Chunk & { readonly isBounded: boolean };

/**
 * A chunk along a key: finds the last row of each DELETE, and deletes up to it. Beyond the end,
 * where there is none, it deletes nothing. The same text for each chunk but the first, so that it
 * is rendered once.
 */
export function deleteAlong(
  table: PurgedTable,
  key: PurgeKey,
  { isBounded, deletes, rows, restMs }: ChunkFrom,
): readonly PurgeStatement[] {
  const columns = list(key.columns.map((column) => ident(column)));
  const source = sql`${sourceOf(table)} FORCE INDEX (${ident(key.index)})`;
  const high = variables(key, 'high');
  const lows = variables(key, 'low').map((low, index) => sql`${low} = ${high[index] ?? low}`);
  const next = other(sql`SET ${list([...lows, ...rest(restMs)])}`);
  const step = (after: readonly SQLQuery[]): readonly PurgeStatement[] => [
    other(sql`SELECT ${note('purge', table.id)} ${columns} INTO ${list(high)}
      FROM ${source} ${where(after)} ORDER BY ${columns} LIMIT ${rows - 1}, 1`),
    deleteWhere(table, [...after, compare(key, 'high', '<')], rows),
    next,
  ];
  const usual = step([compare(key, 'low', '>')]);
  const nulls = high.map((name) => sql`${name} = NULL`);
  return [
    ...(isBounded ? usual : [other(sql`SET ${list(nulls)}`), ...step([])]),
    ...Array.from({ length: deletes - 1 }).flatMap(() => usual),
  ];
}

/** Deletes the rest: after the last row that a chunk has found, or, without a key, any rows. */
export function deleteRest(
  table: PurgedTable,
  key: PurgeKey | null,
  { isBounded, deletes, rows, restMs }: ChunkFrom,
): readonly PurgeStatement[] {
  const after = key !== null && isBounded ? [compare(key, 'low', '>')] : [];
  const rests = rest(restMs).map((assignment) => other(sql`SET ${assignment}`));
  const step = [deleteWhere(table, after, rows), ...rests];
  return Array.from({ length: deletes }).flatMap(() => step);
}

function deleteWhere(
  table: PurgedTable,
  conditions: readonly SQLQuery[],
  rows: number,
): PurgeStatement {
  const query = sql`DELETE ${note('purge', table.id)} FROM ${sourceOf(table)}
    ${where(conditions)} LIMIT ${rows}`;
  return { query, isDelete: true };
}

function sourceOf({ schema, name, partition }: PurgedTable): SQLQuery {
  const whole = ident(schema, name);
  return partition === null ? whole : sql`${whole} PARTITION (${ident(partition)})`;
}

/** An assignment, because advancing the bound needs a statement anyway. */
function rest(restMs: number): readonly SQLQuery[] {
  const seconds = Math.round(restMs * 1_000) / 1_000_000;
  return seconds > 0 ? [sql`@undrop_rest = SLEEP(${seconds})`] : [];
}

function other(query: SQLQuery): PurgeStatement {
  return { query, isDelete: false };
}

/** (a, b) > (x, y) spelled out, because a row comparison uses no index on the older servers. */
function compare(key: PurgeKey, bound: Bound, operator: '>' | '<'): SQLQuery {
  const beyond = operator === '>' ? sql`>` : sql`<`;
  const last = key.columns.length - 1;
  const cases = key.columns.map((column, index) => {
    const equal = key.columns
      .slice(0, index)
      .map((earlier, at) => sql`${ident(earlier)} = ${variable(bound, at)}`);
    const including = operator === '<' && index === last ? sql`<=` : beyond;
    return and([...equal, sql`${ident(column)} ${including} ${variable(bound, index)}`]);
  });
  return sql`(${sql.join(cases, sql` OR `)})`;
}

function variables(key: PurgeKey, bound: Bound): readonly SQLQuery[] {
  return key.columns.map((_, index) => variable(bound, index));
}

function variable(bound: Bound, index: number): SQLQuery {
  return sql`@${ident(`undrop_${bound}_${index}`)}`;
}

function where(conditions: readonly SQLQuery[]): SQLQuery {
  return conditions.length === 0 ? sql`` : sql`WHERE ${and(conditions)}`;
}

function and(conditions: readonly SQLQuery[]): SQLQuery {
  return sql`(${sql.join([...conditions], sql` AND `)})`;
}

function list(items: readonly SQLQuery[]): SQLQuery {
  return sql.join([...items], sql`, `);
}

/** A column of one index, from information_schema.STATISTICS and COLUMNS. */
export interface IndexColumn {
  readonly index: string;
  readonly unique: boolean;
  /** `null` for an expression. */
  readonly column: string | null;
  /** Only the first characters of the column are in the index. */
  readonly prefix: boolean;
  readonly nullable: boolean;
  /** DATA_TYPE in lower case: `bigint`, `varchar` … */
  readonly dataType: string | null;
}

/** A unique key without NULLs; its columns in the order of the key. */
export interface PurgeKey {
  readonly index: string;
  readonly columns: readonly string[];
}

const RANGE_TYPES: ReadonlySet<string> = new Set(
  (
    'tinyint smallint mediumint int bigint decimal char varchar binary varbinary ' +
    'date datetime timestamp time year'
  ).split(' '),
);

/** The primary key, else the shortest unique key that can be scanned by range, else `null`. */
export function choosePurgeKey(columns: readonly IndexColumn[]): PurgeKey | null {
  const keys = inGroups(columns, ({ index }) => index)
    .filter(isUsable)
    .map(toKey);
  keys.sort((a, b) => rank(a) - rank(b));
  return keys[0] ?? null;
}

function isUsable(columns: readonly IndexColumn[]): boolean {
  return columns.every(
    ({ unique, column, prefix, nullable, dataType }) =>
      unique && column !== null && !prefix && !nullable && RANGE_TYPES.has(dataType ?? ''),
  );
}

function toKey(columns: readonly IndexColumn[]): PurgeKey {
  const names = columns.flatMap(({ column }) => (column === null ? [] : [column]));
  return { index: columns[0]?.index ?? '', columns: names };
}

function rank(key: PurgeKey): number {
  return key.index === 'PRIMARY' ? 0 : key.columns.length;
}

/**
 * Chooses the key that a purge follows, and makes the statements of its range scan. Pure. `DELETE …
 * LIMIT n` alone reads all rows marked as deleted again and again while a snapshot is open
 * elsewhere; a range scan of a unique key does not. Bounds stay on the server, in session
 * variables, so no value changes on the way (collations, DECIMAL, fractions of a second).
 *
 * Invariants: every DELETE has a LIMIT. A bound that does not compare as expected makes a chunk
 * smaller, never larger. Only columns whose values compare in a range exactly as the key orders
 * them are used: not ENUM, SET, BIT or an unknown type.
 */
import type { HoldTable } from '../../service/hold-tables.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';

type PurgedTable = Pick<HoldTable, 'schema' | 'name' | 'id'>;

/** `low`: rows up to it are gone. `high`: the last row of the next piece. */
type Bound = 'low' | 'high';

/** Deletes the rows between the bounds that are set. */
export function deleteBetween(
  table: PurgedTable,
  key: PurgeKey | null,
  bounds: { readonly low: boolean; readonly high: boolean; readonly chunkRows: number },
): SQLQuery {
  const conditions = [
    ...(key !== null && bounds.low ? [compare(key, 'low', '>')] : []),
    ...(key !== null && bounds.high ? [compare(key, 'high', '<')] : []),
  ];
  return sql`DELETE ${note('purge', table.id)} FROM ${ident(table.schema, table.name)}
    ${where(conditions)} LIMIT ${bounds.chunkRows}`;
}

/**
 * Moves the bounds on: what was high is low, and the row `chunkRows` later is high. The last
 * statement says by `found` whether there is such a row.
 */
export function nextBounds(
  table: PurgedTable,
  key: PurgeKey,
  bounds: { readonly low: boolean; readonly chunkRows: number },
): readonly SQLQuery[] {
  const columns = list(key.columns.map((column) => ident(column)));
  const highs = list(key.columns.map((_, index) => variable('high', index)));
  const moves = key.columns.flatMap((_, index) => [
    ...(bounds.low ? [sql`${variable('low', index)} = ${variable('high', index)}`] : []),
    sql`${variable('high', index)} = NULL`,
  ]);
  const from = sql`${ident(table.schema, table.name)} FORCE INDEX (${ident(key.index)})`;
  return [
    sql`SET ${list(moves)}`,
    sql`SELECT ${note('purge', table.id)} ${columns} INTO ${highs} FROM ${from}
      ${where(bounds.low ? [compare(key, 'low', '>')] : [])}
      ORDER BY ${columns} LIMIT ${bounds.chunkRows - 1}, 1`,
    sql`SELECT ${variable('high', 0)} IS NOT NULL AS found`,
  ];
}

/** (a, b) > (x, y) written out, because a row comparison uses no index on the older servers. */
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

/** One column of one index, as information_schema.STATISTICS and COLUMNS tell. */
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
  const indexes = new Map<string, IndexColumn[]>();
  for (const column of columns) {
    indexes.set(column.index, [...(indexes.get(column.index) ?? []), column]);
  }
  const keys = [...indexes.values()].filter(isUsable).map(toKey);
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

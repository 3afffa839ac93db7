/**
 * The statements of a walk along a key. Pure. Boundaries stay on the server, in variables of the
 * session: no value travels, so none can change on the way (collations, DECIMAL, fractions of a
 * second).
 *
 * Invariant: every DELETE has a LIMIT; a boundary that does not compare as expected makes a piece
 * smaller, never larger.
 */
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import type { PurgeKey } from './purge-key.js';

export interface WalkTable {
  readonly schema: string;
  readonly name: string;
  readonly id: string;
}

/** `low`: rows up to it are gone. `high`: the last row of the next piece. */
export type Bound = 'low' | 'high';

/** Deletes the rows between the bounds that are set. */
export function deleteBetween(
  table: WalkTable,
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
  table: WalkTable,
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

/** (a, b) > (x, y) written out, as a row comparison uses no index on the older servers. */
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

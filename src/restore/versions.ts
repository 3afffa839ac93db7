/**
 * Compares a restored table with others of its name: its number of rows, the other held tables, and
 * which of these has far more rows, because the newest may not be the intended one: an empty table
 * that was created and dropped in its place, or the second TRUNCATE of two.
 *
 * Invariant: it only reads, some rows of a few tables for a moment, after the table is restored.
 */
import type { QualifiedTable } from '../names/names.js';
import { tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { runWithin } from '../service/pool/statement-timeout.js';
import { ident, note, numberOf, sql } from '../service/sql.js';
import { type ListedTable, listWanted } from './held-tables.js';

export interface RowCount {
  readonly rows: number;
  /** about: by the server's statistics, when it was dropped. */
  readonly precision: 'exact' | 'about' | 'at least';
}

export interface Versions {
  /** Null: not counted, and no estimate. */
  readonly count: RowCount | null;
  /** Still held under the same name, newest first. */
  readonly others: readonly ListedTable[];
  /** The newest of these with rows, at least ten times as many; null: none. */
  readonly larger: { readonly table: ListedTable; readonly count: RowCount } | null;
}

/** The maximum of rows that are counted; above it the server's estimate is used. */
const ROWS_COUNTED_MAX = 1_000;
/** For all counts of one table together. */
const COUNT_MS = 300;
/** Others whose rows are counted, from the newest on. */
const OTHERS_COUNTED = 5;
const TIMES_MORE = 10;

/** `to`: the present name. Does not reject for errors of the server or the pool. */
export async function readVersions(
  pool: ServicePool,
  { id, origin, rowEstimate }: Pick<ListedTable, 'id' | 'origin' | 'rowEstimate'>,
  to: QualifiedTable,
): Promise<Versions> {
  const endMs = performance.now() + COUNT_MS;
  const count = await countRows(pool, { ...to, rowEstimate }, endMs);
  const wanted = origin === null ? [] : [origin];
  const { value: found } = await tolerantly(() => listWanted(pool, wanted));
  const others = found.filter((other) => other.id !== id);
  const whole = others.filter(({ state, torn, unseen }) => state === 'HOLD' && !torn && !unseen);
  for (const table of count === null ? [] : whole.slice(0, OTHERS_COUNTED)) {
    const { holdSchema, holdName, rowEstimate: estimate } = table;
    const held = { schema: holdSchema, table: holdName, rowEstimate: estimate };
    const more = await countRows(pool, held, endMs);
    const isFar = more !== null && more.rows > 0 && more.rows >= TIMES_MORE * (count?.rows ?? 0);
    if (isFar) return { count, others, larger: { table, count: more } };
  }
  return { count, others, larger: null };
}

async function countRows(
  pool: ServicePool,
  { schema, table, rowEstimate }: QualifiedTable & Pick<ListedTable, 'rowEstimate'>,
  endMs: number,
): Promise<RowCount | null> {
  const query = sql`SELECT ${note('versions')} COUNT(*) AS found
    FROM (SELECT 1 FROM ${ident(schema, table)} LIMIT ${ROWS_COUNTED_MAX}) AS counted`;
  const { value } = await tolerantly(
    async () => (await runWithin(pool, [query], { withinMs: endMs - performance.now() })) ?? [],
  );
  const [row] = value;
  const rows = row === undefined ? null : numberOf(row, 'found');
  if (rows !== null && rows < ROWS_COUNTED_MAX) return { rows, precision: 'exact' };
  if (rowEstimate !== null && rowEstimate > (rows ?? 0))
    return { rows: rowEstimate, precision: 'about' };
  return rows === null ? null : { rows, precision: 'at least' };
}

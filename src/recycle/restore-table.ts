/**
 * Finishes the restore of a table that has its name: reattaches foreign keys and triggers. The
 * report also compares it with others of its name.
 */

import { tolerantly } from '../connections/errors.js';
import { runWithin } from '../connections/pool/statement-timeout.js';
import { col, ident, note, type ServicePool, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { type BrokenKey, findBrokenRows } from '../held/foreign-keys/broken-rows.js';
import type { ReattachedKey, ReattachOptions } from '../held/foreign-keys/reattach.js';
import { type QualifiedTable, writtenName } from '../names/names.js';
import { type DroppedTable, type KnownTable, listWanted } from './held-tables.js';
import { makeWhole, NOTHING_REATTACHED, problemsOf, type ReattachReport } from './make-whole.js';
import type { Placed } from './place-tables.js';

export interface RestoreReport
  extends ReattachReport,
    Versions,
    Pick<KnownTable, 'id' | 'dropId' | 'origin' | 'droppedAt' | 'how' | 'user' | 'rowEstimate'> {
  readonly restoredAs: QualifiedTable;
  /**
   * It had its name already; an earlier restore was interrupted before its keys and triggers were
   * reattached.
   */
  readonly wasBack: boolean;
  /** Foreign keys of the table, and of others to it, that rows break or may break. */
  readonly brokenKeys: readonly BrokenKey[];
  /** After a swap: the id under which the live table is held; null: no table had the name. */
  readonly swapped?: string | null;
  readonly recorded: Placed['recorded'];
}

/** The parts that it lacks; another schema gets no triggers. */
export function lackingOf({ origin, restoredAs, ...report }: RestoreReport): readonly string[] {
  const isCopy = origin !== null && origin.schema !== restoredAs.schema;
  return problemsOf(report.id, isCopy ? { ...report, triggers: [] } : report);
}

/** How the tables of one request are finished. */
export interface Finishing extends Pick<ReattachOptions, 'anyParent' | 'back' | 'wholeSchema'> {
  /** Keys that had waited for one of the tables, and were added. */
  readonly waited: readonly ReattachedKey[];
  /** Keys that rows break, so far; each is reported once. */
  readonly broken: Map<string, BrokenKey>;
}

/**
 * Reattaches the keys and triggers, and creates the report. Rejects with UNDROP_KEYS_LEFT after a
 * swap: both tables were renamed, and a foreign key may still change the rows that are held now.
 */
export async function finishRestored(
  pool: ServicePool,
  done: Placed,
  { waited, broken, ...options }: Finishing,
): Promise<RestoreReport> {
  const { plan, recorded, isComplete = false, swapped, left = null } = done;
  const { table, to, wasBack } = plan;
  const { id, dropId, origin, droppedAt, how, user, rowEstimate } = table;
  const own = writtenName(to);
  const cameBack = isComplete ? NOTHING_REATTACHED : await makeWhole(pool, { id, ...options }, to);
  // A schema may have thousands of tables.
  const isOne = options.wholeSchema !== true;
  const found = isOne ? await findBrokenRows(pool, to) : [];
  const brokenKeys = found.filter(({ table: child, name }) => !broken.has(`${child} ${name}`));
  for (const key of brokenKeys) broken.set(`${key.table} ${key.name}`, key);
  const versions = isOne ? await readVersions(pool, table, to) : NO_VERSIONS;
  if (left?.binds !== undefined) {
    const tables = `The held table is restored as ${own}, and the one before it (${swapped}) is`;
    throw new UndropError('UNDROP_KEYS_LEFT', { tables, why: left.text });
  }
  const foreignKeys = [...cameBack.foreignKeys, ...waited.filter(({ parent }) => parent === own)];
  const what = { id, dropId, origin, restoredAs: to, droppedAt, how, user, rowEstimate };
  // A key to it that doesn't fit is off the live table until a swap back.
  const lost = left?.todo === 'detach' ? left.text : null;
  const report = {
    ...cameBack,
    foreignKeys,
    foreignKeysProblem: lost ?? cameBack.foreignKeysProblem,
    ...what,
    ...versions,
    brokenKeys,
    recorded,
    wasBack,
  };
  return swapped === undefined ? report : { ...report, swapped };
}

// ── others of its name ───────────────────────────────────────────────────────────────────────────
// Compares a restored table with others of its name: its number of rows, the other held tables, and
// which of these has far more rows, because the newest may not be the intended one: an empty table
// that was created and dropped in its place, or the second TRUNCATE of two. It only reads, some
// rows of a few tables for a moment, after the table is restored.

export interface RowCount {
  readonly rows: number;
  /** about: by the server's statistics, when it was dropped. */
  readonly precision: 'exact' | 'about' | 'at least';
}

const NO_VERSIONS: Versions = { count: null, others: [], larger: null };

interface Versions {
  /** Null: not counted, and no estimate. */
  readonly count: RowCount | null;
  /** Still held under the same name, newest first. */
  readonly others: readonly DroppedTable[];
  /** The newest of these with rows, at least ten times as many; null: none. */
  readonly larger: { readonly table: DroppedTable; readonly count: RowCount } | null;
}

/** The maximum of rows that are counted; above it the server's estimate is used. */
const ROWS_COUNTED_MAX = 1_000;
/** For all counts of one table together. */
const COUNT_MS = 300;
/** Others whose rows are counted, from the newest on. */
const OTHERS_COUNTED = 5;
const TIMES_MORE = 10;

/** `to`: the present name. Does not reject for errors of the server or the pool. */
async function readVersions(
  pool: ServicePool,
  { id, origin, rowEstimate }: Pick<DroppedTable, 'id' | 'origin' | 'rowEstimate'>,
  to: QualifiedTable,
): Promise<Versions> {
  const endMs = performance.now() + COUNT_MS;
  const count = await countRows(pool, { ...to, rowEstimate }, endMs);
  const { value: found } = await tolerantly(async () =>
    origin === null ? [] : listWanted(pool, { by: 'name', ...origin }),
  );
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
  { schema, table, rowEstimate }: QualifiedTable & Pick<DroppedTable, 'rowEstimate'>,
  endMs: number,
): Promise<RowCount | null> {
  const query = sql`SELECT ${note('versions')} COUNT(*) AS found
    FROM (SELECT 1 FROM ${ident(schema, table)} LIMIT ${ROWS_COUNTED_MAX}) AS counted`;
  const { value } = await tolerantly(
    async () => (await runWithin(pool, [query], { withinMs: endMs - performance.now() })) ?? [],
  );
  const [row] = value;
  const rows = row === undefined ? null : col.number(row, 'found');
  if (rows !== null && rows < ROWS_COUNTED_MAX) return { rows, precision: 'exact' };
  if (rowEstimate !== null && rowEstimate > (rows ?? 0))
    return { rows: rowEstimate, precision: 'about' };
  return rows === null ? null : { rows, precision: 'at least' };
}

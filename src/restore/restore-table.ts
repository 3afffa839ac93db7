/**
 * Restores one held table by its plan: gives it its name by one atomic RENAME, updates the ledger,
 * and reattaches foreign keys and triggers. The report also compares it with others of its name.
 *
 * Invariant: the loser of a race (against the collector, another restore, a DBA) changes nothing.
 */
import { UndropError } from '../errors.js';
import { type BrokenKey, findBrokenRows } from '../held/foreign-keys/broken-rows.js';
import type { ReattachedKey, ReattachOptions } from '../held/foreign-keys/reattach.js';
import {
  asRestorer,
  markRestoring,
  takeOverRestore,
  untold,
} from '../ledger/table-restores.js';
import { recordState } from '../ledger/write.js';
import { type QualifiedTable, writtenName } from '../names/names.js';
import { tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { runWithin } from '../service/pool/statement-timeout.js';
import * as col from '../service/columns.js';
import { ident, note, sql } from '../service/sql.js';
import { type DroppedTable, type ListedTable, listWanted } from './held-tables.js';
import { takeLeftOver } from './left-over.js';
import { addWaitingKeys, makeWhole, type ReattachReport } from './make-whole.js';
import {
  explainRefusal,
  type HeldPlan,
  isFateUnknown,
  notSeen,
  type RestorePlan,
} from './plan-restore.js';
import { isLiveTable, isRenamedBack, renameBack, schemaExists } from './rename-back.js';

export interface RestoreReport
  extends ReattachReport,
    Versions,
    Pick<DroppedTable, 'id' | 'origin' | 'droppedAt' | 'how' | 'user' | 'rowEstimate'> {
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
  /** False: the ledger could not be updated, recovery will do that; null: it has no row for it. */
  readonly recorded: boolean | null;
}

/** `anyParent`: `--keys` of the command. */
export interface RestoreOptions extends Pick<ReattachOptions, 'anyParent' | 'back'> {
  /** `schema.table` of those that the same request restores after it; they report its keys. */
  readonly toCome?: ReadonlySet<string>;
}

/**
 * Rejects with UNDROP_SCHEMA_MISSING, UNDROP_NAME_TAKEN, UNDROP_STATISTICS_LEFT, UNDROP_NOT_HELD,
 * UNDROP_BUSY or UNDROP_MISSING_RIGHT; then nothing was changed. If the connection breaks, the same
 * request continues. `plan`: by a list that may be some seconds old.
 */
export function restoreTable(
  pool: ServicePool,
  plan: RestorePlan,
  how: RestoreOptions = {},
): Promise<RestoreReport> {
  return asRestorer(pool, async (owner) => {
    const recorded = plan.wasBack
      ? await goOn(pool, plan, owner)
      : await renameAndRecord(pool, plan, owner).catch((error: unknown) => {
          throw explainRefusal(error, plan);
        });
    return finishRestored(pool, { ...plan, recorded }, how);
  });
}

/** Reattaches the keys and triggers of a renamed table, and creates the report. */
export async function finishRestored(
  pool: ServicePool,
  done: Pick<RestorePlan, 'table' | 'to' | 'wasBack'> & Pick<RestoreReport, 'recorded'>,
  { toCome, ...how }: RestoreOptions = {},
): Promise<RestoreReport> {
  const { table, to, wasBack, recorded } = done;
  const { id, logged } = table;
  const own = writtenName(to);
  const cameBack = await makeWhole(pool, { id, logged, ...how }, to);
  const schemas = [...new Set([to.schema, table.origin?.schema ?? to.schema])];
  const parents = { schemas, tables: [to.table] };
  const { value: keysToIt } = await tolerantly(() => addWaitingKeys(pool, parents));
  const isLeft = ({ parent }: ReattachedKey) => toCome?.has(parent) === true;
  const left = new Set(cameBack.foreignKeys.filter(isLeft).map(({ name }) => name));
  const broken = await findBrokenRows(pool, to);
  const brokenKeys = broken.filter(
    ({ name, table: child }) => !toCome?.has(child) && !(child === own && left.has(name)),
  );
  const versions = await readVersions(pool, table, to);
  const { origin, droppedAt, user, rowEstimate } = table;
  const what = { id, origin, restoredAs: to, droppedAt, how: table.how, user, rowEstimate };
  const told = cameBack.foreignKeys.filter((key) => !key.isAwaiting || !isLeft(key));
  const foreignKeys = [...told, ...keysToIt];
  return { ...cameBack, foreignKeys, ...what, ...versions, brokenKeys, recorded, wasBack };
}

/** Continues a restore without an owner. */
async function goOn(
  pool: ServicePool,
  { table, row, to }: Extract<RestorePlan, { wasBack: true }>,
  owner: number,
): Promise<boolean | null> {
  if (await takeOverRestore(pool, row, owner)) return tellRestored(pool, table, to);
  const cause = 'its restore is being finished';
  throw new UndropError('UNDROP_BUSY', { table: writtenName(to), cause });
}

async function renameAndRecord(
  pool: ServicePool,
  { table, to }: HeldPlan,
  owner: number,
): Promise<boolean | null> {
  await assertPlaced(pool, { table, to });
  const { id, holdSchema, holdName, logged } = table;
  await takeLeftOver(pool, id);
  const takeBack = await markRestoring(pool, id, { to, owner });
  const what = { id, holdSchema, to };
  try {
    await renameBack(pool, { ...what, holdName, logged });
  } catch (error) {
    if (!isFateUnknown(error)) {
      await takeBack();
      throw error;
    }
    const { value } = await tolerantly(async () => [await isRenamedBack(pool, what)]);
    if (!value.includes(true)) throw error;
  }
  return tellRestored(pool, table, to);
}

/** The table is seen, and the schema that it gets into exists. */
async function assertPlaced(
  pool: ServicePool,
  { table, to: { schema } }: Pick<HeldPlan, 'table' | 'to'>,
): Promise<void> {
  if (table.unseen) throw notSeen(table);
  if (await schemaExists(pool, schema)) return;
  throw new UndropError('UNDROP_SCHEMA_MISSING', { id: table.id, schema });
}

/** Updates the ledger; the table stays restored even if this fails. */
export async function tellRestored(
  pool: ServicePool,
  table: Pick<RestorePlan['table'], 'id' | 'rowLogged'>,
  to: QualifiedTable,
): Promise<boolean | null> {
  if (table.rowLogged === null) return null;
  const { id, rowLogged } = table;
  const what = { id, state: 'restored', restoredAs: writtenName(to), rowLogged } as const;
  return untold(() => recordState(pool, what));
}

/**
 * A replacement of `restoreTable` that returns the plan, or its refusal, as far as a read can tell.
 */
export function previewing(
  pool: ServicePool,
  { swaps }: { readonly swaps: boolean },
): (plan: RestorePlan) => Promise<RestorePlan> {
  const given = new Set<string>();
  return async (plan) => {
    if (plan.wasBack) return plan;
    const { id } = plan.table;
    const { schema, table } = plan.to;
    await assertPlaced(pool, plan);
    const isLive = !swaps && (await isLiveTable(pool, { id, ...plan.to }));
    const name = `${schema}.${table}`;
    if (isLive || given.has(name)) throw new UndropError('UNDROP_NAME_TAKEN', { id, table: name });
    given.add(name);
    return plan;
  };
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

interface Versions {
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
async function readVersions(
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
  const rows = row === undefined ? null : col.number(row, 'found');
  if (rows !== null && rows < ROWS_COUNTED_MAX) return { rows, precision: 'exact' };
  if (rowEstimate !== null && rowEstimate > (rows ?? 0))
    return { rows: rowEstimate, precision: 'about' };
  return rows === null ? null : { rows, precision: 'at least' };
}

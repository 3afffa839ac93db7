/**
 * What an interrupted DROP VIEW left: the definitions of its views in the ledger, and views that
 * are there still, or not. Changes the ledger only, never a view.
 *
 * Invariant: a definition is given up only where the view is there as it was, and its owner is gone
 * from the server or has had its answer.
 */
import {
  findViewDrops,
  forgetViewDrops,
  recordViewsKept,
  VIEW_DROPS_MAX,
  type ViewRow,
} from '../ledger/views.js';
import { turnPage, type Walk } from '../ledger/walk.js';
import type { Log } from '../log.js';
import { isSameView, showView } from '../moves/view-definition.js';
import type { ServicePool } from '../service/pools.js';
import { livingOwners } from './living-owners.js';
import { isOfOneRow } from './of-one-row.js';

export interface SettledViews {
  /** Ids of views that are gone. */
  readonly kept: readonly string[];
  /** Of those that are there as they were. */
  readonly forgotten: readonly string[];
  /** Somebody is in the middle of it, or it can't be looked at. */
  readonly untouched: readonly string[];
}

export async function settleViews(
  pool: ServicePool,
  {
    activeIds,
    log,
    walk = { behind: null },
  }: {
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    /** Where the last round has stopped; default: from the newest on. */
    readonly walk?: Walk;
  },
): Promise<SettledViews> {
  const before = new Set(activeIds);
  const rows = await findViewDrops(pool, 'dropping', walk);
  turnPage(walk, rows, VIEW_DROPS_MAX);
  if (rows.length === 0) return { kept: [], forgotten: [], untouched: [] };
  const alive = await livingOwners(pool, rows);
  const isOpen = ({ id }: ViewRow) => before.has(id) || activeIds.has(id) || alive.has(id);
  const ended = rows.filter((row) => !isOpen(row));
  const kept: string[] = [];
  const forgotten: string[] = [];
  const untouched = rows.filter(isOpen).map(({ id }) => id);
  for (const row of ended) {
    try {
      const settled = await settleEndedViews(pool, [row]);
      kept.push(...settled.kept);
      forgotten.push(...settled.forgotten);
    } catch (error) {
      if (!isOfOneRow(error)) throw error;
      const { id, schema, view } = row;
      untouched.push(id);
      log.warn({ id, view: `${schema}.${view}`, err: error }, 'a DROP VIEW could not be settled');
    }
  }
  const settled = { kept, forgotten };
  if (ended.length > 0) log.info(settled, 'an interrupted DROP VIEW was looked after');
  return { ...settled, untouched };
}

/** Of a statement that can't happen any more. Rejects where a view can't be looked at. */
export async function settleEndedViews(
  pool: ServicePool,
  rows: readonly ViewRow[],
): Promise<Pick<SettledViews, 'kept' | 'forgotten'>> {
  const there = new Set<string>();
  for (const { id, schema, view, definition } of rows) {
    const now = await showView(pool, { id, schema, view });
    if (now !== null && isSameView(now.definition, definition)) there.add(id);
  }
  const kept = rows.filter(({ id }) => !there.has(id));
  const forgotten = rows.filter(({ id }) => there.has(id));
  await recordViewsKept(pool, kept);
  await forgetViewDrops(pool, forgotten);
  return { kept: kept.map(({ id }) => id), forgotten: forgotten.map(({ id }) => id) };
}

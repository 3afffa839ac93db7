/**
 * The parts that another statement still had to add to a table when it was dropped again: a
 * TRUNCATE its foreign keys and triggers, a restore its keys, CHECKs and triggers. The row of that
 * drop lacks them, and the other statement doesn't find the table any more; so the row gets them
 * before the table comes back, and the restore adds them, or names those that are missing.
 */

import { tolerantly } from '../connections/errors.js';
import { col, note, type ServicePool, sql } from '../connections/sql.js';
import {
  type Detached,
  hasDetached,
  mergeDetached,
  NOTHING_DETACHED,
  recordDetached,
} from '../ledger/detached/detached.js';
import { howDropped, type LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { sameName } from '../ledger/selection.js';
import { LEDGER } from '../ledger/tables.js';
import { foldName, isSameName, writtenName } from '../names/names.js';
import { isSameDefinition } from './rename-back.js';

/** The newest of that name. */
const ROWS_MAX = 20;
/** Between the RENAME of a TRUNCATE and that of the drop that found its work undone. */
const BESIDE_MS = 60_000;
/** The same if the work was done, to the table with which the drop replaced it. */
const AT_ONCE_MS = 2_000;
/** The ledger has whole seconds; the order of what is not further apart is unknown. */
const CLOCK_MS = 1_000;

/** True: its row has them now. Does not reject for errors of the server or the pool. */
export async function takeLeftOver(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  const { value } = await tolerantly(async () => {
    const detached = await findLeftOver(pool, row);
    if (!hasDetached(detached)) return [];
    return [await recordDetached(pool, { id: row.id, detached, definition: null })];
  });
  return value.includes(true);
}

/** The tables of a schema, in lower case, for which there may be some. */
export async function namesWithLeftOver(
  pool: ServicePool,
  schema: string,
): Promise<ReadonlySet<string>> {
  const { value } = await tolerantly(async () => {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('read')} DISTINCT table_name AS name FROM ${LEDGER}
          WHERE ${sameName(sql`schema_name`, schema)} AND (
            state = 'restored' AND failure IS NOT NULL
            OR detached LIKE '%"isLost":true%' OR detached LIKE '%"isDone":false%'
            OR detached LIKE '%"triggers":[{%' AND statement_text LIKE '%TRUNCATE%')`,
    );
    return rows.map((row) => foldName(col.text(row, 'name')));
  });
  return new Set(value);
}

async function findLeftOver(pool: ServicePool, row: LedgerRow): Promise<Detached> {
  const { schema, table, state } = row;
  // An intent is put back, as it was.
  if (state === 'intent') return NOTHING_DETACHED;
  const rows = await findRows(pool, { by: 'name', schema, table }, { rowsMax: ROWS_MAX });
  const others = rows.filter((other) => other.id !== row.id && isSameDefinition(other, row));
  const isOwn = ({ id, droppedAt }: LedgerRow) => !isAnother(row, { id, since: droppedAt }, rows);
  // Without keys its definition wasn't recorded.
  const copied = row.definition === null ? rows.filter(({ id }) => id !== row.id) : others;
  const truncated = [row, ...copied].filter(isOwn).map((one) => leftByTruncate(one, row));
  const left = [...truncated, ...leftByRestores(others, row, rows)];
  const { keysOut, triggers, checks } = left.reduce(mergeDetached, NOTHING_DETACHED);
  // Parts that the table had when it was dropped are newer.
  const besides = <T extends { readonly name: string }>(more: readonly T[], own: readonly T[]) =>
    more.filter(({ name }) => !own.some((one) => isSameName(one.name, name)));
  return {
    keysOut: besides(keysOut, row.detached.keysOut),
    keysIn: [],
    triggers: besides(triggers, row.detached.triggers),
    checks: besides(checks, row.detached.checks),
  };
}

/**
 * The keys and triggers that a TRUNCATE should have added to the empty table that took the name; if
 * that one was emptied itself, the keys that it passed on.
 */
function leftByTruncate(truncated: LedgerRow, row: LedgerRow): Detached {
  const apart = Math.abs(apartMs(truncated.droppedAt, row));
  if (apart > BESIDE_MS) return NOTHING_DETACHED;
  const keysOut = truncated.detached.keysIn.flatMap((child) => {
    const { childSchema, childTable, key, isDone, isLost } = child;
    const isOwn = isSameName(childSchema, row.schema) && isSameName(childTable, row.table);
    const isLeft = truncated === row || !isDone || isLost === true;
    return isOwn && (isLeft || (isReplaced(row) && isBare(row) && apart <= AT_ONCE_MS))
      ? [key]
      : [];
  });
  const isJustAfter =
    howDropped(truncated) === 'TRUNCATE' && truncated.id < row.id && apart <= AT_ONCE_MS;
  const triggers =
    isJustAfter && row.detached.triggers.length === 0 ? truncated.detached.triggers : [];
  return { ...NOTHING_DETACHED, keysOut, triggers };
}

type Restored = LedgerRow & { readonly endedAt: Date };

/** Parts of the last restore before this drop, and of all that may have ended just before it. */
function leftByRestores(
  others: readonly LedgerRow[],
  row: LedgerRow,
  rows: readonly LedgerRow[],
): readonly Detached[] {
  const name = writtenName(row);
  const isBefore = (other: LedgerRow): other is Restored =>
    other.state === 'restored' &&
    other.restoredAs === name &&
    other.endedAt !== null &&
    other.endedAt.getTime() <= row.stateSince.getTime() + CLOCK_MS;
  const restores = others.filter(isBefore);
  const last = Math.max(...restores.map(({ endedAt }) => endedAt.getTime()));
  return restores
    .filter((one) => one.endedAt.getTime() === last || apartMs(one.endedAt, row) <= CLOCK_MS)
    .filter((one) => {
      // Dropped in the same second with parts that the restored table lacks: before it.
      const isEarlier = (dropped: LedgerRow) =>
        Math.abs(apartMs(one.endedAt, dropped)) <= CLOCK_MS && !isBare(dropped);
      const later = one.pendingWork !== null ? rows.filter((dropped) => !isEarlier(dropped)) : rows;
      return !isAnother(row, { id: one.id, since: one.endedAt }, later);
    })
    .filter((one) => !isExchangedFor(one, row, others))
    .map((one) => leftByRestore(one, row));
}

/**
 * All parts if the drop came while the restore had not ended, or just then and replaced the table;
 * later only those that are known to be missing.
 */
function leftByRestore(restored: Restored, row: LedgerRow): Detached {
  const { keysOut, triggers, checks } = restored.detached;
  const all = { keysOut, keysIn: [], triggers, checks };
  const todo = restored.pendingWork?.todo;
  const hasAll = restored.pendingWork === null;
  // It may have added them to the table that took the name as fast.
  if (hasAll && !isReplaced(row)) return NOTHING_DETACHED;
  const ms = apartMs(restored.endedAt, row);
  if (isBare(row) ? ms <= (hasAll ? AT_ONCE_MS : BESIDE_MS) : !hasAll && ms <= AT_ONCE_MS) {
    return all;
  }
  return {
    ...NOTHING_DETACHED,
    keysOut: todo === 'keys' ? keysOut : [],
    triggers: todo === 'triggers' ? triggers : [],
  };
}

/** Whether the swap that restored `restored` is what took this table away: it had its own parts. */
function isExchangedFor(
  restored: LedgerRow,
  row: LedgerRow,
  others: readonly LedgerRow[],
): boolean {
  const { endedAt } = restored;
  const isOfThen = (one: LedgerRow) =>
    howDropped(one) === 'SWAP' && endedAt !== null && Math.abs(apartMs(endedAt, one)) <= CLOCK_MS;
  return isOfThen(row) && !others.some((other) => other.id < row.id && isOfThen(other));
}

/** Whether the table that had the name since then was dropped before this one. */
function isAnother(
  row: LedgerRow,
  first: { readonly id: string; readonly since: Date },
  rows: readonly LedgerRow[],
): boolean {
  return rows.some((one) => {
    const how = howDropped(one);
    const ms = apartMs(first.since, one);
    // A swap has exchanged the one before it; an emptied table goes on as its ghost table.
    const isDropped = how === 'SWAP' ? ms > 0 : how !== 'TRUNCATE' && ms >= 0;
    return isDropped && one.state !== 'intent' && one.id > first.id && one.id < row.id;
  });
}

/** The statement that dropped it gave the name to another table. */
function isReplaced(row: LedgerRow): boolean {
  return ['TRUNCATE', 'REPLACE', 'SWAP'].includes(howDropped(row) ?? '');
}

/** It had no part that a restore would add; a table that was made anew often has some. */
function isBare({ detached: { keysOut, triggers, checks } }: LedgerRow): boolean {
  return keysOut.length + triggers.length + checks.length === 0;
}

function apartMs(earlier: Date, { droppedAt }: LedgerRow): number {
  return droppedAt.getTime() - earlier.getTime();
}

/**
 * `changeHold` gives a held table another due time, by a RENAME to another hold name; the ledger
 * follows, with its restore script. An operator lengthens, pins and ends a hold by it.
 *
 * Invariants: renames a hold name to a hold name of the same id, in the same schema. The loser of a
 * race (against the collector, a restore, another change) changes nothing. Only an explicit `end`
 * makes a hold shorter than `holdMsMin` from the drop; a pinned table can't be ended, nor can a
 * locked one before its time. A lock is in the ledger before the name changes.
 */

import { isKilled } from '../connections/errors.js';
import { idsWith, listHoldTables } from '../connections/hold-tables.js';
import { runWithTimeout } from '../connections/pool/statement-timeout.js';
import type { ServiceConnection } from '../connections/sql.js';
import { ident, note, readNow, type ServicePool, sql } from '../connections/sql.js';
import { formatDuration, timeText } from '../duration.js';
import { UndropError } from '../errors.js';
import { wakeCollectors } from '../ledger/control.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRowsIfAny } from '../ledger/read.js';
import { isWritten } from '../ledger/table-restores.js';
import { LEDGER } from '../ledger/tables.js';
import { recordOutcome } from '../ledger/write.js';
import { formatHoldName, isPinned, isSameName, PINNED_UNTIL } from '../names/names.js';
import { findDropped, nameOrId, noSuchHeld, withFate } from './find-dropped.js';
import type { DroppedTable } from './held-tables.js';
import { newestWhole, notSeen } from './plan-restore.js';
import { explainRename } from './rename-back.js';

/**
 * `dueBefore`: the due time before; `table.due` is the new one. `recorded`: false: the ledger could
 * not be updated, recovery will do that; null: it has no row for the table.
 */
export type HoldReport = Readonly<Awaited<ReturnType<typeof changeHold>>>;

export type ChosenHeld = Readonly<ReturnType<typeof newestHeld>>;

/** The table that matches. Rejects with UNDROP_NO_SUCH_HELD or UNDROP_AMBIGUOUS. */
export async function findHeld(pool: ServicePool, target: string): Promise<ChosenHeld> {
  try {
    return newestHeld(await findDropped(pool, target), target);
  } catch (error) {
    throw await withFate(pool, { target, error });
  }
}

/**
 * The one that a restore takes. `others`: further ones in HOLD of its name, which stay as they are.
 * `found`: newest first.
 */
export function newestHeld(found: readonly DroppedTable[], target: string) {
  const table = newestWhole(found);
  if (table === undefined) throw noSuchHeld(target);
  return { table, others: found.filter((one) => one !== table && one.state === 'HOLD') };
}

/**
 * Rejects with UNDROP_HOLD_NOT_CHANGED, UNDROP_TORN, UNDROP_NOT_HELD, UNDROP_BUSY,
 * UNDROP_READ_ONLY or UNDROP_MISSING_RIGHT; then nothing was changed. May run twice.
 */
export async function changeHold(
  pool: ServicePool,
  table: DroppedTable,
  { change, holdMsMin }: { readonly change: HoldChange; readonly holdMsMin: number },
) {
  const { id, holdSchema, holdName, due: dueBefore } = table;
  if (table.unseen) throw notSeen(table);
  const [row] = await findRowsIfAny(pool, { by: 'ids', ids: [id] });
  if (row?.state === 'intent') {
    throw notChanged(table, 'the statement that dropped it is not over yet', 'Try again.');
  }
  const lockedUntil = row?.lockedUntil ?? null;
  const now = await readNow(pool);
  const locks = change.kind === 'until' && change.locks === true;
  const planned = planHold({ ...table, lockedUntil }, change, { now, holdMsMin });
  // A lock always changes the name, so that nobody ends the hold meanwhile by the old one.
  const isNew = !locks || planned.getTime() !== dueBefore.getTime();
  const due = isNew ? planned : new Date(planned.getTime() + 1_000);
  const newName = formatHoldName({ state: 'HOLD', id, due });
  const changed = { ...table, holdName: newName, due, lockedUntil: locks ? due : lockedUntil };
  if (locks && row === undefined) throw notChanged(table, 'the ledger has no row for it', PIN_IT);
  if (locks) await lock(pool.logging(row?.rowLogged !== false), { id, due });
  if (isSameName(newName, holdName)) return { table, dueBefore, recorded: row ? true : null };
  const from = ident(holdSchema, holdName);
  const rename = sql`RENAME ${note('hold', id)} TABLE ${from} TO ${ident(holdSchema, newName)}`;
  try {
    await runWithTimeout(pool.logging(table.logged), rename);
  } catch (error) {
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if (!isKilled(error) || !(await isNamed(pool, changed))) {
      const held = `${holdSchema}.${holdName}`;
      throw explainRename(error, { id, schema: holdSchema, busy: held, held }) ?? error;
    }
  }
  const recorded = row === undefined ? null : await record(pool, row, { changed, dueBefore });
  await isWritten(() => wakeCollectors(pool));
  return { table: changed, dueBefore, recorded };
}

const PIN_IT = 'Pin it: `undrop hold --pin`.';

async function lock(
  connection: ServiceConnection,
  { id, due }: { readonly id: string; readonly due: Date },
): Promise<void> {
  await connection.run(
    sql`UPDATE ${note('hold', id)} ${LEDGER}
        SET locked_until = GREATEST(COALESCE(locked_until, ${due}), ${due}) WHERE id = ${id}`,
  );
}

/** The new due time stays even if this fails. */
async function record(
  pool: ServicePool,
  { id, relocated, pendingWork }: LedgerRow,
  { changed, dueBefore }: { readonly changed: DroppedTable; readonly dueBefore: Date },
): Promise<boolean> {
  const { holdSchema, holdName, due } = changed;
  const lengthened = isPinned(dueBefore) || due > dueBefore;
  const outcome = { id, holdSchema, holdName, relocated, pendingWork, lengthened };
  return isWritten(() => recordOutcome(pool, { tables: [outcome] }));
}

async function isNamed(pool: ServicePool, table: DroppedTable): Promise<boolean> {
  const found = await listHoldTables(pool, [table.holdSchema], [idsWith(table.id)]);
  return found.some(({ name }) => isSameName(name, table.holdName));
}

// ── the new due time ─────────────────────────────────────────────────────────────────────────────

export type HoldChange =
  /** This long from now on, in milliseconds. */
  | { readonly kind: 'for'; readonly holdMs: number }
  /** `locks`: nobody can end it before; then it is no sooner than now. */
  | { readonly kind: 'until'; readonly due: Date; readonly locks?: boolean }
  | { readonly kind: 'pin' }
  /** It may be removed at once. */
  | { readonly kind: 'end' };

/**
 * The new due time; unchanged if it is to end and is due already. `now`: by the server's clock.
 * `holdMsMin`: the shortest hold, counted from the drop.
 */
export function planHold(
  table: DroppedTable,
  change: HoldChange,
  { now, holdMsMin }: { readonly now: Date; readonly holdMsMin: number },
): Date {
  const { state, due } = table;
  if (table.torn) throw new UndropError('UNDROP_TORN', { table: nameOrId(table) });
  if (state !== 'HOLD') {
    const why = `it is in state ${state}, so its hold is over and some of its rows may be gone`;
    throw notChanged(table, why, '`undrop list --all` shows its state.');
  }
  const { lockedUntil } = table;
  const isLocked = (until: Date) =>
    lockedUntil !== null && lockedUntil > now && until < lockedUntil;
  const locked = () =>
    notChanged(table, `it is locked until ${timeText(lockedUntil ?? due)}`, LOCKED);
  if (change.kind === 'end') {
    if (isLocked(now)) throw locked();
    if (isPinned(due)) throw notChanged(table, 'it is pinned', UNPIN);
    return new Date(Math.min(due.getTime(), now.getTime()));
  }
  const next = dueAfter(change, now);
  if (next <= now) {
    const why = `expected a time in the future, found ${timeText(next)}`;
    throw notChanged(table, why, 'To end its hold, use `undrop remove`.');
  }
  if (isLocked(next)) throw locked();
  if (next >= due) return next;
  const { droppedAt } = table;
  const earliest = droppedAt === null ? due : new Date(droppedAt.getTime() + holdMsMin);
  if (next >= earliest) return next;
  const why =
    droppedAt === null
      ? 'the time of its drop is not known, so its hold cannot be shortened'
      : `expected a hold of ${formatDuration(holdMsMin)} from its drop or more (UNDROP_MIN_HOLD), ` +
        `which is until ${timeText(earliest)}, found ${timeText(next)}`;
  throw notChanged(table, why, 'Give it a longer time; `undrop remove` ends its hold at once.');
}

export const LOCKED = 'Nobody ends its hold before; it can be restored, and held for longer.';
const UNPIN = 'Unpin it first, by `undrop hold <id> --for 1h`, then remove it.';

function dueAfter(change: Exclude<HoldChange, { kind: 'end' }>, now: Date): Date {
  if (change.kind === 'pin') return PINNED_UNTIL;
  const dueMs = change.kind === 'until' ? change.due.getTime() : now.getTime() + change.holdMs;
  return new Date(Math.min(dueMs, PINNED_UNTIL.getTime()));
}

/** The refusal, with the reason and the way out. */
export function notChanged(table: DroppedTable, why: string, instead: string): UndropError {
  const params = { table: nameOrId(table), id: table.id, why, instead };
  return new UndropError('UNDROP_HOLD_NOT_CHANGED', params);
}

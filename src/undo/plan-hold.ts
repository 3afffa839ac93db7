/**
 * `planHold` decides the new due time of a held table after a request of an operator. Pure; the
 * refusals are UndropErrors.
 *
 * Invariant: only an explicit `end` makes a hold shorter than `holdMsMin` from the drop; a pinned
 * table can't be ended before it is unpinned.
 */
import { formatDuration, timeText } from '../duration.js';
import { UndropError } from '../errors.js';
import { isPinned, PINNED_UNTIL } from '../names/names.js';
import type { ListedTable } from './list.js';
import { ambiguous, findTarget } from './plan-restore.js';

export type HoldChange =
  /** This long from now on, in milliseconds. */
  | { readonly kind: 'for'; readonly holdMs: number }
  | { readonly kind: 'until'; readonly due: Date }
  | { readonly kind: 'pin' }
  /** It may be removed at once. */
  | { readonly kind: 'end' };

export interface HoldLimits {
  /** By the server's clock. */
  readonly now: Date;
  /** The shortest hold, counted from the drop. */
  readonly holdMsMin: number;
}

/** The one table in HOLD that matches; none if several have the name. */
export function findOneHeld(held: readonly ListedTable[], target: string): ListedTable {
  const found = findTarget(held, target);
  const whole = found.filter(({ state, torn }) => state === 'HOLD' && !torn);
  const [table, other] = whole.length > 0 ? whole : found;
  if (table === undefined) throw new UndropError('UNDROP_NO_SUCH_HELD', { target, fate: '' });
  if (other !== undefined) throw ambiguous(target, whole.length > 0 ? whole : found);
  return table;
}

/** The new due time; unchanged if it is to end and is due already. */
export function planHold(table: ListedTable, change: HoldChange, limits: HoldLimits): Date {
  const { state, due } = table;
  const { now, holdMsMin } = limits;
  if (table.torn) throw new UndropError('UNDROP_TORN', { table: nameOf(table) });
  if (state !== 'HOLD') {
    const why = `it is in state ${state}, so its hold is over and some of its rows may be gone`;
    throw notChanged(table, why, '`undrop list --all` shows its state.');
  }
  if (change.kind === 'end') {
    if (isPinned(due)) throw notChanged(table, 'it is pinned', UNPIN);
    return new Date(Math.min(due.getTime(), now.getTime()));
  }
  const next = dueAfter(change, now);
  if (next <= now) {
    const why = `expected a time in the future, found ${timeText(next)}`;
    throw notChanged(table, why, 'To end its hold, use `undrop remove`.');
  }
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

const UNPIN = 'Unpin it first, by `undrop hold <id> --for 1h`, then remove it.';

function dueAfter(change: Exclude<HoldChange, { kind: 'end' }>, now: Date): Date {
  if (change.kind === 'pin') return PINNED_UNTIL;
  const dueMs = change.kind === 'until' ? change.due.getTime() : now.getTime() + change.holdMs;
  return new Date(Math.min(dueMs, PINNED_UNTIL.getTime()));
}

export function notChanged(table: ListedTable, why: string, instead: string): UndropError {
  const params = { table: nameOf(table), id: table.id, why, instead };
  return new UndropError('UNDROP_HOLD_NOT_CHANGED', params);
}

function nameOf({ origin, id }: ListedTable): string {
  return origin === null ? id : `${origin.schema}.${origin.table}`;
}

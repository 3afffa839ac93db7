/** Checks the parameters of what operators ask for, by a page or by the API. */
import { AUDIT_EVENTS } from '../audit.js';
import { parseDuration } from '../duration.js';
import type { HistoryLine } from '../ledger/overview.js';
import { isHoldId } from '../names/names.js';
import { type Params, readLimit, textIn, wrongParam } from './dropped-tables.js';
import type { OperatorDoor } from './operator.js';

/** The kinds of events that the history has. */
export const HISTORY_EVENTS: readonly string[] = Object.entries(AUDIT_EVENTS).flatMap(
  ([name, { isKept }]) => (isKept ? [name] : []),
);

interface EventPage {
  readonly events: readonly HistoryLine[];
  /** The cursor of the next page; null: this is the last. */
  readonly next: string | null;
}

/** A page, newest first. Rejects with UNDROP_API_REQUEST. */
export async function readEvents(
  operator: OperatorDoor,
  params: Params,
  limit = readLimit(params['limit']),
): Promise<EventPage> {
  const [event, cursor] = [textIn(params, 'event'), textIn(params, 'cursor')];
  if (event !== null && !HISTORY_EVENTS.includes(event)) {
    throw wrongParam('event', HISTORY_EVENTS.join(', '), event);
  }
  if (cursor !== null && !isHoldId(cursor)) throw wrongParam('cursor', 'a value of "next"', cursor);
  const [who, table] = [textIn(params, 'who'), textIn(params, 'table')];
  const lines = await operator.history({ event, who, table, cursor, limit: limit + 1 });
  const events = lines.slice(0, limit);
  return { events, next: lines.length > limit ? (events.at(-1)?.seq ?? null) : null };
}

/** Throws UNDROP_API_REQUEST. */
export function pauseOf(params: Params): Parameters<OperatorDoor['pause']>[1] {
  const [time, reason] = [textIn(params, 'for'), textIn(params, 'reason')];
  const forMs = time === null ? null : parseDuration(time);
  if (time !== null && (forMs === null || forMs <= 0)) {
    throw wrongParam('for', 'a duration like 2h', time);
  }
  if (reason === null) throw wrongParam('reason', 'why the collectors are paused', reason);
  return { forMs, reason };
}

/**
 * The wishes for one drop: what its statement says in comments, and `@undrop` of its session, which
 * the drop that sees it uses up, whatever becomes of it.
 */
import { formatDuration } from '../duration.js';
import { UndropError } from '../errors.js';
import { oneWish, WISH_EXPECTED, type Wish } from '../policy/wish.js';
import { sentenceStart } from '../steps/refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import type { UserCommand } from './user-session.js';

/** The session wished for `destroy` in `@undrop`; everything is as it was, but that is used up. */
export class DestroyWished extends Error {
  readonly facts: UserFacts;

  constructor(facts: UserFacts) {
    super('the session wishes the table destroyed');
    this.facts = facts;
  }
}

/** How short a hold may be wished for, in milliseconds. */
export interface WishLimits {
  readonly holdMs: number;
  /** Default: `holdMs`, so that a wish can't shorten. */
  readonly wishMsMin?: number;
}

/** What all of them say, or why nothing is dropped. `tables`: the start of a sentence. */
export function readWishes(
  wishes: Iterable<string>,
  tables: string,
  { holdMs, wishMsMin = holdMs }: WishLimits,
): Wish | null | UndropError {
  const wish = oneWish([...wishes]);
  if (wish === null) return null;
  if ('what' in wish) {
    // A wish that isn't followed is an error: whoever wishes reads that the table is still there.
    if (wishedMs(wish) >= wishMsMin) return wish;
    const params = { tables, wish: wish.text, min: formatDuration(wishMsMin) };
    return new UndropError('UNDROP_WISH_TOO_SHORT', params);
  }
  const found = JSON.stringify(wish.odd.slice(0, 80));
  return new UndropError('UNDROP_WISH', { tables, expected: WISH_EXPECTED, found });
}

/** `destroy` is allowed or not by itself. */
function wishedMs({ what }: Wish): number {
  if (what.do === 'hold') return what.ms;
  return what.do === 'now' ? 0 : Number.POSITIVE_INFINITY;
}

/** Whether all of them are understood, and say so. */
export function areForDestroying(wishes: Iterable<string>): boolean {
  const wish = oneWish([...wishes]);
  return wish !== null && 'what' in wish && wish.what.do === 'destroy';
}

/** Where it can't be done by the statement that wishes it. */
export function notDestroyed(drop: Pick<DropRequest, 'statement'>): UndropError {
  return new UndropError('UNDROP_DESTROY', {
    tables: sentenceStart(drop),
    why: 'of a drop that is not a text of its own',
    instead: 'Send it as a DROP TABLE, with nothing around it.',
  });
}

/** Uses up the wish of the session. */
export const FORGET_WISH: UserCommand = {
  kind: 'query',
  text: Buffer.from('SET /* undrop wish */ @undrop = NULL'),
};

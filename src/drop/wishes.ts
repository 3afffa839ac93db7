/**
 * The wishes for one drop: what its statement says in comments, and `@undrop` of its session, which
 * the drop that sees it uses up, whatever becomes of it.
 */
import { UndropError } from '../errors.js';
import { oneWish, WISH_EXPECTED, type Wish } from '../policy/wish.js';
import { sentenceStart } from './next-step.js';
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

/** What all of them say, or why nothing is dropped. `tables`: the start of a sentence. */
export function readWishes(wishes: Iterable<string>, tables: string): Wish | null | UndropError {
  const wish = oneWish([...wishes]);
  if (wish === null || 'what' in wish) return wish;
  const found = JSON.stringify(wish.odd.slice(0, 80));
  return new UndropError('UNDROP_WISH', { tables, expected: WISH_EXPECTED, found });
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

/**
 * The hints for one drop: what its statement says in comments, and `@undrop` of its session, which
 * the drop that sees it uses up, whatever becomes of it.
 */
import { formatDuration } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { HINT_EXPECTED, type Hint, oneHint } from '../../policy/rules.js';
import { sentenceStart } from '../refuse.js';
import type { DropRequest, UserFacts } from '../request.js';
import type { UserCommand } from '../session/user-session.js';

/** The session hinted for `destroy` in `@undrop`; everything is as it was, but that is used up. */
export class DestroyHinted extends Error {
  readonly facts: UserFacts;

  constructor(facts: UserFacts) {
    super('the session hints the table destroyed');
    this.facts = facts;
  }
}

/** How short a hold may be hinted for, in milliseconds. */
export interface HintLimits {
  readonly holdMs: number;
  /** Default: `holdMs`, so that a hint can't shorten. */
  readonly hintMsMin?: number;
}

/** What all of them say, or why nothing is dropped. `tables`: the start of a sentence. */
export function readHints(
  hints: Iterable<string>,
  tables: string,
  { holdMs, hintMsMin = holdMs }: HintLimits,
): Hint | null | UndropError {
  const hint = oneHint([...hints]);
  if (hint === null) return null;
  if ('what' in hint) {
    // A hint that isn't followed is an error: whoever hints reads that the table is still there.
    if (hintedMs(hint) >= hintMsMin) return hint;
    const params = { tables, hint: hint.text, min: formatDuration(hintMsMin) };
    return new UndropError('UNDROP_HINT_TOO_SHORT', params);
  }
  const found = JSON.stringify(hint.odd.slice(0, 80));
  return new UndropError('UNDROP_HINT', { tables, expected: HINT_EXPECTED, found });
}

/** `destroy` is allowed or not by itself. */
function hintedMs({ what }: Hint): number {
  if (what.do === 'hold') return what.ms;
  return what.do === 'now' ? 0 : Number.POSITIVE_INFINITY;
}

/** Whether all of them are understood, and say so. */
export function areForDestroying(hints: Iterable<string>): boolean {
  const hint = oneHint([...hints]);
  return hint !== null && 'what' in hint && hint.what.do === 'destroy';
}

/** Where it can't be done by the statement that hints it. */
export function notDestroyed(drop: Pick<DropRequest, 'statement'>): UndropError {
  return new UndropError('UNDROP_DESTROY', {
    tables: sentenceStart(drop),
    why: 'of a drop that is not a text of its own',
    instead: 'Send it as a DROP TABLE, with nothing around it.',
  });
}

/** Uses up the hint of the session. */
export const FORGET_HINT: UserCommand = {
  kind: 'query',
  text: Buffer.from('SET /* undrop hint */ @undrop = NULL'),
};

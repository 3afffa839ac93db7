/**
 * What a statement says to undrop in its comments: a comment like `undrop: pin`. Pure.
 *
 * Invariant: a text that may say something is read by the session's own way of reading; where that
 * isn't known, nobody guesses.
 */

import { commentsOf } from '../../sql/lex/comments.js';
import { isFullyKnown, modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { UserFacts } from '../request.js';

/** Whether `hintsIn` has to be asked. */
export function mayHint(text: Uint8Array): boolean {
  return MENTION.test(Buffer.from(text).toString('latin1'));
}

/**
 * The hints in order, as they are written; null where nobody can tell how the text is read, or it
 * has very many comments. One in the comment of a line is given back with its dashes, and one
 * without its colon whole, and so they are none: behind a `;` the first would count for the next
 * statement.
 */
export function hintsIn(
  text: Uint8Array,
  { sqlMode, charset }: Pick<UserFacts, 'sqlMode' | 'charset'>,
  server: ServerVersion,
): readonly string[] | null {
  if (!mayHint(text)) return [];
  const mode = modeFromSqlMode(server, sqlMode, charset);
  if (!isFullyKnown(mode)) return null;
  const comments = commentsOf(text, mode);
  if (comments === null) return null;
  return comments.flatMap(({ body, isLine }) => {
    const comment = Buffer.from(body).toString('latin1');
    const [, hint = NEAR_MISS.exec(comment)?.[0]] = HINT.exec(comment) ?? [];
    if (hint === undefined) return [];
    return [isLine ? `-- ${comment.trim()}` : hint];
  });
}

const NEAR = 'undrop[\\s=]+(?:pin|now|destroy|hold\\s*=\\s*[^\\s*]{1,64}(?![^\\s*]))\\s*';
const MENTION = new RegExp(`\\bundrop\\s*:|(?:/\\*|--|#)\\s*${NEAR}(?:\\*/|\\n|$)`, 'i');
const HINT = /^\s*undrop\s*:([\s\S]*)$/i;
/** Nothing else may stand there: `undrop now holds this` is a comment like any. */
const NEAR_MISS = new RegExp(`^\\s*${NEAR}$`, 'i');

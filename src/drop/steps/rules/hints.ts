/**
 * The hints for one drop: in its statement's comments like `undrop: pin`, and in `@undrop` of its
 * session, which the next drop uses up, whatever its result.
 *
 * Invariant: a text that may contain a hint is read by the session's own mode; if that isn't known,
 * no guess is made.
 */
import { formatDuration } from '../../../duration.js';
import { UndropError } from '../../../errors.js';
import { HINT_EXPECTED, type Hint, isInsistence, oneHint } from '../../../policy/rules.js';
import { isFullyKnown, modeFromSqlMode } from '../../../sql/lex/lex-mode.js';
import { commentsOf } from '../../../sql/lex/lexer.js';
import type { ServerVersion } from '../../../wire/connection/handshake-v10.js';
import type { DropSettings } from '../drop-options.js';
import type * as steps from '../world.js';
import { sentenceStart } from '../world.js';

/** The session hinted `destroy` in `@undrop`; nothing has changed but that this is used up. */
export class DestroyHinted extends Error {
  readonly facts: steps.UserFacts;

  constructor(facts: steps.UserFacts) {
    super('the session hints the table destroyed');
    this.facts = facts;
  }
}

/** The common hint, or the refusal. */
export function readHints(
  hints: Iterable<string>,
  drop: steps.Naming,
  { holdMs, hintMsMin = holdMs }: Pick<DropSettings, 'holdMs' | 'hintMsMin'>,
): Hint | null | UndropError {
  const hint = oneHint([...hints]);
  if (hint === null) return null;
  if ('hold' in hint) {
    // A hint that isn't followed is an error, so that its user reads that the table is still there.
    // `destroy` is allowed or not on its own.
    const isAllowed = hint.destroys || hint.hold === 'pinned' || hint.hold >= hintMsMin;
    if (isAllowed) return hint;
    const params = { tables: sentenceStart(drop), hint: hint.text, min: formatDuration(hintMsMin) };
    return new UndropError('UNDROP_HINT_TOO_SHORT', params);
  }
  const found = JSON.stringify(hint.odd.slice(0, 80));
  const tables = sentenceStart(drop);
  return new UndropError('UNDROP_HINT', { tables, expected: HINT_EXPECTED, found });
}

/** The hints of a statement, and that of its session. */
export function allHints(hints: readonly string[], { hint }: steps.UserFacts): readonly string[] {
  return hint === null ? hints : [...hints, hint];
}

/** Whether all of them are understood, and are `destroy`. */
export function areForDestroying(hints: Iterable<string>): boolean {
  const hint = oneHint([...hints]);
  return hint !== null && 'hold' in hint && hint.destroys;
}

/** Whether the tables are dropped although they are in use. */
export function insists(hints: Iterable<string>): boolean {
  return [...hints].some(isInsistence);
}

/** The statement with this hint can't do it. */
export function notDestroyed(drop: Pick<steps.DropRequest, 'statement'>): UndropError {
  const why = 'in a drop that is not a query of its own';
  const instead = 'Send the DROP TABLE as a query of its own.';
  return new UndropError('UNDROP_DESTROY', { tables: sentenceStart(drop), why, instead });
}

/** UNDROP_ALLOW_DESTROY is off. */
export function notAllowed(drop: steps.Naming): UndropError {
  const instead = 'Drop it without the hint: it is held then, and can be brought back.';
  const params = { tables: sentenceStart(drop), why: 'here', instead };
  return new UndropError('UNDROP_DESTROY', params);
}

/** Uses up the hint of the session. */
export const FORGET_HINT: steps.UserCommand = {
  kind: 'query',
  text: Buffer.from('SET /* undrop hint */ @undrop = NULL'),
};

/** Whether `hintsIn` has to be called. */
export function mayHint(text: Uint8Array): boolean {
  return MENTION.test(Buffer.from(text).toString('latin1'));
}

/**
 * The hints in order, as they are written; null if the reading of the text is unknown, or it has
 * very many comments. A hint in a line's comment is returned with its dashes (after a `;` it would
 * count for the next statement), and one without its colon whole: in that form both are refused
 * with an error, so that no hint is silently ignored.
 */
export function hintsIn(
  text: Uint8Array,
  { sqlMode, charset }: Pick<steps.UserFacts, 'sqlMode' | 'charset'>,
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

const NEAR = 'undrop[\\s=]+(?:pin|now|destroy|insist|hold\\s*=\\s*[^\\s*]{1,64}(?![^\\s*]))\\s*';
const MENTION = new RegExp(`\\bundrop\\s*:|(?:/\\*|--|#)\\s*${NEAR}(?:\\*/|\\n|$)`, 'i');
const HINT = /^\s*undrop\s*:([\s\S]*)$/i;
/** Nothing else may be there: `undrop now holds this` is an ordinary comment. */
const NEAR_MISS = new RegExp(`^\\s*${NEAR}$`, 'i');

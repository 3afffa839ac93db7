/**
 * The next statement of ours in a text of several, and where the text is cut before and behind it:
 * for what is executed piece by piece, each piece looked at when its turn comes.
 *
 * Invariant: a cut is where all modes that are left open see the end of a statement.
 */
import { classifyingStatements, GUESSED_BYTES_MAX } from './classify.js';
import { hypotheses, isFullyKnown, type KnownMode, type LexMode } from './lex/lex-mode.js';
import { mayConcernName } from './named-statement.js';
import { type Reading, TooMuchWork, Work } from './reading.js';
import type { Sought } from './trigger-scan.js';
import { isSame, type Verdict } from './verdict.js';

export interface OwnPiece {
  /** Where the server begins to read it: behind the `;` before it. */
  readonly at: number;
  /** Behind its `;`. Null: the text ends with it. */
  readonly next: number | null;
  readonly verdict: Verdict;
}

export interface Ahead {
  /** The next statement of ours; null: there is none. */
  readonly ours: OwnPiece | null;
}

/** Which statements are looked at by themselves. */
export interface Wanted extends Sought {
  readonly isOurs: (verdict: Verdict) => boolean;
  /** What is none of ours, but may prepare, execute or deallocate a drop by its name, too. */
  readonly names: boolean;
}

/** Null where it depends on what `known` leaves open, or can be read in too many ways. */
export function* readingAhead(
  bytes: Uint8Array,
  known: KnownMode,
  wanted: Wanted,
): Reading<Ahead | null> {
  if (!isFullyKnown(known) && bytes.length > GUESSED_BYTES_MAX) return null;
  const work = new Work();
  let first: Ahead | null = null;
  try {
    for (const mode of hypotheses(known, bytes)) {
      if (first !== null) work.readAgain();
      const ahead: Ahead = yield* readUnder(bytes, mode, wanted, work);
      first ??= ahead;
      if (!isSame(ahead.ours, first.ours)) return null;
    }
  } catch (error) {
    if (error instanceof TooMuchWork) return null;
    throw error;
  }
  return first;
}

function* readUnder(
  bytes: Uint8Array,
  mode: LexMode,
  { isOurs, names, ...enabled }: Wanted,
  work: Work,
): Reading<Ahead> {
  const read = { multiStatements: true, ...enabled, work };
  const pieces = yield* classifyingStatements(bytes, mode, read, isOurs);
  const starts = pieces.map((_piece, index) => pieces[index - 1]?.next ?? 0);
  const found = pieces.findIndex(
    ({ verdict, next }, index) =>
      isOurs(verdict) || (names && mayConcernName(bytes, starts[index] ?? 0, next ?? bytes.length)),
  );
  const piece = pieces[found];
  if (piece === undefined) return { ours: null };
  const { next, verdict } = piece;
  return { ours: { at: starts[found] ?? 0, next, verdict } };
}

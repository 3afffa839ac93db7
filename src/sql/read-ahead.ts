/**
 * The next statement of undrop in a text of several, and where the text is cut before and after it:
 * for execution part by part, each part classified when its turn comes.
 *
 * Invariant: a cut is where all open modes see the end of a statement.
 */
import { classifyingStatements, underAllModes, type Work } from './classify.js';
import type { Protected } from './destroying.js';
import type { Source } from './grammar/table-name.js';
import type { KnownMode, LexMode } from './lex/lex-mode.js';
import { mayConcernName } from './named-statement.js';
import type { Reading } from './reading.js';
import type { StatementPart, Verdict } from './verdict.js';

export interface OwnPart extends Pick<StatementPart, 'next' | 'verdict'> {
  /** The offset where the server begins to read it: after the `;` before it. */
  readonly at: number;
}

export interface Ahead {
  /** The next statement of undrop; null: there is none. */
  readonly ours: OwnPart | null;
}

/** The statements to classify separately. */
export interface Wanted {
  readonly protect?: Protected | undefined;
  readonly isOurs: (verdict: Verdict) => boolean;
  /** Also statements that may prepare, execute or deallocate a drop by its name. */
  readonly names: boolean;
}

/** Null if it depends on a property that `known` leaves open, or can't be read. */
export function* readingAhead(
  bytes: Uint8Array,
  known: KnownMode,
  wanted: Wanted,
): Reading<Ahead | null> {
  const read = (mode: LexMode, work: Work) => readUnder({ bytes, mode }, wanted, work);
  return yield* underAllModes(bytes, known, read);
}

function* readUnder(
  source: Source,
  { isOurs, names, protect }: Wanted,
  work: Work,
): Reading<Ahead> {
  const { bytes } = source;
  const context = { options: { multiStatements: true, protect }, work, nested: 0 };
  const parts = yield* classifyingStatements(source, context, isOurs);
  const starts = parts.map((_part, index) => parts[index - 1]?.next ?? 0);
  const found = parts.findIndex(
    ({ verdict, next }, index) =>
      isOurs(verdict) || (names && mayConcernName(bytes, starts[index] ?? 0, next ?? bytes.length)),
  );
  const part = parts[found];
  if (part === undefined) return { ours: null };
  const { next, verdict } = part;
  return { ours: { at: starts[found] ?? 0, next, verdict } };
}

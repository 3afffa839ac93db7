/**
 * The effect of a text on the statements that are prepared under a name. Called only while a
 * session has a drop among them.
 *
 * Invariant: a statement that might prepare, execute or deallocate one, and isn't exactly one of
 * these statements, is `unknown`; `other` certainly does not.
 */
import { GUESSED_BYTES_MAX, underAllModes, type Work } from './classify.js';
import { type Source, takeIdentifier, takeTexts } from './grammar/table-name.js';
import { isFullyKnown, type KnownMode } from './lex/lex-mode.js';
import { endOfText, type ReadOptions, readingStatement } from './next-statement.js';
import { type Reading, readAtOnce } from './reading.js';

export type NamedStatement =
  /** `name`: as the server compares it; null if that takes more than ASCII. */
  | { readonly kind: 'prepare'; readonly name: string | null }
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'execute'; readonly name: string | null; readonly hasUsing: boolean }
  | { readonly kind: 'other' }
  /** Depends on modes that aren't known; never the result once they are. */
  | { readonly kind: 'disagree' }
  | { readonly kind: 'unknown' };

/** An EXECUTE or DEALLOCATE of a statement that was prepared under a name. */
export type CommandOnName = Extract<NamedStatement, { kind: 'execute' | 'deallocate' }>;

const WORDS = /prepare|execute|call/i;

/** A quick check: false if the text can't concern a name. */
export function mayConcernName(text: Uint8Array, start: number, end: number): boolean {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.length);
  return WORDS.test(bytes.toString('latin1', start, end));
}

export function readNamedStatement(
  bytes: Uint8Array,
  known: KnownMode,
  options: ReadOptions,
): NamedStatement {
  if (!mayConcernName(bytes, 0, bytes.length)) return { kind: 'other' };
  if (bytes.length > GUESSED_BYTES_MAX) return { kind: 'unknown' };
  const reading = underAllModes(bytes, known, (mode, work) => read({ bytes, mode }, options, work));
  return readAtOnce(reading) ?? { kind: isFullyKnown(known) ? 'unknown' : 'disagree' };
}

function* read(source: Source, options: ReadOptions, work: Work): Reading<NamedStatement> {
  const { bytes, mode } = source;
  work.add(bytes.length);
  const end = endOfText(bytes, mode);
  const statement = yield* readingStatement({ bytes, start: 0, end, mode }, options);
  if (statement.shape === 'program') return { kind: statement.isComplete ? 'other' : 'unknown' };
  if (statement.next !== null || !statement.isComplete || statement.shape !== 'plain') {
    return { kind: 'unknown' };
  }
  const tokens = [...statement.tokens];
  const name = () => plainNameOf(takeIdentifier(tokens, source)?.value ?? null);
  if (takeTexts(tokens, 'PREPARE')) return { kind: 'prepare', name: name() };
  if (takeTexts(tokens, 'DEALLOCATE', 'PREPARE') || takeTexts(tokens, 'DROP', 'PREPARE')) {
    const named = name();
    return tokens.length === 0 ? { kind: 'deallocate', name: named } : { kind: 'unknown' };
  }
  if (takeTexts(tokens, 'EXECUTE')) {
    if (tokens[0]?.text === 'IMMEDIATE') return { kind: 'unknown' };
    const named = name();
    const hasUsing = tokens[0]?.text === 'USING';
    return tokens.length === 0 || hasUsing
      ? { kind: 'execute', name: named, hasUsing }
      : { kind: 'unknown' };
  }
  return { kind: tokens[0]?.text === 'CALL' ? 'unknown' : 'other' };
}

/**
 * A name as the server compares it; null if that takes more than ASCII: all servers compare without
 * regard to case, some without regard to accents.
 */
export function plainNameOf(value: Uint8Array | null): string | null {
  const name = Buffer.from(value ?? []).toString('latin1');
  return /^[A-Za-z0-9_$]{1,64}$/.test(name) ? name.toLowerCase() : null;
}

/**
 * What a text does to the statements that are prepared under a name. Asked only while a session has
 * a drop among them.
 *
 * Invariant: whatever might prepare, execute or deallocate one, and isn't exactly one of these
 * statements, is `unknown`; `other` certainly does not.
 */
import { takeIdentifier } from './grammar/table-name.js';
import { TokenCursor } from './grammar/token-cursor.js';
import { hypotheses, isFullyKnown, type KnownMode, type LexMode } from './lex/lex-mode.js';
import { endOfText, nextStatement, type ReadOptions } from './next-statement.js';
import { isSame } from './verdict.js';

export type NamedStatement =
  /** `name`: as the server compares it; null where that takes more than ASCII. */
  | { readonly kind: 'prepare'; readonly name: string | null }
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'execute'; readonly name: string | null; readonly hasUsing: boolean }
  | { readonly kind: 'other' }
  /** One or the other, by modes that aren't known; asked again with those, it is never this. */
  | { readonly kind: 'disagree' }
  | { readonly kind: 'unknown' };

/** An EXECUTE or DEALLOCATE of what was prepared under a name. */
export type CommandOnName = Extract<NamedStatement, { kind: 'execute' | 'deallocate' }>;

/** A text isn't guessed at that has more bytes than this, over all ways to read it. */
const GUESSED_BYTES_MAX = 65_536;
const WORDS = /prepare|execute|call/i;

/** The quick look: false where the text can't concern a name. */
export function mayConcernName(text: Uint8Array, start: number, end: number): boolean {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.length);
  return WORDS.test(bytes.toString('latin1', start, end));
}

/** Whether it is one of which a syntax error is mostly about the text that it prepares. */
export function isPrepare(text: Buffer): boolean {
  // By hand: an expression for all of it tries each end of each comment with each of all others.
  const read = text.toString('latin1');
  for (let at = 0; at < read.length; ) {
    const end = read.startsWith('/*', at)
      ? read.indexOf('*/', at + 2) + 2
      : /^(?:#|--)/.test(read.slice(at, at + 2))
        ? read.indexOf('\n', at) + 1
        : /\s/.test(read.charAt(at))
          ? at + 1
          : 0;
    if (end <= at) return /^PREPARE\s/i.test(read.slice(at, at + 8));
    at = end;
  }
  return false;
}

export function readNamedStatement(
  bytes: Uint8Array,
  known: KnownMode,
  options: ReadOptions,
): NamedStatement {
  if (!mayConcernName(bytes, 0, bytes.length)) return { kind: 'other' };
  if (bytes.length > GUESSED_BYTES_MAX) return { kind: 'unknown' };
  const modes = hypotheses(known, bytes);
  if (modes.length * bytes.length > GUESSED_BYTES_MAX) {
    return { kind: modes.length > 1 && !isFullyKnown(known) ? 'disagree' : 'unknown' };
  }
  const [first, ...others] = modes.map((mode) => read(bytes, mode, options));
  if (first === undefined) return { kind: 'unknown' };
  return others.every((other) => isSame(other, first)) ? first : { kind: 'disagree' };
}

function read(bytes: Uint8Array, mode: LexMode, options: ReadOptions): NamedStatement {
  const statement = nextStatement(bytes, 0, endOfText(bytes, mode), mode, options);
  if (statement.shape === 'program') return { kind: statement.isWhole ? 'other' : 'unknown' };
  if (statement.next !== null || !statement.isWhole || statement.shape !== 'plain') {
    return { kind: 'unknown' };
  }
  const source = { bytes, mode };
  const cursor = new TokenCursor(statement.tokens);
  const name = () => plainNameOf(takeIdentifier(cursor, source)?.value ?? null);
  if (cursor.takeWords('PREPARE')) return { kind: 'prepare', name: name() };
  if (cursor.takeWords('DEALLOCATE', 'PREPARE') || cursor.takeWords('DROP', 'PREPARE')) {
    const named = name();
    return cursor.isAtEnd ? { kind: 'deallocate', name: named } : { kind: 'unknown' };
  }
  if (cursor.takeWords('EXECUTE')) {
    if (cursor.isWord('IMMEDIATE')) return { kind: 'unknown' };
    const named = name();
    const hasUsing = cursor.isWord('USING');
    return cursor.isAtEnd || hasUsing
      ? { kind: 'execute', name: named, hasUsing }
      : { kind: 'unknown' };
  }
  return { kind: cursor.isWord('CALL') ? 'unknown' : 'other' };
}

/**
 * A name as the server compares it; null where that takes more than ASCII: all servers compare
 * without regard to case, some without regard to accents.
 */
export function plainNameOf(value: Uint8Array | null): string | null {
  const name = Buffer.from(value ?? []).toString('latin1');
  return /^[A-Za-z0-9_$]{1,64}$/.test(name) ? name.toLowerCase() : null;
}

/**
 * The ordinary comments of a statement, as its server tells them from code and from literals. For
 * what clients say to undrop in them; nothing of them is executed.
 */
import type { LexMode } from './lex-mode.js';
import { Lexer } from './lexer.js';

const [LF, HASH, BANG, STAR, DASH, SLASH, UPPER_M] = [0x0a, 0x23, 0x21, 0x2a, 0x2d, 0x2f, 0x4d];

export interface Comment {
  /** Between `/*` and its end, or behind `--` or `#`. */
  readonly body: Uint8Array;
  /** It goes to the end of its line. */
  readonly isLine: boolean;
}

/** A text with more of them is not read on. */
const COMMENTS_MAX = 1_000;

/**
 * All in order, but those of versions. Empty where the text isn't read to its end, null where there
 * are more than 1,000.
 */
export function commentsOf(bytes: Uint8Array, mode: LexMode): readonly Comment[] | null {
  const lexer = new Lexer(bytes, 0, bytes.length, mode);
  const found: Comment[] = [];
  let from = 0;
  for (;;) {
    const kind = lexer.next();
    if (kind === 'error') return [];
    found.push(...commentsBetween(bytes, from, lexer.start));
    if (found.length > COMMENTS_MAX) return null;
    if (kind === 'end') return found;
    from = lexer.end;
  }
}

/** `bytes[from, to)` holds nothing but blanks and comments. */
function commentsBetween(bytes: Uint8Array, from: number, to: number): readonly Comment[] {
  const found: Comment[] = [];
  let at = from;
  while (at < to && found.length <= COMMENTS_MAX) {
    const [first, second] = [bytes[at], bytes[at + 1]];
    if (first === HASH || (first === DASH && second === DASH)) {
      const begin = at + (first === HASH ? 1 : 2);
      while (at < to && bytes[at] !== LF) at++;
      found.push({ body: bytes.subarray(begin, at), isLine: true });
    } else if (first === SLASH && second === STAR) {
      const isOfMariaDb = bytes[at + 2] === UPPER_M && bytes[at + 3] === BANG;
      const isVersion = bytes[at + 2] === BANG || isOfMariaDb;
      const end = isVersion ? null : endOfComment(bytes, at + 2, to);
      if (end !== null) found.push({ body: bytes.subarray(at + 2, end), isLine: false });
      at = end === null ? at + 3 : end + 2;
    } else at++;
  }
  return found;
}

/** Where its star stands; null: it has no end there. */
function endOfComment(bytes: Uint8Array, from: number, to: number): number | null {
  for (let at = from; at + 1 < to; at++) {
    if (bytes[at] === STAR && bytes[at + 1] === SLASH) return at;
  }
  return null;
}

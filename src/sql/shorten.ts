/**
 * Makes a long token shorter that isn't at its end yet: a string of megabytes, a comment, a number
 * in hex. What is taken out of the middle changes nothing of what the token is and where it ends,
 * so a text of any length can be lexed in a window of a few kilobytes.
 *
 * Invariant: what can't be shortened for sure is left as it is, and null says so.
 */
import { charsetTable } from './client-charset.js';
import { type LexMode, readsDollarQuotes } from './lex-mode.js';

/** Behind what is taken out so many bytes stay: the lexer looks ahead no further. */
export const LOOKAHEAD_BYTES = 16;

const [NUL, BLANK, HASH, DOLLAR, QUOTE, QUOTE2, STAR] = [0, 0x20, 0x23, 0x24, 0x27, 0x22, 42];
const [DASH, SLASH, BRACKET, BACKSLASH, BRACKET_END, BACKTICK] = [0x2d, 0x2f, 91, 92, 93, 0x60];

/** `bytes[from, to)` may be taken out. */
export interface Middle {
  readonly from: number;
  readonly to: number;
}

/**
 * The middle of the token or comment that begins at `at` and goes on behind `end`. Where it has to,
 * it writes into `bytes` before `from`.
 */
export function middleOf(bytes: Buffer, at: number, end: number, mode: LexMode): Middle | null {
  const last = end - LOOKAHEAD_BYTES;
  const [first, second] = [bytes[at] ?? 0, bytes[at + 1] ?? 0];
  if (first === HASH || (first === DASH && second === DASH)) return { from: at + 3, to: last };
  if (first === SLASH && second === STAR) return middleOfComment(bytes, at, last);
  if (first === QUOTE || (first === QUOTE2 && !mode.ansiQuotes)) {
    return middleOfString(bytes, { quoteAt: at, last, end }, mode);
  }
  if (second === QUOTE) {
    if ((first | 0x20) === 0x6e) {
      return middleOfString(bytes, { quoteAt: at + 1, last, end }, mode);
    }
    return middleOfRun(bytes, at + 2, last);
  }
  if (first === BACKTICK || first === QUOTE2) {
    return middleOfName(bytes, { quoteAt: at, last, end }, mode, first);
  }
  if (first === BRACKET && mode.squareBrackets) {
    return middleOfName(bytes, { quoteAt: at, last, end }, mode, BRACKET_END);
  }
  if (first === DOLLAR && readsDollarQuotes(mode)) return middleOfDollars(bytes, at, last);
  return middleOfRun(bytes, at, last);
}

interface Quoted {
  readonly quoteAt: number;
  readonly last: number;
  readonly end: number;
}

/** A comment that is skipped; in that of a version another one may stand. */
function middleOfComment(bytes: Buffer, at: number, last: number): Middle | null {
  const bang = bytes[at + 2] === 0x21 ? at + 3 : bytes[at + 3] === 0x21 ? at + 4 : 0;
  const isVersion = bang > 0 && (bang === at + 3 || bytes[at + 2] === 0x4d);
  let from = isVersion ? bang : at + 2;
  while (isVersion && isDigit(bytes[from] ?? 0)) from++;
  let to = last;
  // Neither the end of a comment nor the beginning of one is cut in two.
  while (to > from && (bytes[to - 1] === STAR || bytes[to - 1] === SLASH)) to--;
  let isNested = false;
  for (let index = from; isVersion && index + 1 < to; index++) {
    const [one, two] = [bytes[index], bytes[index + 1]];
    if (!isNested && one === SLASH && two === STAR) isNested = true;
    else if (isNested && one === STAR && two === SLASH) isNested = false;
    else continue;
    index++;
  }
  if (to - from < 8) return null;
  bytes[from++] = BLANK;
  if (isNested) {
    bytes[from++] = SLASH;
    bytes[from++] = STAR;
    bytes[from++] = BLANK;
  }
  return { from, to };
}

function middleOfString(
  bytes: Buffer,
  { quoteAt, last, end }: Quoted,
  mode: LexMode,
): Middle | null {
  const table = charsetTable(mode.charset);
  const quote = bytes[quoteAt];
  let at = quoteAt + 1;
  while (at < last) {
    const length = table.charLength(bytes, at, end);
    const byte = bytes[at];
    if (length > 1) at += length;
    else if (byte === BACKSLASH && !mode.noBackslashEscapes) at += 2;
    else if (byte !== quote) at++;
    else if (bytes[at + 1] === quote) at += 2;
    else return null;
  }
  return { from: quoteAt + 1, to: at };
}

function middleOfName(
  bytes: Buffer,
  { quoteAt, last, end }: Quoted,
  mode: LexMode,
  quote: number,
): Middle | null {
  const table = charsetTable(mode.charset);
  let at = quoteAt + 1;
  while (at < last) {
    const length = table.charLength(bytes, at, end);
    const byte = bytes[at];
    if (byte === NUL) return null;
    if (length > 1) at += length;
    else if (byte !== quote) at++;
    else if (bytes[at + 1] === quote) at += 2;
    else return null;
  }
  return { from: quoteAt + 1, to: at };
}

/** `$tag$ … `: anything but the tag may be in it. */
function middleOfDollars(bytes: Buffer, at: number, last: number): Middle | null {
  const tagEnd = bytes.indexOf(DOLLAR, at + 1);
  if (tagEnd < 0 || tagEnd > at + 64) return null;
  const to = last - (tagEnd - at);
  return to > tagEnd + 1 ? { from: tagEnd + 1, to } : null;
}

/** Letters and digits: `0x4142…`, `x'4142…`, which has to keep an even number of them. */
function middleOfRun(bytes: Buffer, at: number, last: number): Middle | null {
  for (let index = at; index < last; index++) {
    if (!isAsciiWord(bytes[index] ?? 0)) return null;
  }
  const from = at + LOOKAHEAD_BYTES;
  const count = Math.floor((last - from) / 2) * 2;
  return count > 0 ? { from, to: from + count } : null;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isAsciiWord(byte: number): boolean {
  const lower = byte | 0x20;
  return isDigit(byte) || byte === 0x5f || (lower >= 0x61 && lower <= 0x7a);
}

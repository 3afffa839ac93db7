/**
 * The server's lexer over bytes: MySQL's and MariaDB's `lex_one_token`, state by state, as far as
 * it decides where a token begins and ends and whether a word may be a keyword.
 *
 * Invariant: what the server would read as a word, a quoted name or a `;` is read as such here,
 * under the same mode. Comments are skipped as that server skips them and version comments are read
 * as code where it does. What ends in the middle of a literal is one `error` token that reaches to
 * the end, as there the server stops, too. It throws only where a token has more than 16 MiB.
 */

import { TooMuchWork } from '../reading.js';
import { isRecycleToken } from '../recycle-name.js';
import { type CharsetTable, charsetTable, isTwoByte } from './client-charset.js';
import { isBetweenVersions, type LexMode, readsDollarQuotes, readsSixDigits } from './lex-mode.js';

/**
 * `word`: unquoted, may be a keyword. `name`: quoted, or unquoted where no keyword can be (beside a
 * dot, behind `@`). `symbol`: one other byte.
 */
export type TokenKind = 'word' | 'name' | 'string' | 'number' | 'symbol' | 'error' | 'end';

/** A copy of the lexer's token. Offsets are of the text that the lexer reads. */
export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  /** Behind the last byte. */
  readonly end: number;
  /** Upper-case ASCII of a word, the character of a symbol; else empty. */
  readonly text: string;
  /** The quote of a quoted name (`[` for brackets) or of a string; else 0. */
  readonly quote: number;
}

type NextState = 'start' | 'dot' | 'after-dot' | 'host' | 'system-variable' | 'variable-name';

const WORD_BYTES_MAX = 64;
const LEAP_BYTES_MAX = 16 * 1024 * 1024;
const LEGACY_VERSION_MIN = 50700;
const LEGACY_VERSION_MAX = 99999;
const GALERA_CHECK_VERSION = 99997;

const [BANG, QUOTE2, HASH, DOLLAR, QUOTE, STAR] = [0x21, 0x22, 0x23, 0x24, 0x27, 0x2a];
const [PLUS, DASH, DOT, SLASH, ZERO, NINE] = [0x2b, 0x2d, 0x2e, 0x2f, 0x30, 0x39];
const [AT, BRACKET, BACKSLASH, BRACKET_END, BACKTICK] = [0x40, 0x5b, 0x5c, 0x5d, 0x60];
const [LOWER_B, LOWER_E, LOWER_N, LOWER_X, UPPER_M] = [0x62, 0x65, 0x6e, 0x78, 0x4d];

export class Lexer {
  kind: TokenKind = 'end';
  /** Of the current token. */
  start = 0;
  end = 0;
  quote = 0;
  /** Inside of a version comment that is read as code. */
  isInComment = false;
  /** It came to a place that this mode leaves open (`variantsOfVersion`). */
  isInDoubt = false;

  readonly #bytes: Uint8Array;
  readonly #textEnd: number;
  readonly #mode: LexMode;
  readonly #table: CharsetTable;
  #at: number;
  #nextState: NextState = 'start';

  /** Reads `bytes[start, end)`. */
  constructor(bytes: Uint8Array, start: number, end: number, mode: LexMode) {
    this.#bytes = bytes;
    this.#at = start;
    this.#textEnd = end;
    this.#mode = mode;
    this.#table = charsetTable(mode.charset);
  }

  /** Goes on to the next token. Behind the last one it stays at `end`. */
  next(): TokenKind {
    this.quote = 0;
    const state = this.#nextState;
    this.#nextState = 'start';
    switch (state) {
      case 'dot':
        return this.#dot(this.#at);
      case 'after-dot':
        return this.#nameAfterDot(this.#at, this.#at);
      case 'host':
        return this.#host();
      case 'system-variable':
        this.#nextState = this.#byte(this.#at + 1) === BACKTICK ? 'start' : 'variable-name';
        return this.#set('symbol', this.#at, this.#at + 1);
      case 'variable-name':
        return this.#variableName();
      case 'start':
        return this.#start();
    }
  }

  /** Whether the current token is this word; `upper` is upper-case ASCII. */
  isWord(upper: string): boolean {
    if (this.kind !== 'word' || this.end - this.start !== upper.length) return false;
    for (let index = 0; index < upper.length; index++) {
      if ((this.#byte(this.start + index) & 0xdf) !== upper.charCodeAt(index)) return false;
    }
    return true;
  }

  /** Whether the current token is this symbol. */
  isSymbol(symbol: string): boolean {
    return this.kind === 'symbol' && this.#byte(this.start) === symbol.charCodeAt(0);
  }

  /** Whether the current token names one of undrop's own schemas. */
  get isRecycleName(): boolean {
    const isName = this.kind === 'word' || this.kind === 'name';
    return isName && isRecycleToken(this.#bytes, this.start, this.end);
  }

  /** A copy of the current token. */
  token(): Token {
    const { kind, start, end, quote } = this;
    return { kind, start, end, quote, text: this.#textOf(kind) };
  }

  #textOf(kind: TokenKind): string {
    if (kind === 'symbol') return String.fromCharCode(this.#byte(this.start));
    if (kind !== 'word' || this.end - this.start > WORD_BYTES_MAX) return '';
    let text = '';
    for (let at = this.start; at < this.end; at++) text += String.fromCharCode(this.#byte(at));
    return text.toUpperCase();
  }

  #set(kind: TokenKind, start: number, end: number): TokenKind {
    this.kind = kind;
    this.start = start;
    this.end = end;
    this.#at = end;
    return kind;
  }

  /** The server stops here with a syntax error, whatever follows. */
  #abort(start: number): TokenKind {
    return this.#set('error', start, this.#textEnd);
  }

  /** How far a token, or what stands before it, may reach from `at`: others wait meanwhile. */
  #limitFrom(at: number): number {
    return Math.min(this.#textEnd, at + LEAP_BYTES_MAX);
  }

  /** Nothing ended before `limit`. False: the text ends there. */
  #mustBeOver(limit: number): false {
    if (limit < this.#textEnd) throw new TooMuchWork();
    return false;
  }

  /** 0 behind the end, as in the server's buffer. */
  #byte(at: number): number {
    return at < this.#textEnd ? (this.#bytes[at] ?? 0) : 0;
  }

  #start(): TokenKind {
    const limit = this.#limitFrom(this.#at);
    for (;;) {
      while (this.#at < limit && this.#table.isBlank(this.#byte(this.#at))) this.#at++;
      if (this.#at >= limit) this.#mustBeOver(limit);
      const at = this.#at;
      const byte = this.#byte(at);
      if (byte === 0 && at >= this.#textEnd - 1) {
        // The end, or one NUL that stands for it.
        return this.isInComment ? this.#abort(at) : this.#set('end', this.#textEnd, this.#textEnd);
      }
      if (byte === HASH || this.#isDashComment(at, byte)) {
        this.#at = this.#endOfLine(at);
      } else if (byte === SLASH && this.#byte(at + 1) === STAR) {
        if (!this.#comment(at)) return this.#abort(at);
      } else if (byte === STAR && this.isInComment && this.#byte(at + 1) === SLASH) {
        this.isInComment = false;
        this.#at = at + 2;
      } else {
        return this.#token(at, byte);
      }
    }
  }

  #token(at: number, byte: number): TokenKind {
    const next = this.#byte(at + 1);
    if (byte === QUOTE) return this.#string(at, at);
    if (byte === QUOTE2) {
      return this.#mode.ansiQuotes ? this.#quoted(at, QUOTE2) : this.#string(at, at);
    }
    if (byte === BACKTICK) return this.#quoted(at, BACKTICK);
    if (isDigit(byte)) return this.#number(at);
    if (byte === DOT) return isDigit(next) ? this.#real(at, at + 1) : this.#dot(at);
    if (byte === AT) return this.#at_(at, next);
    if (next === QUOTE) {
      const lower = byte | 0x20;
      if (lower === LOWER_N) return this.#string(at, at + 1);
      if (lower === LOWER_X) return this.#digitsInQuotes(at, isHexDigit);
      if (lower === LOWER_B) return this.#digitsInQuotes(at, isBinaryDigit);
    }
    if (byte === DOLLAR) {
      this.isInDoubt ||= isBetweenVersions(this.#mode) && this.#mode.dollarQuotes === undefined;
      if (readsDollarQuotes(this.#mode)) return this.#dollar(at);
    }
    if (byte === BRACKET && this.#mode.squareBrackets) return this.#quoted(at, BRACKET_END);
    return this.#table.isNamePart(byte) ? this.#word(at) : this.#set('symbol', at, at + 1);
  }

  #isDashComment(at: number, byte: number): boolean {
    return (
      byte === DASH && this.#byte(at + 1) === DASH && this.#table.isAfterDashes(this.#byte(at + 2))
    );
  }

  /** A line comment ends at a line feed or at a NUL, which is looked at again. */
  #endOfLine(at: number): number {
    const limit = this.#limitFrom(at);
    let end = at;
    while (end < limit && this.#byte(end) !== 0x0a && this.#byte(end) !== 0) end++;
    if (end === limit) this.#mustBeOver(limit);
    return end;
  }

  /** Skips a comment, or enters one whose text is code. False where it doesn't end. */
  #comment(at: number): boolean {
    const isMariaDbOnly =
      this.#mode.flavour === 'mariadb' &&
      this.#byte(at + 2) === UPPER_M &&
      this.#byte(at + 3) === BANG;
    if (!isMariaDbOnly && this.#byte(at + 2) !== BANG) return this.#skipComment(at + 2, false);
    const digitsAt = at + (isMariaDbOnly ? 4 : 3);
    const digits = this.#versionDigits(digitsAt);
    if (digits > 0) {
      let version = 0;
      for (let index = 0; index < digits; index++) {
        version = version * 10 + this.#byte(digitsAt + index) - ZERO;
      }
      if (!this.#runsVersion(version, isMariaDbOnly)) return this.#skipComment(digitsAt, true);
    }
    this.isInComment = true;
    this.#at = digitsAt + digits;
    return true;
  }

  /** 0, 5 or 6. MySQL takes a sixth digit only before a blank. */
  #versionDigits(at: number): number {
    for (let index = 0; index < 5; index++) if (!isDigit(this.#byte(at + index))) return 0;
    if (!isDigit(this.#byte(at + 5))) return 5;
    this.isInDoubt ||= isBetweenVersions(this.#mode) && this.#mode.sixDigitVersions === undefined;
    if (!readsSixDigits(this.#mode)) return 5;
    return this.#mode.flavour === 'mariadb' || this.#table.isBlank(this.#byte(at + 6)) ? 6 : 5;
  }

  #runsVersion(version: number, isMariaDbOnly: boolean): boolean {
    const { flavour, versionId, isGalera } = this.#mode;
    if (flavour === 'mysql') return version <= versionId;
    if (version === GALERA_CHECK_VERSION) {
      if (isGalera === true) return true;
      this.isInDoubt ||= isGalera === undefined;
    }
    const isOfMySql = version >= LEGACY_VERSION_MIN && version <= LEGACY_VERSION_MAX;
    return version <= versionId && (isMariaDbOnly || !isOfMySql);
  }

  /** One level of ordinary comment may stand inside of a version comment that is skipped. */
  #skipComment(from: number, mayNest: boolean): boolean {
    const limit = this.#limitFrom(from);
    for (let at = from; at < limit; at++) {
      const byte = this.#byte(at);
      if (mayNest && byte === SLASH && this.#byte(at + 1) === STAR) {
        if (!this.#skipComment(at + 2, false)) return false;
        at = this.#at - 1;
      } else if (byte === STAR && this.#byte(at + 1) === SLASH) {
        this.#at = at + 2;
        return true;
      }
    }
    return this.#mustBeOver(limit);
  }

  #word(at: number): TokenKind {
    const length = this.#table.charLength(this.#bytes, at, this.#textEnd);
    if (length === 0) return this.#set('symbol', at, at + 1);
    return this.#endName(at, this.#namePart(at + length), 'word');
  }

  /** A name that no keyword can be, from `from` on; the token begins at `start`. */
  #nameAfterDot(start: number, from: number): TokenKind {
    return this.#endName(start, this.#namePart(from), 'name');
  }

  /** A name directly before a dot and another name is never a keyword. */
  #endName(start: number, end: number, kind: 'word' | 'name'): TokenKind {
    const hasDot = this.#byte(end) === DOT && this.#table.isNamePart(this.#byte(end + 1));
    if (hasDot) this.#nextState = 'dot';
    return this.#set(hasDot ? 'name' : kind, start, end);
  }

  #namePart(from: number): number {
    const limit = this.#limitFrom(from);
    let at = from;
    while (at < limit && this.#table.isNamePart(this.#byte(at))) {
      const length = this.#table.charLength(this.#bytes, at, this.#textEnd);
      // A broken character ends the name on MariaDB; MySQL takes its first byte for a letter.
      if (length === 0 && this.#mode.flavour === 'mariadb') break;
      at += Math.max(length, 1);
    }
    if (at >= limit) this.#mustBeOver(limit);
    return at;
  }

  #dot(at: number): TokenKind {
    if (this.#table.isNamePart(this.#byte(at + 1))) this.#nextState = 'after-dot';
    return this.#set('symbol', at, at + 1);
  }

  #at_(at: number, next: number): TokenKind {
    if (next === AT) this.#nextState = 'system-variable';
    else if (next !== QUOTE && next !== QUOTE2 && next !== BACKTICK) this.#nextState = 'host';
    return this.#set('symbol', at, at + 1);
  }

  /** What follows `@`: also nothing at all. */
  #host(): TokenKind {
    let end = this.#at;
    while (this.#byte(end) === DOT || this.#table.isNamePart(this.#byte(end))) {
      this.isInDoubt ||= this.#byte(end) >= 0x80 && isTwoByte(this.#table.charset);
      end++;
    }
    return this.#set('name', this.#at, end);
  }

  #variableName(): TokenKind {
    const start = this.#at;
    let end = start;
    while (end < this.#textEnd && this.#table.isNamePart(this.#byte(end))) end++;
    if (end === start) return this.#abort(start);
    if (this.#byte(end) === DOT) this.#nextState = 'dot';
    return this.#set('name', start, end);
  }

  /** From the quote at `quoteAt` on. A backslash escapes one byte, not one character. */
  #string(start: number, quoteAt: number): TokenKind {
    const quote = this.#byte(quoteAt);
    const limit = this.#limitFrom(quoteAt);
    for (let at = quoteAt + 1; at < limit; at++) {
      const length = this.#table.charLength(this.#bytes, at, this.#textEnd);
      const byte = this.#byte(at);
      if (length > 1) at += length - 1;
      else if (byte === BACKSLASH && !this.#mode.noBackslashEscapes) at++;
      else if (byte === quote) {
        if (this.#byte(at + 1) !== quote) {
          this.quote = quote;
          return this.#set('string', start, at + 1);
        }
        at++;
      }
    }
    this.#mustBeOver(limit);
    return this.#abort(start);
  }

  #quoted(start: number, quote: number): TokenKind {
    const limit = this.#limitFrom(start);
    for (let at = start + 1; at < limit; at++) {
      const byte = this.#byte(at);
      if (byte === 0) return this.#abort(start);
      const length = this.#table.charLength(this.#bytes, at, this.#textEnd);
      if (length > 1) at += length - 1;
      else if (byte === quote) {
        if (this.#byte(at + 1) !== quote) {
          this.quote = this.#byte(start);
          return this.#set('name', start, at + 1);
        }
        at++;
      }
    }
    this.#mustBeOver(limit);
    return this.#abort(start);
  }

  #digitsInQuotes(at: number, isOne: (byte: number) => boolean): TokenKind {
    let end = at + 2;
    while (isOne(this.#byte(end))) end++;
    if (this.#byte(end) !== QUOTE) return this.#abort(at);
    if (isOne === isHexDigit && (end - at) % 2 !== 0) return this.#abort(at);
    return this.#set('number', at, end + 1);
  }

  /** `$tag$ … $tag$`, or a name that begins with a dollar sign. */
  #dollar(at: number): TokenKind {
    let tagEnd = at + 1;
    while (this.#byte(tagEnd) !== DOLLAR && this.#table.isNamePart(this.#byte(tagEnd))) {
      tagEnd += Math.max(this.#table.charLength(this.#bytes, tagEnd, this.#textEnd), 1);
    }
    if (this.#byte(tagEnd) !== DOLLAR) return this.#word(at);
    const tag = this.#bytes.subarray(at, tagEnd + 1);
    const close = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#textEnd).indexOf(
      tag,
      tagEnd + 1,
    );
    return close < 0 ? this.#abort(at) : this.#set('string', at, close + tag.length);
  }

  /** A number, or a name that begins with digits. */
  #number(at: number): TokenKind {
    const second = this.#byte(at + 1);
    if (this.#byte(at) === ZERO && (second === LOWER_X || second === LOWER_B)) {
      const isOne = second === LOWER_X ? isHexDigit : isBinaryDigit;
      let end = at + 2;
      while (isOne(this.#byte(end))) end++;
      if (end > at + 2 && !this.#table.isNamePart(this.#byte(end))) {
        return this.#set('number', at, end);
      }
      return this.#nameAfterDot(at, end);
    }
    let end = at + 1;
    while (isDigit(this.#byte(end))) end++;
    const byte = this.#byte(end);
    if (!this.#table.isNamePart(byte)) {
      if (byte !== DOT) return this.#set('number', at, end);
      const isRange = this.#mode.flavour === 'mariadb' && this.#byte(end + 1) === DOT;
      return isRange ? this.#set('number', at, end) : this.#real(at, end + 1);
    }
    if ((byte | 0x20) === LOWER_E) {
      const sign = this.#byte(end + 1);
      const digitAt = sign === PLUS || sign === DASH ? end + 2 : end + 1;
      if (isDigit(this.#byte(digitAt))) return this.#set('number', at, this.#digits(digitAt));
      return this.#nameAfterDot(at, end + 1);
    }
    // MySQL takes the byte behind the digits for a character of its own, whatever the charset.
    return this.#nameAfterDot(at, this.#mode.flavour === 'mysql' ? end + 1 : end);
  }

  /** Behind the point of a number. */
  #real(start: number, from: number): TokenKind {
    const end = this.#digits(from);
    if ((this.#byte(end) | 0x20) !== LOWER_E) return this.#set('number', start, end);
    const sign = this.#byte(end + 1);
    const digitAt = sign === PLUS || sign === DASH ? end + 2 : end + 1;
    if (isDigit(this.#byte(digitAt))) return this.#set('number', start, this.#digits(digitAt));
    // No exponent: the token is the character at which that was seen, whatever it is.
    if (digitAt >= this.#textEnd) return this.#abort(start);
    if (this.#mode.flavour === 'mysql' && this.#isDashComment(digitAt, this.#byte(digitAt))) {
      this.#at = digitAt;
      return this.#start();
    }
    return this.#set('symbol', digitAt, digitAt + 1);
  }

  #digits(from: number): number {
    let end = from;
    while (isDigit(this.#byte(end))) end++;
    return end;
  }
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

function isBinaryDigit(byte: number): boolean {
  return byte === ZERO || byte === ZERO + 1;
}

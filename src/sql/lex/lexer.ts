/**
 * The server's lexer over bytes: MySQL's and MariaDB's `lex_one_token`, state by state, as far as
 * it decides where a token begins and ends and whether a word may be a keyword.
 *
 * Invariant: a word, a quoted name or a `;` for the server is the same here, under the same mode.
 * Comments are skipped as that server skips them and version comments are read as code if it does.
 * A text that ends within a literal is one `error` token that reaches to the end, because the
 * server stops there, too. Throws `Unreadable` if a token has more than 16 MiB, and for a few rare
 * forms that servers read in different ways.
 */

import { Unreadable } from '../reading.js';
import { isRecycleToken } from '../trigger-scan.js';
import { isDigit, isTwoByte } from './client-charset.js';
import { type Comment, CommentReader } from './comments.js';
import type { LexMode } from './lex-mode.js';

/**
 * `word`: unquoted, may be a keyword. `name`: quoted, or unquoted where no keyword can be (beside a
 * dot, after `@`). `symbol`: one other byte.
 */
export type TokenKind = 'word' | 'name' | 'string' | 'number' | 'symbol' | 'error' | 'end';

/** A copy of the lexer's token. Offsets are of the text that the lexer reads. */
export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  /** The offset after its last byte. */
  readonly end: number;
  /** Upper-case ASCII of a word, the character of a symbol; else empty. */
  readonly text: string;
  /** The quote of a quoted name (`[` for brackets) or of a string; else 0. */
  readonly quote: number;
}

type NextState = 'start' | 'dot' | 'after-dot' | 'host';

const WORD_BYTES_MAX = 64;
/** How far a token may reach from the end of the previous one. */
const LEAP_BYTES_MAX = 16 * 1024 * 1024;

const [QUOTE2, DOLLAR, QUOTE, PLUS, DASH, DOT, ZERO] = [0x22, 0x24, 0x27, 0x2b, 0x2d, 0x2e, 0x30];
const [AT, BRACKET, BACKSLASH, BRACKET_END, BACKTICK] = [0x40, 0x5b, 0x5c, 0x5d, 0x60];
const [LOWER_B, LOWER_E, LOWER_X] = [0x62, 0x65, 0x78];

export class Lexer extends CommentReader {
  kind: TokenKind = 'end';
  /** The current token, and its position. */
  start = 0;
  end = 0;
  quote = 0;
  #nextState: NextState = 'start';

  /** Moves to the next token. At the last one it stays at `end`. */
  next(): TokenKind {
    this.quote = 0;
    this.limit = Math.min(this.textEnd, this.at + LEAP_BYTES_MAX);
    const state = this.#nextState;
    this.#nextState = 'start';
    if (state === 'after-dot') return this.#name(this.at, this.at, 'name');
    if (state === 'host') return this.#host();
    if (!this.skipGap()) return this.#abort(this.at);
    const at = this.at;
    const byte = this.byte(at);
    if (byte === 0 && at >= this.textEnd - 1) {
      // The end, or one NUL that stands for it.
      return this.isInComment ? this.#abort(at) : this.#set('end', this.textEnd, this.textEnd);
    }
    const next = this.byte(at + 1);
    if (byte === QUOTE) return this.#string(at, at);
    if (byte === QUOTE2) {
      return this.mode.ansiQuotes ? this.#quoted(at, QUOTE2) : this.#string(at, at);
    }
    if (byte === BACKTICK) return this.#quoted(at, BACKTICK);
    if (isDigit(byte)) return this.#number(at);
    if (byte === DOT && isDigit(next) && state !== 'dot') return this.#real(at, at + 1);
    if (byte === DOLLAR && this.isSince8()) return this.#dollar(at);
    if (byte === BRACKET && this.mode.squareBrackets) return this.#quoted(at, BRACKET_END);
    const length = this.table.charLength(this.bytes, at, this.textEnd);
    if (this.table.isNamePart[byte] && length > 0) return this.#name(at, at + length, 'word');
    if (byte === DOT && this.table.isNamePart[next]) this.#nextState = 'after-dot';
    if (byte === AT && ![AT, QUOTE, QUOTE2, BACKTICK].includes(next)) this.#nextState = 'host';
    return this.#set('symbol', at, at + 1);
  }

  /** Whether the current token is one of these words, which are upper-case ASCII. */
  isWord(...words: readonly string[]): boolean {
    if (this.kind !== 'word') return false;
    return words.some((word) => {
      if (this.end - this.start !== word.length) return false;
      for (let index = 0; index < word.length; index++) {
        if ((this.byte(this.start + index) & 0xdf) !== word.charCodeAt(index)) return false;
      }
      return true;
    });
  }

  /** Whether the current token is this symbol. */
  isSymbol(symbol: string): boolean {
    return this.kind === 'symbol' && this.byte(this.start) === symbol.charCodeAt(0);
  }

  /** Whether the current token names one of undrop's own schemas. */
  get isRecycleName(): boolean {
    const isName = this.kind === 'word' || this.kind === 'name';
    return isName && isRecycleToken(this.bytes, this.start, this.end);
  }

  /** A copy of the current token. */
  token(): Token {
    const { kind, start, end, quote } = this;
    const hasText = kind === 'symbol' || (kind === 'word' && end - start <= WORD_BYTES_MAX);
    let text = '';
    for (let at = start; hasText && at < end; at++) text += String.fromCharCode(this.byte(at));
    return { kind, start, end, quote, text: text.toUpperCase() };
  }

  #set(kind: TokenKind, start: number, end: number): TokenKind {
    this.kind = kind;
    this.start = start;
    this.end = end;
    this.at = end;
    return kind;
  }

  /** The server stops here with a syntax error, whatever follows. */
  #abort(start: number): TokenKind {
    return this.#set('error', start, this.textEnd);
  }

  /**
   * A name from `from` on, whose token begins at `start`. Directly before a dot and another name it
   * is never a keyword.
   */
  #name(start: number, from: number, kind: 'word' | 'name'): TokenKind {
    let end = from;
    while (this.table.isNamePart[this.byte(end)]) {
      const length = this.table.charLength(this.bytes, end, this.textEnd);
      // A broken character ends the name on MariaDB; MySQL takes its first byte for a letter.
      if (length === 0 && this.mode.flavour === 'mariadb') break;
      end += Math.max(length, 1);
    }
    const hasDot = this.byte(end) === DOT && this.table.isNamePart[this.byte(end + 1)] === true;
    if (hasDot) this.#nextState = 'dot';
    return this.#set(hasDot ? 'name' : kind, start, end);
  }

  /** The rest after `@` or `@@`, which may be empty. */
  #host(): TokenKind {
    let end = this.at;
    while (this.byte(end) === DOT || this.table.isNamePart[this.byte(end)]) {
      // Servers read byte by byte here, and by tables of letters that differ.
      if (this.byte(end) >= 0x80 && isTwoByte(this.mode.charset)) throw new Unreadable();
      end++;
    }
    return this.#set('name', this.at, end);
  }

  /** From the quote at `quoteAt` on. A backslash escapes one byte, not one character. */
  #string(start: number, quoteAt: number): TokenKind {
    const quote = this.byte(quoteAt);
    for (let at = quoteAt + 1; at < this.textEnd; at++) {
      const length = this.table.charLength(this.bytes, at, this.textEnd);
      const byte = this.byte(at);
      if (length > 1) at += length - 1;
      else if (byte === BACKSLASH && !this.mode.noBackslashEscapes) at++;
      else if (byte === quote) {
        if (this.byte(at + 1) !== quote) {
          this.quote = quote;
          return this.#set('string', start, at + 1);
        }
        at++;
      }
    }
    return this.#abort(start);
  }

  #quoted(start: number, quote: number): TokenKind {
    for (let at = start + 1; at < this.textEnd; at++) {
      const byte = this.byte(at);
      if (byte === 0) return this.#abort(start);
      const length = this.table.charLength(this.bytes, at, this.textEnd);
      if (length > 1) at += length - 1;
      else if (byte === quote) {
        if (this.byte(at + 1) !== quote) {
          this.quote = this.byte(start);
          return this.#set('name', start, at + 1);
        }
        at++;
      }
    }
    return this.#abort(start);
  }

  /** `$tag$ … $tag$`, or a name that begins with a dollar sign. */
  #dollar(at: number): TokenKind {
    let tagEnd = at + 1;
    while (this.byte(tagEnd) !== DOLLAR && this.table.isNamePart[this.byte(tagEnd)]) {
      tagEnd += Math.max(this.table.charLength(this.bytes, tagEnd, this.textEnd), 1);
    }
    if (this.byte(tagEnd) !== DOLLAR) return this.#name(at, at + 1, 'word');
    const tag = this.bytes.subarray(at, tagEnd + 1);
    const close = Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.textEnd).indexOf(
      tag,
      tagEnd + 1,
    );
    return close < 0 ? this.#abort(at) : this.#set('string', at, close + tag.length);
  }

  /** A number, or a name that begins with digits. */
  #number(at: number): TokenKind {
    const second = this.byte(at + 1);
    if (this.byte(at) === ZERO && (second === LOWER_X || second === LOWER_B)) {
      const isOne = second === LOWER_X ? isHexDigit : isBinaryDigit;
      // In a dump a BLOB of any size is one such number.
      this.limit = this.textEnd;
      let end = at + 2;
      while (isOne(this.byte(end))) end++;
      if (end > at + 2 && !this.table.isNamePart[this.byte(end)]) {
        return this.#set('number', at, end);
      }
      return this.#name(at, end, 'name');
    }
    let end = at + 1;
    while (isDigit(this.byte(end))) end++;
    const byte = this.byte(end);
    if (!this.table.isNamePart[byte]) {
      if (byte !== DOT) return this.#set('number', at, end);
      const isRange = this.mode.flavour === 'mariadb' && this.byte(end + 1) === DOT;
      return isRange ? this.#set('number', at, end) : this.#real(at, end + 1);
    }
    if ((byte | 0x20) === LOWER_E) {
      const sign = this.byte(end + 1);
      const digitAt = sign === PLUS || sign === DASH ? end + 2 : end + 1;
      if (isDigit(this.byte(digitAt))) return this.#set('number', at, this.#digits(digitAt));
      return this.#name(at, end + 1, 'name');
    }
    // MySQL takes the byte after the digits as a character of its own, whatever the charset.
    return this.#name(at, this.mode.flavour === 'mysql' ? end + 1 : end, 'name');
  }

  /** Reads on after the point of a number. */
  #real(start: number, from: number): TokenKind {
    const end = this.#digits(from);
    if ((this.byte(end) | 0x20) !== LOWER_E) return this.#set('number', start, end);
    const sign = this.byte(end + 1);
    const digitAt = sign === PLUS || sign === DASH ? end + 2 : end + 1;
    if (isDigit(this.byte(digitAt))) return this.#set('number', start, this.#digits(digitAt));
    // `1.e` without an exponent: an error on each server, but in different ways.
    throw new Unreadable();
  }

  #digits(from: number): number {
    let end = from;
    while (isDigit(this.byte(end))) end++;
    return end;
  }
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

function isBinaryDigit(byte: number): boolean {
  return byte === ZERO || byte === ZERO + 1;
}

/** The ordinary comments of a text; none if it has no end, null if it can't be read. */
export function commentsOf(bytes: Uint8Array, mode: LexMode): readonly Comment[] | null {
  const comments: Comment[] = [];
  const lexer = new Lexer({ bytes, mode }, comments);
  try {
    while (lexer.next() !== 'end') if (lexer.kind === 'error') return [];
    return comments;
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

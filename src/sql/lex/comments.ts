/**
 * Blanks and comments, as the servers' lexers skip them; the text of a version comment that the
 * server executes is read as code.
 *
 * Invariant: comments end where they end for that server. Throws `Unreadable` for a comment whose
 * reading the version of the server doesn't determine, and for one that goes on after `limit`.
 */
import { Unreadable } from '../reading.js';
import { CHARSET_TABLES, type CharsetTable, isDigit } from './client-charset.js';
import type { LexMode } from './lex-mode.js';

/** The contents of an ordinary comment. */
export interface Comment {
  readonly body: Uint8Array;
  /** It goes to the end of its line. */
  readonly isLine: boolean;
}

const LEGACY_VERSION_MIN = 50700;
const LEGACY_VERSION_MAX = 99999;
const GALERA_CHECK_VERSION = 99997;
/**
 * MySQL from this version on, and before the next: the version doesn't determine its lexer's
 * behaviour.
 */
const IN_DOUBT_SINCE = 50700;
const IN_DOUBT_UNTIL = 80100;
/** A text with more comments is not read on, if they are collected. */
const COMMENTS_MAX = 1_000;

const [LF, BANG, HASH, STAR, DASH, SLASH, UPPER_M] = [0x0a, 0x21, 0x23, 0x2a, 0x2d, 0x2f, 0x4d];
const ZERO = 0x30;

/** A part of some bytes, and how it is read. */
export interface LexedText {
  readonly bytes: Uint8Array;
  /** Default: all of them. */
  readonly start?: number;
  readonly end?: number;
  readonly mode: LexMode;
}

export class CommentReader {
  protected readonly bytes: Uint8Array;
  protected readonly textEnd: number;
  protected readonly mode: LexMode;
  protected readonly table: CharsetTable;
  /** The next offset to read. */
  protected at: number;
  /** A token, and the blanks before it, must end here, so that other readings get their turn. */
  protected limit: number;
  /** Inside a version comment that is read as code. */
  isInComment = false;
  readonly #comments: Comment[] | null;

  /** Reads `bytes[start, end)`; adds the ordinary comments that it skips to `comments`. */
  constructor(
    { bytes, start = 0, end = bytes.length, mode }: LexedText,
    comments: Comment[] | null = null,
  ) {
    this.bytes = bytes;
    this.at = start;
    this.textEnd = end;
    this.limit = start;
    this.mode = mode;
    this.table = CHARSET_TABLES[mode.charset];
    this.#comments = comments;
  }

  /** 0 after the end, as in the server's buffer. */
  protected byte(at: number): number {
    if (at < this.limit) return this.bytes[at] ?? 0;
    if (at < this.textEnd) throw new Unreadable();
    return 0;
  }

  /** Moves to the next token, or to the end of the text. False: a comment has no end. */
  protected skipGap(): boolean {
    for (;;) {
      while (this.table.isBlank[this.byte(this.at)]) this.at++;
      const at = this.at;
      const byte = this.byte(at);
      const next = this.byte(at + 1);
      const hasDashes = byte === DASH && next === DASH;
      if (byte === HASH || (hasDashes && this.table.isAfterDashes[this.byte(at + 2)])) {
        this.at = this.#endOfLine(at);
        this.#note(at + (byte === HASH ? 1 : 2), this.at, true);
      } else if (byte === SLASH && next === STAR) {
        if (!this.#comment(at)) return false;
      } else if (byte === STAR && this.isInComment && next === SLASH) {
        this.isInComment = false;
        this.at = at + 2;
      } else return true;
    }
  }

  /** Whether MySQL reads by the rules of 8.1 and later; versions in between are in doubt. */
  protected isSince8(): boolean {
    const { flavour, versionId } = this.mode;
    if (flavour === 'mariadb' || versionId < IN_DOUBT_SINCE) return false;
    if (versionId < IN_DOUBT_UNTIL) throw new Unreadable();
    return true;
  }

  #note(start: number, end: number, isLine: boolean): void {
    if (this.#comments === null) return;
    this.#comments.push({ body: this.bytes.subarray(start, end), isLine });
    if (this.#comments.length > COMMENTS_MAX) throw new Unreadable();
  }

  /** A line comment ends at a line feed or at a NUL, which is read again. */
  #endOfLine(at: number): number {
    let end = at;
    while (this.byte(end) !== LF && this.byte(end) !== 0) end++;
    return end;
  }

  /** Skips a comment, or enters one whose text is code. False if it doesn't end. */
  #comment(at: number): boolean {
    const isMariaDbOnly =
      this.mode.flavour === 'mariadb' &&
      this.byte(at + 2) === UPPER_M &&
      this.byte(at + 3) === BANG;
    if (!isMariaDbOnly && this.byte(at + 2) !== BANG) {
      const isClosed = this.#skipComment(at + 2, false);
      if (isClosed) this.#note(at + 2, this.at - 2, false);
      return isClosed;
    }
    const digitsAt = at + (isMariaDbOnly ? 4 : 3);
    const digits = this.#versionDigits(digitsAt);
    if (digits > 0) {
      let version = 0;
      for (let index = 0; index < digits; index++) {
        version = version * 10 + this.byte(digitsAt + index) - ZERO;
      }
      if (!this.#runsVersion(version, isMariaDbOnly)) return this.#skipComment(digitsAt, true);
    }
    this.isInComment = true;
    this.at = digitsAt + digits;
    return true;
  }

  /** 0, 5 or 6. MySQL takes a sixth digit only before a blank. */
  #versionDigits(at: number): number {
    for (let index = 0; index < 5; index++) if (!isDigit(this.byte(at + index))) return 0;
    if (!isDigit(this.byte(at + 5))) return 5;
    if (this.mode.flavour === 'mariadb') return 6;
    return this.isSince8() && this.table.isBlank[this.byte(at + 6)] ? 6 : 5;
  }

  #runsVersion(version: number, isMariaDbOnly: boolean): boolean {
    const { flavour, versionId } = this.mode;
    if (flavour === 'mysql') return version <= versionId;
    // Only a server that is part of a Galera cluster runs it.
    if (version === GALERA_CHECK_VERSION) throw new Unreadable();
    const isOfMySql = version >= LEGACY_VERSION_MIN && version <= LEGACY_VERSION_MAX;
    return version <= versionId && (isMariaDbOnly || !isOfMySql);
  }

  /** A version comment that is skipped may contain one level of ordinary comments. */
  #skipComment(from: number, mayNest: boolean): boolean {
    for (let at = from; at < this.textEnd; at++) {
      const byte = this.byte(at);
      if (mayNest && byte === SLASH && this.byte(at + 1) === STAR) {
        if (!this.#skipComment(at + 2, false)) return false;
        at = this.at - 1;
      } else if (byte === STAR && this.byte(at + 1) === SLASH) {
        this.at = at + 2;
        return true;
      }
    }
    return false;
  }
}

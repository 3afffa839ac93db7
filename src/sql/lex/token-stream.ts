/**
 * The tokens of one statement: one token ahead, and a copy of those that a grammar wants to see.
 * Invariant: it stops at a `;`, at the end, and at a literal that doesn't end; only the reader of a
 * stored program, which knows what the `;` means, goes on.
 */

import {
  KEPT_MAX,
  type Reading,
  SLICE_BYTES,
  STRUCTURE_BYTES_MAX,
  Unreadable,
} from '../reading.js';
import type { LexMode } from './lex-mode.js';
import { Lexer, type Token } from './lexer.js';

/** What stands after DROP if base tables go with it. */
export const DROPPABLE = ['TABLE', 'TABLES', 'DATABASE', 'SCHEMA', 'SEQUENCE'];

/** An operand has to follow: `END` and `DO` are the names of columns or variables there. */
const BEFORE_OPERANDS = [
  ...['CASE', 'WHEN', 'THEN', 'ELSE', 'ELSEIF', 'ELSIF', 'IF', 'WHILE', 'UNTIL'],
  ...['AND', 'OR', 'XOR'],
  ...['NOT', 'DIV', 'MOD', 'LIKE', 'RLIKE', 'REGEXP', 'SOUNDS', 'ESCAPE', 'IN', 'IS', 'BETWEEN'],
  ...['BINARY', 'COLLATE', 'INTERVAL', 'DISTINCT', 'OF', 'DEFAULT', 'RETURN', 'AS', 'BY', 'FOR'],
];
const OPERATORS = '(,=<>+-*/%!|&^~:@.';

export class TokenStream extends Lexer {
  /** The offset after the last token that was taken. */
  takenEnd: number;
  /** DROP stood directly before one of `DROPPABLE`. */
  hasDrop = false;
  /** One of the tokens names a recycle schema. */
  namesRecycle = false;
  /** A structure wasn't what was expected. */
  isBroken = false;
  /** Copies of the first tokens. */
  readonly tokens: Token[] = [];
  /** So many tokens are copied. */
  keptMax = 1;
  /** Where the beginning of a statement, or its structure, has to be over. */
  #boundAt: number;

  /** Reads the statement that begins somewhere after `start`; stands on its first token. */
  constructor(bytes: Uint8Array, start: number, end: number, mode: LexMode) {
    super(bytes, start, end, mode);
    this.next();
    this.takenEnd = this.start;
    this.#boundAt = this.start + STRUCTURE_BYTES_MAX;
    if (!this.isAtStop) this.tokens.push(this.token());
  }

  /** `;`, the end, or a broken literal. */
  get isAtStop(): boolean {
    return this.kind === 'end' || this.kind === 'error' || this.isSymbol(';');
  }

  /** Goes on by one token, not beyond a stop. */
  advance(): void {
    if (!this.isAtStop) this.step();
  }

  /** Goes on by one token, also over a `;`. */
  step(): void {
    const isDrop = this.isWord('DROP');
    this.namesRecycle ||= this.isRecycleName;
    this.takenEnd = this.end;
    // Others wait while a structure is read.
    if (this.takenEnd > this.#boundAt) throw new Unreadable();
    this.next();
    this.hasDrop ||= isDrop && this.isWord(...DROPPABLE);
    if (this.tokens.length >= this.keptMax) return;
    // A broken literal is kept, so that no grammar takes what stands before it for the whole.
    if (!this.isAtStop || this.kind === 'error') this.tokens.push(this.token());
    if (this.tokens.length >= KEPT_MAX) throw new Unreadable();
  }

  skipToStop(): void {
    while (!this.isAtStop) this.step();
    if (this.kind === 'error') this.takenEnd = this.end;
  }

  /** The same; yields where others may have their turn. */
  *skippingToStop(): Reading<void> {
    let from = this.takenEnd;
    this.#boundAt = Number.POSITIVE_INFINITY;
    while (!this.isAtStop) {
      this.step();
      if (this.takenEnd - from < SLICE_BYTES) continue;
      from = this.takenEnd;
      yield;
    }
    if (this.kind === 'error') this.takenEnd = this.end;
  }

  /** The rest up to the next stop is no structure any more. */
  giveUp(): void {
    this.isBroken = true;
    this.skipToStop();
  }

  /**
   * Over an expression, up to one of `words`; those in CASE … END or parentheses don't count.
   * If it isn't there, or a name makes it look like another, the structure is broken.
   */
  expectWord(...words: readonly string[]): void {
    let cases = 0;
    let isOperandDue = true;
    while (!this.isAtStop) {
      // Within braces an operand stands after any word.
      if (this.isSymbol('{') || (isOperandDue && this.isWord('END', 'DO'))) return this.giveUp();
      isOperandDue = this.#isBeforeOperand;
      if (cases === 0 && this.isWord(...words)) return;
      if (this.isSymbol('(')) {
        this.skipParentheses();
        isOperandDue = false;
        continue;
      }
      if (this.isWord('CASE')) cases++;
      else if (cases > 0 && this.isWord('END')) cases--;
      this.step();
    }
    this.isBroken = true;
  }

  get #isBeforeOperand(): boolean {
    if (this.kind === 'word') return this.isWord(...BEFORE_OPERANDS);
    return this.kind === 'symbol' && OPERATORS.includes(this.token().text);
  }

  /** Skips all from `(` to after its `)`. */
  skipParentheses(): void {
    let depth = 0;
    while (!this.isAtStop) {
      if (this.isSymbol('(')) depth++;
      else if (this.isSymbol(')')) depth--;
      this.step();
      if (depth === 0) return;
    }
  }
}

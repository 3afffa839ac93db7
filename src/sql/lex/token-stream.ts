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
import type { Lexer, Token } from './lexer.js';

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

export class TokenStream {
  readonly lexer: Lexer;
  /** The offset after the last token that was taken. */
  end: number;
  /** DROP stood directly before one of `DROPPABLE`. */
  hasDrop = false;
  /** One of the tokens names a recycle schema. */
  namesRecycle = false;
  /** A structure wasn't what was expected. */
  isBroken = false;
  #kept: Token[] | null = null;
  #keptMax = 0;
  /** Where the beginning of a statement, or its structure, has to be over. */
  #boundAt: number;

  /** `lexer` stands on the first token. */
  constructor(lexer: Lexer) {
    this.lexer = lexer;
    this.end = lexer.start;
    this.#boundAt = lexer.start + STRUCTURE_BYTES_MAX;
  }

  /** `;`, the end, or a broken literal. */
  get isAtStop(): boolean {
    const { kind } = this.lexer;
    return kind === 'end' || kind === 'error' || this.lexer.isSymbol(';');
  }

  /** Whether the current token is one of these words. */
  isWord(...words: readonly string[]): boolean {
    return words.some((word) => this.lexer.isWord(word));
  }

  isSymbol(symbol: string): boolean {
    return this.lexer.isSymbol(symbol);
  }

  /** Keeps the current token and what follows, at most `max` tokens, until `keepNothing`. */
  keep(max: number): Token[] {
    this.#kept = [this.lexer.token()];
    this.#keptMax = max;
    return this.#kept;
  }

  keepNothing(): void {
    this.#kept = null;
  }

  /** Goes on by one token, not beyond a stop. */
  advance(): void {
    if (!this.isAtStop) this.step();
  }

  /** Goes on by one token, also over a `;`. */
  step(): void {
    const isDrop = this.isWord('DROP');
    this.namesRecycle ||= this.lexer.isRecycleName;
    this.end = this.lexer.end;
    // Others wait while a structure is read.
    if (this.end > this.#boundAt) throw new Unreadable();
    this.lexer.next();
    this.hasDrop ||= isDrop && this.isWord(...DROPPABLE);
    if (this.#kept === null || this.#kept.length >= this.#keptMax) return;
    // A broken literal is kept, so that no grammar takes what stands before it for the whole.
    if (!this.isAtStop || this.lexer.kind === 'error') this.#kept.push(this.lexer.token());
    if (this.#kept.length >= KEPT_MAX) throw new Unreadable();
  }

  skipToStop(): void {
    while (!this.isAtStop) this.step();
    if (this.lexer.kind === 'error') this.end = this.lexer.end;
  }

  /** The same; yields where others may have their turn. */
  *skippingToStop(): Reading<void> {
    let from = this.end;
    this.#boundAt = Number.POSITIVE_INFINITY;
    while (!this.isAtStop) {
      this.step();
      if (this.end - from < SLICE_BYTES) continue;
      from = this.end;
      yield;
    }
    if (this.lexer.kind === 'error') this.end = this.lexer.end;
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
    if (this.lexer.kind === 'word') return this.isWord(...BEFORE_OPERANDS);
    return this.lexer.kind === 'symbol' && OPERATORS.includes(this.lexer.token().text);
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

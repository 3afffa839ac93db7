/**
 * The tokens of one statement: one token ahead, and a copy of those that a grammar needs.
 * Invariant: it stops at a `;`, at the end, and at a literal that doesn't end; only the reader of a
 * stored program, which knows the meaning of the `;`, goes on.
 */

import { DROPPABLE } from '../destroying.js';
import type { Reading } from '../reading.js';
import * as bounds from '../reading.js';
import type { LexedText } from './comments.js';
import { Lexer, type Token } from './lexer.js';

/** An operand must follow: `END` and `DO` are the names of columns or variables there. */
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
  /** DROP was directly before one of `DROPPABLE`. */
  hasDrop = false;
  /** A token names a recycle schema. */
  namesRecycle = false;
  /** A structure wasn't as expected. */
  isBroken = false;
  /** Copies of the first tokens. */
  readonly tokens: Token[] = [];
  /** The number of tokens to copy. */
  keptMax = 1;
  /** The latest end of the beginning of a statement, or of its structure. */
  #boundAt: number;

  /** Reads the statement that begins somewhere after `start`; stops at its first token. */
  constructor(text: LexedText) {
    super(text);
    this.next();
    this.takenEnd = this.start;
    this.#boundAt = this.start + bounds.STRUCTURE_BYTES_MAX;
    if (!this.isAtStop) this.tokens.push(this.token());
  }

  /** `;`, the end, or a broken literal. */
  get isAtStop(): boolean {
    return this.kind === 'end' || this.kind === 'error' || this.isSymbol(';');
  }

  /** Moves on by one token, not beyond a stop. */
  advance(): void {
    if (!this.isAtStop) this.step();
  }

  /** Moves on by one token, also over a `;`. */
  step(): void {
    const isDrop = this.isWord('DROP');
    this.namesRecycle ||= this.isRecycleName;
    this.takenEnd = this.end;
    // Other readings wait while a structure is read.
    if (this.takenEnd > this.#boundAt) throw new bounds.Unreadable();
    this.next();
    this.hasDrop ||= isDrop && this.isWord(...DROPPABLE);
    if (this.tokens.length >= this.keptMax) return;
    // A broken literal is kept, so that no grammar takes the tokens before it for the whole.
    if (!this.isAtStop || this.kind === 'error') this.tokens.push(this.token());
    if (this.tokens.length >= bounds.KEPT_MAX) throw new bounds.Unreadable();
  }

  skipToStop(): void {
    while (!this.isAtStop) this.step();
    if (this.kind === 'error') this.takenEnd = this.end;
  }

  /** The same; yields so that other readings get their turn. */
  *skippingToStop(): Reading<void> {
    let from = this.takenEnd;
    this.#boundAt = Number.POSITIVE_INFINITY;
    while (!this.isAtStop) {
      this.step();
      if (this.takenEnd - from < bounds.SLICE_BYTES) continue;
      from = this.takenEnd;
      yield;
    }
    if (this.kind === 'error') this.takenEnd = this.end;
  }

  /** Skips to the next stop without regard to structure. */
  giveUp(): void {
    this.isBroken = true;
    this.skipToStop();
  }

  /**
   * Skips an expression, up to one of `words`; those in CASE … END or parentheses don't count. If
   * it isn't there, or a name makes it look like another, the structure is broken.
   */
  expectWord(...words: readonly string[]): void {
    let cases = 0;
    let isOperandDue = true;
    while (!this.isAtStop) {
      // Within braces an operand follows any word.
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

  /** Skips from `(` to after its `)`. */
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

/**
 * The tokens of one statement as the readers of structure walk over them: one token ahead, and a
 * copy of those that a grammar wants to see. Invariant: it stops at a `;`, at the end, and at a
 * literal that doesn't end; only who knows what the `;` means goes on.
 */

import {
  KEPT_MAX,
  type Reading,
  SLICE_BYTES,
  STRUCTURE_BYTES_MAX,
  TooMuchWork,
} from '../reading.js';
import type { Sought } from '../trigger-scan.js';
import type { Lexer, Token } from './lexer.js';

/** What stands behind DROP where base tables go with it. */
const DROPPABLE = ['TABLE', 'TABLES', 'DATABASE', 'SCHEMA', 'SEQUENCE'];

/** What may stand behind DROP, other than what is ours. */
export const DROPPED_ELSE = [
  ...['TEMPORARY', 'VIEW', 'INDEX', 'TRIGGER', 'PROCEDURE', 'FUNCTION', 'EVENT', 'USER', 'ROLE'],
  ...['SERVER', 'TABLESPACE', 'UNDO', 'LOGFILE', 'RESOURCE', 'SPATIAL', 'PREPARE', 'PACKAGE'],
  'LIBRARY',
];

/** Words that `hasOpening` looks back at. */
const OPENING = ['DROP', 'TRUNCATE', 'CREATE', 'OR', 'EXECUTE', 'PREPARE', 'SELECT'];

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
  /** Behind the last token that was taken. */
  end: number;
  /** How often DROP stood directly before one of `DROPPABLE`. */
  drops = 0;
  /** Words came that a statement of ours begins with, or one that may run such a text. */
  hasOpening = false;
  /** One of the tokens names a recycle schema. */
  namesRecycle = false;
  /** Every token of a statement is kept for the grammars, whatever it begins with. */
  readonly keepsAll: boolean;
  /** The same of one that begins with ALTER. */
  readonly keepsAlter: boolean;
  /** A structure wasn't what was expected. */
  isBroken = false;
  readonly #enabled: Sought;
  /** The three words before the current one, as far as they are among `OPENING`. */
  #before: readonly [string, string, string] = ['', '', ''];
  #kept: Token[] | null = null;
  #keptMax = 0;
  /** Where the beginning of a statement, or its structure, has to be over. */
  #boundAt: number;

  /** `lexer` stands on the first token. */
  constructor(lexer: Lexer, options: Sought & { readonly keepsAll?: boolean } = {}) {
    this.lexer = lexer;
    this.#enabled = options;
    this.keepsAll = options.keepsAll === true;
    this.keepsAlter = options.partitions === true;
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

  /** Over the first word of a statement in a body: a DROP of what isn't known may be of a table. */
  advanceOverFirst(): void {
    const isDrop = this.isWord('DROP');
    this.advance();
    this.hasOpening ||= isDrop && !this.isWord(...DROPPED_ELSE);
  }

  /** Goes on by one token, also over a `;`. */
  step(): void {
    this.#before = [this.#before[1], this.#before[2], this.#word];
    this.namesRecycle ||= this.lexer.isRecycleName;
    this.end = this.lexer.end;
    // Others wait while a structure is read.
    if (this.end > this.#boundAt) throw new TooMuchWork();
    this.lexer.next();
    if (this.#before[2] === 'DROP' && this.isWord(...DROPPABLE)) this.drops++;
    this.hasOpening ||= this.#isOpening;
    if (this.#kept === null || this.#kept.length >= this.#keptMax) return;
    // A broken literal is kept, so that no grammar takes what stands before it for the whole.
    if (!this.isAtStop || this.lexer.kind === 'error') this.#kept.push(this.lexer.token());
    if (this.#kept.length >= KEPT_MAX) throw new TooMuchWork();
  }

  get #word(): string {
    if (this.lexer.kind !== 'word') return '';
    return OPENING.find((word) => this.lexer.isWord(word)) ?? '';
  }

  /** The current token makes what stands before it the beginning of a statement of ours. */
  get #isOpening(): boolean {
    const [first, second, third] = this.#before;
    const { truncates, partitions } = this.#enabled;
    // Whatever the name between them is. Behind SELECT it is a column.
    if (second === 'PREPARE' && first !== 'SELECT' && this.isWord('FROM')) return true;
    switch (third) {
      case 'DROP':
        if (this.isWord(...DROPPABLE)) return true;
        return partitions === true && this.isWord('PARTITION');
      case 'TRUNCATE':
        if (partitions === true && this.isWord('PARTITION')) return true;
        if (truncates !== true || this.isAtStop) return false;
        // TRUNCATE(1, 2) is a function; MariaDB takes TRUNCATE .t for a table.
        return this.lexer.kind !== 'symbol' || this.isSymbol('.');
      case 'EXECUTE':
        return this.isWord('IMMEDIATE');
      case 'OR':
        return second === 'CREATE' && this.isWord('REPLACE');
      default:
        return false;
    }
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
   * False: it isn't there, or a name in it makes it look like another.
   */
  skipToWord(...words: readonly string[]): boolean {
    let cases = 0;
    let isOperandDue = true;
    while (!this.isAtStop) {
      // Within braces an operand stands behind any word.
      if (this.isSymbol('{') || (isOperandDue && this.isWord('END', 'DO'))) {
        this.giveUp();
        return false;
      }
      isOperandDue = this.#isBeforeOperand;
      if (cases === 0 && this.isWord(...words)) return true;
      if (this.isSymbol('(')) {
        this.skipParentheses();
        isOperandDue = false;
        continue;
      }
      if (this.isWord('CASE')) cases++;
      else if (cases > 0 && this.isWord('END')) cases--;
      this.step();
    }
    return false;
  }

  get #isBeforeOperand(): boolean {
    if (this.lexer.kind === 'word') return this.isWord(...BEFORE_OPERANDS);
    return this.lexer.kind === 'symbol' && OPERATORS.includes(this.lexer.token().text);
  }

  /** The same within a structure, which is broken without the word. */
  expectWord(...words: readonly string[]): void {
    if (!this.skipToWord(...words)) this.isBroken = true;
  }

  /** From `(` to behind its `)`. */
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

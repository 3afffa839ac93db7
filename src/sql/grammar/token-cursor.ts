/**
 * A position in the tokens of one statement, for the small grammars. Invariant: behind the last
 * token there is an `end` without end, so that no grammar has to look for it.
 */
import type { LexMode } from '../lex/lex-mode.js';
import type { Token } from '../lex/lexer.js';

/** What a grammar reads from. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly mode: LexMode;
}

const END: Token = { kind: 'end', start: 0, end: 0, text: '', quote: 0 };

export class TokenCursor {
  readonly #tokens: readonly Token[];
  #index: number;

  constructor(tokens: readonly Token[], index = 0) {
    this.#tokens = tokens;
    this.#index = index;
  }

  get isAtEnd(): boolean {
    return this.#index >= this.#tokens.length;
  }

  peek(ahead = 0): Token {
    return this.#tokens[this.#index + ahead] ?? END;
  }

  take(): Token {
    const token = this.peek();
    this.#index++;
    return token;
  }

  isWord(upper: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'word' && token.text === upper;
  }

  isSymbol(symbol: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'symbol' && token.text === symbol;
  }

  /** Takes these words if they are all there. */
  takeWords(...words: readonly string[]): boolean {
    if (!words.every((word, ahead) => this.isWord(word, ahead))) return false;
    this.#index += words.length;
    return true;
  }

  takeSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false;
    this.#index++;
    return true;
  }

  /** The same place, to go on from by itself. */
  copy(): TokenCursor {
    return new TokenCursor(this.#tokens, this.#index);
  }

  /** What hasn't been taken. */
  rest(): readonly Token[] {
    return this.#tokens.slice(this.#index);
  }
}

/**
 * `PREPARE name FROM text` and MariaDB's `EXECUTE IMMEDIATE text [USING …]`: where the text comes
 * from. Invariant: only a literal whose bytes stand in the statement, as one literal without a
 * prefix, is a literal here; everything else is for the server to evaluate.
 */
import type { Token } from '../lexer.js';
import { takeIdentifier } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

export type DynamicText = TextSource & {
  /** Of PREPARE: the name that the statement gets; null of EXECUTE IMMEDIATE. */
  readonly name: Uint8Array | null;
  /** USING and what follows, of EXECUTE IMMEDIATE. */
  readonly using: Uint8Array | null;
};

type TextSource =
  | { readonly kind: 'literal'; readonly start: number; readonly end: number }
  | {
      readonly kind: 'expression';
      readonly sql: Uint8Array;
      readonly variable: boolean;
      /** However often it is evaluated, it is the same and does nothing. */
      readonly isPure: boolean;
    };

/** Without those that are a stored function's name where a blank follows (IGNORE_SPACE). */
const PURE_WORDS = new Set(
  [
    'NULL CONCAT CONCAT_WS REPLACE QUOTE LOWER UPPER LCASE UCASE DATABASE SCHEMA IF IFNULL',
    'COALESCE CHAR HEX UNHEX REPEAT LPAD RPAD LEFT RIGHT',
  ].flatMap((words) => words.split(' ')),
);
const PURE_SYMBOLS = '(),@|';

/** Reads what follows the word PREPARE; null where it isn't this statement. */
export function parsePrepare(cursor: TokenCursor, source: Source): DynamicText | null {
  const name = takeIdentifier(cursor, source);
  if (name === null || !cursor.takeWords('FROM')) return null;
  const text = dynamicText(cursor.rest(), source);
  return text === null ? null : { ...text, name: name.value, using: null };
}

/** Reads what follows the words EXECUTE IMMEDIATE. */
export function parseExecuteImmediate(cursor: TokenCursor, source: Source): DynamicText | null {
  const tokens = cursor.rest();
  let depth = 0;
  const usingAt = tokens.findIndex((token) => {
    if (token.kind === 'symbol' && token.text === '(') depth++;
    if (token.kind === 'symbol' && token.text === ')') depth--;
    return depth === 0 && token.kind === 'word' && token.text === 'USING';
  });
  const text = dynamicText(usingAt < 0 ? tokens : tokens.slice(0, usingAt), source);
  const using = usingAt < 0 ? null : withoutComments(tokens.slice(usingAt), source.bytes);
  return text === null ? null : { ...text, name: null, using };
}

function dynamicText(tokens: readonly Token[], source: Source): TextSource | null {
  const [first, second] = tokens;
  if (first === undefined || tokens.some((token) => token.kind === 'error')) return null;
  const isString = first.kind === 'string' && source.bytes[first.start] === first.quote;
  if (isString && tokens.length === 1) {
    return { kind: 'literal', start: first.start, end: first.end };
  }
  const variable =
    first.kind === 'symbol' &&
    first.text === '@' &&
    tokens.length === 2 &&
    (second?.kind === 'name' || second?.kind === 'string');
  if (!variable && (source.mode.flavour === 'mysql' || !isOneExpression(tokens))) return null;
  const sql = withoutComments(tokens, source.bytes);
  return { kind: 'expression', sql, variable, isPure: variable || tokens.every(isPure) };
}

/** Whether it can't end, or be two, in the middle of what we put around it. */
function isOneExpression(tokens: readonly Token[]): boolean {
  let depth = 0;
  for (const { kind, text } of tokens) {
    if (kind !== 'symbol') continue;
    if (text === '(') depth++;
    if (text === ')') depth--;
    if (depth < 0 || (depth === 0 && text === ',')) return false;
  }
  return depth === 0;
}

function isPure(token: Token, index: number, tokens: readonly Token[]): boolean {
  switch (token.kind) {
    case 'string':
    case 'number':
      return true;
    case 'symbol':
      return PURE_SYMBOLS.includes(token.text);
    case 'word':
    case 'name': {
      const isVariable = tokens[index - 1]?.text === '@' && tokens[index - 2]?.text !== '@';
      return isVariable || (token.kind === 'word' && PURE_WORDS.has(token.text));
    }
    default:
      return false;
  }
}

/** The text of the tokens; a space where anything stood between two of them. */
function withoutComments(tokens: readonly Token[], bytes: Uint8Array): Uint8Array {
  let before = tokens[0]?.start;
  const parts = tokens.flatMap((token) => {
    const isApart = token.start !== before;
    before = token.end;
    const text = bytes.subarray(token.start, token.end);
    return isApart ? [Uint8Array.of(0x20), text] : [text];
  });
  return Uint8Array.from(Buffer.concat(parts));
}

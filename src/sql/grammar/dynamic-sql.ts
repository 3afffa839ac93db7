/**
 * `PREPARE name FROM text` and MariaDB's `EXECUTE IMMEDIATE text [USING …]`: where the text comes
 * from. Invariant: only a literal whose bytes stand in the statement, as one literal without a
 * prefix, is a literal here; everything else is for the server to evaluate.
 */
import type { Token } from '../lexer.js';
import { takeIdentifier } from './table-name.js';
import type { Source, TokenCursor } from './token-cursor.js';

export type DynamicText =
  | { readonly kind: 'literal'; readonly start: number; readonly end: number }
  | { readonly kind: 'expression'; readonly sql: Uint8Array; readonly variable: boolean };

/** Reads what follows the word PREPARE; null where it isn't this statement. */
export function parsePrepare(cursor: TokenCursor, source: Source): DynamicText | null {
  if (takeIdentifier(cursor, source) === null || !cursor.takeWords('FROM')) return null;
  return dynamicText(cursor.rest(), source);
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
  return dynamicText(usingAt < 0 ? tokens : tokens.slice(0, usingAt), source);
}

function dynamicText(tokens: readonly Token[], source: Source): DynamicText | null {
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
  if (!variable && source.mode.flavour === 'mysql') return null;
  return { kind: 'expression', sql: withoutComments(tokens, source.bytes), variable };
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

/** String literals without a prefix. Invariant: only bytes of the statement are in one. */
import { CHARSET_TABLES } from '../lex/client-charset.js';
import type { LexMode } from '../lex/lex-mode.js';
import type { Token } from '../lex/lexer.js';
import type { Source } from './table-name.js';

/** Unescaped bytes in the client's charset. Null: there is none at the front. */
export function takeLiteral(tokens: Token[], source: Source): Uint8Array | null {
  const [token] = tokens;
  if (token?.kind !== 'string' || source.bytes[token.start] !== token.quote) return null;
  tokens.shift();
  return unescapeLiteral(source.bytes, token, source.mode);
}

const BACKSLASH = 0x5c;
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a], // \n
  [0x74, 0x09], // \t
  [0x72, 0x0d], // \r
  [0x62, 0x08], // \b
  [0x30, 0x00], // \0
  [0x5a, 0x1a], // \Z
]);

/** `bytes[start, end)` is a literal with its quotes, without a prefix. */
export function unescapeLiteral(
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
  mode: LexMode,
): Uint8Array {
  const table = CHARSET_TABLES[mode.charset];
  const quote = bytes[start];
  const value: number[] = [];
  for (let at = start + 1; at < end - 1; at++) {
    const byte = bytes[at] ?? 0;
    const length = table.charLength(bytes, at, end - 1);
    if (length > 1) {
      for (let index = 0; index < length; index++) value.push(bytes[at + index] ?? 0);
      at += length - 1;
    } else if (byte === BACKSLASH && !mode.noBackslashEscapes) {
      at++;
      const next = bytes[at] ?? 0;
      // \_ and \% keep their backslash.
      if (next === 0x5f || next === 0x25) value.push(BACKSLASH);
      value.push(ESCAPES.get(next) ?? next);
    } else {
      value.push(byte);
      if (byte === quote) at++;
    }
  }
  return Uint8Array.from(value);
}

/**
 * Names as the grammar takes them: `t`, `d.t`, quoted or not; MariaDB and old MySQL also `.t`.
 * Invariant: a name that comes out of here means the same when it is quoted in the client's charset
 * (client-charset.ts), and is that of the table that the server would drop; any other is no name
 * here, and the statement becomes unclear.
 */
import { isUtf8 } from 'node:buffer';
import { charsetTable, isStorable } from '../lex/client-charset.js';
import type { Token } from '../lex/lexer.js';
import { isReserved, mayBeReserved } from '../lex/reserved-words.js';
import type { Source, TokenCursor } from './token-cursor.js';

/** A table as the client names it. */
export interface TableName {
  /** Unescaped bytes in the client's charset; null: the default schema. */
  readonly schema: Uint8Array | null;
  readonly table: Uint8Array;
  /** Where it stands in the text, quotes and schema included. */
  readonly start: number;
  readonly end: number;
  /** Only the server can say whether it takes this name: a word that may be reserved, or odd. */
  readonly isDoubtful: boolean;
}

interface Identifier {
  readonly value: Uint8Array;
  readonly token: Token;
  readonly isDoubtful: boolean;
}

const SPACE = 0x20;
const DOTLESS_SINCE = 80000;

/** Takes one table name; null where there is none. */
export function takeTableName(cursor: TokenCursor, source: Source): TableName | null {
  const { flavour, versionId } = source.mode;
  const start = cursor.peek().start;
  if (cursor.isSymbol('.') && (flavour === 'mariadb' || versionId < DOTLESS_SINCE)) {
    cursor.take();
    const name = takePart(cursor, source);
    if (name === null) return null;
    return { schema: null, table: name.value, start, end: name.token.end, isDoubtful: true };
  }
  const first = takePart(cursor, source);
  if (first === null) return null;
  if (!cursor.takeSymbol('.')) {
    const { value: table, token, isDoubtful } = first;
    return { schema: null, table, start, end: token.end, isDoubtful };
  }
  const second = takePart(cursor, source);
  if (second === null || cursor.isSymbol('.')) return null;
  const isDoubtful = first.isDoubtful || second.isDoubtful;
  return { schema: first.value, table: second.value, start, end: second.token.end, isDoubtful };
}

/** Takes one identifier; null where there is none. */
export function takeIdentifier(cursor: TokenCursor, source: Source): Identifier | null {
  return takeIf(cursor, source, (value) => isStorable(value, source.mode.charset));
}

/** One or more, with commas between them; null where one of them is none. */
export function takeTableNames(cursor: TokenCursor, source: Source): readonly TableName[] | null {
  const names: TableName[] = [];
  do {
    const name = takeTableName(cursor, source);
    if (name === null) return null;
    names.push(name);
  } while (cursor.takeSymbol(','));
  return names;
}

/**
 * The same as a part of a table's name, of which MySQL takes what is beyond the BMP for question
 * marks (steps/names/decode-name.ts).
 */
function takePart(cursor: TokenCursor, source: Source): Identifier | null {
  const { flavour, charset } = source.mode;
  const mayBeAstral = flavour === 'mysql' && charset === 'utf8';
  const name = takeIdentifier(cursor, source);
  if (name !== null || !mayBeAstral) return name;
  const astral = takeIf(cursor, source, (value) => isUtf8(value));
  return astral === null ? null : { ...astral, isDoubtful: true };
}

function takeIf(
  cursor: TokenCursor,
  source: Source,
  isName: (value: Uint8Array) => boolean,
): Identifier | null {
  const token = cursor.peek();
  if (token.kind === 'word') {
    if (isReserved(token.text)) return null;
  } else if (token.kind !== 'name') return null;
  const value = identifierValue(token, source);
  if (!isName(value)) return null;
  cursor.take();
  const isOdd = value.length === 0 || value.at(-1) === SPACE || value.includes(0);
  const isDoubtful = isOdd || (token.kind === 'word' && mayBeReserved(token.text));
  return { value, token, isDoubtful };
}

/** The bytes that a name stands for: without its quotes, doubled ones taken once. */
function identifierValue(token: Token, source: Source): Uint8Array {
  if (token.quote === 0) return source.bytes.slice(token.start, token.end);
  const table = charsetTable(source.mode.charset);
  const close = source.bytes[token.end - 1] ?? 0;
  const value: number[] = [];
  for (let at = token.start + 1; at < token.end - 1; at++) {
    const length = table.charLength(source.bytes, at, token.end - 1);
    for (let index = 0; index < Math.max(length, 1); index++) {
      value.push(source.bytes[at + index] ?? 0);
    }
    if (length > 1) at += length - 1;
    else if (source.bytes[at] === close) at++;
  }
  return Uint8Array.from(value);
}

/**
 * What a statement does to how the statements behind it in the same text are read: SET sql_mode,
 * SET NAMES and USE take effect at once. Invariant: where a change can't be read off the statement,
 * that part of the mode is unknown from there on.
 */

import type { Statement } from '../next-statement.js';
import { clientCharsetOf, type KnownMode, type LexMode, modeFromSqlMode } from './lex-mode.js';
import { Lexer } from './lexer.js';

const SET_NAMES = /^set\s+names\s+['"]?(\w+)['"]?(?:\s+collate\s+['"]?\w+['"]?)?$/i;
const SET_SQL_MODE =
  /^set\s+(?:(?:session|local)\s+|@@(?:(?:session|local)\s*\.\s*)?)?sql_mode\s*:?=\s*'([\w,]*)'$/i;
/** Character sets of what the server says or makes, not of the texts that it reads. */
const NOT_OF_TEXTS =
  /\bcharacter_set_(results|connection|database|server|filesystem)\b(?=\s*:?=\s*'?\w+'?\s*(,|$))/gi;
/** Modes that stand for several. */
const COMBINED = new Set([
  ...[
    'ANSI',
    'DB2',
    'MAXDB',
    'MSSQL',
    'MYSQL323',
    'MYSQL40',
    'ORACLE',
    'POSTGRESQL',
    'TRADITIONAL',
  ],
]);

/**
 * What is known of the mode behind `statement`, which is read under `mode`; the same object where
 * it can't have changed.
 */
export function modeAfter(statement: Statement, bytes: Uint8Array, mode: LexMode): KnownMode {
  const head = statement.tokens[0]?.text ?? '';
  const { flavour, versionId } = mode;
  const wasInRecycle = mode.inRecycle === true;
  const mayBeInRecycle = wasInRecycle || statement.namesRecycle;
  const open = { flavour, versionId, inRecycle: mayBeInRecycle ? 'perhaps' : false } as const;
  // A stored program puts sql_mode back when it ends, but not what SET NAMES did.
  if (head === 'CALL' || head === 'EXECUTE') return open;
  if (statement.shape === 'block' || statement.shape === 'wrapped') return open;
  if (head === 'USE') {
    const inRecycle = statement.namesRecycle;
    return inRecycle === wasInRecycle ? mode : { ...mode, inRecycle };
  }
  if (head !== 'SET') return mode;
  const text = textOf(statement, bytes);
  if (/[\x80-\xff]/.test(text) && mayNameSetting(statement, bytes, mode)) return open;
  const names = SET_NAMES.exec(text)?.[1];
  if (names !== undefined) return withCharset(mode, names);
  const sqlMode = SET_SQL_MODE.exec(text)?.[1]?.toUpperCase();
  if (sqlMode !== undefined && !sqlMode.split(',').some((name) => COMBINED.has(name))) {
    return { ...mode, ...modeFromSqlMode(mode, sqlMode, ''), charset: mode.charset };
  }
  const mayBeCharset = /names|char/i.test(text.replaceAll(NOT_OF_TEXTS, ''));
  if (/sql_mode/i.test(text)) {
    const known = { flavour, versionId, inRecycle: wasInRecycle };
    return mayBeCharset ? known : { ...known, charset: mode.charset };
  }
  if (!mayBeCharset) return mode;
  const { charset: _, ...known } = mode;
  return known;
}

/** Servers find a setting by its name without regard to accents: `@@śql_mode`. */
function mayNameSetting({ start, end }: Statement, bytes: Uint8Array, mode: LexMode): boolean {
  const lexer = new Lexer(bytes, start, end, mode);
  for (let signs = 0; lexer.next() !== 'end' && lexer.kind !== 'error'; ) {
    const isName = lexer.kind === 'word' || lexer.kind === 'name';
    const isOdd = isName && bytes.subarray(lexer.start, lexer.end).some((byte) => byte >= 0x80);
    // Behind one @ it is a variable of the user's.
    if (isOdd && signs !== 1) return true;
    signs = lexer.isSymbol('@') ? signs + 1 : 0;
  }
  return false;
}

function withCharset(mode: LexMode, name: string): KnownMode {
  const { charset: _, ...known } = mode;
  const charset = clientCharsetOf(name);
  return charset === null ? known : { ...known, charset };
}

function textOf({ start, end }: Statement, bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .subarray(start, end)
    .toString('latin1');
}

/**
 * The effect of a statement on how the following ones in the same text are read: SET sql_mode and
 * SET NAMES take effect at once. Invariant: if a change can't be read from the statement, that
 * part of the mode is unknown from there on.
 */
import type { Statement } from '../next-statement.js';
import { clientCharsetOf, type KnownMode, type LexMode, modeFromSqlMode } from './lex-mode.js';

const SET_NAMES = /^set\s+names\s+['"]?(\w+)['"]?(?:\s+collate\s+['"]?\w+['"]?)?$/i;
const SET_SQL_MODE =
  /^set\s+(?:(?:session|local)\s+|@@(?:(?:session|local)\s*\.\s*)?)?sql_mode\s*:?=\s*'([\w,]*)'$/i;
/** Modes that stand for several. */
const COMBINED = /\b(?:ansi|db2|maxdb|mssql|mysql323|mysql40|oracle|postgresql|traditional)\b/i;

/** The known mode after a statement that was read under `mode`; the same object if unchanged. */
export function modeAfter(statement: Statement, bytes: Uint8Array, mode: LexMode): KnownMode {
  const head = statement.tokens[0]?.text ?? '';
  const { flavour, versionId, charset } = mode;
  const open = { flavour, versionId };
  // A stored program restores sql_mode when it ends, but not the effect of SET NAMES.
  if (head === 'CALL' || head === 'EXECUTE') return open;
  if (head !== 'SET') return mode;
  const text = Buffer.from(bytes.subarray(statement.start, statement.end)).toString('latin1');
  // Servers find a setting by its name without regard to accents: `@@śql_mode`.
  if (/[\x80-\xff]/.test(text)) return open;
  const names = SET_NAMES.exec(text)?.[1];
  const { charset: _, ...anyCharset } = mode;
  if (names !== undefined) {
    const named = clientCharsetOf(names);
    return named === null ? anyCharset : { ...mode, charset: named };
  }
  const sqlMode = SET_SQL_MODE.exec(text)?.[1];
  if (sqlMode !== undefined && !COMBINED.test(sqlMode)) {
    return { ...mode, ...modeFromSqlMode(mode, sqlMode, ''), charset };
  }
  const mayBeCharset = /names|char/i.test(text);
  if (/sql_mode/i.test(text)) return mayBeCharset ? open : { ...open, charset };
  return mayBeCharset ? anyCharset : mode;
}

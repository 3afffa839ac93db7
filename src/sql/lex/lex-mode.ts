/**
 * How a server reads the bytes of a statement: flavour, version, sql_mode and the client's charset.
 * Either all of that is known, or there is a set of hypotheses, each of them one fully known mode.
 *
 * Invariant: the true mode is among the hypotheses. A property that these bytes don't depend on (no
 * backslash, no double quote, no byte that a charset reads in its own way) adds no hypothesis.
 */
import type { ClientCharset } from './client-charset.js';
import { CHARSET_TABLES, CLIENT_CHARSETS, clientCharsetOf } from './client-charset.js';

export type Flavour = 'mysql' | 'mariadb';

/** A fully known way of reading. */
export interface LexMode {
  readonly flavour: Flavour;
  /** The version as the server counts: 90704, 50624, 101119. */
  readonly versionId: number;
  /** sql_mode ANSI_QUOTES: `"` quotes a name, not a string. */
  readonly ansiQuotes: boolean;
  /** sql_mode NO_BACKSLASH_ESCAPES. */
  readonly noBackslashEscapes: boolean;
  /** sql_mode MSSQL of MariaDB: `[` quotes a name. */
  readonly squareBrackets: boolean;
  readonly charset: ClientCharset;
}

/** The known part of a session's mode. Absent = not known. */
export type KnownMode = Pick<LexMode, 'flavour' | 'versionId'> & Partial<LexMode>;

/**
 * The mode of a session with known `@@sql_mode` and `@@character_set_client`. All is known then,
 * except the charset if no known server has its name.
 */
export function modeFromSqlMode(
  base: { readonly flavour: Flavour; readonly versionId: number },
  sqlMode: string,
  charsetName: string,
): KnownMode {
  const modes = new Set(sqlMode.toUpperCase().split(','));
  const charset = clientCharsetOf(charsetName);
  return {
    flavour: base.flavour,
    versionId: base.versionId,
    ansiQuotes: modes.has('ANSI_QUOTES'),
    noBackslashEscapes: modes.has('NO_BACKSLASH_ESCAPES'),
    squareBrackets: base.flavour === 'mariadb' && modes.has('MSSQL'),
    ...(charset === null ? {} : { charset }),
  };
}

/** Whether no property is open. */
export function isFullyKnown(known: KnownMode): known is LexMode {
  return (
    known.ansiQuotes !== undefined &&
    known.noBackslashEscapes !== undefined &&
    known.squareBrackets !== undefined &&
    known.charset !== undefined
  );
}

/** All modes that `known` leaves open, as far as it matters to how these bytes are read. */
export function hypotheses(known: KnownMode, bytes: Uint8Array): readonly LexMode[] {
  const squareBrackets = known.flavour === 'mariadb' ? known.squareBrackets : false;
  let modes: readonly LexMode[] = charsetsFor(known.charset, bytes).map((charset) => ({
    ...known,
    charset,
    ansiQuotes: known.ansiQuotes ?? false,
    noBackslashEscapes: known.noBackslashEscapes ?? false,
    squareBrackets: squareBrackets ?? false,
  }));
  // Alternatives for unknown properties on which the reading of these bytes depends.
  const open: Partial<LexMode>[] = [];
  if (known.ansiQuotes === undefined && bytes.includes(0x22)) open.push({ ansiQuotes: true });
  if (known.noBackslashEscapes === undefined && bytes.includes(0x5c)) {
    open.push({ noBackslashEscapes: true });
  }
  if (squareBrackets === undefined && bytes.includes(0x5b)) open.push({ squareBrackets: true });
  for (const other of open) modes = modes.flatMap((mode) => [mode, { ...mode, ...other }]);
  return modes;
}

/** The charsets to try: utf8, a plain one, and those that read these bytes in another way. */
function charsetsFor(
  known: ClientCharset | undefined,
  bytes: Uint8Array,
): readonly ClientCharset[] {
  if (known !== undefined) return [known];
  const isAscii = !bytes.some((byte) => byte >= 0x7f);
  const { plain, swe7: swedish } = CHARSET_TABLES;
  // It differs from ASCII by letters alone, at the codes that are brackets in ASCII.
  const isSwedish = bytes.some(
    (byte) => byte < 0x7f && swedish.isNamePart[byte] && !plain.isNamePart[byte],
  );
  return CLIENT_CHARSETS.filter((charset) => {
    if (charset === 'plain') return true;
    if (charset === 'swe7') return isSwedish;
    return !isAscii && (charset === 'utf8' || isReadIn(charset, bytes));
  });
}

function isReadIn(charset: ClientCharset, bytes: Uint8Array): boolean {
  const { plain, [charset]: table } = CHARSET_TABLES;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x7f) continue;
    if (table.isBlank[byte]) return true;
    const isAfterDashes = at >= 2 && bytes[at - 1] === 0x2d && bytes[at - 2] === 0x2d;
    if (isAfterDashes && table.isAfterDashes[byte] !== plain.isAfterDashes[byte]) return true;
    if (table.charLength(bytes, at, bytes.length) !== 1) return true;
  }
  return false;
}

// ── changes of the mode within a text ────────────────────────────────────────────────────────────
// SET sql_mode and SET NAMES take effect for the next statement of the same text. If a change can't
// be read from the statement, that part of the mode is unknown from there on.

const SET_NAMES = /^set\s+names\s+['"]?(\w+)['"]?(?:\s+collate\s+['"]?\w+['"]?)?$/i;
const SET_SQL_MODE =
  /^set\s+(?:(?:session|local)\s+|@@(?:(?:session|local)\s*\.\s*)?)?sql_mode\s*:?=\s*'([\w,]*)'$/i;
/** Modes that stand for several. */
const COMBINED = /\b(?:ansi|db2|maxdb|mssql|mysql323|mysql40|oracle|postgresql|traditional)\b/i;

/** The properties of a statement that decide how the next one is read. */
interface ModeChange {
  readonly start: number;
  readonly end: number;
  readonly tokens: readonly { readonly text: string }[];
}

/** The known mode after a statement that was read under `mode`; the same object if unchanged. */
export function modeAfter(statement: ModeChange, bytes: Uint8Array, mode: LexMode): KnownMode {
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

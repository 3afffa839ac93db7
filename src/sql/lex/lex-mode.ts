/**
 * How a server reads the bytes of a statement: flavour, version, sql_mode and the client's charset;
 * and whether a name without a schema leads to where held tables are.
 * Either all of that is known, or there is a set of hypotheses, each of them one fully known mode.
 *
 * Invariant: the true mode is among the hypotheses. A question that the bytes don't raise (no
 * backslash, no double quote, no byte that a charset reads in its own way) is not asked.
 */

import { isRecycleName } from '../recycle-name.js';
import {
  CLIENT_CHARSETS,
  type ClientCharset,
  charsetTable,
  clientCharsetOf,
} from './client-charset.js';

export type { ClientCharset } from './client-charset.js';
export { clientCharsetOf } from './client-charset.js';

export type Flavour = 'mysql' | 'mariadb';

/** One fully known way of reading. */
export interface LexMode {
  readonly flavour: Flavour;
  /** As the server counts: 90704, 50624, 101119. */
  readonly versionId: number;
  /** sql_mode ANSI_QUOTES: `"` quotes a name, not a string. */
  readonly ansiQuotes: boolean;
  /** sql_mode NO_BACKSLASH_ESCAPES. */
  readonly noBackslashEscapes: boolean;
  /** sql_mode MSSQL of MariaDB: `[` quotes a name. */
  readonly squareBrackets: boolean;
  readonly charset: ClientCharset;
  /** Where versions of MySQL between 5.7 and 8.0 differ; by default what the version suggests. */
  readonly sixDigitVersions?: boolean;
  readonly dollarQuotes?: boolean;
  /** The default schema is a recycle schema. */
  readonly inRecycle?: boolean;
  /** A MariaDB that is part of a Galera cluster runs what it finds in a 99997 comment. */
  readonly isGalera?: boolean;
}

/** What is known of a session. Absent = not known, but of `inRecycle`: no. */
export type KnownMode = Pick<LexMode, 'flavour' | 'versionId'> &
  Partial<Omit<LexMode, 'inRecycle'>> & { readonly inRecycle?: boolean | 'perhaps' };

/**
 * The mode of a session whose `@@sql_mode` and `@@character_set_client` were asked for. All is
 * known then, save the charset where its name is one that no server is known to have.
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

/** The mode of a session that was asked for its default schema, too (null: it has none). */
export function modeOfSession(
  base: { readonly flavour: Flavour; readonly versionId: number },
  session: { readonly sqlMode: string; readonly charset: string; readonly schema: string | null },
): KnownMode {
  const { sqlMode, charset, schema } = session;
  const inRecycle = schema !== null && isRecycleName(schema);
  return { ...modeFromSqlMode(base, sqlMode, charset), inRecycle };
}

/** Whether nothing is open but what versions do. */
export function isFullyKnown(known: KnownMode): known is LexMode {
  return (
    known.ansiQuotes !== undefined &&
    known.noBackslashEscapes !== undefined &&
    known.squareBrackets !== undefined &&
    known.charset !== undefined &&
    known.inRecycle !== 'perhaps'
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
    inRecycle: known.inRecycle === true,
  }));
  const ask = (isOpen: boolean, other: (mode: LexMode) => LexMode) => {
    if (isOpen) modes = modes.flatMap((mode) => [mode, other(mode)]);
  };
  ask(known.ansiQuotes === undefined && bytes.includes(0x22), (mode) => ({
    ...mode,
    ansiQuotes: true,
  }));
  ask(known.noBackslashEscapes === undefined && bytes.includes(0x5c), (mode) => ({
    ...mode,
    noBackslashEscapes: true,
  }));
  ask(known.inRecycle === 'perhaps', (mode) => ({ ...mode, inRecycle: true }));
  ask(squareBrackets === undefined && bytes.includes(0x5b), (mode) => ({
    ...mode,
    squareBrackets: true,
  }));
  return modes.flatMap((mode) => variantsOfVersion(mode, bytes));
}

/** A longer text is read in one way, and refused where the lexer is in doubt. */
export const VARIED_BYTES_MAX = 262_144;

/**
 * The ways in which a mode may still be meant: where the version alone doesn't say what its lexer
 * does, and these bytes ask.
 */
export function variantsOfVersion(mode: LexMode, bytes: Uint8Array): readonly LexMode[] {
  if (bytes.length > VARIED_BYTES_MAX) return [mode];
  const isBetween = isBetweenVersions(mode);
  let modes: readonly LexMode[] = [mode];
  if (isBetween && mode.sixDigitVersions === undefined && hasSixDigitComment(bytes)) {
    modes = modes.flatMap((one) => [
      { ...one, sixDigitVersions: true },
      { ...one, sixDigitVersions: false },
    ]);
  }
  if (isBetween && mode.dollarQuotes === undefined && bytes.includes(0x24)) {
    modes = modes.flatMap((one) => [
      { ...one, dollarQuotes: true },
      { ...one, dollarQuotes: false },
    ]);
  }
  if (mode.flavour === 'mariadb' && mode.isGalera === undefined && has99997(bytes)) {
    modes = modes.flatMap((one) => [
      { ...one, isGalera: true },
      { ...one, isGalera: false },
    ]);
  }
  return modes;
}

/** A MySQL of which the version alone doesn't say what its lexer does. */
export function isBetweenVersions({ flavour, versionId }: LexMode): boolean {
  return flavour === 'mysql' && versionId >= 50700 && versionId < 80100;
}

/** Whether `/*!080034 …` counts as version 8.0.34 and not as 0.80.03 followed by a 4. */
export function readsSixDigits(mode: LexMode): boolean {
  return mode.flavour === 'mariadb' || (mode.sixDigitVersions ?? mode.versionId >= 80000);
}

/**
 * Where the last `@` is behind which something may end within a character of two bytes, of which
 * the second looks like ASCII: there servers go byte by byte, and by tables of letters that differ.
 * -1: there is none.
 */
export function lastOddHost(bytes: Uint8Array): number {
  let last = -1;
  if (!bytes.includes(0x40)) return last;
  for (const { index } of asBuffer(bytes).toString('latin1').matchAll(ODD_HOST)) last = index;
  return last;
}

/** What it ends with may begin the next. */
const ODD_HOST = /@[\w.$\x80-\xff]*[\x80-\xff](?=[@[\\\]^`{|}~])/g;

/** Whether `$$ … $$` is a literal. */
export function readsDollarQuotes(mode: LexMode): boolean {
  return mode.flavour === 'mysql' && (mode.dollarQuotes ?? mode.versionId >= 80100);
}

/** The charsets to try: utf8, a plain one, and those that read these bytes in another way. */
function charsetsFor(
  known: ClientCharset | undefined,
  bytes: Uint8Array,
): readonly ClientCharset[] {
  if (known !== undefined) return [known];
  const isAscii = !bytes.some((byte) => byte >= 0x7f);
  const [plain, swedish] = [charsetTable('plain'), charsetTable('swe7')];
  // Told from ASCII by letters alone, where ASCII has brackets.
  const isSwedish = bytes.some(
    (byte) => byte < 0x7f && swedish.isNamePart(byte) && !plain.isNamePart(byte),
  );
  return CLIENT_CHARSETS.filter((charset) => {
    if (charset === 'plain') return true;
    if (charset === 'swe7') return isSwedish;
    return !isAscii && (charset === 'utf8' || isReadIn(charset, bytes));
  });
}

function isReadIn(charset: ClientCharset, bytes: Uint8Array): boolean {
  const table = charsetTable(charset);
  const plain = charsetTable('plain');
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x7f) continue;
    if (table.isBlank(byte)) return true;
    const isAfterDashes = at >= 2 && bytes[at - 1] === 0x2d && bytes[at - 2] === 0x2d;
    if (isAfterDashes && table.isAfterDashes(byte) !== plain.isAfterDashes(byte)) return true;
    if (table.charLength(bytes, at, bytes.length) !== 1) return true;
  }
  return false;
}

function hasSixDigitComment(bytes: Uint8Array): boolean {
  return /\/\*!\d{6}/.test(asBuffer(bytes).toString('latin1'));
}

function has99997(bytes: Uint8Array): boolean {
  return asBuffer(bytes).includes('99997');
}

/** The same memory. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Names between the client's charset and UTF-8, which the service connection uses, and the schema
 * of each. On the user session a name goes back as the client's own bytes.
 */

import { assert, UndropError } from '../../../errors.js';
import type { QualifiedTable } from '../../../names/names.js';
import { clientCharsetOf, isStorable } from '../../../sql/lex/client-charset.js';
import type { DropTableStatement } from '../../../sql/verdict.js';
import type { QualifiedName } from '../session/user-session.js';
import { type DropRequest, sentenceStart, type UserFacts } from '../world.js';

export type ServiceNames =
  | { readonly tables: readonly QualifiedTable[] }
  | { readonly error: UndropError };

/** An error if a name can't be decoded, or has no schema. */
export function serviceNames(
  request: Pick<DropRequest, 'statement'>,
  session: NameContext,
): ServiceNames {
  const { names } = request.statement;
  const decode = ({ schema, table }: QualifiedName) => {
    const inSchema = schema === null ? session.schema : decodeName(schema, session.charset);
    if (inSchema === null) {
      const cause = 'no schema is selected';
      throw new UndropError('UNDROP_NOT_RECORDED', { tables: sentenceStart(request), cause });
    }
    return { schema: inSchema, table: decodeName(table, session.charset) };
  };
  const tables = orRefusal(() => names.map(decode));
  return tables instanceof UndropError ? { error: tables } : { tables };
}

/** The result of `read`, or the error that it has thrown for the client. */
export function orRefusal<T>(read: () => T): T | UndropError {
  try {
    return read();
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
}

/**
 * Every name of a RENAME is qualified, so that the binary log shows the schema of the table. If
 * undrop can't write the default schema in the client's charset, the name stays as it is: it means
 * the session's default schema, which the binary log names beside it.
 */
export function qualify(name: QualifiedName, facts: UserFacts): QualifiedName {
  if (name.schema !== null || facts.schema === null) return name;
  return { schema: encodeName(facts.schema, facts.charset), table: name.table };
}

/**
 * In the bytes of `charset`, which is character_set_client. Null: it isn't ASCII, and the session
 * isn't in UTF-8.
 */
export function encodeName(name: string, charset: string): Uint8Array | null {
  const bytes = Buffer.from(name);
  return charset.startsWith('utf8') || isAsciiIn(bytes, charset) ? bytes : null;
}

/** ASCII without the characters for which `charset` has others. */
function isAsciiIn(bytes: Uint8Array, charset: string): boolean {
  const kind = clientCharsetOf(charset);
  return kind !== null && bytes.every((byte) => byte < 0x80) && isStorable(bytes, kind);
}

/**
 * MySQL's character_set_client → a label of the WHATWG encoding standard that agrees on every
 * character that both have. In others a name is refused.
 */
const LABELS: Readonly<Record<string, string>> = {
  utf8: 'utf-8',
  utf8mb3: 'utf-8',
  utf8mb4: 'utf-8',
  latin2: 'iso-8859-2',
  latin7: 'iso-8859-13',
  cp1250: 'windows-1250',
  cp1251: 'windows-1251',
  cp1256: 'windows-1256',
  cp1257: 'windows-1257',
  koi8r: 'koi8-r',
  gbk: 'gbk',
  cp932: 'shift_jis',
  euckr: 'euc-kr',
};

/**
 * Decodes a name. Throws UNDROP_NAME_CHARSET if its bytes are invalid in that character set, or the
 * character set has no label.
 */
export function decodeName(name: Uint8Array, charset: string): string {
  if (name.every((byte) => byte < 0x80)) return Buffer.from(name).toString('latin1');
  if (charset === 'latin1') return Array.from(name, decodeLatin1).join('');
  const label = LABELS[charset];
  if (label === undefined) throw new UndropError('UNDROP_NAME_CHARSET', { charset });
  try {
    // A byte order mark is a character of the name like any other.
    const decoded = new TextDecoder(label, { fatal: true, ignoreBOM: true }).decode(name);
    const isKnown = !UNASSIGNED.test(decoded);
    if (isKnown && charset === 'utf8mb4') return decoded.replaceAll(ASTRAL, '?');
    if (isKnown && (label !== 'utf-8' || decoded.search(ASTRAL) < 0)) return decoded;
  } catch (cause) {
    throw new UndropError('UNDROP_NAME_CHARSET', { charset }, cause);
  }
  throw new UndropError('UNDROP_NAME_CHARSET', { charset });
}

/** 0x80 to 0x9F of Windows' code page 1252, which MySQL's latin1 is. */
const CP1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** Without TextDecoder: that of Node 20 takes windows-1252 for ISO 8859-1. */
function decodeLatin1(byte: number): string {
  return CP1252[byte - 0x80] ?? String.fromCharCode(byte);
}

/**
 * Beyond the BMP: MySQL, whose names have no such characters, takes a question mark for each; its
 * utf8 and utf8mb3 have none either.
 */
const ASTRAL = /[\u{10000}-\u{10ffff}]/gu;

/** The standard's result for bytes without a character; the server uses `?`. */
const UNASSIGNED = /[\u0080-\u009f]/;

// ── names of a prepared drop ─────────────────────────────────────────────────────────────────────
// The names of a DROP that was prepared earlier, in the form that the session reads now. A prepared
// DROP drops the tables that it named at its PREPARE: in the default schema and the charset of that
// moment.
//
// Invariant: the result names the same tables in the present charset, or there is an error.

/** Default schema and character_set_client of a session at one moment. */
export type NameContext = Pick<UserFacts, 'schema' | 'charset'>;

/** UNDROP_NAME_CHARSET if a name can't be written in the present charset. */
export function bindNames(
  statement: DropTableStatement,
  before: NameContext,
  now: NameContext,
): Pick<DropRequest, 'statement' | 'charset'> {
  const charset = clientCharsetOf(now.charset);
  if (charset === null) throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
  const names = statement.names.map(({ schema, table, ...name }) => ({
    ...name,
    table: recode(table, before.charset, now.charset),
    schema:
      schema === null
        ? defaultSchema(before.schema, now)
        : recode(schema, before.charset, now.charset),
    // The server accepted the text when it was prepared.
    isDoubtful: false,
  }));
  return { statement: { ...statement, isDoubtful: false, names }, charset };
}

/** UNDROP_NAME_CHARSET if it can't be written in the present charset. */
export function bindSchema(schema: Uint8Array, before: NameContext, now: NameContext): Uint8Array {
  return recode(schema, before.charset, now.charset);
}

function recode(name: Uint8Array, from: string, to: string): Uint8Array {
  const kind = clientCharsetOf(from);
  // The PREPARE put a question mark into it, and has warned of it.
  const isSame = from === to && kind !== null && isStorable(name, kind);
  if (isSame || [from, to].every((charset) => isAsciiIn(name, charset))) return name;
  const encoded = encodeName(decodeName(name, from), to);
  if (encoded === null) throw new UndropError('UNDROP_NAME_CHARSET', { charset: to });
  return encoded;
}

/** Null stands for the present default schema, if that is the same and can't be written. */
function defaultSchema(schema: string | null, now: NameContext): Uint8Array | null {
  assert(schema !== null, 'the server prepares no DROP of a name without a schema');
  const encoded = encodeName(schema, now.charset);
  if (encoded !== null || schema === now.schema) return encoded;
  throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
}

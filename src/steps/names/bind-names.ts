/**
 * The names of a DROP that was prepared earlier, as the session has to be told them now. A prepared
 * DROP drops what it named at its PREPARE: in the default schema and the charset of that moment.
 *
 * Invariant: what comes out names the same tables in the charset of now, or there is an error.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { DropTableStatement, TableName } from '../../sql/grammar/drop-table.js';
import { isStorable } from '../../sql/lex/client-charset.js';
import { type ClientCharset, clientCharsetOf } from '../../sql/lex/lex-mode.js';
import { decodeName } from './decode-name.js';

/** Default schema and character_set_client of a session at one moment. */
export interface NameContext {
  /** In UTF-8. */
  readonly schema: string | null;
  readonly charset: string;
}

export interface BoundNames {
  readonly statement: DropTableStatement;
  readonly charset: ClientCharset;
}

/** For names that are the same in every charset; null where it has to be known what is now. */
export function bindPlainNames(
  statement: DropTableStatement,
  { schema }: NameContext,
): BoundNames | null {
  const isPlain = statement.names.every(
    (name) => isSameEverywhere(name.table) && isSameEverywhere(name.schema ?? bytesOf(schema)),
  );
  if (!isPlain || !partitionsOf(statement).every(isSameEverywhere)) return null;
  const names = statement.names.map((name) => ({
    ...name,
    schema: name.schema ?? bytesOf(schema),
  }));
  return { statement: judgedBefore(statement, names), charset: 'plain' };
}

/** UNDROP_NAME_CHARSET where a name can't be said in the charset of now. */
export function bindNames(
  statement: DropTableStatement,
  before: NameContext,
  now: NameContext,
): BoundNames {
  const charset = clientCharsetOf(now.charset);
  if (charset === null) throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
  // They are said by the client's own text, which is read in the charset of now.
  const isReadAlike = before.charset === now.charset;
  if (!isReadAlike && !partitionsOf(statement).every(isSameEverywhere)) {
    throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
  }
  const names = statement.names.map((name) => ({
    ...name,
    table: recode(name.table, before.charset, now.charset),
    schema:
      name.schema === null
        ? defaultSchema(before.schema, now)
        : recode(name.schema, before.charset, now.charset),
  }));
  return { statement: judgedBefore(statement, names), charset };
}

function partitionsOf({ partitions }: DropTableStatement): readonly Uint8Array[] {
  if (partitions === undefined || partitions.names === 'all') return [];
  return partitions.names.map(({ partition }) => partition);
}

/** The same for a schema; null where it has to be known what is now. */
export function bindPlainSchema(schema: Uint8Array): Uint8Array | null {
  return isSameEverywhere(schema) ? schema : null;
}

/** UNDROP_NAME_CHARSET where it can't be said in the charset of now. */
export function bindSchema(schema: Uint8Array, before: NameContext, now: NameContext): Uint8Array {
  return recode(schema, before.charset, now.charset);
}

/** The server took the text when it was prepared, so nothing in it is doubtful. */
function judgedBefore(
  statement: DropTableStatement,
  names: readonly TableName[],
): DropTableStatement {
  return {
    ...statement,
    isDoubtful: false,
    names: names.map((name) => ({ ...name, isDoubtful: false })),
  };
}

function recode(name: Uint8Array, from: string, to: string): Uint8Array {
  const kind = clientCharsetOf(from);
  // A question mark in it was put there by the PREPARE, which has warned of it.
  const isSame = from === to && kind !== null && isStorable(name, kind);
  if (isSame || [from, to].every((charset) => isAsciiIn(name, charset))) return name;
  const decoded = decodeName(name, from);
  if (to.startsWith('utf8')) return Buffer.from(decoded);
  throw new UndropError('UNDROP_NAME_CHARSET', { charset: to });
}

/** Null stands for the default schema of now, where that is the same and can't be written. */
function defaultSchema(schema: string | null, now: NameContext): Uint8Array | null {
  const bytes = bytesOf(schema);
  if (now.charset.startsWith('utf8') || isAsciiIn(bytes, now.charset)) return bytes;
  if (schema === now.schema) return null;
  throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
}

function bytesOf(schema: string | null): Uint8Array {
  assert(schema !== null, 'the server prepares no DROP of a name without a schema');
  return Buffer.from(schema);
}

/** ASCII without the characters for which `charset` has others. */
function isAsciiIn(bytes: Uint8Array, charset: string): boolean {
  const kind = clientCharsetOf(charset);
  return kind !== null && bytes.every((byte) => byte < 0x80) && isStorable(bytes, kind);
}

/** ASCII without the characters for which some charset has others (swe7, sjis). */
function isSameEverywhere(bytes: Uint8Array): boolean {
  return bytes.every(
    (byte) => byte >= 0x20 && byte < 0x7f && !'@[\\]^`{|}~'.includes(String.fromCharCode(byte)),
  );
}

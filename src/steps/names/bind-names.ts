/**
 * The names of a DROP that was prepared earlier, as the session has to be told them now. A prepared
 * DROP drops what it named at its PREPARE: in the default schema and the charset of that moment.
 *
 * Invariant: what comes out names the same tables in the charset of now, or there is an error.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import { isStorable } from '../../sql/lex/client-charset.js';
import { type ClientCharset, clientCharsetOf } from '../../sql/lex/lex-mode.js';
import { decodeName, encodeName, isAsciiIn } from './client-names.js';

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

/** UNDROP_NAME_CHARSET if a name can't be said in the charset of now. */
export function bindNames(
  statement: DropTableStatement,
  before: NameContext,
  now: NameContext,
): BoundNames {
  const charset = clientCharsetOf(now.charset);
  if (charset === null) throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
  const names = statement.names.map(({ schema, table, ...name }) => ({
    ...name,
    table: recode(table, before.charset, now.charset),
    schema:
      schema === null
        ? defaultSchema(before.schema, now)
        : recode(schema, before.charset, now.charset),
    // The server took the text when it was prepared.
    isDoubtful: false,
  }));
  return { statement: { ...statement, isDoubtful: false, names }, charset };
}

/** UNDROP_NAME_CHARSET if it can't be said in the charset of now. */
export function bindSchema(schema: Uint8Array, before: NameContext, now: NameContext): Uint8Array {
  return recode(schema, before.charset, now.charset);
}

function recode(name: Uint8Array, from: string, to: string): Uint8Array {
  const kind = clientCharsetOf(from);
  // A question mark in it was put there by the PREPARE, which has warned of it.
  const isSame = from === to && kind !== null && isStorable(name, kind);
  if (isSame || [from, to].every((charset) => isAsciiIn(name, charset))) return name;
  const encoded = encodeName(decodeName(name, from), to);
  if (encoded === null) throw new UndropError('UNDROP_NAME_CHARSET', { charset: to });
  return encoded;
}

/** Null stands for the default schema of now, if that is the same and can't be written. */
function defaultSchema(schema: string | null, now: NameContext): Uint8Array | null {
  assert(schema !== null, 'the server prepares no DROP of a name without a schema');
  const encoded = encodeName(schema, now.charset);
  if (encoded !== null || schema === now.schema) return encoded;
  throw new UndropError('UNDROP_NAME_CHARSET', { charset: now.charset });
}

/**
 * DROP DATABASE as a text: read here, done by statements/drop-database.
 *
 * Invariant: a name that can't be read, or that is one of a directory, is in no statement of ours.
 */

import { UndropError } from '../../errors.js';
import type { Hint } from '../../policy/rules.js';
import { clientCharsetOf } from '../../sql/lex/lex-mode.js';
import { decodeName } from '../../steps/names/decode-name.js';
import {
  notDone,
  notUnderstood,
  SET_IF_EXISTS,
  schemaAndTables,
} from '../../steps/refusals/refusals.js';
import { FILE_NAME_PREFIX, hasFileNames, isFileName } from '../../steps/refusals/unsupported.js';
import type { UserFacts } from '../../steps/request.js';
import { FORGET_HINT, readHints } from '../../steps/rules/hints.js';
import { hintsIn } from '../../steps/rules/hints-of-text.js';
import {
  answerWith,
  type Interception,
  type InterceptOptions,
  type NamedSchema,
  newId,
  readUserFacts,
  refused,
  type Taken,
} from '../intercepted.js';
import { runDropDatabase } from './service.js';

export async function dropSchema(
  { text, hints }: Pick<Taken, 'text'> & { readonly hints?: readonly string[] },
  { schema, ifExists, facts: known }: NamedSchema,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession, server, session, service } = options;
  if (hasFileNames(server) && isFileName(schema)) {
    return refused(notUnderstood(`${FILE_NAME_PREFIX} names a schema by its directory`), options);
  }
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  if (facts.addsIfExists) {
    const how = 'as a schema under sql_if_exists';
    return refused(notDone(how, schemaAndTables(schema), SET_IF_EXISTS), options);
  }
  const charset = clientCharsetOf(facts.charset);
  const name = nameIn(schema, facts);
  if (name instanceof UndropError) return refused(name, options);
  if (charset === null || schema.includes(0)) {
    return refused(notUnderstood(`a name in the character set ${facts.charset}`), options);
  }
  if (facts.hint !== null) await userSession.run([FORGET_HINT]);
  const hint = hintFor(hints ?? hintsIn(text, facts, server), { name, facts }, options);
  const request = { text, schema, name, ifExists, charset, server, session, facts, hint };
  const dropped = await runDropDatabase(request, { ...service, userSession, newId });
  const { payload, refusal, isNote } = dropped;
  return { kind: 'answer', payload, refusal, facts: null, dropped, isNote };
}

/** In UTF-8. */
function nameIn(schema: Uint8Array, { charset }: UserFacts): string | UndropError {
  try {
    return decodeName(schema, charset);
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
}

/** For all tables of the schema. */
function hintFor(
  hints: readonly string[] | null,
  { name, facts }: { readonly name: string; readonly facts: UserFacts },
  { service }: InterceptOptions,
): Hint | null | UndropError {
  const tables = schemaAndTables(Buffer.from(name));
  if (hints === null) return notUnderstood('its character set');
  const all = facts.hint === null ? hints : [...hints, facts.hint];
  const hint = readHints(all, tables, service);
  if (hint === null || hint instanceof UndropError || hint.what.do !== 'destroy') return hint;
  const why = 'of a whole schema';
  const instead = 'Drop its tables with that hint, then the schema.';
  return new UndropError('UNDROP_DESTROY', { tables, why, instead });
}

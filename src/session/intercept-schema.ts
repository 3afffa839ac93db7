/**
 * DROP DATABASE as a text: one that isn't there is answered (absent-schema.ts), one that is there
 * is dropped with its tables held (drop/run-schema-drop.ts).
 *
 * Invariant: a name that can't be read, or that is one of a directory, is in no statement of ours.
 */
import { runSchemaDrop } from '../drop/run-schema-drop.js';
import { UndropError } from '../errors.js';
import { clientCharsetOf } from '../sql/lex-mode.js';
import { answerOfAbsent, schemaNameOf } from './absent-schema.js';
import {
  answerWith,
  FILE_NAME_PREFIX,
  hasFileNames,
  type Interception,
  type InterceptOptions,
  isFileName,
  type NamedSchema,
  newId,
  readUserFacts,
  refused,
  type Taken,
} from './intercept.js';
import { notUnderstood, schemaAndTables } from './refusals.js';

export async function dropSchema(
  { text }: Pick<Taken, 'text'>,
  { schema, ifExists, facts: known }: NamedSchema,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession, server, session, service } = options;
  if (hasFileNames(server) && isFileName(schema)) {
    return refused(notUnderstood(`${FILE_NAME_PREFIX} names a schema by its directory`), options);
  }
  const guessed = { schema, ifExists, charset: (known ?? options.guess).charset };
  const absent = await answerOfAbsent(guessed, options);
  if (absent !== null) return answerWith(absent);
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  const { charset: charsetName } = facts;
  const charset = clientCharsetOf(charsetName);
  const name = schemaNameOf({ schema, charset: charsetName });
  if (charset === null || name === null || schema.includes(0)) {
    return refused(notUnderstood(`a name in the character set ${charsetName}`), options);
  }
  const request = { text, schema, name, charset, server, session, facts };
  const dropped = await runSchemaDrop(request, { ...service, userSession, newId });
  if (dropped === null) {
    const gone = await answerOfAbsent(guessed, options);
    const tables = schemaAndTables(schema);
    const again = new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: 1 });
    return gone === null ? refused(again, options) : answerWith(gone);
  }
  const { payload, refusal } = dropped;
  return { kind: 'answer', payload, refusal, facts: dropped.facts, dropped };
}

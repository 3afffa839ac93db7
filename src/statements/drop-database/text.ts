/**
 * DROP DATABASE as a text: one that isn't there is answered (absent.ts), one that is there
 * is dropped with its tables held (statements/drop-database/drop-database.ts). What CREATE OR
 * REPLACE DATABASE replaces is dropped in the same way, by that statement itself (database.ts).
 *
 * Invariant: a name that can't be read, or that is one of a directory, is in no statement of ours.
 */

import { UndropError } from '../../errors.js';
import type { Hint } from '../../policy/hint.js';
import { clientCharsetOf } from '../../sql/lex/lex-mode.js';
import {
  changedMeanwhile,
  notDone,
  notUnderstood,
  SET_IF_EXISTS,
  schemaAndTables,
} from '../../steps/refusals/refusals.js';
import { FILE_NAME_PREFIX, hasFileNames, isFileName } from '../../steps/refusals/unsupported.js';
import type { UserFacts } from '../../steps/request.js';
import { FORGET_HINT, readHints } from '../../steps/rules/hints.js';
import { hintsIn } from '../../steps/rules/hints-of-text.js';
import { replaceSchema } from '../create-or-replace/database.js';
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
import { answerOfAbsent, schemaNameOf } from './absent.js';
import { runSchemaDrop, type SchemaDropRequest } from './drop-database.js';

export async function dropSchema(
  { text, tail = text, hints }: SaidOfSchema,
  { schema, ifExists, facts: known, optionsAt }: NamedSchema,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession, server, session, service } = options;
  if (hasFileNames(server) && isFileName(schema)) {
    return refused(notUnderstood(`${FILE_NAME_PREFIX} names a schema by its directory`), options);
  }
  const guessed = { schema, ifExists, charset: (known ?? options.guess).charset };
  const replaced = optionsAt === undefined ? null : { options: text.subarray(optionsAt) };
  const absent = replaced === null ? await answerOfAbsent(guessed, options) : null;
  if (absent !== null) return answerWith(absent);
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  if (facts.addsIfExists) {
    const how = 'as a schema under sql_if_exists';
    return refused(notDone(how, schemaAndTables(schema), SET_IF_EXISTS), options);
  }
  const { charset: charsetName } = facts;
  const charset = clientCharsetOf(charsetName);
  const name = schemaNameOf({ schema, charset: charsetName });
  if (name === null) {
    return refused(new UndropError('UNDROP_NAME_CHARSET', { charset: charsetName }), options);
  }
  if (charset === null || schema.includes(0)) {
    return refused(notUnderstood(`a name in the character set ${charsetName}`), options);
  }
  const said = hints ?? hintsIn(text, facts, server);
  const hint = await hintFor({ hints: said, name, facts }, options);
  if (hint instanceof UndropError) return refused(hint, options);
  const request = { text, schema, name, charset, server, session, facts, options: null };
  const drop = async (said: SchemaDropRequest): Promise<Interception | null> => {
    const dropped = await runSchemaDrop(said, { ...service, userSession, newId, hint });
    if (dropped === null) return null;
    const { payload, refusal } = dropped;
    return { kind: 'answer', payload, refusal, facts: dropped.facts, dropped };
  };
  if (replaced !== null) {
    return replaceSchema({ ...request, ...replaced, tail }, { ...options, drop });
  }
  const dropped = await drop(request);
  if (dropped !== null) return dropped;
  const gone = await answerOfAbsent(guessed, options);
  return gone === null ? refused(changedMeanwhile(schema), options) : answerWith(gone);
}

/** `hints`: by default those in the text. */
type SaidOfSchema = Pick<Taken, 'text' | 'tail'> & { readonly hints?: readonly string[] };

/** For all tables of the schema; that of the session is used up. */
async function hintFor(
  {
    hints,
    name,
    facts,
  }: {
    readonly hints: readonly string[] | null;
    readonly name: string;
    readonly facts: UserFacts;
  },
  { userSession, service }: InterceptOptions,
): Promise<Hint | null | UndropError> {
  const tables = `Schema ${name} and its tables were`;
  if (hints === null) return notUnderstood('its character set');
  if (facts.hint !== null) await userSession.run([FORGET_HINT]);
  const all = facts.hint === null ? hints : [...hints, facts.hint];
  const hint = readHints(all, tables, service);
  if (hint === null || hint instanceof UndropError || hint.what.do !== 'destroy') return hint;
  const why = 'of a whole schema';
  const instead = 'Drop its tables with that hint, then the schema.';
  return new UndropError('UNDROP_DESTROY', { tables, why, instead });
}

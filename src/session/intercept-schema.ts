/**
 * DROP DATABASE as a text: one that isn't there is answered (absent-schema.ts), one that is there
 * is dropped with its tables held (drop/run-schema-drop.ts). What CREATE OR REPLACE DATABASE
 * replaces is dropped in the same way, by that statement itself (replace-schema.ts).
 *
 * Invariant: a name that can't be read, or that is one of a directory, is in no statement of ours.
 */
import type { UserFacts } from '../drop/request.js';
import { runSchemaDrop, type SchemaDropRequest } from '../drop/run-schema-drop.js';
import { FORGET_WISH, readWishes } from '../drop/wishes.js';
import { UndropError } from '../errors.js';
import type { Wish } from '../policy/wish.js';
import { clientCharsetOf } from '../sql/lex-mode.js';
import { answerOfAbsent, schemaNameOf } from './absent-schema.js';
import { wishesIn } from './drop-wishes.js';
import {
  answerWith,
  type Interception,
  type InterceptOptions,
  type NamedSchema,
  newId,
  readUserFacts,
  refused,
  type Taken,
} from './intercept.js';
import { FILE_NAME_PREFIX, hasFileNames, isFileName } from './objections.js';
import {
  changedMeanwhile,
  notDone,
  notUnderstood,
  SET_IF_EXISTS,
  schemaAndTables,
} from './refusals.js';
import { replaceSchema } from './replace-schema.js';

export async function dropSchema(
  { text, tail = text, wishes }: SaidOfSchema,
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
  const said = wishes ?? wishesIn(text, facts, server);
  const wish = await wishFor({ wishes: said, name, facts }, options);
  if (wish instanceof UndropError) return refused(wish, options);
  const request = { text, schema, name, charset, server, session, facts, options: null };
  const drop = async (said: SchemaDropRequest): Promise<Interception | null> => {
    const dropped = await runSchemaDrop(said, { ...service, userSession, newId, wish });
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

/** `wishes`: by default those in the text. */
type SaidOfSchema = Pick<Taken, 'text' | 'tail'> & { readonly wishes?: readonly string[] };

/** For all tables of the schema; that of the session is used up. */
async function wishFor(
  {
    wishes,
    name,
    facts,
  }: {
    readonly wishes: readonly string[] | null;
    readonly name: string;
    readonly facts: UserFacts;
  },
  { userSession, service }: InterceptOptions,
): Promise<Wish | null | UndropError> {
  const tables = `Schema ${name} and its tables were`;
  if (wishes === null) return notUnderstood('its character set');
  if (facts.wish !== null) await userSession.run([FORGET_WISH]);
  const all = facts.wish === null ? wishes : [...wishes, facts.wish];
  const wish = readWishes(all, tables, service);
  if (wish === null || wish instanceof UndropError || wish.what.do !== 'destroy') return wish;
  const why = 'of a whole schema';
  const instead = 'Drop its tables with that wish, then the schema.';
  return new UndropError('UNDROP_DESTROY', { tables, why, instead });
}

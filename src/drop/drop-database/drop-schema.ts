/**
 * DROP DATABASE as a text: parsed here, run by statements/drop-database.
 *
 * Invariant: a name that can't be decoded, or that is one of a directory, is in no statement of
 * undrop.
 */

import { UndropError } from '../../errors.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { decodeOk } from '../../wire/response.js';
import type * as drops from '../intercepted.js';
import { answeredWith, readUserFacts, refused, withNote } from '../intercepted.js';
import { FILE_NAME_PREFIX, isFileName } from '../steps/inspect-names.js';
import { decodeName, orRefusal } from '../steps/names/client-names.js';
import {
  notDone,
  notUnderstood,
  SET_IF_EXISTS,
  schemaAndTables,
} from '../steps/refusals/refusals.js';
import { allHints, FORGET_HINT, hintsIn } from '../steps/rules/hints.js';
import { type HoldingStatement, runStatement } from '../steps/run.js';
import { NO_NAMES } from '../steps/world.js';
import { dropDatabase } from './drop-database.js';
import { tablesOfSchema } from './schema-drop.js';
import { SchemaServer } from './schema-port.js';

export async function dropSchema(
  { text, hints: known }: Pick<drops.Intercepted, 'text'> & { readonly hints?: readonly string[] },
  { schema, ifExists, facts: read }: drops.NamedSchema,
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const { userSession, server, session, service } = options;
  if (isFileName(schema, server)) {
    return refused(notUnderstood(`${FILE_NAME_PREFIX} names a schema by its directory`), options);
  }
  const facts = read ?? (await readUserFacts(options));
  if ('errno' in facts) return answeredWith(facts);
  if (facts.addsIfExists) {
    const how = 'as a schema under sql_if_exists';
    return refused(notDone(how, schemaAndTables(schema), SET_IF_EXISTS), options);
  }
  const charset = clientCharsetOf(facts.charset);
  const name = orRefusal(() => decodeName(schema, facts.charset));
  if (name instanceof UndropError) return refused(name, options);
  const hints = known ?? hintsIn(text, facts, server);
  if (charset === null || schema.includes(0) || hints === null) {
    return refused(notUnderstood(`a name in the character set ${facts.charset}`), options);
  }
  if (facts.hint !== null) await userSession.run([FORGET_HINT]);
  const how = { how: 'DROP DATABASE', subject: tablesOfSchema(name) };
  const drop = { text, statement: NO_NAMES, charset, server, session, ...how };
  const running = { ...service, hints: allHints(hints, facts), userSession };
  const run: HoldingStatement = (world, common) => {
    const request = { ...common, schema, name, ifExists, facts };
    return dropDatabase(world, new SchemaServer(world, request, running), request);
  };
  const dropped = await runStatement(run, drop, running);
  const { held, refusal } = dropped;
  const undoable = { held, names: [[name]], what: 'DATABASE', facts } as const;
  const payload = await withNote(dropped, undoable, options);
  const schemaRows = payload[0] === 0 ? { schemaRows: decodeOk(payload).affectedRows } : {};
  return { kind: 'answer', payload, refusal, facts: null, dropped, ...schemaRows };
}

/**
 * MariaDB's CREATE OR REPLACE DATABASE: where there is no such schema it is made by a CREATE that
 * destroys nothing; one that is there is replaced in the client's own words, held up by all that
 * holds up a DROP DATABASE.
 *
 * Invariant: OR REPLACE goes to the server as the DROP of drop-database.ts only.
 */

import { UndropError } from '../../errors.js';
import { changedMeanwhile, notUnderstood } from '../../steps/refusals/refusals.js';
import { cleanSql } from '../../steps/session/user-session-sql.js';
import {
  ER_DB_CREATE_EXISTS,
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_PARSE_ERROR,
} from '../../wire/server-errors.js';
import { DropDatabaseAborted } from '../drop-database/aborted.js';
import { askRight } from '../drop-database/check-rights.js';
import type { SchemaDropRequest } from '../drop-database/drop-database.js';
import { createSchemaSql } from '../drop-database/sql.js';
import {
  answerWith,
  type Interception,
  type InterceptOptions,
  newId,
  refused,
} from '../intercepted.js';
import { prepare } from './table.js';

/** Others drop it, and make it again, as often as this. */
const TRIES_MAX = 8;

export type SchemaReplacement = SchemaDropRequest & {
  readonly text: Buffer;
  /** From the statement to the end of the client's text. */
  readonly tail: Buffer;
  readonly options: Uint8Array;
};

export async function replaceSchema(
  request: SchemaReplacement,
  options: InterceptOptions & {
    /** Null: another was faster. */
    readonly drop: (request: SchemaDropRequest) => Promise<Interception | null>;
  },
): Promise<Interception> {
  const { userSession, drop } = options;
  const wrong = await judge(request, options);
  if (wrong !== null) return wrong;
  const groupId = newId();
  try {
    const name = { ...request, groupId };
    await askRight(name, request.name, (commands) => userSession.run(commands));
  } catch (error) {
    if (!(error instanceof DropDatabaseAborted)) throw error;
    const { payload, refusal } = error;
    return { kind: 'answer', payload, refusal, facts: null, dropped: null };
  }
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    // A CREATE DATABASE leaves the diagnostics as they are.
    const texts = [cleanSql(groupId), createSchemaSql(request)];
    const [, made] = await userSession.run(texts.map((text) => ({ kind: 'query', text })));
    if (made?.kind === 'ok') return answerWith(made);
    if (made?.kind !== 'err') throw new Error('CREATE DATABASE answers OK or ERR');
    if (made.errno !== ER_DB_CREATE_EXISTS) return answerWith(made);
    const dropped = await drop(request);
    if (dropped !== null) return dropped;
  }
  return refused(changedMeanwhile(request.schema, TRIES_MAX), options);
}

/** The server's error for the text, or null where it takes it; nothing is left prepared. */
async function judge(
  request: SchemaReplacement,
  options: InterceptOptions,
): Promise<Interception | null> {
  const { text, tail } = request;
  const said = await prepare(text, options);
  if (said === null) {
    // Its options may end a comment of a version that began before them.
    const isPlain = (await prepare(createSchemaSql(request), options)) === null;
    const why = 'CREATE OR REPLACE in a form that is not known';
    return isPlain ? null : refused(notUnderstood(why), options);
  }
  if (said.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
    return refused(new UndropError('UNDROP_NOT_JUDGED', {}), options);
  }
  // Its words quote the text to the end.
  const whole = said.errno === ER_PARSE_ERROR ? await prepare(tail, options) : null;
  return answerWith(whole ?? said);
}

/**
 * The answers to the statements that undrop has of its own: a result set, an OK, an error of the
 * server's.
 *
 * Invariant: the session's diagnostics afterwards are those of this answer, so that SHOW WARNINGS
 * says what was answered, and nothing of the questions before it.
 */
import { assert } from '../../assert.js';
import { newId } from '../../steps/intents.js';
import { drive, type Effect, type Steps } from '../../steps/procedure.js';
import type { UserFacts } from '../../steps/request.js';
import {
  cleanSql,
  SIGNAL_CHARACTERS_MAX,
  type Signal,
  signalSql,
} from '../../steps/session/user-session-sql.js';
import { raise } from '../../steps/session-answers.js';
import { SERVER_MORE_RESULTS_EXISTS } from '../../wire/capabilities.js';
import type { ErrPacket, OkPacket } from '../../wire/response.js';
import { encodeResultSet, type ResultSet, type ResultSetOptions } from '../../wire/result-set.js';
import { answerWith, type Interception, type InterceptOptions } from '../intercepted.js';

/** How the answer is to be encoded. */
export interface AnswerFormat {
  readonly facts: UserFacts;
  /** It answers a COM_STMT_EXECUTE. */
  readonly isBinary: boolean;
}

/** `note`: a warning that the session has afterwards; null: none. */
export async function answerRows(
  set: ResultSet,
  { note, ...format }: AnswerFormat & { readonly note: string | null },
  options: InterceptOptions,
): Promise<Interception> {
  const said = await sayOk(note, options);
  if (said.kind === 'err') return answerWith(said);
  const [payload, ...more] = encodeResultSet(set, resultSetOptions(said, format, options));
  assert(payload !== undefined, 'a result set has packets');
  return { ...answerWith({ payload }), more };
}

export function resultSetOptions(
  { statusFlags, warnings }: Pick<OkPacket, 'statusFlags' | 'warnings'>,
  { facts, isBinary }: AnswerFormat,
  { capabilities, moreResults = false }: InterceptOptions,
): ResultSetOptions {
  const more = moreResults ? SERVER_MORE_RESULTS_EXISTS : 0;
  const charset = facts.resultsCharset;
  return { capabilities, statusFlags: statusFlags | more, warnings, isBinary, charset };
}

/** OK, no rows. */
export async function answerOk(
  note: string | null,
  options: InterceptOptions,
): Promise<Interception> {
  return answerWith(await sayOk(note, options));
}

/** An error of the server's, in words that no statement of ours brings it to say. */
export async function answerSignal(
  signal: Signal,
  options: InterceptOptions,
): Promise<Interception> {
  return answerWith(await inSession(raise(options, signal), options));
}

/** Runs a procedure that has nothing but questions to the user's session. */
export function inSession<T>(
  steps: Steps<T, Effect<'user'>>,
  { userSession }: Pick<InterceptOptions, 'userSession'>,
): Promise<T> {
  return drive(steps, ({ commands }) => userSession.run(commands));
}

const WARNING = { errno: 1105, sqlState: '01000' };

async function sayOk(
  note: string | null,
  { userSession, server }: InterceptOptions,
): Promise<OkPacket | ErrPacket> {
  const characters = Array.from(note ?? '');
  const isCut = server.flavour === 'mysql' && characters.length > SIGNAL_CHARACTERS_MAX;
  const message = isCut
    ? `${characters.slice(0, SIGNAL_CHARACTERS_MAX - 1).join('')}…`
    : characters.join('');
  const text = note === null ? cleanSql(newId()) : signalSql({ ...WARNING, message });
  const [said] = await userSession.run([{ kind: 'query', text }]);
  assert(said?.kind === 'ok' || said?.kind === 'err', 'a statement without rows answers so');
  return said;
}

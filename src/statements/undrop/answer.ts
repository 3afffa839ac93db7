/**
 * The responses to the statements of undrop itself: a result set, an OK, an error of the server.
 *
 * Invariant: the session's diagnostics afterwards are those of this response, so that SHOW WARNINGS
 * is about it, and not about the queries before it.
 */
import { assert } from '../../assert.js';
import type { UndropError } from '../../errors.js';
import {
  cleanSql,
  raise,
  type Signal,
  signal,
  signalCharactersMax,
} from '../../steps/session/user-session.js';
import type { UserFacts } from '../../steps/world.js';
import * as caps from '../../wire/capabilities.js';
import type { ErrPacket, OkPacket, PreparedResult } from '../../wire/response.js';
import {
  type Column,
  encodePrepareOk,
  encodeResultSet,
  type ResultSet,
  type ResultSetOptions,
} from '../../wire/result-set.js';
import * as ER from '../../wire/server-errors.js';
import { type Answered, type InterceptOptions, refused } from '../intercepted.js';

/** The encoding of the response. */
export interface AnswerFormat {
  readonly facts: UserFacts;
  /** It answers a COM_STMT_EXECUTE. */
  readonly isBinary: boolean;
}

/** The form of the statement. */
export interface UndoRun extends AnswerFormat {
  readonly text: Buffer;
}

/** `note`: a warning that the session has afterwards; null: none. */
export async function answerRows(
  set: ResultSet,
  { note, ...format }: AnswerFormat & { readonly note: string | null },
  options: InterceptOptions,
): Promise<Answered> {
  const said = await sayOk(note, options);
  if (said.kind === 'err') return answerOf([said.payload]);
  return answerOf(encodeResultSet(set, resultSetOptions(said, format, options)));
}

function answerOf([payload, ...more]: readonly Buffer[]): Answered {
  assert(payload !== undefined, 'an answer has a packet');
  return { kind: 'answer', payload, more, refusal: null, facts: null, dropped: null };
}

/** The response to its COM_STMT_PREPARE; `ofServer`: that to a statement without columns. */
export function answerPrepared(
  { payload: ofServer }: PreparedResult,
  prepared: { readonly columns: readonly Column[] } & Pick<AnswerFormat, 'facts'> & {
      readonly ok: OkPacket;
    },
  options: InterceptOptions,
): Answered {
  const { columns, ok, facts } = prepared;
  const how = resultSetOptions(ok, { facts, isBinary: true }, options);
  return answerOf(encodePrepareOk(ofServer, columns, how));
}

function resultSetOptions(
  { statusFlags, warnings }: Pick<OkPacket, 'statusFlags' | 'warnings'>,
  { facts, isBinary }: AnswerFormat,
  { capabilities, moreResults = false }: InterceptOptions,
): ResultSetOptions {
  const more = moreResults ? caps.SERVER_MORE_RESULTS_EXISTS : 0;
  const charset = facts.resultsCharset;
  return { capabilities, statusFlags: statusFlags | more, warnings, isBinary, charset };
}

/** OK, no rows. */
export async function answerOk(note: string | null, options: InterceptOptions): Promise<Answered> {
  return answerOf([(await sayOk(note, options)).payload]);
}

/** An error of the server with a text that no statement of undrop would cause. */
export async function answerSignal(signal: Signal, options: InterceptOptions): Promise<Answered> {
  return answerOf([(await raise(options.userSession, options, signal)).payload]);
}

/** A refusal of undrop, so that SHOW WARNINGS is about it, and not about the queries before it. */
export async function answerRefused(
  error: UndropError,
  options: InterceptOptions,
): Promise<Answered> {
  const answered = await refused(error, options);
  const { errno, sqlState } = error.entry;
  await answerSignal({ errno, sqlState, message: `${error.code}: ${error.message}` }, options);
  return answered;
}

const WARNING = { errno: ER.UNKNOWN_ERROR, sqlState: '01000' };

async function sayOk(
  note: string | null,
  options: InterceptOptions,
): Promise<OkPacket | ErrPacket> {
  const { userSession, server } = options;
  const characters = Array.from(note ?? '');
  const charactersMax = signalCharactersMax(server);
  const message =
    characters.length > charactersMax
      ? `${characters.slice(0, charactersMax - 1).join('')}…`
      : characters.join('');
  if (note !== null) return signal(userSession, { ...WARNING, message });
  const [said] = await userSession.run([{ kind: 'query', text: cleanSql('undo') }]);
  assert(said?.kind === 'ok' || said?.kind === 'err', 'a statement without rows answers so');
  return said;
}

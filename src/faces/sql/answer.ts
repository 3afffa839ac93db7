/**
 * The responses to the statements of undrop itself: a result set, an OK, an error of the server.
 *
 * Invariant: the session's diagnostics afterwards are those of this response, so that SHOW WARNINGS
 * is about it, and not about the queries before it.
 */
import { type Answered, type InterceptOptions, refused } from '../../drop/intercepted.js';
import type { Signal } from '../../drop/steps/session/user-session.js';
import {
  cleanSql,
  raise,
  signal,
  signalCharactersMax,
} from '../../drop/steps/session/user-session.js';
import { withRestoredInfo } from '../../drop/steps/undo-note.js';
import type { UserFacts } from '../../drop/steps/world.js';
import { assert, type UndropError } from '../../errors.js';
import { programOf } from '../../sql/comment-tags.js';
import * as caps from '../../wire/capabilities.js';
import type { ErrPacket, OkPacket, PreparedResult } from '../../wire/response.js';
import * as resultSets from '../../wire/result-set.js';
import * as ER from '../../wire/server-errors.js';
import type { RightsAsker } from './rights.js';

/** For the audit and the history. */
export function whoOf({
  facts,
  session: { clientAddress: client, threadId, attributes },
}: UndoRun) {
  return { user: facts.user, client, threadId, program: programOf(attributes) };
}

/** The encoding of the response. */
export interface AnswerFormat {
  readonly facts: UserFacts;
  /** It answers a COM_STMT_EXECUTE. */
  readonly isBinary: boolean;
}

/** The statement in its session, and the context of its checks. */
export interface UndoRun extends InterceptOptions, AnswerFormat {
  readonly text: Buffer;
  readonly asked: RightsAsker;
}

/** `note`: a warning that the session has afterwards; null: none. */
export async function answerRows(
  set: resultSets.ResultSet,
  run: InterceptOptions & AnswerFormat,
  note: string | null = null,
): Promise<Answered> {
  const said = await sayOk(note, run);
  if (said.kind === 'err') return answerOf([said.payload]);
  return answerOf(resultSets.encodeResultSet(set, resultSetOptions(said, run)));
}

function answerOf([payload, ...more]: readonly Buffer[]): Answered {
  assert(payload !== undefined, 'an answer has a packet');
  return { kind: 'answer', payload, more, refusal: null, facts: null, dropped: null };
}

/** The response to its COM_STMT_PREPARE; `ofServer`: that to a statement without columns. */
export function answerPrepared(
  { payload: ofServer }: PreparedResult,
  prepared: Pick<resultSets.ResultSet, 'columns'> & Pick<AnswerFormat, 'facts'> & { ok: OkPacket },
  options: InterceptOptions,
): Answered {
  const { columns, ok, facts } = prepared;
  const how = resultSetOptions(ok, { ...options, facts, isBinary: true });
  return answerOf(resultSets.encodePrepareOk(ofServer, columns, how));
}

function resultSetOptions(
  { statusFlags, warnings }: Pick<OkPacket, 'statusFlags' | 'warnings'>,
  { facts, isBinary, capabilities, moreResults = false }: InterceptOptions & AnswerFormat,
): resultSets.ResultSetOptions {
  const more = moreResults ? caps.SERVER_MORE_RESULTS_EXISTS : 0;
  const charset = facts.resultsCharset;
  return { capabilities, statusFlags: statusFlags | more, warnings, isBinary, charset };
}

/** OK, no rows, with that info text, and a warning if `note` isn't null. */
export async function answerOk(
  { text, note }: { readonly text: string; readonly note: string | null },
  run: UndoRun,
): Promise<Answered> {
  const { payload } = await sayOk(note, run);
  return answerOf([withRestoredInfo(payload, text, { note: run.service.note, facts: run.facts })]);
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

/**
 * Begins a statement in the user session: the server checks its syntax, the session tells what its
 * names are and how it is set, and a hint of the session is used up.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import type { LastingBlocker } from '../held/relocate/blockers.js';
import type { ErrPacket } from '../wire/response.js';
import type { Result } from '../wire/result-reader.js';
import {
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_NO_DB_ERROR,
  ER_XA_TEMP_TABLE,
  ER_XAER_RMFAIL,
} from '../wire/server-errors.js';
import { qualify, serviceNames } from './names/client-names.js';
import { ask, perform, query, type Steps } from './procedure.js';
import { notDone, SET_IF_EXISTS } from './refusals/refusals.js';
import {
  type Answer,
  again,
  answerWith,
  holdFailed,
  type Reply,
  refuse,
  sentenceStart,
} from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { areForDestroying, DestroyHinted, FORGET_HINT } from './rules/hints.js';
import type { Beginning } from './run.js';
import { factsSql, lastingBlockerIn, type NameKind, readFacts, readKind } from './session/facts.js';
import type { UserCommand } from './session/user-session.js';
import { probeSql, type QualifiedName, showCreateSql } from './session/user-session-sql.js';

/** What is known once the session was asked. */
export interface Seen {
  readonly request: DropRequest;
  readonly facts: UserFacts;
  /** The names as they go into statements of ours, in order. */
  readonly names: readonly QualifiedName[];
  /** What the session sees under each name. */
  readonly kinds: readonly NameKind[];
  /** For each name: why it must be held in its own schema, or null. */
  readonly blockers: readonly (LastingBlocker | null)[];
}

/** The table of a statement that names one and leaves it there. */
export interface OneTable {
  readonly request: DropRequest;
  readonly facts: UserFacts;
  readonly name: QualifiedName;
  /** In UTF-8. */
  readonly schema: string;
  readonly table: string;
  /** What the session sees under the name. */
  readonly seenAs: NameKind;
}

/** errno of the operating system, which MariaDB gives if a table's file is missing. */
const EE_FILENOTFOUND = 29;

/** `both`: the service begins to record meanwhile. */
export function* inspectNames(
  { request, hints }: Beginning,
  effect: 'user' | 'both',
): Steps<Seen | Reply> {
  const { statement, server, charset, text, isSyntaxChecked = false } = request;
  const syntaxCheck: UserCommand[] = isSyntaxChecked ? [] : [{ kind: 'prepare', text }];
  const shows = statement.names.map((name) => query(showCreateSql(name, charset)));
  const results = yield* perform(effect, {
    commands: [...syntaxCheck, ...shows, query(factsSql(server))],
  });
  const [prepared] = isSyntaxChecked ? [] : results;
  const shown = results.slice(syntaxCheck.length, -1);
  const last = results.at(-1);
  assert(last !== undefined, 'the facts have an answer');
  const facts = readFacts(last);
  if (!('errno' in facts)) yield* know(facts, hints);
  const wrong = yield* syntaxError(request, prepared);
  if (wrong !== null) return wrong;
  if ('errno' in facts) return yield* serversError(request, facts);
  const setting = wrongSetting(request, facts);
  if (setting !== null) return refuse(setting);
  const kinds: NameKind[] = [];
  for (const kind of shown.map(readKind)) {
    // A RENAME would move the table's other files, and leave it in two halves.
    if (typeof kind === 'object' && kind.errno === EE_FILENOTFOUND)
      return holdFailed(request, kind);
    if (typeof kind === 'object') return yield* serversError(request, kind);
    kinds.push(kind);
  }
  const names = statement.names.map((name) => qualify(name, facts));
  const blockers = shown.map((answer) => lastingBlockerIn(answer, server));
  return { request, facts, names, kinds, blockers };
}

/** Nothing is recorded by then. */
export function* inspectOneTable(beginning: Beginning): Steps<OneTable | Reply> {
  const seen = yield* inspectNames(beginning, 'user');
  if ('kind' in seen) return seen;
  const { request, facts, names, kinds } = seen;
  const stored = serviceNames(request, facts);
  if ('error' in stored) return refuse(stored.error);
  const [table] = stored.tables;
  const [name] = names;
  const [seenAs] = kinds;
  assert(table && name && seenAs, 'it names one table');
  return { ...table, request, facts, name, seenAs };
}

/** Uses up the hint of the session, for this statement. */
export function* know(facts: UserFacts, hints: Set<string>): Steps<void> {
  yield* perform('know', { facts });
  if (facts.hint === null) return;
  yield* perform('user', { commands: [FORGET_HINT] });
  hints.add(facts.hint);
  if (areForDestroying(hints)) throw new DestroyHinted(facts);
}

/** The server refuses the text: asked once more, so that its words are the session's last. */
export function* syntaxError(
  request: DropRequest,
  prepared: Result | undefined,
): Steps<Reply | null> {
  // In an XA transaction; its RENAME will be refused with the error of a DROP.
  if (prepared?.kind !== 'err' || prepared.errno === ER_XA_TEMP_TABLE) return null;
  if (prepared.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
    return refuse(new UndropError('UNDROP_NOT_JUDGED', {}));
  }
  const commands = [{ kind: 'prepare' as const, text: request.text }];
  const [said] = yield* perform('user', { commands });
  if (said?.kind !== 'err') return again('the syntax is valid now');
  return answerWith(said);
}

/**
 * An error that says nothing about the names. In an XA transaction a DROP gets 1399, which MariaDB
 * shows twice for a SELECT; so it is asked for by a RENAME that can't succeed. So is 1046, if
 * nobody has checked the text: its words are the session's last then.
 */
function* serversError(request: DropRequest, error: ErrPacket): Steps<Answer> {
  const [name] = request.statement.names;
  const isAsked = [ER_XAER_RMFAIL, ER_XA_TEMP_TABLE, ER_NO_DB_ERROR].includes(error.errno);
  if (!isAsked || name === undefined) return answerWith(error);
  const [said] = yield* ask(probeSql(name, request));
  assert(said?.kind === 'err', 'there is no such schema');
  return answerWith([ER_XAER_RMFAIL, ER_NO_DB_ERROR].includes(said.errno) ? said : error);
}

/** A RENAME under a GTID of the session's would use that up, and so would any error of ours. */
function wrongSetting(
  request: DropRequest,
  { gtidNext, addsIfExists }: UserFacts,
): UndropError | null {
  const tables = sentenceStart(request);
  if (gtidNext !== null) return notDone('under a GTID of its session', tables, REPLAY_DIRECTLY);
  return addsIfExists ? notDone('under sql_if_exists', tables, SET_IF_EXISTS) : null;
}

const REPLAY_DIRECTLY = 'SET gtid_next = AUTOMATIC, or replay a binary log on a direct connection.';

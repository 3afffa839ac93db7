/**
 * Begins a statement in the user session: the server checks its syntax, the session tells what its
 * names are and how it is set, and a hint of the session is used up.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import {
  ER_MAX_PREPARED_STMT_COUNT_REACHED,
  ER_PARSE_ERROR,
  ER_XA_TEMP_TABLE,
} from '../wire/server-errors.js';
import { qualify, serviceNames } from './names/resolve.js';
import { perform, type Steps } from './procedure.js';
import { again, answerWith, type Reply, refuse } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { areForDestroying, DestroyHinted, FORGET_HINT } from './rules/hints.js';
import type { Beginning } from './run.js';
import type { NameKind } from './session/facts.js';
import { inspectNames, type Look } from './session/inspect-names.js';
import type { QualifiedName } from './session/user-session-sql.js';

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

/** Nothing is recorded by then. */
export function* lookAtOneTable(beginning: Beginning): Steps<OneTable | Reply> {
  const { request, hints, gtidMayBeSet } = beginning;
  const look = yield* inspectNames(request, { gtidMayBeSet, isAlone: true });
  const wrong = yield* syntaxError(request, look);
  if (wrong !== null) return wrong;
  const {
    facts,
    kinds: [seenAs],
  } = look;
  if ('errno' in facts) return answerWith(facts);
  yield* know(facts, hints);
  assert(seenAs !== undefined, 'the name was looked at');
  if (typeof seenAs === 'object') return answerWith(seenAs);
  const stored = serviceNames(request, facts);
  if ('error' in stored) return refuse(stored.error);
  const [table] = stored.tables;
  const [name] = request.statement.names;
  assert(table !== undefined && name !== undefined, 'it names one table');
  return { ...table, request, facts, name: qualify(name, facts), seenAs };
}

/** What of the session's settings such a statement can't be done under; null: nothing. */
export function wrongSetting({ facts }: OneTable): string | null {
  if (facts.gtidNext !== null) return 'under a GTID of its session';
  return facts.addsIfExists ? 'under sql_if_exists' : null;
}

/** Uses up the hint of the session, for this statement. */
export function* know(facts: UserFacts, hints: Set<string>): Steps<void> {
  yield* perform('know', { facts });
  if (facts.hint === null) return;
  yield* perform('user', { commands: [FORGET_HINT], renames: false });
  hints.add(facts.hint);
  if (areForDestroying(hints)) throw new DestroyHinted(facts);
}

/** The server refuses the text: asked once more, so that its words are the session's last. */
export function* syntaxError(
  request: DropRequest,
  { judge }: Pick<Look, 'judge'>,
): Steps<Reply | null> {
  if (judge?.kind !== 'err' || judge.errno === ER_XA_TEMP_TABLE) return null;
  if (judge.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
    return refuse(new UndropError('UNDROP_NOT_JUDGED', {}));
  }
  const text = (judge.errno === ER_PARSE_ERROR ? request.tail : null) ?? request.text;
  const [said] = yield* perform('user', { commands: [{ kind: 'prepare', text }], renames: false });
  if (said?.kind !== 'err') return again('the syntax is valid now');
  return answerWith(said);
}

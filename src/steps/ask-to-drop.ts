/**
 * Asks the server, in the user's session, what it would say of the DROP of a table before it drops:
 * whether the user may, whether the session has it locked, whether somebody else has, whether
 * anything may be dropped now. The question is an ALTER TABLE … TRUNCATE PARTITION of a partition
 * that isn't there. It needs the right DROP alone, waits for the same lock as DROP TABLE, as long
 * as the session's own settings and KILL say, and answers 1142, 1099 and 1100 in the words of DROP
 * TABLE (tried on all four servers, on tables, views and missing names).
 *
 * Invariant: it can't succeed, so nothing is destroyed.
 */
import { assert } from '../assert.js';
import type { ErrPacket } from '../wire/response.js';
import type { Result } from '../wire/result-reader.js';
import {
  ABSENT_TO_RENAME,
  DDL_FORBIDDEN,
  ER_BAD_LOG_STATEMENT,
  ER_CANT_DO_IMPLICIT_COMMIT_IN_TRX_WHEN_GTID_NEXT_IS_SET,
  ER_DBACCESS_DENIED_ERROR,
  ER_GTID_NEXT_TYPE_UNDEFINED_GTID,
  ER_NO_SUCH_TABLE,
  ER_TABLE_NOT_LOCKED,
  ER_TABLE_NOT_LOCKED_FOR_WRITE,
  ER_TABLEACCESS_DENIED_ERROR,
  GAVE_UP,
  METADATA_LOCK_GRANTED,
  OWN_GLOBAL_LOCK,
} from '../wire/server-errors.js';
import type { Steps } from './procedure.js';
import { ask } from './procedure.js';
import { type Again, type Answer, again, answerWith } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { signalOf, signalSql } from './session/signal.js';
import { type QualifiedName, turnSql } from './session/user-session-sql.js';

/** Errors of a statement of ours that the DROP would have given too, word for word. */
export const SAME_AS_DROP: readonly number[] = [
  ...GAVE_UP,
  ...OWN_GLOBAL_LOCK,
  ...DDL_FORBIDDEN,
  ER_BAD_LOG_STATEMENT,
  ER_CANT_DO_IMPLICIT_COMMIT_IN_TRX_WHEN_GTID_NEXT_IS_SET,
  ER_GTID_NEXT_TYPE_UNDEFINED_GTID,
];

/** What the question says about the table, in the words of DROP TABLE. */
const NOT_TO_BE_DROPPED: readonly number[] = [
  ER_DBACCESS_DENIED_ERROR,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_TABLE_NOT_LOCKED_FOR_WRITE,
  ER_TABLE_NOT_LOCKED,
];

export interface Asked {
  readonly name: QualifiedName;
  /** A base table, which is there, and whose lock others may have. */
  readonly isBase: boolean;
}

interface Session {
  readonly request: DropRequest;
  readonly facts: Pick<UserFacts, 'gtidNext' | 'resultsCharset'>;
}

/**
 * Null: the server would drop all of them. Names that have no lock to wait for are asked for in one
 * round trip. With GTID_NEXT set nothing can be asked: an error uses the GTID up.
 */
export function* askToDrop(
  session: Session,
  names: readonly Asked[],
): Steps<Answer | Again | null> {
  if (session.facts.gtidNext !== null) return null;
  for (const group of together(names)) {
    const ended = yield* askForGroup(session, group);
    if (ended !== null) return ended;
  }
  return null;
}

/** A base table is asked for alone, as the next one is not waited for once a wait has ended. */
function together(names: readonly Asked[]): readonly (readonly Asked[])[] {
  const groups: Asked[][] = [];
  for (const one of names) {
    const last = groups.at(-1);
    if (last === undefined || one.isBase || last[0]?.isBase === true) groups.push([one]);
    else last.push(one);
  }
  return groups;
}

function* askForGroup(session: Session, group: readonly Asked[]): Steps<Answer | Again | null> {
  const { request, facts } = session;
  const wait = waitSeconds(request);
  const results = yield* ask(...group.map(({ name }) => turnSql(name, { ...request, wait })));
  const at = results.findIndex(endsTheDrop);
  const ended = results[at];
  if (ended?.kind === 'err') {
    // Only the last answer is in SHOW WARNINGS.
    const signal = at < results.length - 1 ? signalOf(ended, facts.resultsCharset) : null;
    const [raised = ended] = signal === null ? [] : yield* ask(signalSql(signal));
    return answerWith(raised);
  }
  const isGone = group.some(({ name, isBase }, index) => isBase && saysGone(results[index], name));
  return isGone ? again('a table was gone when it was to be renamed') : null;
}

/** Waits for locks that the DROP would wait for; of rights on these nobody speaks. */
export function* waitForLocks(
  session: Session,
  names: readonly QualifiedName[],
): Steps<Answer | null> {
  if (session.facts.gtidNext !== null) return null;
  const wait = waitSeconds(session.request);
  for (const name of names) {
    const [said] = yield* ask(turnSql(name, { ...session.request, wait }));
    if (said?.kind === 'err' && SAME_AS_DROP.includes(said.errno)) return answerWith(said);
  }
  return null;
}

function endsTheDrop(result: Result): boolean {
  assert(result.kind === 'err', 'there is no such partition');
  return SAME_AS_DROP.includes(result.errno) || NOT_TO_BE_DROPPED.includes(result.errno);
}

/**
 * False where what is missing is the sequence of a default (MariaDB), so the table is there. Where
 * the names are in two charsets it may be the table all the same, which its RENAME then says.
 */
export function saysGone(result: Result | undefined, { table }: QualifiedName): boolean {
  if (result?.kind !== 'err' || !ABSENT_TO_RENAME.includes(result.errno)) return false;
  const [, missing] = /'[^']*\.([^']*)'/.exec(result.message.toString('latin1')) ?? [];
  const name = Buffer.from(table).toString('latin1');
  return missing === undefined || missing.toLowerCase() === name.toLowerCase();
}

/** Whether the lock was had: the table has no such partition, or none at all. */
export function isFree({ errno }: ErrPacket): boolean {
  // 1146: the sequence of a default is missing (MariaDB), not the table.
  return METADATA_LOCK_GRANTED.includes(errno) || errno === ER_NO_SUCH_TABLE;
}

/** Whether a RENAME failed because the table is gone. */
export function isGone({ errno }: ErrPacket): boolean {
  return ABSENT_TO_RENAME.includes(errno);
}

/** MariaDB's WAIT n and NOWAIT. */
export function waitSeconds({ statement: { wait } }: DropRequest): string | null {
  return wait?.kind === 'nowait' ? '0' : (wait?.text ?? null);
}

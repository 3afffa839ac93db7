/**
 * A DROP DATABASE, from top to bottom: the session says whether it may drop the schema; its tables
 * are renamed away by the service, all of them; then the user's own session drops what is left,
 * held up by a barrier until the service has looked once more under the locks of that DROP
 * (docs/decisions/drop-database.md).
 *
 * Invariants: before the first RENAME the ledger has the schema and the table, and the barrier
 * table is there. Whatever ends it before the schema is dropped puts everything back; what can't be
 * put back stays held, and is left to recovery.
 */

import { UndropError } from '../../errors.js';
import { ask } from '../../steps/procedure.js';
import { type Answer, answerWith, type HeldTable, refuse } from '../../steps/refuse.js';
import { signalSql } from '../../steps/session/signal.js';
import { cleanSql } from '../../steps/session/user-session-sql.js';
import { decodeErr, type OkPacket, okWithAffectedRows } from '../../wire/response.js';
import { ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';
import { findAlone, makeBarrierTable } from './barrier-table.js';
import { checkRights, type There } from './check-rights.js';
import {
  call,
  crowded,
  type Gone,
  notDropped,
  type SchemaAnswer,
  type SchemaDropRequest,
  type SchemaSteps,
  SessionBroken,
  tablesOf,
} from './effects.js';
import { holdTables, recordTables } from './hold-tables.js';
import { DROP_WAITS_S, lockWaitSql, queueSql } from './sql.js';

/** The request, and what the session has said of the schema. */
type Drop = There & { readonly request: SchemaDropRequest };

export function* dropDatabase(request: SchemaDropRequest): SchemaSteps<SchemaAnswer> {
  let end: There | SchemaAnswer | Gone;
  try {
    end = yield* checkRights(request);
    if (end.kind === 'there') end = yield* dropInTurn({ ...end, request });
    // Another session was faster: now there is none, and that is said, or it was made anew.
    if (end.kind === 'gone') end = yield* checkRights(request);
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    end = refuse(error);
  }
  if (end.kind !== 'answer') return crowded(request.name, 1);
  return end.isDropped === true || end.refusal !== null ? end : yield* sayAgain(request, end);
}

/** The session's diagnostics have the server's own error then, and none of ours. */
function* sayAgain({ groupId }: SchemaDropRequest, end: SchemaAnswer): SchemaSteps<SchemaAnswer> {
  if (end.payload[0] !== 0xff) return end;
  const { errno, sqlState, message } = decodeErr(end.payload);
  const text = Array.from(message.toString()).slice(0, 128).join('');
  yield* ask(cleanSql(groupId));
  yield* ask(signalSql({ errno, sqlState, message: text }));
  return end;
}

/** The one before may wait for others' locks for as long as its own session says. */
const QUEUE_MS_MAX = 120_000;

/**
 * One DROP DATABASE at a time for each pool of service connections, because each has three of them
 * for itself, and others are needed to go on. The next waits in the user's session, as for a lock:
 * so a KILL finds it, as do the limits of the session's statements.
 */
function* dropInTurn(drop: Drop): SchemaSteps<SchemaAnswer | Gone> {
  const { schema, lockWaitS, request } = drop;
  const endMs = (yield* call('now')) + Math.min(lockWaitS * 1_000, QUEUE_MS_MAX);
  while (!(yield* call('takeTurn'))) {
    if ((yield* call('now')) >= endMs) {
      const why = 'another DROP DATABASE is under way in this proxy';
      return refuse(notDropped(schema, why, 'Run the statement again when that has ended.'));
    }
    const [said] = yield* ask(queueSql(request.groupId));
    if (said?.kind === 'err') return answerWith(said);
  }
  return yield* call('asOwner', dropAsOwner(drop));
}

function* dropAsOwner(drop: Drop): SchemaSteps<SchemaAnswer | Gone> {
  const { schema, request } = drop;
  if (!(yield* call('seesSession'))) {
    const { threadId } = request.session;
    const params = { tables: tablesOf(schema), threadId };
    return refuse(new UndropError('UNDROP_SESSION_NOT_FOUND', params));
  }
  const names = yield* findAlone(schema);
  if ('kind' in names) return names;
  if (!(yield* call('recordSchema', schema))) return { kind: 'gone' };
  let end: SchemaAnswer | Gone | null = null;
  let failure: unknown;
  try {
    end = yield* emptyAndDrop(drop, names);
  } catch (error) {
    failure = error;
  }
  // A session that broke may be in its DROP still: recovery waits for that.
  if (failure instanceof SessionBroken) throw failure;
  if (end?.kind === 'answer' && end.isDropped === true) return end;
  const why = yield* call('renameBack');
  if (why !== null) throw new UndropError('UNDROP_SCHEMA_IN_BETWEEN', { schema, why }, failure);
  if (end === null) throw failure;
  return end;
}

function* emptyAndDrop(drop: Drop, names: readonly string[]): SchemaSteps<SchemaAnswer | Gone> {
  const { schema, request, lockWaitS } = drop;
  const recorded = yield* recordTables(drop, names);
  if ('kind' in recorded) return recorded;
  const barrierTable = yield* makeBarrierTable(schema, request);
  if (typeof barrierTable !== 'string') return barrierTable;
  const held = yield* holdTables(drop, recorded);
  if ('kind' in held) return held;
  // MariaDB takes 0 from a session, by which the DROP would not wait for the barrier either.
  const waitS = Math.min(Math.max(1, lockWaitS), DROP_WAITS_S);
  const unset = yield* setLockWait(request, waitS);
  if (unset !== null) return unset;
  let end: Dropped | Answer;
  try {
    end = yield* dropEmptied(drop, barrierTable, held);
  } finally {
    yield* setLockWait(request, lockWaitS);
  }
  if (end.kind === 'answer') return end;
  // Errors of ours would be shown after the DROP by some servers.
  yield* ask(cleanSql(request.groupId));
  const affectedRows = Math.max(0, end.ok.affectedRows - 1) + end.held.length;
  const payload = okWithAffectedRows(end.ok, affectedRows);
  return { kind: 'answer', payload, held: end.held, refusal: null, isDropped: true };
}

/** Said twice, because a KILL that came late may hit one. */
function* setLockWait({ groupId }: SchemaDropRequest, seconds: number): SchemaSteps<Answer | null> {
  const text = lockWaitSql(seconds, groupId);
  const [first, second] = yield* ask(text, text);
  return first?.kind === 'err' && second?.kind !== 'ok' ? answerWith(first) : null;
}

/** So often, and for so long, what others make meanwhile is held as well. */
const ROUNDS_MAX = 64;
const ROUNDS_WITHIN_MS = 20_000;

interface Dropped {
  readonly kind: 'dropped';
  readonly ok: OkPacket;
  readonly held: readonly HeldTable[];
}

function* dropEmptied(
  drop: Drop,
  barrierTable: string,
  first: readonly HeldTable[],
): SchemaSteps<Dropped | Answer> {
  const { schema, lockWaitS } = drop;
  const held = [...first];
  const startMs = yield* call('now');
  let stoppedMs = Number.POSITIVE_INFINITY;
  for (let rounds = 0; rounds < ROUNDS_MAX; ) {
    // Before the last look, so that the DROP follows that at once.
    yield* call('closeBarrier', barrierTable);
    const came = yield* holdWhatCame(drop);
    if ('kind' in came) return came;
    held.push(...came);
    const end = yield* call('drop', rounds);
    const nowMs = yield* call('now');
    if (end.kind === 'dropped') return { ...end, held };
    if (end.kind === 'failed') {
      // The DROP was given less time than the session gives it.
      const isOver = nowMs - startMs >= lockWaitS * 1_000;
      if (end.error.errno !== ER_LOCK_WAIT_TIMEOUT || isOver) return answerWith(end.error);
      continue;
    }
    rounds++;
    // A DROP that waits for a lock is in nobody's crowd.
    stoppedMs = Math.min(stoppedMs, nowMs);
    if (nowMs - stoppedMs > ROUNDS_WITHIN_MS) return crowded(schema, rounds);
  }
  return crowded(schema, ROUNDS_MAX);
}

/** The look under the locks of the DROP has the last word. */
function* holdWhatCame(drop: Drop): SchemaSteps<readonly HeldTable[] | Answer> {
  const names = yield* findAlone(drop.schema);
  if ('kind' in names) return names;
  const recorded = yield* recordTables(drop, names);
  return 'kind' in recorded ? recorded : yield* holdTables(drop, recorded);
}

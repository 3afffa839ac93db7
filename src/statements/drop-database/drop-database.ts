/**
 * A DROP DATABASE, from top to bottom: the session checks whether the user may drop the schema; the
 * service renames all its tables to hold names; then the user's own session drops the rest, held up
 * by a barrier until the service has checked the schema again under the locks of that DROP
 * (docs/decisions/drop-database.md).
 *
 * Invariants: before the first RENAME the ledger has the schema and the table, and the barrier
 * table exists. An end before the schema is dropped puts everything back; a table that can't be put
 * back stays held, and is left to recovery.
 */

import { UndropError } from '../../errors.js';
import { barrierTableName } from '../../names/names.js';
import { makeTriggers } from '../../steps/make-triggers.js';
import { type Answer, answerWith, ask, type HeldTable, refuse } from '../../steps/procedure.js';
import { rootCause } from '../../steps/refusals/refusals.js';
import { cleanSql, signalSql, waitForLockSql } from '../../steps/session/user-session-sql.js';
import { tellUndo } from '../../steps/undo-note.js';
import { decodeErr, type OkPacket, okWithAffectedRows } from '../../wire/response.js';
import {
  ER_BAD_DB_ERROR,
  ER_LOCK_WAIT_TIMEOUT,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
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
import { DROP_WAITS_S, lockWaitSql, QUEUE_WAITS_S, queueSql } from './sql.js';

/** The request, and the session's facts of the schema. */
type Drop = There & { readonly request: SchemaDropRequest };

export function* dropDatabase(request: SchemaDropRequest): SchemaSteps<SchemaAnswer> {
  let end: There | SchemaAnswer | Gone;
  try {
    end = yield* checkRights(request);
    if (end.kind === 'there') end = yield* dropAfterQueue({ ...end, request });
    // Another session was faster: the schema is gone, which is an error, or was created again.
    if (end.kind === 'gone') end = yield* checkRights(request);
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    end = refuse(error);
  }
  if (end.kind !== 'answer') return crowded(request.name, 1);
  return end.isDropped === true || end.refusal !== null ? end : yield* sayAgain(request, end);
}

/** The session's diagnostics then have the server's own error, and none of undrop's. */
function* sayAgain({ groupId }: SchemaDropRequest, end: SchemaAnswer): SchemaSteps<SchemaAnswer> {
  if (end.payload[0] !== 0xff) return end;
  const { errno, sqlState, message } = decodeErr(end.payload);
  const text = Array.from(message.toString()).slice(0, 128).join('');
  yield* ask(cleanSql(groupId));
  yield* ask(signalSql({ errno, sqlState, message: text }));
  return end;
}

/** The previous one may wait for others' locks for as long as its own session allows. */
const QUEUE_S_MAX = 120;

/**
 * Runs one DROP DATABASE at a time for each pool of service connections, because each has three of
 * them for itself, and needs others to go on. The next waits in the user's session, as for a lock:
 * so a KILL finds it, as do the limits of the session's statements.
 */
function* dropAfterQueue(drop: Drop): SchemaSteps<SchemaAnswer | Gone> {
  const { schema, lockWaitS, request } = drop;
  for (let waitedS = 0; !(yield* call('tryBegin')); waitedS += QUEUE_WAITS_S) {
    if (waitedS >= Math.min(lockWaitS, QUEUE_S_MAX)) {
      const why = 'another DROP DATABASE is running in this proxy';
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
  // A session that broke may still be in its DROP: recovery waits for that.
  if (failure instanceof SessionBroken) throw failure;
  if (end?.kind === 'answer' && end.isDropped === true) return end;
  const why = yield* call('renameBack');
  if (why !== null) throw new UndropError('UNDROP_SCHEMA_IN_BETWEEN', { schema, why }, failure);
  yield* makeTriggers(yield* call('triggersToMake'), request.facts);
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
  // MariaDB accepts 0 from a session, with which the DROP would not wait for the barrier either.
  const waitS = Math.min(Math.max(1, lockWaitS), DROP_WAITS_S);
  const unset = yield* setLockWait(request, waitS);
  if (unset !== null) return unset;
  let end: Dropped | Answer;
  try {
    end = yield* dropEmptied(drop, barrierTable, { held, waitS });
  } finally {
    yield* setLockWait(request, lockWaitS);
  }
  if (end.kind === 'answer') return end;
  yield* call('settle', end.held);
  // Some servers would show errors of undrop after the DROP.
  yield* ask(cleanSql(request.groupId));
  const affectedRows = Math.max(0, end.ok.affectedRows - 1) + end.held.length;
  const undoable = { held: end.held, names: [[schema]], what: 'DATABASE' } as const;
  const told = request.tellsUndo === true ? yield* tellUndo(request, end.ok, undoable) : end.ok;
  const payload = okWithAffectedRows(told, affectedRows);
  return { kind: 'answer', payload, held: end.held, refusal: null, isDropped: true };
}

/**
 * The tables to hold. An answer: the schema has tables of an earlier drop, which would be dropped
 * with it, or the barrier table of another DROP DATABASE, which is running or was interrupted.
 */
function* findAlone(schema: string): SchemaSteps<readonly string[] | Answer> {
  const { tables, held, barriers } = yield* call('find', schema);
  const [table] = held;
  if (table !== undefined) {
    const why = `its table ${table} is held there by an earlier drop`;
    const instead = 'Wait until it is removed, or restore it elsewhere; `undrop list` shows it.';
    return refuse(notDropped(schema, why, instead));
  }
  const [barrier] = barriers;
  if (barrier === undefined) return tables;
  const why = `another session is dropping it, or was dropping it: it has the table ${barrier}`;
  const instead =
    'Run the statement again in a moment. If that table stays, drop first that table, then the schema.';
  return refuse(notDropped(schema, why, instead));
}

const WAIT_FOR_LOCK =
  'Run the statement again when the session that has it locked is done; that may be your own (LOCK INSTANCE FOR BACKUP).';
const GRANT_ALL =
  'Grant it ALL on the schema (and the tier full if your session has switched sql_log_bin off), or use a direct connection.';

/** Its name; an answer: it can't be created, or the session can't see it. */
function* makeBarrierTable(
  schema: string,
  { facts: { logged }, groupId, charset, schema: bytes }: SchemaDropRequest,
): SchemaSteps<string | Answer | Gone> {
  // Replicas need not have a schema whose drop they don't get. All others have the table too, so
  // that after a failover recovery can tell whether the DROP has reached them.
  const table = barrierTableName({ groupId, logged });
  const failed = yield* call('makeTable', schema, table);
  if (failed?.errno === ER_BAD_DB_ERROR) return { kind: 'gone' };
  if (failed !== null) {
    const why = `the service account of undrop cannot create a table in it: ${rootCause(failed)}`;
    const isLocked = failed.errno === ER_LOCK_WAIT_TIMEOUT;
    return refuse(notDropped(schema, why, isLocked ? WAIT_FOR_LOCK : GRANT_ALL));
  }
  const name = { schema: bytes, table: Buffer.from(table) };
  const [said] = yield* ask(waitForLockSql(name, { groupId, charset, wait: null }));
  if (said?.kind !== 'err' || !METADATA_LOCK_GRANTED.includes(said.errno)) {
    const cause = said?.kind === 'err' ? said.message.toString() : 'the server returned no error';
    const why = `your session cannot see the table that undrop created in it: ${cause}`;
    return refuse(notDropped(schema, why, 'Check that UNDROP_UPSTREAM leads to one server.'));
  }
  // If two drops run at once, each sees the other's table.
  const found = yield* findAlone(schema);
  return 'kind' in found ? found : table;
}

/** Sent twice, because a late KILL may hit one. */
function* setLockWait({ groupId }: SchemaDropRequest, seconds: number): SchemaSteps<Answer | null> {
  const text = lockWaitSql(seconds, groupId);
  const [first, second] = yield* ask(text, text);
  return first?.kind === 'err' && second?.kind !== 'ok' ? answerWith(first) : null;
}

/** The maximum of rounds in which tables that others create meanwhile are held as well. */
const ROUNDS_MAX = 64;

interface Dropped {
  readonly kind: 'dropped';
  readonly ok: OkPacket;
  readonly held: readonly HeldTable[];
}

function* dropEmptied(
  drop: Drop,
  barrierTable: string,
  first: { readonly held: readonly HeldTable[]; readonly waitS: number },
): SchemaSteps<Dropped | Answer> {
  const held = [...first.held];
  let waitedS = 0;
  for (let rounds = 0; rounds < ROUNDS_MAX; ) {
    // Before the last check, so that the DROP follows it at once.
    yield* call('closeBarrier', barrierTable);
    const came = yield* holdWhatCame(drop);
    if ('kind' in came) return came;
    held.push(...came);
    const end = yield* call('drop', rounds);
    if (end.kind === 'dropped') return { ...end, held };
    if (end.kind === 'again') {
      rounds++;
      continue;
    }
    // The DROP had less time than the session allows.
    waitedS += first.waitS;
    const isOver = waitedS >= drop.lockWaitS;
    if (end.error.errno !== ER_LOCK_WAIT_TIMEOUT || isOver) return answerWith(end.error);
  }
  return crowded(drop.schema, ROUNDS_MAX);
}

/** The check under the locks of the DROP decides. */
function* holdWhatCame(drop: Drop): SchemaSteps<readonly HeldTable[] | Answer> {
  const names = yield* findAlone(drop.schema);
  if ('kind' in names) return names;
  const recorded = yield* recordTables(drop, names);
  return 'kind' in recorded ? recorded : yield* holdTables(drop, recorded);
}

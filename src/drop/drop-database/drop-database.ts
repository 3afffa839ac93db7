/**
 * A DROP DATABASE, from top to bottom: the session checks whether the user may drop the schema; the
 * service renames all its tables to hold names; then the user's own session drops the rest, held up
 * by a barrier until the service has checked the schema again under the locks of that DROP
 * (docs/inside/decisions/drop-database.md).
 *
 * Invariants: before the first RENAME the ledger has the schema and the table, and the barrier
 * table exists. An end before the schema is dropped puts everything back; a table that can't be put
 * back stays held, and is left to recovery.
 */

import { isServiceError } from '../../connections/errors.js';
import { rootCause, UndropError } from '../../errors.js';
import { barrierTableName } from '../../names/names.js';
import { SCHEMA_ROUNDS } from '../../tries.js';
import { decodeErr, type OkPacket, okWithAffectedRows } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { makeDefinitions } from '../steps/make-definitions.js';
import { cleanSql, signalSql, waitForLockSql } from '../steps/session/user-session.js';
import type * as steps from '../steps/world.js';
import { answerWith, ask, askText, refuse } from '../steps/world.js';
import { holdTables, recordTables, type SchemaToEmpty } from './hold-tables.js';
import type * as schemas from './schema-drop.js';
import { checkRights, crowded, DROP_WAITS_S, notDropped, tablesOfSchema } from './schema-drop.js';
import type { SchemaPort, SchemaRow } from './schema-port.js';

/** The request, the ports, and the session's facts of the schema. */
type Allowed = schemas.There & Omit<SchemaToEmpty, 'owner'>;
type Drop = schemas.There & SchemaToEmpty;

export async function dropDatabase(
  world: steps.World,
  port: SchemaPort,
  request: schemas.SchemaDropRequest,
): Promise<schemas.SchemaAnswer> {
  let end: schemas.There | schemas.SchemaAnswer | schemas.Gone;
  try {
    end = await checkRights(world, port, request);
    if (end.kind === 'there') end = await dropAfterQueue({ ...end, world, port, request });
    // Another session was faster: the schema is gone, which is the answer, or it was made again.
    if (end.kind === 'gone') end = await checkRights(world, port, request);
  } catch (error) {
    // Recovery has the rest: the session may be in its DROP still.
    if (world.isBroken) throw error;
    end = refuse(failureOf(request, error));
  }
  if (end.kind !== 'answer') end = crowded(request.name, 1);
  if (end.isDropped === true) return end;
  const answer = end.refusal === null ? await sayAgain(world, request, end) : end;
  return { ...answer, finish: (onLate) => port.leave(onLate) };
}

/** A table such as mysql.proc or mysql.event may be missing, or have another shape. */
const RUN_AGAIN =
  'Run the statement again. If the error names a table of the server itself, upgrade these (mariadb-upgrade, mysql_upgrade).';

/** An error of the server for the service is no answer for the client; all tables are back. */
function failureOf({ name }: schemas.SchemaDropRequest, error: unknown): UndropError {
  const isKnown = error instanceof UndropError && error.code !== 'UNDROP_FATE_UNKNOWN';
  if (isKnown) return error;
  if (!isServiceError(error)) throw error;
  return notDropped(name, `the service failed: ${rootCause(error)}`, RUN_AGAIN);
}

/** The session's diagnostics then have the server's own error, and none of undrop's. */
async function sayAgain(
  session: steps.UserSession,
  { dropId }: schemas.SchemaDropRequest,
  end: schemas.SchemaAnswer,
): Promise<schemas.SchemaAnswer> {
  if (end.payload[0] !== 0xff) return end;
  const { errno, sqlState, message } = decodeErr(end.payload);
  const text = Array.from(message.toString()).slice(0, 128).join('');
  await ask(session, cleanSql(dropId));
  await ask(session, signalSql({ errno, sqlState, message: text }));
  return end;
}

/** The previous one may wait for others' locks for as long as its own session allows. */
const QUEUE_S_MAX = 120;

/**
 * Runs one DROP DATABASE at a time for each pool of service connections, because each has three of
 * them for itself, and needs others to go on. The next waits in the user's session, as for a lock:
 * so a KILL finds it, as do the limits of the session's statements.
 */
async function dropAfterQueue(drop: Allowed): Promise<schemas.SchemaAnswer | schemas.Gone> {
  const { schema, lockWaitS, request, world, port } = drop;
  for (let waitedS = 0; !port.tryBegin(); waitedS += QUEUE_WAITS_S) {
    if (waitedS >= Math.min(lockWaitS, QUEUE_S_MAX)) {
      const why = 'another DROP DATABASE is running in this proxy';
      return refuse(notDropped(schema, why, 'Run the statement again when that has ended.'));
    }
    const said = await askText(world, queueSql(request.dropId));
    if (said.kind === 'err') return answerWith(said);
  }
  try {
    return await port.asOwner((owner) => dropAsOwner({ ...drop, owner }));
  } finally {
    port.endTurn();
  }
}

/** How long `queueSql` sleeps. */
const QUEUE_WAITS_S = 0.2;

/** MySQL fails after a KILL only if SLEEP decides about a row of a table. */
function queueSql(dropId: string): Buffer {
  const start = `SELECT /*+ MAX_EXECUTION_TIME(1000000) */ /* undrop queue ${dropId} */ 1`;
  const row = "FROM information_schema.ENGINES WHERE ENGINE = 'MEMORY'";
  return Buffer.from(`${start} ${row} AND SLEEP(${QUEUE_WAITS_S})`);
}

async function dropAsOwner(drop: Drop): Promise<schemas.SchemaAnswer | schemas.Gone> {
  const { schema, request, world, port, owner } = drop;
  if (!(await port.seesSession(owner))) {
    const { threadId } = request.session;
    const params = { tables: tablesOfSchema(schema), threadId };
    return refuse(new UndropError('UNDROP_SESSION_NOT_FOUND', params));
  }
  const names = await findAlone(drop);
  if ('kind' in names) return names;
  const row = await port.recordSchema(schema);
  if (row === null) return { kind: 'gone' };
  let end: schemas.SchemaAnswer | schemas.Gone | null = null;
  let failure: unknown;
  try {
    end = await emptyAndDrop(drop, row, names);
  } catch (error) {
    if (world.isBroken) throw error;
    failure = error;
  }
  if (end?.kind === 'answer' && end.isDropped === true) return end;
  const why = await port.renameBack(row);
  if (why !== null) throw new UndropError('UNDROP_SCHEMA_IN_BETWEEN', { schema, why }, failure);
  await makeDefinitions(world, await port.triggersToMake(), request.facts);
  if (end === null) throw failure;
  return end;
}

async function emptyAndDrop(
  drop: Drop,
  row: SchemaRow,
  names: readonly string[],
): Promise<schemas.SchemaAnswer | schemas.Gone> {
  const { request, lockWaitS, world, port } = drop;
  const recorded = await recordTables(drop, names);
  if ('kind' in recorded) return recorded;
  const barrierTable = await makeBarrierTable(drop);
  if (typeof barrierTable !== 'string') return barrierTable;
  const held = await holdTables(drop, recorded);
  if ('kind' in held) return held;
  // MariaDB accepts 0 from a session, with which the DROP would not wait for the barrier either.
  const waitS = Math.min(Math.max(1, lockWaitS), DROP_WAITS_S);
  const unset = await setLockWait(world, request, waitS);
  if (unset !== null) return unset;
  let end: Dropped | steps.Answer;
  try {
    end = await dropEmptied(drop, row, { barrierTable, held, waitS });
  } finally {
    await setLockWait(world, request, lockWaitS);
  }
  if (end.kind === 'answer') return end;
  const { ok, held: all } = end;
  const isSettled = await port.settle(row, all);
  // Some servers would show errors of undrop after the DROP.
  await ask(world, cleanSql(request.dropId));
  const affectedRows = Math.max(0, ok.affectedRows - 1) + all.length;
  const payload = okWithAffectedRows(ok, affectedRows);
  return {
    ...{ kind: 'answer', payload, held: all, refusal: null, isDropped: true },
    finish: (onLate) => port.finish({ row, held: all, isSettled }, onLate),
  };
}

/**
 * The tables to hold. An answer: the schema has tables of an earlier drop, which would be dropped
 * with it, or the barrier table of another DROP DATABASE, which is running or was interrupted.
 */
async function findAlone(drop: SchemaToEmpty): Promise<readonly string[] | steps.Answer> {
  const { schema, port, owner } = drop;
  const { tables, held, barriers } = await port.find(owner, schema);
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
  'Grant it ALL on the schema (and the tier full if your session has switched sql_log_bin off).';

/** Its name; an answer: it can't be created, or the session can't see it. */
async function makeBarrierTable(drop: Drop): Promise<string | steps.Answer | schemas.Gone> {
  const { schema, request, world, port } = drop;
  const { facts, dropId, charset, schema: bytes } = request;
  const { logged } = facts;
  // Replicas need not have a schema whose drop they don't get. All others have the table too, so
  // that after a failover recovery can tell whether the DROP has reached them.
  const table = barrierTableName({ dropId, logged });
  const failed = await port.makeTable(schema, table);
  if (failed?.errno === ER.BAD_DB_ERROR) return { kind: 'gone' };
  if (failed !== null) {
    const why = `the service account of undrop cannot create a table in it: ${rootCause(failed)}`;
    const isLocked = failed.errno === ER.LOCK_WAIT_TIMEOUT;
    return refuse(notDropped(schema, why, isLocked ? WAIT_FOR_LOCK : GRANT_ALL));
  }
  const name = { schema: bytes, table: Buffer.from(table) };
  const [said] = await ask(world, waitForLockSql(name, { dropId, charset }));
  if (said?.kind !== 'err' || !ER.METADATA_LOCK_GRANTED.includes(said.errno)) {
    const cause = said?.kind === 'err' ? said.message.toString() : 'the server returned no error';
    const why = `your session cannot see the table that undrop created in it: ${cause}`;
    return refuse(notDropped(schema, why, 'Check that UNDROP_UPSTREAM leads to one server.'));
  }
  // If two drops run at once, each sees the other's table.
  const found = await findAlone(drop);
  return 'kind' in found ? found : table;
}

/** Sent twice, because a late KILL may hit one. */
async function setLockWait(
  session: steps.UserSession,
  { dropId }: schemas.SchemaDropRequest,
  seconds: number,
): Promise<steps.Answer | null> {
  const set = `SET /* undrop lockWaitBudget ${dropId} */ SESSION lock_wait_timeout = ${seconds}`;
  const text = Buffer.from(set);
  const [first, second] = await ask(session, text, text);
  return first?.kind === 'err' && second?.kind !== 'ok' ? answerWith(first) : null;
}

/** The schema has no table but the barrier's, which the session waits for `waitS` at a time. */
interface Emptied {
  readonly barrierTable: string;
  readonly held: readonly steps.HeldTable[];
  readonly waitS: number;
}

interface Round {
  readonly row: SchemaRow;
  readonly rounds: number;
  /** Grows. */
  readonly held: steps.HeldTable[];
  readonly barrierTable: string;
}

interface Dropped {
  readonly kind: 'dropped';
  readonly ok: OkPacket;
  readonly held: readonly steps.HeldTable[];
}

async function dropEmptied(
  drop: Drop,
  row: SchemaRow,
  first: Emptied,
): Promise<Dropped | steps.Answer> {
  const held = [...first.held];
  let waitedS = 0;
  for (let rounds = 0; rounds < SCHEMA_ROUNDS; ) {
    const end = await dropOnce(drop, { row, rounds, held, barrierTable: first.barrierTable });
    if (end.kind === 'answer') return end;
    if (end.kind === 'dropped') return { ...end, held };
    if (end.kind === 'again') {
      rounds++;
      continue;
    }
    // The DROP had less time than the session allows.
    waitedS += first.waitS;
    const isOver = waitedS >= drop.lockWaitS;
    if (end.error.errno !== ER.LOCK_WAIT_TIMEOUT || isOver) return answerWith(end.error);
  }
  return crowded(drop.schema, SCHEMA_ROUNDS);
}

/** Runs a round, which holds the tables that came meanwhile; the barrier is open afterwards. */
async function dropOnce(
  drop: Drop,
  { row, rounds, held, barrierTable }: Round,
): Promise<schemas.TryEnd | steps.Answer> {
  const { world, port, schema, owner } = drop;
  // Before the last check, so that the DROP follows it at once.
  const barrier = await port.closeBarrier(schema, barrierTable);
  try {
    const came = await holdWhatCame(drop);
    if (!('kind' in came)) {
      held.push(...came);
      return await port.drop({ row, owner, barrier, rounds });
    }
    await barrier.open();
    return came;
  } catch (error) {
    // A DROP whose session broke may be waiting still: nothing lets that go.
    if (world.isBroken) barrier.leave();
    else await barrier.open();
    throw error;
  }
}

/** The check under the locks of the DROP decides. */
async function holdWhatCame(drop: Drop): Promise<readonly steps.HeldTable[] | steps.Answer> {
  const names = await findAlone(drop);
  if ('kind' in names) return names;
  const recorded = await recordTables(drop, names);
  return 'kind' in recorded ? recorded : holdTables(drop, recorded);
}

/**
 * A try of the DROP DATABASE in the user's session: it waits for the barrier table with its schema
 * locked and its list of tables complete; the service checks the schema, and opens the barrier only
 * if there is no other table.
 *
 * Invariant: the connection that owns the group runs the check, after the DROP was seen to wait for
 * a table; so a process that others consider dead opens no barrier.
 */
import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import type { Log } from '../../log.js';
import { isServerError } from '../../service/errors.js';
import type { ServiceConnection, ServicePool } from '../../service/pool/pools.js';
import { note, sql } from '../../service/sql.js';
import { ask, type UserSession } from '../../steps/session/user-session.js';
import { cleanSql } from '../../steps/session/user-session-sql.js';
import {
  ER_KILL_DENIED_ERROR,
  ER_LOCK_WAIT_TIMEOUT,
  ER_NO_SUCH_THREAD,
  ER_QUERY_INTERRUPTED,
} from '../../wire/server-errors.js';
import type { Barrier } from './barrier.js';
import { findTables, isEmptied } from './read-schema.js';
import type { SchemaDropRequest, TryEnd } from './schema-drop.js';
import { dropSchemaSql, schemaComment } from './schema-sql.js';

/** The barrier as a statement has it: closed, until it is opened or left to its own end. */
export type ClosedBarrier = Pick<Barrier, 'isIntact' | 'seenAtMs' | 'open' | 'leave'>;

export interface DropAtBarrierOptions {
  readonly request: SchemaDropRequest;
  /** The name as the server stores it. */
  readonly schema: string;
  readonly pool: ServicePool;
  readonly log: Log;
  /** The connection that owns the group. */
  readonly owner: ServiceConnection;
  readonly rounds: number;
  /** Open afterwards, unless the try rejects. */
  readonly barrier: ClosedBarrier;
  readonly session: UserSession;
}

/** How soon it is checked whether the DROP waits, and how often while it waits for others. */
const CHECK_EVERY_MS = 3;
const CHECK_SELDOM_MS = 50;
const SOON_MS = 500;
/** The barrier holds for some 40 s. */
const BARRIER_AGE_MS_MAX = 10_000;

/** Rejects if the user session broke, or the service; then the DROP ends by its own timeout. */
export async function dropAtBarrier(options: DropAtBarrierOptions): Promise<TryEnd> {
  const { request, pool, session, barrier } = options;
  if (performance.now() - barrier.seenAtMs > BARRIER_AGE_MS_MAX || !barrier.isIntact) {
    // This process was suspended, or earlier work took long; or a part of the barrier was killed.
    await barrier.open();
    return { kind: 'again' };
  }
  let hasEnded = false;
  const dropping = ask(session, dropSchemaSql(request)).finally(() => {
    hasEnded = true;
  });
  dropping.catch(() => undefined);
  let mayDrop: boolean | null = null;
  let failure: unknown = null;
  try {
    mayDrop = await decide(options, () => hasEnded, dropping);
    if (mayDrop === false && !hasEnded) await stop(pool, request.session.threadId);
    if (mayDrop === true) await barrier.open();
  } catch (error) {
    failure = error;
  }
  // After any failure, the session belongs to undrop again only when its DROP has ended.
  const [said] = await dropping;
  if (mayDrop === false) {
    // A late KILL hits one of these.
    const nothing = cleanSql(request.groupId);
    await ask(session, nothing, nothing);
  }
  if (said?.kind === 'ok') {
    if (mayDrop !== true) logUnchecked(options);
    return { kind: 'dropped', ok: said };
  }
  assert(said?.kind === 'err', 'DROP DATABASE answers OK or ERR');
  if (failure !== null) throw failure;
  // It would block the removal of the barrier table.
  await barrier.open();
  const isStopped = said.errno === ER_QUERY_INTERRUPTED || said.errno === ER_LOCK_WAIT_TIMEOUT;
  return mayDrop === false && isStopped ? { kind: 'again' } : { kind: 'failed', error: said };
}

/** Both connections that held the barrier were killed: what the DROP has dropped is unknown. */
function logUnchecked({ log, schema, request: { groupId } }: DropAtBarrierOptions): void {
  const what =
    'the server ran a DROP DATABASE before the last check, because both connections of undrop ' +
    'were killed; a table that was created in the last moment may be lost';
  log.error({ event: 'schema_drop_unchecked', schema, groupId }, what);
}

/** Whether it may go on; null: it ended before that was seen. */
async function decide(
  options: DropAtBarrierOptions,
  hasEnded: () => boolean,
  dropping: Promise<unknown>,
): Promise<boolean | null> {
  const { owner, schema, request, rounds, barrier } = options;
  const ending = dropping.catch(() => undefined);
  const startMs = performance.now();
  while (!hasEnded()) {
    const everyMs = performance.now() - startMs < SOON_MS ? CHECK_EVERY_MS : CHECK_SELDOM_MS;
    await Promise.race([ending, systemClock.sleep(everyMs)]);
    if (hasEnded()) break;
    // The other connection still holds it, and might be killed as well.
    if (!barrier.isIntact) return false;
    if (!(await isWaitingForTable(options))) continue;
    // Keeps the DROP from running in step with a session that creates tables in a loop.
    const pauseMs = Math.min(rounds * 4, 40) * Math.random();
    await Promise.race([ending, systemClock.sleep(pauseMs)]);
    if (hasEnded()) break;
    return isEmptied(await findTables(owner, schema, request.groupId));
  }
  return null;
}

/** Then its schema is locked, and its list is complete. */
async function isWaitingForTable({ owner, request }: DropAtBarrierOptions): Promise<boolean> {
  const says = `%${schemaComment(request.groupId)}%`;
  const [rows = []] = await owner.run(
    sql`SELECT ${note('waits')} 1 AS one FROM information_schema.PROCESSLIST
        WHERE ID = ${request.session.threadId} AND STATE = 'Waiting for table metadata lock'
          AND INFO LIKE ${says}`,
  );
  return rows.length > 0;
}

/** Without the privilege for it the DROP ends by its own timeout. */
async function stop(pool: ServicePool, threadId: number): Promise<void> {
  try {
    await pool.killQuery(threadId);
  } catch (error) {
    if (!isServerError(error, ER_KILL_DENIED_ERROR, ER_NO_SUCH_THREAD)) throw error;
  }
}

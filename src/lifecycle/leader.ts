/**
 * One collector for each server: the proxy that has the server's own lock, on one connection that
 * it keeps and on which also everything it does as a collector runs.
 *
 * Invariant (fencing): a proxy that lost the lock can't act. The lock lives and ends with the
 * connection, and the connection is the only one it acts on, but for texts that begin with a look
 * at the lock (`apart`): when a stopped proxy wakes, or a network comes back, its next statement
 * finds the connection gone. So that the server ends the connection of a proxy that is not heard of
 * any more, its session has short timeouts, and a proxy that waits says something now and then.
 */
import type { Clock } from '../clock.js';
import { UndropError } from '../errors.js';
import { assertLedgerKnown } from '../ledger/tables.js';
import type { Log } from '../log.js';
import { isServerError, type ServicePool, type TaskConnection } from '../service/pools.js';
import { numberOrNullOf } from '../service/row.js';
import { note, type SQLQuery, sql } from '../service/sql.js';

/** The name of the lock; locks are the server's, not a schema's. */
export const COLLECTOR_LOCK = 'undrop:collector';

/** The server ends a session of ours that has said nothing for so long, and so frees the lock. */
const SILENCE_SECONDS = 20;
const HEARTBEAT_MS = 5_000;
/** How often those without the lock try to get it. */
const TRY_EVERY_MS = 5_000;
/**
 * Behind a connection that broke it is tried again sooner, and after twice as long each time until
 * one has lasted longer than that: a live table's foreign key may be waiting for what was left.
 */
const AFTER_BREAK_MS = 250;
const DEADLINE_MS = 10_000;

/** The lock, for as long as the work on it lasts. */
export interface Lease {
  /** Everything the leader does runs here: one pinned connection in the shape of a pool. */
  readonly connection: ServicePool;
  /**
   * Waits `delayMs`, or until `signal` is aborted, and keeps the lock meanwhile. Rejects with
   * UNDROP_NOT_COLLECTOR where the lock is gone.
   */
  idle(delayMs: number, signal: AbortSignal): Promise<void>;
}

export interface LeaderOptions {
  readonly pool: ServicePool;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the leadership, or the wait for it, at the next pause. */
  readonly signal: AbortSignal;
}

/**
 * Tries for the lock until `signal` is aborted; each time it is ours, runs `work`, which returns
 * when the signal is aborted. What `work` or the connection throws ends that leadership only.
 */
export async function leadWhenever(
  options: LeaderOptions,
  work: (lease: Lease) => Promise<void>,
): Promise<void> {
  const { clock, log, signal } = options;
  const attempt: Attempt = { said: '' };
  let brokenMs = 0;
  while (!signal.aborted) {
    let pauseMs = TRY_EVERY_MS;
    const beganMs = clock.nowMs();
    try {
      await leadOnce(options, attempt, work);
    } catch (error) {
      if (clock.nowMs() - beganMs > brokenMs) brokenMs = 0;
      brokenMs = Math.min(Math.max(2 * brokenMs, AFTER_BREAK_MS), TRY_EVERY_MS);
      pauseMs = brokenMs;
      say(attempt, String(error), (why) => {
        log.warn({ event: 'collector', err: error }, `collecting ended, will try again: ${why}`);
      });
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** What was last said of the lock, so that it isn't said every few seconds. */
interface Attempt {
  said: string;
}

function say(attempt: Attempt, what: string, speak: (what: string) => void): void {
  if (attempt.said === what) return;
  attempt.said = what;
  speak(what);
}

async function leadOnce(
  { pool, clock, log }: LeaderOptions,
  attempt: Attempt,
  work: (lease: Lease) => Promise<void>,
): Promise<void> {
  await pool.task(async (connection) => {
    await assertLedgerKnown(connection);
    const holder = await tryLock(connection);
    if (holder !== 'us') {
      say(attempt, `held by ${holder}`, () => {
        log.info({ event: 'collector', holder }, 'another proxy collects on this server');
      });
      return;
    }
    // Its session settings are not the pool's.
    connection.discard();
    attempt.said = '';
    log.info({ event: 'collector', threadId: connection.threadId }, 'this proxy collects');
    await work({
      connection: pinned(pool, connection),
      idle: (delayMs, wake) => idle(connection, clock, delayMs, wake),
    });
    await connection.run(sql`${note('lock')} DO RELEASE_LOCK(${COLLECTOR_LOCK})`, {
      deadlineMs: DEADLINE_MS,
    });
  });
}

/**
 * One text, so that there is no moment with the lock but without the timeouts, wherever this
 * process may be stopped. Without the lock the settings stay what they were.
 */
async function tryLock(connection: TaskConnection): Promise<'us' | number | null> {
  const ifOurs = (seconds: number, otherwise: SQLQuery) =>
    sql`CAST(IF(IS_USED_LOCK(${COLLECTOR_LOCK}) = CONNECTION_ID(), ${seconds}, ${otherwise})
      AS UNSIGNED)`;
  const [got, , holder] = await connection.run(
    [
      sql`${note('lock')} SELECT GET_LOCK(${COLLECTOR_LOCK}, 0) AS got`,
      sql`SET SESSION wait_timeout = ${ifOurs(SILENCE_SECONDS, sql`@@session.wait_timeout`)},
        SESSION net_read_timeout = ${ifOurs(SILENCE_SECONDS, sql`@@session.net_read_timeout`)},
        SESSION net_write_timeout = ${ifOurs(SILENCE_SECONDS, sql`@@session.net_write_timeout`)}`,
      sql`SELECT IS_USED_LOCK(${COLLECTOR_LOCK}) AS holder`,
    ],
    { deadlineMs: DEADLINE_MS },
  );
  if (got?.[0] !== undefined && numberOrNullOf(got[0], 'got') === 1) return 'us';
  return holder?.[0] === undefined ? null : numberOrNullOf(holder[0], 'holder');
}

async function idle(
  connection: TaskConnection,
  clock: Clock,
  delayMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (let leftMs = delayMs; leftMs > 0 && !signal.aborted; leftMs -= HEARTBEAT_MS) {
    await clock.sleep(Math.min(leftMs, HEARTBEAT_MS), signal);
    await assertLock(connection);
  }
}

async function assertLock(connection: TaskConnection): Promise<void> {
  const [rows] = await connection.run(
    sql`${note('lock')} SELECT IS_USED_LOCK(${COLLECTOR_LOCK}) = CONNECTION_ID() AS ours`,
    { deadlineMs: DEADLINE_MS },
  );
  const row = rows?.[0];
  if (row === undefined || numberOrNullOf(row, 'ours') !== 1) {
    throw new UndropError('UNDROP_NOT_COLLECTOR');
  }
}

/**
 * The pinned connection for code that takes a pool: all of it runs on the lock's connection, but
 * for what would leave that one another: no statement takes a default schema away again, and
 * servers write it to the binary log with all that comes behind (`use`, of a schema that may be
 * gone by then), and judge by it what replicas get (replicate-do-db).
 */
function pinned(pool: ServicePool, connection: TaskConnection): ServicePool {
  return {
    run: (text, options) => connection.run(text, options),
    task: (fn, { apart = false } = {}) =>
      apart ? pool.task((other) => fn(whileLocked(connection, other)), { apart }) : fn(connection),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    dispose: async () => undefined,
  };
}

/**
 * The other connection, for as long as this one has the lock: else its texts reject with
 * UNDROP_NOT_COLLECTOR. They are tried again for longer than this one may be silent.
 */
function whileLocked(connection: TaskConnection, other: TaskConnection): TaskConnection {
  const { threadId } = connection;
  const ifLocked = sql`SELECT ${note('lock')}
    IF(IS_USED_LOCK(${COLLECTOR_LOCK}) = ${threadId}, 1, (SELECT 1 UNION SELECT 2)) AS ours`;
  return {
    threadId: other.threadId,
    discard: () => other.discard(),
    run: async (text, options) => {
      await assertLock(connection);
      try {
        const [, ...rows] = await other.run([ifLocked, ...[text].flat()], options);
        return rows;
      } catch (error) {
        // "Subquery returns more than 1 row".
        if (isServerError(error, 1242)) throw new UndropError('UNDROP_NOT_COLLECTOR');
        throw error;
      }
    },
  };
}

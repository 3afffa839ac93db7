/**
 * Keeps one collector for each server: the proxy that has the server's own lock
 * (collector-lock.ts), on one connection that it keeps and on which all its work as a collector
 * runs.
 *
 * Invariant (fencing): a proxy that lost the lock can't act. The lock lives and ends with the
 * connection, and the connection is the only one it acts on, but for texts that begin with a check
 * of the lock (`apart`): when a stopped proxy wakes, or a network comes back, its next statement
 * finds the connection gone. Its session has short timeouts, so that the server ends the connection
 * of a proxy that has vanished, and a proxy that waits sends a statement now and then.
 */
import { randomBytes } from 'node:crypto';
import { isServerError, unlessRefused, withNewPrivileges } from '../../connections/errors.js';
import type { ServicePool, TaskConnection } from '../../connections/sql.js';
import { col, note, readServerFacts, sql } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import * as ER from '../../wire/server-errors.js';
import type { ActionContext } from '../action-context.js';
import { type HeldLock, readLockState, takeLock } from './collector-lock.js';

/** The server ends the session of a leader that is silent for four times as long. */
export const IDLE_MS_MAX = 5_000;
/** How often proxies without the lock try to get it. */
const TRY_EVERY_MS = 5_000;
/**
 * After a connection broke, the lock is tried again sooner, with doubled pauses until one has
 * lasted longer than that: a live table's foreign key may wait for the interrupted work.
 */
const AFTER_BREAK_MS = 250;
const DEADLINE_MS = 10_000;

/** The lock, for as long as the work on it lasts. */
export interface Leadership {
  /** The server's id of the leader's connection. */
  readonly threadId: number;
  /** All work of the leader runs here: one pinned connection with the interface of a pool. */
  readonly connection: ServicePool;
  /**
   * Waits `delayMs` (IDLE_MS_MAX at most), or until `signal` is aborted, and keeps the lock.
   * Rejects with UNDROP_NOT_COLLECTOR if the lock is gone.
   */
  idle(delayMs: number, signal: AbortSignal): Promise<void>;
}

/** `signal`: ends the leadership, or the wait for it, at the next pause. */
type LeaderOptions = Pick<ActionContext, 'pool' | 'clock' | 'log' | 'signal'>;

/**
 * Tries for the lock until `signal` is aborted; each time it gets it, runs `work`, which returns
 * when the signal is aborted. An error of `work` or the connection ends that leadership only.
 */
export async function leadWhenever(
  options: LeaderOptions,
  work: (leadership: Leadership) => Promise<void>,
): Promise<void> {
  const { clock, log, signal } = options;
  // Not repeated every few seconds.
  let logged = '';
  const isNews = (what: string) => {
    const isNew = what !== logged;
    logged = what;
    return isNew;
  };
  let brokenMs = 0;
  while (!signal.aborted) {
    let pauseMs = TRY_EVERY_MS;
    const beganMs = clock.nowMs();
    try {
      const notLed = await leadOnce(options, (leadership) => {
        logged = '';
        return work(leadership);
      });
      if (notLed !== null && isNews(notLed.what)) {
        log.info({ event: 'collector', holder: notLed.holder }, notLed.what);
      }
    } catch (error) {
      if (clock.nowMs() - beganMs > brokenMs) brokenMs = 0;
      brokenMs = Math.min(Math.max(2 * brokenMs, AFTER_BREAK_MS), TRY_EVERY_MS);
      pauseMs = brokenMs;
      const why = String(error);
      if (isNews(why)) {
        log.warn({ event: 'collector', err: error }, `stopped collecting; will try again: ${why}`);
      }
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Why the lock was not tried for, or not taken. */
export interface NotLed {
  readonly what: string;
  /** The connection of the proxy that has it. */
  readonly holder?: number;
}

/** Runs `work` if the lock is free; else resolves to the reason. */
export async function leadOnce(
  { pool, clock, log }: Omit<LeaderOptions, 'signal'>,
  work: (leadership: Leadership) => Promise<void>,
): Promise<NotLed | null> {
  return pool.task(async (connection) => {
    await assertLedgerKnown(connection);
    const server = await readServerFacts(connection);
    if (server.readOnly) return { what: 'the server is read-only: the collector waits' };
    const seen = await readLockState(connection, server);
    if (seen.stranger !== null) {
      const what = 'ignored the collector lock of a connection that is not undrop';
      log.warn({ event: 'collector', who: seen.stranger }, what);
    }
    const nonce = randomBytes(16).toString('hex');
    const lock = seen.leader === null ? await takeLock(connection, server, { seen, nonce }) : null;
    if (lock === null) {
      const what = 'another proxy collects on this server';
      return seen.leader === null ? { what } : { what, holder: seen.leader };
    }
    log.info(
      { event: 'collector', threadId: connection.threadId },
      'became the collector of this server',
    );
    await work({
      threadId: connection.threadId,
      connection: pinned(pool, connection, lock),
      idle: async (delayMs, wake) => {
        if (delayMs <= 0 || wake.aborted) return;
        await clock.sleep(Math.min(delayMs, IDLE_MS_MAX), wake);
        await assertLock({ connection, lock });
      },
    });
    await lock.release();
    return null;
  });
}

interface Held {
  readonly connection: TaskConnection;
  readonly lock: HeldLock;
}

async function assertLock({ connection, lock }: Held): Promise<void> {
  const asked = connection.run(sql`${note('lock')} SELECT ${lock.isLed} AS ours`, {
    deadlineMs: DEADLINE_MS,
  });
  // If the row is lost, another proxy may lead by a new one.
  const [[row] = []] = await unlessRefused(asked, [], ...ER.ABSENT_TABLE);
  if (row === undefined || col.numberOrNull(row, 'ours') !== 1) {
    throw new UndropError('UNDROP_NOT_COLLECTOR');
  }
}

/**
 * The pinned connection for code that takes a pool: all of it runs on the lock's connection, with
 * two exceptions. A statement that is denied there runs elsewhere, because the privilege may be
 * new. A statement that would set a default schema does, too: no statement can unset it, and
 * servers write it to the binary log with all that follows (`use`, of a schema that may have been
 * dropped), and decide by it what replicas get (replicate-do-db).
 */
function pinned(pool: ServicePool, connection: TaskConnection, lock: HeldLock): ServicePool {
  const task: ServicePool['task'] = (fn, { apart = false, fresh = false } = {}) =>
    apart || fresh
      ? pool.task((other) => fn(whileLocked({ connection, lock }, other)), { apart, fresh })
      : fn(connection);
  const inLog = (isLogged: boolean): ServicePool => ({
    isLogged,
    run: (text, options) =>
      withNewPrivileges((how) => task((other) => other.logging(isLogged).run(text, options), how)),
    task: (fn, how) => task((other) => fn(other.logging(isLogged)), how),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    logging: (logged) => (logged ? logging : unlogged),
    dispose: async () => undefined,
  });
  const [logging, unlogged] = [inLog(true), inLog(false)];
  return logging;
}

/**
 * Another connection, usable while this one has the lock: else its texts reject with
 * UNDROP_NOT_COLLECTOR. They are tried again for longer than this one may be silent.
 */
function whileLocked({ connection, lock }: Held, other: TaskConnection): TaskConnection {
  const ifLocked = sql`SELECT ${note('lock')}
    IF(IS_USED_LOCK(${lock.name}) = ${connection.threadId}, 1, (SELECT 1 UNION SELECT 2)) AS ours`;
  return {
    threadId: other.threadId,
    discard: () => other.discard(),
    run: async (text, options) => {
      await assertLock({ connection, lock });
      try {
        const [, ...rows] = await other.run([ifLocked, ...[text].flat()], options);
        return rows;
      } catch (error) {
        if (isServerError(error, ER.SUBQUERY_NO_1_ROW)) {
          throw new UndropError('UNDROP_NOT_COLLECTOR');
        }
        throw error;
      }
    },
    logging: (logged) => whileLocked({ connection, lock }, other.logging(logged)),
  };
}

/** A bell for the collector: any number of rings until the next round count as one. */
export class Wakeup {
  #controller = new AbortController();

  /** Rings. */
  wake(): void {
    this.#controller.abort();
  }

  /** Aborted at the next ring; a new signal after each `take`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether it rang since the last `take`. */
  take(): boolean {
    if (!this.#controller.signal.aborted) return false;
    this.#controller = new AbortController();
    return true;
  }
}

/**
 * Runs a text that may wait for a metadata lock, and ends the wait after a moment by KILL QUERY
 * from a second connection, because no supported server has a lock timeout below one second.
 *
 * Invariants: undrop makes other sessions wait for a metadata lock no longer than `killAfterMs`, or
 * than the rest of the lockWaitBudget. A KILL never hits another text, nor one that does not wait
 * for such a lock: MariaDB (10.11, 11.8) continues with a RENAME that is killed while it waits in
 * InnoDB, and never finishes rolling it back while other DDL waits, too. There the wait ends by its
 * own timeout.
 */
import { systemClock, withinMs } from '../../clock.js';
import * as ER from '../../wire/server-errors.js';
import { isServerError, withNewPrivileges } from '../errors.js';
import type { Rows, RunOptions, ServicePool, SQLQuery, TaskConnection } from '../sql.js';
import { sql } from '../sql.js';

const KILL_AFTER_MS = 200;

export interface KillAfterOptions extends Pick<RunOptions, 'last' | 'deadlineMs'> {
  readonly killAfterMs?: number;
  /** A client waits: a try that is seen waiting ends early when this is used up. */
  readonly lockWaitBudget?: LockWaitBudget | undefined;
}

/** The options of a text that may wait for a lock. */
export type TryOptions = Pick<KillAfterOptions, 'lockWaitBudget'>;

/**
 * For waits that a KILL can't end. MariaDB also accepts 0, but then fails beside other DDL, because
 * each DDL locks InnoDB's tables of statistics for a moment.
 */
export const SHORT_INNODB_WAIT = sql`SET SESSION innodb_lock_wait_timeout = 1`;

/** Rejects with the server's 1317 or 1205 if the time was over (`isKilled`). */
export async function runWithTimeout(
  pool: ServicePool,
  text: SQLQuery | readonly SQLQuery[],
  options: KillAfterOptions = {},
): Promise<readonly Rows[]> {
  const texts = [SHORT_INNODB_WAIT, ...[text].flat()];
  const apart = options.last !== undefined;
  const runAll = (all: readonly SQLQuery[]) =>
    withNewPrivileges(({ fresh }) =>
      pool.task((connection) => runWithTimeoutOn({ connection, pool }, all, options), {
        ...{ apart, fresh },
      }),
    );
  // A connection that has run its last text is used up.
  const [, ...rows] = apart
    ? await orLooser(
        () => runAll(texts),
        (set) => runAll([set, ...texts]),
      )
    : await runAll(texts);
  return rows;
}

/**
 * Settings of the session that let it handle tables that were created without the rule that an
 * error is about. Not in every text, because some take a privilege, and some cause a warning.
 */
const LOOSER: ReadonlyMap<number, SQLQuery> = new Map([
  // Since 8.4 MySQL neither creates a foreign key to columns that aren't unique, nor renames its
  // parent table. The variable may disappear.
  [
    ER.FK_NO_UNIQUE_INDEX_PARENT,
    sql`SET /*!80400 SESSION restrict_fk_on_non_standard_key = 0, */ @undrop = NULL`,
  ],
  [ER.TABLE_WITHOUT_PK, sql`SET SESSION sql_require_primary_key = 0`],
  // Made under innodb_strict_mode = 0.
  [ER.TOO_BIG_ROWSIZE, sql`SET SESSION innodb_strict_mode = 0`],
  ...[ER.ALTER_OPERATION_NOT_SUPPORTED, ER.ALTER_OPERATION_NOT_SUPPORTED_REASON].map(
    (errno) =>
      [errno, sql`SET /*M!100300 SESSION alter_algorithm = DEFAULT, */ @undrop = NULL`] as const,
  ),
]);

/**
 * Runs `work`, and `looser` if it fails with such an error: then it has changed nothing. Rejects
 * with the first error if the account may not change the setting.
 */
async function orLooser(
  work: () => Promise<readonly Rows[]>,
  looser: (set: SQLQuery) => Promise<readonly Rows[]>,
): Promise<readonly Rows[]> {
  try {
    return await work();
  } catch (error) {
    const set = isServerError(error) ? LOOSER.get(error.errno) : undefined;
    if (set === undefined) throw error;
    const [, ...rows] = await looser(set).catch((denied: unknown) => {
      throw isServerError(denied, ER.SPECIFIC_ACCESS_DENIED_ERROR) ? error : denied;
    });
    return rows;
  }
}

/**
 * The same on a connection of the caller; the last text that it runs there. A text that failed
 * because of a strict setting has changed nothing, and is run once more.
 */
export async function runWithTimeoutOn(
  { connection, pool }: { readonly connection: TaskConnection; readonly pool: ServicePool },
  text: SQLQuery | readonly SQLQuery[],
  options: KillAfterOptions = {},
): Promise<readonly Rows[]> {
  const { killAfterMs = KILL_AFTER_MS, lockWaitBudget, ...how } = options;
  const run = () => connection.run(text, how);
  const looser = (set: SQLQuery) => {
    // No other text may run under that setting.
    connection.discard();
    return connection.run([set, ...[text].flat()], how);
  };
  const running = how.last !== undefined ? run() : orLooser(run, looser);
  const end = { isReached: false };
  const reachEnd = () => {
    end.isReached = true;
    return 'ended' as const;
  };
  /** The text has ended, whatever its result. */
  const ended = running.then(reachEnd, reachEnd);
  const endMs = performance.now() + killAfterMs;
  for (let isOver = false; !isOver; ) {
    const leftMs = endMs - performance.now();
    const isFirst = lockWaitBudget === undefined && leftMs > 0;
    if ((await withinMs(isFirst ? leftMs : CHECK_MS, ended)) !== null) return running;
    const looking = pool.isWaiting(connection.threadId).catch(() => false);
    const seen = await Promise.race([looking, ended]);
    if (end.isReached) return running;
    if (seen === false) continue;
    isOver = lockWaitBudget?.seenWaiting() === true || performance.now() >= endMs;
  }
  // The response may already be on its way; a late KILL must not hit another user's text on this
  // connection. If the KILL itself fails, lock_wait_timeout ends the wait.
  connection.discard();
  await pool.killQuery(connection.threadId).catch(() => undefined);
  return running;
}

/** Interval between two checks of a try. */
export const CHECK_MS = 25;
/** The total of all waits. */
export const WAIT_MS = 75;
/**
 * No new work begins after this time, or earlier if some is left for later anyway. Until all is
 * done, the session's next statements may get other results than natively.
 */
const WITHIN_MS = 3_000;
const WITHIN_MS_HELD_UP = 125;

/**
 * How long the service lets a client wait for other sessions' locks: one budget for all tries
 * between a RENAME and its response. Only time in which a try was seen waiting counts. Once it is
 * used up, nothing waits, and hardly anything new begins; the rest is done later.
 */
export class LockWaitBudget {
  readonly #startMs = performance.now();
  #leftMs = WAIT_MS;

  /** Counts `CHECK_MS` of waiting. True: the try must end. */
  seenWaiting(): boolean {
    this.#leftMs = Math.max(0, this.#leftMs - CHECK_MS);
    return this.#leftMs === 0;
  }

  /** Whether work that has not begun is left for later. */
  get isOver(): boolean {
    const withinMs = this.#leftMs === 0 ? WITHIN_MS_HELD_UP : WITHIN_MS;
    return performance.now() - this.#startMs > withinMs;
  }
}

// ── searches ───────────────────────────────────────────────────────────────────────────────────
// A search may take long. A KILL QUERY ends it, because MySQL 5.6 has no time limit for
// statements.

/**
 * The rows of the last text; null: it took too long. Rejects with all other errors of the server or
 * the pool.
 */
export async function runWithin(
  pool: ServicePool,
  texts: readonly SQLQuery[],
  { withinMs }: { readonly withinMs: number },
): Promise<Rows | null> {
  if (withinMs <= 0) return null;
  try {
    return await pool.task(async (connection) => {
      const done = new AbortController();
      const killing = systemClock.sleep(withinMs, done.signal).then(async () => {
        if (done.signal.aborted) return;
        connection.discard();
        await pool.killQuery(connection.threadId).catch(() => undefined);
      });
      try {
        const all = await connection.run(texts, { deadlineMs: withinMs + KILL_MS });
        return all.at(-1) ?? null;
      } finally {
        done.abort();
        await killing;
      }
    });
  } catch (error) {
    if (!isServerError(error, ER.QUERY_INTERRUPTED)) throw error;
    return null;
  }
}

/** The time that a KILL may need. */
const KILL_MS = 10_000;

/**
 * The barrier of a DROP DATABASE, and a try of the DROP in the user's session: it waits for the
 * barrier table with its schema locked and its list of tables complete; the service checks the
 * schema, and opens the barrier only if there is no other table.
 *
 * Invariant: the connection that owns the group runs the check, after the DROP was seen to wait for
 * a table; so a process that others consider dead opens no barrier.
 */
import { systemClock } from '../../clock.js';
import { isServerError, type ServerError } from '../../connections/errors.js';
import type {
  ServerFacts,
  ServiceConnection,
  ServicePool,
  SQLQuery,
  TaskConnection,
} from '../../connections/sql.js';
import { ident, note, sql, valueList } from '../../connections/sql.js';
import { assert, UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import { BARRIER_TABLE_COMMENT } from '../../names/names.js';
import { BARRIER_KILL_PAUSE_MS, BARRIER_KILL_TRIES } from '../../tries.js';
import * as ER from '../../wire/server-errors.js';
import { cleanSql } from '../steps/session/user-session.js';
import { ask, type UserSession } from '../steps/world.js';
import { findTables, isEmptied } from './read-schema.js';
import type * as schemas from './schema-drop.js';
import { DROP_WAITS_S, dropSchemaSql, schemaComment } from './schema-drop.js';

/** The barrier as a statement has it: closed, until it is opened or left to its own end. */
export type ClosedBarrier = Pick<Barrier, 'isIntact' | 'seenAtMs' | 'open' | 'leave'>;

export interface DropAtBarrierOptions {
  readonly request: schemas.SchemaDropRequest;
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
export async function dropAtBarrier(options: DropAtBarrierOptions): Promise<schemas.TryEnd> {
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
    const nothing = cleanSql(request.dropId);
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
  const isStopped = said.errno === ER.QUERY_INTERRUPTED || said.errno === ER.LOCK_WAIT_TIMEOUT;
  return mayDrop === false && isStopped ? { kind: 'again' } : { kind: 'failed', error: said };
}

/** Both connections that held the barrier were killed: what the DROP has dropped is unknown. */
function logUnchecked({ log, schema, request: { dropId } }: DropAtBarrierOptions): void {
  const what =
    'the server ran a DROP DATABASE before the last check, because both connections of undrop ' +
    'were killed; a table that was created in the last moment may be lost';
  log.error({ event: 'schema_drop_unchecked', schema, dropId }, what);
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
    return isEmptied(await findTables(owner, schema, request.dropId));
  }
  return null;
}

/** Then its schema is locked, and its list is complete. */
async function isWaitingForTable({ owner, request }: DropAtBarrierOptions): Promise<boolean> {
  const says = `%${schemaComment(request.dropId)}%`;
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
    if (!isServerError(error, ER.KILL_DENIED_ERROR, ER.NO_SUCH_THREAD)) throw error;
  }
}

// ── the barrier ──────────────────────────────────────────────────────────────────────────────────
// An empty table of undrop's in the schema, which two service
// connections keep open, so that the DROP waits until the service has looked for other tables. If
// one of the two connections is killed, the other still holds it.
//
// Invariants: the statements outlast the DROP (DROP_WAITS_S for each of its locks), so that if the
// barrier is never opened, because this process was killed, the DROP fails and has dropped nothing.
// SLEEP(4) doesn't check whether its client is there; a longer one does. A connection begins no
// statement but its last, because a HANDLER that another session waits for is closed by the next
// one.

interface BarrierOptions {
  readonly schema: string;
  readonly table: string;
  readonly dropId: string;
  readonly server: Pick<ServerFacts, 'flavour' | 'versionId'>;
}

const HOLDERS = 2;
const SLEEP_S = 4;
/** The DROP waits four times: for GLOBAL, BACKUP and the schema, then for the barrier table. */
const SLEEPS = Math.ceil((20 * DROP_WAITS_S) / SLEEP_S);
const DEADLINE_MS = (SLEEPS * SLEEP_S + 60) * 1_000;
const ASLEEP_WITHIN_MS = 10_000;
const ASLEEP_CHECK_MS = 2;

/** Creates the table that the DROP comes to first. Null: it exists, and a HANDLER can open it. */
export async function makeBarrierTable(
  pool: ServicePool,
  { schema, table, dropId }: Omit<BarrierOptions, 'server'>,
): Promise<ServerError | null> {
  try {
    await pool.run(
      sql`CREATE TABLE ${note('schema-barrier-table', dropId)} ${ident(schema, table)}
          (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB
          COMMENT=${BARRIER_TABLE_COMMENT}`,
    );
    await pool.run([
      sql`HANDLER ${ident(schema, table)} OPEN AS undrop_barrier`,
      sql`HANDLER undrop_barrier CLOSE`,
    ]);
    return null;
  } catch (error) {
    if (isServerError(error)) return error;
    throw error;
  }
}

/** A connection that holds the table. */
interface Holder {
  /** Null until it has a connection. */
  threadId: number | null;
  over: Promise<void>;
}

export class Barrier {
  readonly #pool: ServicePool;
  readonly #options: BarrierOptions;
  readonly #opened = new AbortController();
  readonly #holders: readonly Holder[];
  /**
   * False: a connection that holds it was killed, or its statement; the other alone isn't enough.
   */
  isIntact = true;
  /** Why a connection could not begin to hold it. */
  #failure: unknown = null;
  /** When the table was last seen to be held, by `performance.now()`, or a moment before. */
  seenAtMs = 0;

  constructor(pool: ServicePool, options: BarrierOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#holders = Array.from({ length: HOLDERS }, () => this.#begin());
  }

  /** Lets the DROP go on. Resolves when the table is free. */
  async open(): Promise<void> {
    this.leave();
    await Promise.all(this.#holders.map((holder) => this.#end(holder)));
  }

  /**
   * Gives up the barrier without opening it: the table is free when the statements that hold it
   * end, by themselves or by recovery. Does nothing once the barrier is open.
   */
  leave(): void {
    this.#opened.abort();
  }

  /** Resolves when all of them were seen asleep, or one of them has ended. */
  async close(): Promise<void> {
    const endMs = performance.now() + ASLEEP_WITHIN_MS;
    for (;;) {
      this.seenAtMs = performance.now();
      if (this.#failure !== null) throw this.#failure;
      if (!this.isIntact) return;
      const ids = this.#holders.flatMap(({ threadId }) => (threadId === null ? [] : [threadId]));
      if (ids.length === HOLDERS && (await areAsleep(this.#pool, ids))) return;
      if (performance.now() > endMs) throw new UndropError('UNDROP_SERVICE_FAILED', NOT_HELD);
      await systemClock.sleep(ASLEEP_CHECK_MS);
    }
  }

  #begin(): Holder {
    const holder: Holder = { threadId: null, over: Promise.resolve() };
    const holding = this.#pool.task(async (connection) => {
      connection.discard();
      holder.threadId = connection.threadId;
      await this.#hold(connection);
    });
    holder.over = holding.catch((error: unknown) => {
      this.isIntact = false;
      // A connection that was killed isn't a failure of this process.
      if (holder.threadId === null || isServerError(error)) this.#failure = error;
    });
    return holder;
  }

  async #hold(connection: TaskConnection): Promise<void> {
    const { signal } = this.#opened;
    if (signal.aborted) return;
    const { schema, table, dropId } = this.#options;
    const alias = ident('undrop_barrier');
    try {
      await connection.run(
        [
          ...unlimited(this.#options),
          sql`HANDLER ${ident(schema, table)} OPEN AS ${alias}`,
          sql`SELECT ${note('schema-barrier', dropId)} SUM(SLEEP(${SLEEP_S}))
              FROM (${rows()}) AS undrop_rows`,
        ],
        { deadlineMs: DEADLINE_MS },
      );
    } catch (error) {
      // The KILL that opens it, or an operator's.
      if (!isServerError(error, ER.QUERY_INTERRUPTED, ER.CONNECTION_KILLED)) throw error;
    }
    this.isIntact = false;
    // If it has ended by itself the table is held until the next statement here.
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    }
    await connection.run(sql`HANDLER ${alias} CLOSE`);
  }

  /** If its connection broke, the server goes on with its statement: that is ended as well. */
  async #end({ threadId, over: ending }: Holder): Promise<void> {
    const over = ending.then(() => true);
    let failures = 0;
    for (let isOver = false; !isOver; ) {
      try {
        if (threadId !== null) await this.#pool.killQuery(threadId);
      } catch (error) {
        if (!(error instanceof Error) || ++failures === BARRIER_KILL_TRIES) throw error;
      }
      // A statement that was about to begin may have begun after the KILL.
      const pause = systemClock.sleep(BARRIER_KILL_PAUSE_MS).then(() => false);
      isOver = await Promise.race([over, pause]);
    }
  }
}

/** Resolves when the table is held, or `isIntact` is false; rejects if it can't be held. */
export async function closeBarrier(pool: ServicePool, options: BarrierOptions): Promise<Barrier> {
  const barrier = new Barrier(pool, options);
  try {
    await barrier.close();
    return barrier;
  } catch (error) {
    barrier.leave();
    throw error;
  }
}

function rows(): SQLQuery {
  const all = Array.from({ length: SLEEPS }, (_, index) => sql`SELECT ${index} AS undrop_row`);
  return sql.join(all, sql` UNION ALL `);
}

/** A global limit on statements would end it. */
function unlimited({ server: { flavour, versionId } }: BarrierOptions): readonly SQLQuery[] {
  if (flavour === 'mariadb') return [sql`SET SESSION max_statement_time = 0`];
  return versionId >= 50_708 ? [sql`SET SESSION max_execution_time = 0`] : [];
}

async function areAsleep(pool: ServicePool, threadIds: readonly number[]): Promise<boolean> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('waits')} 1 AS one FROM information_schema.PROCESSLIST
        WHERE ID IN (${valueList(threadIds)}) AND STATE = 'User sleep'`,
  );
  return found.length === threadIds.length;
}

const NOT_HELD = {
  step: 'hold the barrier table of a schema',
  server: 'the server',
  cause: 'its connections did not get the lock in time',
};

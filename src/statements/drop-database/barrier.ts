/**
 * The barrier of a DROP DATABASE: an empty table of undrop's in the schema, which two service
 * connections keep open, so that the DROP waits until the service has looked for other tables. If
 * one of the two connections is killed, the other still holds it.
 *
 * Invariants: the statements outlast the DROP (DROP_WAITS_S for each of its locks), so that if the
 * barrier is never opened, because this process was killed, the DROP fails and has dropped nothing.
 * SLEEP(4) doesn't check whether its client is there; a longer one does. A connection begins no
 * statement but its last, because a HANDLER that another session waits for is closed by the next
 * one.
 */
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import { BARRIER_TABLE_COMMENT } from '../../names/names.js';
import { isServerError, type ServerError } from '../../service/errors.js';
import type { ServicePool, TaskConnection } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import { BARRIER_KILL_PAUSE_MS, BARRIER_KILL_TRIES } from '../../tries.js';
import { ER_CONNECTION_KILLED, ER_QUERY_INTERRUPTED } from '../../wire/server-errors.js';
import { DROP_WAITS_S } from './schema-sql.js';

export interface BarrierOptions {
  readonly schema: string;
  readonly table: string;
  readonly groupId: string;
  readonly server: Pick<ServerFacts, 'flavour' | 'versionId'>;
}

const HOLDERS = 2;
const SLEEP_S = 4;
/** The DROP waits four times: for GLOBAL, BACKUP and the schema, then for the barrier table. */
const SLEEPS = Math.ceil((20 * DROP_WAITS_S) / SLEEP_S);
const DEADLINE_MS = (SLEEPS * SLEEP_S + 60) * 1_000;
const ASLEEP_WITHIN_MS = 10_000;
const CHECK_EVERY_MS = 2;

/** Creates the table that the DROP comes to first. Null: it exists, and a HANDLER can open it. */
export async function makeBarrierTable(
  pool: ServicePool,
  { schema, table, groupId, logged }: Omit<BarrierOptions, 'server'> & { readonly logged: boolean },
): Promise<ServerError | null> {
  try {
    await pool.run(
      sql`CREATE TABLE ${note('schema-barrier-table', groupId)} ${ident(schema, table)}
          (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB
          COMMENT=${BARRIER_TABLE_COMMENT}`,
      { logged },
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
      await systemClock.sleep(CHECK_EVERY_MS);
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
    const { schema, table, groupId } = this.#options;
    const alias = ident('undrop_barrier');
    try {
      await connection.run(
        [
          ...unlimited(this.#options),
          sql`HANDLER ${ident(schema, table)} OPEN AS ${alias}`,
          sql`SELECT ${note('schema-barrier', groupId)} SUM(SLEEP(${SLEEP_S}))
              FROM (${rows()}) AS undrop_rows`,
        ],
        { deadlineMs: DEADLINE_MS },
      );
    } catch (error) {
      // The KILL that opens it, or an operator's.
      if (!isServerError(error, ER_QUERY_INTERRUPTED, ER_CONNECTION_KILLED)) throw error;
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
      isOver = await Promise.race([
        over,
        systemClock.sleep(BARRIER_KILL_PAUSE_MS).then(() => false),
      ]);
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
  return sql.join(
    Array.from({ length: SLEEPS }, (_, index) => sql`SELECT ${index} AS undrop_row`),
    sql` UNION ALL `,
  );
}

/** A global limit on statements would end it. */
function unlimited({ server: { flavour, versionId } }: BarrierOptions): readonly SQLQuery[] {
  if (flavour === 'mariadb') return [sql`SET SESSION max_statement_time = 0`];
  return versionId >= 50_708 ? [sql`SET SESSION max_execution_time = 0`] : [];
}

async function areAsleep(pool: ServicePool, threadIds: readonly number[]): Promise<boolean> {
  const ids = sql.join(
    threadIds.map((threadId) => sql`${threadId}`),
    ', ',
  );
  const [found = []] = await pool.run(
    sql`SELECT ${note('waits')} 1 AS one FROM information_schema.PROCESSLIST
        WHERE ID IN (${ids}) AND STATE = 'User sleep'`,
  );
  return found.length === threadIds.length;
}

const NOT_HELD = {
  step: 'hold the barrier table of a schema',
  server: 'the server',
  cause: 'its connections did not get the lock in time',
};

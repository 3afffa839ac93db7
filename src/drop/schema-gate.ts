/**
 * What a DROP DATABASE waits for until the service has looked: a table of ours in its schema, which
 * a service connection has open in the middle of a statement.
 *
 * Invariants: the statement outlasts the DROP (DROP_WAITS_S for each of its locks), so that where
 * nobody says "go on", as this process was killed, the DROP fails and has dropped nothing. SLEEP(4)
 * doesn't look whether its client is there; a longer one does. The connection begins no statement
 * but its last, as a HANDLER that somebody waits for is closed by the next one.
 */
import { assert } from '../assert.js';
import { systemClock } from '../clock.js';
import { UndropError } from '../errors.js';
import { isServerError, type ServicePool, type TaskConnection } from '../service/pools.js';
import type { ServerFacts } from '../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../service/sql.js';
import { DROP_WAITS_S } from './schema-words.js';

export interface Gate {
  /** When the guard was seen to be held, by `performance.now()`, or a moment before. */
  readonly seenAtMs: number;
  /** The DROP goes on. Resolves when the guard is free. */
  open(): Promise<void>;
  /**
   * Nobody here will say "go on" any more: the guard is free when the statement that holds it ends,
   * by itself or by recovery. Once it is open this does nothing.
   */
  leave(): void;
}

export interface GateOptions {
  readonly schema: string;
  readonly guard: string;
  readonly groupId: string;
  readonly server: Pick<ServerFacts, 'flavour' | 'versionId'>;
}

const SLEEP_S = 4;
/** The DROP waits four times: for GLOBAL, BACKUP and the schema, then for the guard. */
const SLEEPS = Math.ceil((20 * DROP_WAITS_S) / SLEEP_S);
const DEADLINE_MS = (SLEEPS * SLEEP_S + 60) * 1_000;
const ASLEEP_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 2;
const KILL_TRIES = 5;

/** Resolves when the guard is held; rejects where it can't be. */
export async function closeGate(pool: ServicePool, options: GateOptions): Promise<Gate> {
  let threadId: number | null = null;
  let hasEnded = false;
  const opened = new AbortController();
  const holding = pool
    .task(async (connection) => {
      connection.discard();
      threadId = connection.threadId;
      await hold(connection, options, opened.signal);
    })
    .finally(() => {
      hasEnded = true;
    });
  // Whoever opens it hears of it.
  holding.catch(() => undefined);
  const endMs = performance.now() + ASLEEP_WITHIN_MS;
  let seenAtMs = 0;
  try {
    for (;;) {
      seenAtMs = performance.now();
      if (hasEnded) {
        await holding;
        throw notHeld('the statement that holds the guard ended at once');
      }
      if (threadId !== null && (await isAsleep(pool, threadId))) break;
      if (performance.now() > endMs) throw notHeld('nobody sees the guard being held');
      await systemClock.sleep(LOOK_EVERY_MS);
    }
  } catch (error) {
    opened.abort();
    throw error;
  }
  return {
    seenAtMs,
    open: async () => {
      opened.abort();
      for (let tries = 1; !hasEnded; tries++) {
        assert(threadId !== null, 'it was seen asleep');
        try {
          await pool.killQuery(threadId);
          break;
        } catch (error) {
          if (!(error instanceof Error) || tries === KILL_TRIES) throw error;
        }
      }
      await holding;
    },
    leave: () => opened.abort(),
  };
}

async function hold(
  connection: TaskConnection,
  options: GateOptions,
  opened: AbortSignal,
): Promise<void> {
  const { schema, guard, groupId } = options;
  const step = note('schema-gate', groupId);
  const alias = ident('undrop_gate');
  try {
    await connection.run(
      [
        ...unlimited(options),
        sql`HANDLER ${ident(schema, guard)} OPEN AS ${alias}`,
        sql`SELECT ${step} SUM(SLEEP(${SLEEP_S})) FROM (${rows()}) AS undrop_rows`,
      ],
      { deadlineMs: DEADLINE_MS },
    );
  } catch (error) {
    // The KILL that opens it.
    if (!isServerError(error, 1317)) throw error;
  }
  // Where it has ended by itself the guard is held until the next statement here.
  if (!opened.aborted) {
    await new Promise((resolve) => opened.addEventListener('abort', resolve, { once: true }));
  }
  try {
    await connection.run(sql`HANDLER ${alias} CLOSE`);
  } catch (error) {
    // It was closed already, or another KILL has hit this: the connection ends in any case.
    if (!isServerError(error)) throw error;
  }
}

function rows(): SQLQuery {
  return sql.join(
    Array.from({ length: SLEEPS }, (_, index) => sql`SELECT ${index} AS undrop_row`),
    sql` UNION ALL `,
  );
}

/** A global limit on statements would end it. */
function unlimited({ server: { flavour, versionId } }: GateOptions): readonly SQLQuery[] {
  if (flavour === 'mariadb') return [sql`SET SESSION max_statement_time = 0`];
  return versionId >= 50_708 ? [sql`SET SESSION max_execution_time = 0`] : [];
}

async function isAsleep(pool: ServicePool, threadId: number): Promise<boolean> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('waits')} 1 AS one FROM information_schema.PROCESSLIST
        WHERE ID = ${threadId} AND STATE = 'User sleep'`,
  );
  return found.length > 0;
}

function notHeld(cause: string): UndropError {
  return new UndropError('UNDROP_SERVICE_FAILED', {
    step: 'hold the guard of a schema',
    server: 'the server',
    cause,
  });
}

/**
 * One DROP DATABASE at a time for each pool of service connections: each has three of them for
 * itself, and others are needed to go on. Who has to wait for that waits in the user's session, as
 * for a lock: so a KILL finds it, as do the limits of the session's statements.
 */
import type { ServicePool } from '../../service/pool/pools.js';
import { signalSql } from '../../steps/session/signal.js';
import type { UserCommand } from '../../steps/session/user-session.js';
import type { Result } from '../../wire/result-reader.js';
import { ER_QUERY_INTERRUPTED } from '../../wire/server-errors.js';
import { DropDatabaseAborted } from './aborted.js';
import { queueSql, type SchemaName } from './sql.js';

const last = new WeakMap<ServicePool, Promise<unknown>>();

export interface TurnOptions {
  /** Called again and again while there are others before it, until it rejects; a moment each. */
  wait(): Promise<void>;
  /** Two minutes at most. */
  readonly withinMs: number;
}

/** One of those before may wait for others' locks for as long as its own session says. */
const WITHIN_MS_MAX = 120_000;

/** Null where those before it took longer than `withinMs`; then `work` wasn't begun. */
export async function queueDropDatabase<T>(
  pool: ServicePool,
  work: () => Promise<T>,
  options: TurnOptions,
): Promise<{ readonly value: T } | null> {
  const before = last.get(pool);
  const result = inTurn(before, options).then(async (isOurs) =>
    isOurs ? { value: await work() } : null,
  );
  // Whoever gave up leaves the turn to those before it.
  const end = Promise.all([before, result.catch(() => undefined)]).then(() => {
    if (last.get(pool) === end) last.delete(pool);
  });
  last.set(pool, end);
  return result;
}

async function inTurn(
  before: Promise<unknown> | undefined,
  { wait, withinMs }: TurnOptions,
): Promise<boolean> {
  if (before === undefined) return true;
  let isFree = false;
  before.then(
    () => {
      isFree = true;
    },
    () => undefined,
  );
  const endMs = performance.now() + Math.min(withinMs, WITHIN_MS_MAX);
  while (!isFree && performance.now() < endMs) await wait();
  return isFree;
}

/** A moment in the session. Throws `DropDatabaseAborted` where that was ended. */
export async function waitInSession(
  name: SchemaName,
  run: (commands: readonly UserCommand[]) => Promise<readonly Result[]>,
): Promise<void> {
  const [said] = await run([{ kind: 'query', text: queueSql(name) }]);
  if (said?.kind === 'err') throw new DropDatabaseAborted(said);
  const wasKilled = said?.kind === 'rows' && said.rows[0]?.[0]?.toString() === '1';
  if (!wasKilled) return;
  const [error] = await run([{ kind: 'query', text: signalSql(WAS_KILLED) }]);
  if (error?.kind === 'err') throw new DropDatabaseAborted(error);
}

const WAS_KILLED = {
  errno: ER_QUERY_INTERRUPTED,
  sqlState: '70100',
  message: 'Query execution was interrupted',
};

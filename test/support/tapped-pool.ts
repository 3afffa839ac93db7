/** A service pool behind a tap: what comes of each text is the tap's to say. */
import type { Rows, ServicePool, SQLQuery, TaskConnection } from '../../src/connections/sql.js';
import { renderQuery } from '../../src/connections/sql.js';

/** `send` runs it; `texts` are its statements, rendered on one line each. */
export type PoolTap = (
  send: () => Promise<readonly Rows[]>,
  texts: readonly string[],
) => Promise<readonly Rows[]>;

/** Its owner disposes of `pool`. */
export function tappedPool(pool: ServicePool, tap: PoolTap): ServicePool {
  const rendered = (text: SQLQuery | readonly SQLQuery[]) =>
    ([text].flat() as readonly SQLQuery[]).map((one) => renderQuery(one).replaceAll(/\s+/g, ' '));
  const tappedOn = (connection: TaskConnection): TaskConnection => ({
    threadId: connection.threadId,
    discard: () => connection.discard(),
    run: (text, options) => tap(() => connection.run(text, options), rendered(text)),
    logging: (logged) => tappedOn(connection.logging(logged)),
  });
  const tapped: ServicePool = {
    isLogged: pool.isLogged,
    run: (text, options) => tap(() => pool.run(text, options), rendered(text)),
    task: (fn) => pool.task((connection) => fn(tappedOn(connection))),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    dispose: () => Promise.resolve(),
    logging: (logged) =>
      logged === pool.isLogged ? tapped : tappedPool(pool.logging(logged), tap),
  };
  return tapped;
}

/** The same for who has a pool of its own, as `startCollecting` has. */
export function tapBy(tap: PoolTap): (pool: ServicePool) => ServicePool {
  return (pool) => tappedPool(pool, tap);
}

/** A pool without a server; a test that uses more than `run` and tasks gives it with `more`. */
export function fakePool(run: ServicePool['run'], more: Partial<ServicePool> = {}): ServicePool {
  const never = () => Promise.reject(new Error('not asked'));
  const discard = () => undefined;
  const connection: TaskConnection = { threadId: 1, run, discard, logging: () => connection };
  const pool: ServicePool = {
    ...{ isLogged: true, run, killQuery: never, isWaiting: never, dispose: never },
    task: (fn) => fn(connection),
    logging: () => pool,
    ...more,
  };
  return pool;
}

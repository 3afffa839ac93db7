/** A service pool behind a tap: what comes of each text is the tap's to say. */
import type { Rows, ServicePool, SQLQuery } from '../../src/connections/sql.js';
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
  return {
    run: (text, options) => tap(() => pool.run(text, options), rendered(text)),
    task: (fn) =>
      pool.task((connection) =>
        fn({
          threadId: connection.threadId,
          discard: () => connection.discard(),
          run: (text, options) => tap(() => connection.run(text, options), rendered(text)),
        }),
      ),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    dispose: () => Promise.resolve(),
  };
}

/** The same for who has a pool of its own, as `startCollecting` has. */
export function tapBy(tap: PoolTap): (pool: ServicePool) => ServicePool {
  return (pool) => tappedPool(pool, tap);
}

/**
 * Who restores: a connection that does nothing else, one for each pool, as long as any restore of
 * this process is under way. The ledger's rows of the tables name it, and recovery leaves them
 * alone while it is in the processlist; so its end, however it comes, ends the ownership.
 */
import type { ServicePool } from '../service/pool/pools.js';

interface Restorer {
  readonly threadId: Promise<number>;
  readonly end: () => void;
  restores: number;
}

const restorers = new WeakMap<ServicePool, Restorer>();

/** `work` gets the id of the connection. May be nested. */
export async function asRestorer<T>(
  pool: ServicePool,
  work: (owner: number) => Promise<T>,
): Promise<T> {
  const restorer = restorers.get(pool) ?? newRestorer(pool);
  restorers.set(pool, restorer);
  restorer.restores += 1;
  try {
    return await work(await restorer.threadId);
  } finally {
    restorer.restores -= 1;
    if (restorer.restores === 0) {
      restorers.delete(pool);
      restorer.end();
    }
  }
}

function newRestorer(pool: ServicePool): Restorer {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const threadId = new Promise<number>((resolve, reject) => {
    const task = pool.task(async (connection) => {
      connection.discard();
      resolve(connection.threadId);
      await ended;
    });
    task.catch(reject);
  });
  return { threadId, end, restores: 0 };
}

/** For commands that only talk to the server: a pool of two for as long as the command runs. */
import type { Settings } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { silentLog } from '../log.js';
import { greet } from '../service/pool-set.js';
import { openServicePool, type ServicePool } from '../service/pools.js';

export type AccountSettings = Pick<Settings, 'upstream' | 'user' | 'password'>;

/**
 * Gives `work` a pool on the first upstream that answers; UNDROP_SERVICE_FAILED where none does.
 */
export async function withPool<T>(
  settings: AccountSettings,
  work: (pool: ServicePool) => Promise<T>,
): Promise<T> {
  let failure: unknown = null;
  for (const address of settings.upstream) {
    const { user, password } = settings;
    const pool = openServicePool({ address, user, password, connectionsMax: 2, log: silentLog });
    try {
      await greet(pool, address);
    } catch (error) {
      await pool.dispose();
      if (error instanceof UndropError && error.code === 'UNDROP_ACCOUNT') throw error;
      failure = error;
      continue;
    }
    try {
      return await work(pool);
    } finally {
      await pool.dispose();
    }
  }
  throw failure;
}

/** For commands that only talk to the server: a pool of two for as long as the command runs. */
import { UndropError } from '../errors.js';
import { silentLog } from '../log.js';
import { greet } from '../service/pool-set.js';
import { openServicePool, type ServicePool } from '../service/pools.js';
import { readServiceTls } from '../session/tls.js';
import type { AccountSettings } from './account-settings.js';

/**
 * Gives `work` a pool on the first upstream that answers; the error of the last where none does,
 * `refusedAs` (default: UNDROP_ACCOUNT) where one refuses the account.
 */
export async function withPool<T>(
  settings: AccountSettings,
  work: (pool: ServicePool) => Promise<T>,
  refusedAs: 'UNDROP_ACCOUNT' | 'UNDROP_ADMIN_ACCOUNT' = 'UNDROP_ACCOUNT',
): Promise<T> {
  const tls = readServiceTls(settings);
  let failure: unknown = null;
  for (const address of settings.upstream) {
    const { user, password } = settings;
    const log = silentLog;
    const pool = openServicePool({ address, user, password, tls, connectionsMax: 2, log });
    try {
      await greet(pool, address, refusedAs);
    } catch (error) {
      await pool.dispose();
      if (error instanceof UndropError && error.code === refusedAs) throw error;
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

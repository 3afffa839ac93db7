/** For commands that only talk to the server: a pool of two for as long as the command runs. */
import { UndropError } from '../errors.js';
import { silentLog } from '../log.js';
import { greet } from '../service/pool-set.js';
import { isServerError, openServicePool, type ServicePool } from '../service/pools.js';
import { readServiceTls } from '../session/tls.js';
import type { AccountSettings } from './account-settings.js';

/** Denied: a schema, a statement, a table, a column, a right on everything, a routine, a grant. */
const DENIED = [1044, 1045, 1142, 1143, 1227, 1370, 1410] as const;

const INSTEAD = {
  UNDROP_ACCOUNT: 'See `undrop doctor` for what is missing and `undrop init` for how to grant it.',
  UNDROP_ADMIN_ACCOUNT:
    'Set UNDROP_ADMIN_USER to an account that may create users and grant all of this, or have somebody run what `undrop init` prints.',
} as const;

/**
 * Gives `work` a pool on the first upstream that answers; the error of the last where none does,
 * `refusedAs` (default: UNDROP_ACCOUNT) where one refuses the account, UNDROP_MISSING_RIGHT where
 * it refuses what `work` does.
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
    } catch (error) {
      if (!isServerError(error, ...DENIED)) throw error;
      const params = { account: user, cause: error.message, instead: INSTEAD[refusedAs] };
      throw new UndropError('UNDROP_MISSING_RIGHT', params, error);
    } finally {
      await pool.dispose();
    }
  }
  throw failure;
}

/**
 * `withPool` gives a command that only uses the server a pool of four connections for its duration;
 * `withServers` one for each replica as well.
 */

import type { Replica } from '../../collector/throttle/throttle.js';
import { isServerError, refusalFor } from '../../connections/errors.js';
import { openServicePool } from '../../connections/pool/open-pool.js';
import { greet } from '../../connections/pool/pool-set.js';
import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import { ident, note, type ServicePool, sql } from '../../connections/sql.js';
import { type ErrorCode, UndropError } from '../../errors.js';
import { silentLog } from '../../log.js';
import { RECYCLE_SCHEMA } from '../../names/names.js';
import { ifDenied } from '../../recycle/plan-restore.js';
import { readServiceTls } from '../../session/login/tls.js';
import type { AccountSettings } from './settings.js';

const REFUSED_BY_PROXY: ErrorCode = 'UNDROP_RECYCLE_SCHEMA_WRITE';

const INSTEAD = {
  UNDROP_ACCOUNT: '`undrop doctor` lists what is missing, and `undrop init` prints the grants.',
  UNDROP_ADMIN_ACCOUNT:
    'Name with --admin-user an account that may create users and grant all of this, or let an administrator run the statements that `undrop init` prints.',
} as const;

/**
 * Gives `work` a pool on the first upstream that answers. Rejects with the error of the last if
 * none does, with `refusedAs` (default: UNDROP_ACCOUNT) if one refuses the account, and with
 * UNDROP_MISSING_RIGHT if it denies a privilege in `work`.
 */
export async function withPool<T>(
  settings: AccountSettings,
  work: (pool: ServicePool) => Promise<T>,
  refusedAs: 'UNDROP_ACCOUNT' | 'UNDROP_ADMIN_ACCOUNT' = 'UNDROP_ACCOUNT',
): Promise<T> {
  const security = readServiceTls(settings);
  let failure: unknown = null;
  for (const address of settings.upstream) {
    const { user, password } = settings;
    const log = silentLog;
    const pool = openServicePool({ ...security, address, user, password, connectionsMax: 4, log });
    try {
      await greet(pool, address, refusedAs);
      await assertNoProxy(pool, address);
    } catch (error) {
      await pool.dispose();
      const isFinal =
        error instanceof UndropError &&
        [refusedAs, 'UNDROP_CONFIG', 'UNDROP_SERVER_KEY'].includes(error.code);
      if (isFinal) throw error;
      failure = error;
      continue;
    }
    try {
      return await work(pool);
    } catch (error) {
      const cause = (error as Error).message;
      const denied = ifDenied({ account: user, cause, instead: INSTEAD[refusedAs] });
      throw refusalFor(error, [denied]) ?? error;
    } finally {
      await pool.dispose();
    }
  }
  throw failure;
}

/** The same with the collector's replicas; each is connected on demand. */
export async function withServers<T>(
  settings: AccountSettings & { readonly replicas: readonly ServerAddress[] },
  work: (pool: ServicePool, replicas: readonly Replica[]) => Promise<T>,
): Promise<T> {
  const security = readServiceTls(settings);
  const { user, password } = settings;
  const shared = { ...security, user, password, connectionsMax: 2, log: silentLog };
  const replicas = settings.replicas.map((address) => ({
    name: describeAddress(address),
    connection: openServicePool({ ...shared, address }),
  }));
  try {
    return await withPool(settings, (pool) => work(pool, replicas));
  } finally {
    await Promise.all(replicas.map(({ connection }) => connection.dispose()));
  }
}

/**
 * A proxy refuses all but reads of undrop's schemas; a server doesn't.
 */
async function assertNoProxy(pool: ServicePool, address: ServerAddress): Promise<void> {
  try {
    await pool.run(sql`DO ${note('hello')} (SELECT 1 AS ${ident(RECYCLE_SCHEMA)})`);
  } catch (error) {
    if (!isServerError(error)) throw error;
    // Only a proxy of undrop returns this text.
    if (!error.sqlMessage.startsWith(REFUSED_BY_PROXY)) return;
    const problems = `UNDROP_UPSTREAM ${describeAddress(address)} is a proxy of undrop: expected the address of the server behind it.`;
    throw new UndropError('UNDROP_CONFIG', { problems }, error);
  }
}

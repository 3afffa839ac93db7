/**
 * Finds the accounts that a server opens to an OS user without a password, over its unix socket
 * (the plugins unix_socket and auth_socket). A proxy that runs as such a user would let every
 * client in as that account, because its OS user is not its clients'.
 */
import { userInfo } from 'node:os';
import { unlessRefused } from '../connections/errors.js';
import type { PoolSet } from '../connections/pool/pool-set.js';
import { describeAddress, type ServerAddress } from '../connections/server-address.js';
import { col, note, type ServicePool, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import type { Log } from '../log.js';
import * as ER from '../wire/server-errors.js';

/** `name@host` of each; null if the service account may not see the accounts. */
export async function accountsOf(osUser: string, pool: ServicePool): Promise<string[] | null> {
  const found = async () => (await ofMariadb(osUser, pool)) ?? (await ofMysql(osUser, pool));
  return unlessRefused(found(), null, ...ER.ACCESS_DENIED);
}

interface Way {
  readonly plugin?: string;
  readonly authentication_string?: string;
}

/**
 * MariaDB 10.4 and later, where an account may have several login methods. Null: another server.
 */
async function ofMariadb(osUser: string, pool: ServicePool): Promise<string[] | null> {
  const query = sql`SELECT ${note('os-user')} User AS name, Host AS host, CAST(Priv AS CHAR) AS priv
    FROM mysql.global_priv WHERE LOWER(CONVERT(Priv USING utf8)) LIKE '%unix_socket%'`;
  const answers = await unlessRefused(pool.run(query), null, ER.NO_SUCH_TABLE);
  if (answers === null) return null;
  const [rows = []] = answers;
  return rows.flatMap((row) => {
    const name = col.text(row, 'name');
    const priv = JSON.parse(col.text(row, 'priv')) as Way & { readonly auth_or?: readonly Way[] };
    const isOpen = [priv, ...(priv.auth_or ?? [])].some(
      ({ plugin, authentication_string: as = '' }) =>
        plugin?.toLowerCase() === 'unix_socket' && (name === osUser || as === osUser),
    );
    return isOpen ? [`${name}@${col.text(row, 'host')}`] : [];
  });
}

async function ofMysql(osUser: string, pool: ServicePool): Promise<string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('os-user')} User AS name, Host AS host FROM mysql.user
      WHERE LOWER(CONVERT(plugin USING utf8)) IN ('auth_socket', 'unix_socket')
        AND (User = ${osUser} OR authentication_string = ${osUser})`,
  );
  return rows.map((row) => `${col.text(row, 'name')}@${col.text(row, 'host')}`);
}

/**
 * Throws UNDROP_CONFIG if a server reached over a unix socket opens accounts to the OS user of this
 * process. If the accounts can't be read now, each login is still checked.
 */
export async function assertNotLent(
  pools: PoolSet,
  upstream: readonly ServerAddress[],
  log: Log,
): Promise<void> {
  const osUser = userInfo().username;
  for (const address of upstream) {
    if (!('socketPath' in address)) continue;
    const server = describeAddress(address);
    const accounts = await accountsOf(osUser, pools.at(address)).catch((error: unknown) => {
      log.debug(
        { server, err: error },
        'cannot read the accounts of the server; each login is checked instead',
      );
      return null;
    });
    if (accounts === null || accounts.length === 0) continue;
    const problems = `UNDROP_UPSTREAM ${server}: expected no account that is open to the OS user of undrop, found ${lentAccountsText(osUser, accounts)}`;
    await pools.dispose();
    throw new UndropError('UNDROP_CONFIG', { problems });
  }
}

/** A sentence for messages. */
export function lentAccountsText(osUser: string, accounts: readonly string[]): string {
  return `${accounts.join(', ')}, by unix_socket or auth_socket for the OS user ${osUser}. Run undrop as an OS user of its own, or reach the server by host:port.`;
}

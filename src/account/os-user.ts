/**
 * Accounts that a server opens to an OS user: over its unix socket, by the plugins unix_socket and
 * auth_socket, without a password. What such a user runs can log in as them.
 */
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { textOf } from '../service/row.js';
import { note, sql } from '../service/sql.js';
import { ACCESS_DENIED, ER_NO_SUCH_TABLE } from '../wire/server-errors.js';

/** `name@host` of each; null where the service account may not see the accounts. */
export async function accountsOf(osUser: string, pool: ServicePool): Promise<string[] | null> {
  try {
    return (await ofMariadb(osUser, pool)) ?? (await ofMysql(osUser, pool));
  } catch (error) {
    if (!isServerError(error, ...ACCESS_DENIED)) throw error;
    return null;
  }
}

interface Way {
  readonly plugin?: string;
  readonly authentication_string?: string;
}

/** MariaDB 10.4 and later, where an account may have several ways in. Null: another server. */
async function ofMariadb(osUser: string, pool: ServicePool): Promise<string[] | null> {
  try {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('os-user')} User AS name, Host AS host, CAST(Priv AS CHAR) AS priv
        FROM mysql.global_priv WHERE LOWER(CONVERT(Priv USING utf8)) LIKE '%unix_socket%'`,
    );
    return rows.flatMap((row) => {
      const name = textOf(row, 'name');
      const priv = JSON.parse(textOf(row, 'priv')) as Way & { readonly auth_or?: readonly Way[] };
      const ways = [priv, ...(priv.auth_or ?? [])].filter(
        ({ plugin }) => plugin?.toLowerCase() === 'unix_socket',
      );
      const isOpen = ways.some(
        ({ authentication_string: as = '' }) => name === osUser || as === osUser,
      );
      return isOpen ? [`${name}@${textOf(row, 'host')}`] : [];
    });
  } catch (error) {
    if (isServerError(error, ER_NO_SUCH_TABLE)) return null;
    throw error;
  }
}

async function ofMysql(osUser: string, pool: ServicePool): Promise<string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('os-user')} User AS name, Host AS host FROM mysql.user
      WHERE LOWER(CONVERT(plugin USING utf8)) IN ('auth_socket', 'unix_socket')
        AND (User = ${osUser} OR authentication_string = ${osUser})`,
  );
  return rows.map((row) => `${textOf(row, 'name')}@${textOf(row, 'host')}`);
}

/**
 * `applyAccount` creates the service account by the account of an administrator, or brings it up
 * to date. It may run twice: privileges are only ever added, and the password of an account that
 * exists is left alone.
 */
import { UndropError } from '../errors.js';
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, numberOf, sql, textOf } from '../service/sql.js';
import { ACCESS_DENIED } from '../wire/server-errors.js';
import { hasPartialRevokes, missingSchemas, readSchemas } from './examine.js';
import {
  type Account,
  createUserSql,
  type Grant,
  grantSql,
  grantsFor,
  type Tier,
} from './grants.js';

const NO_PASSWORD = 'UNDROP_PASSWORD is not set: expected the password of the new account.';

const GRANT_ALL =
  'Run `undrop init --apply` again with UNDROP_ADMIN_USER set to an account that has all of them WITH GRANT OPTION, or have somebody run the GRANTs that `undrop init` prints.';

interface ApplyOptions {
  /** Without a host: the one that the server sees the administrator come from. */
  readonly account: Pick<Account, 'user'> & { readonly host: string | null };
  /** It may log in with TLS only; for an account that doesn't exist yet. Default: false. */
  readonly requiresTls?: boolean;
  /** The password of an account that doesn't exist yet. */
  readonly password: string;
  readonly tier: Tier;
  readonly schemas: readonly string[];
}

interface Applied {
  readonly account: Account;
  readonly isNew: boolean;
  readonly grants: readonly Grant[];
  /** Schemas that it is for and that don't exist yet. */
  readonly absent: readonly string[];
}

/** `admin`: may create users and grant what is to be granted. Rejects with the server's errors. */
export async function applyAccount(admin: ServicePool, options: ApplyOptions): Promise<Applied> {
  const { password, tier, schemas, requiresTls = false } = options;
  const account = { ...options.account, host: options.account.host ?? (await hostOf(admin)) };
  const server = await readServerFacts(admin);
  const isLiteral = await hasPartialRevokes(admin);
  const grants = grantsFor(server, { tier, schemas, isLiteral });
  const isNew = !(await exists(admin, account));
  if (isNew) {
    if (password === '') throw new UndropError('UNDROP_CONFIG', { problems: NO_PASSWORD });
    for (const query of createUserSql(account, password, { requiresTls, server })) {
      await admin.run(query);
    }
  }
  try {
    for (const grant of grants) await admin.run(grantSql(grant, account));
  } catch (error) {
    if (!isNew || !isServerError(error)) throw error;
    const params = {
      account: `${account.user}@${account.host}`,
      what: `but has not all rights of the tier ${tier}`,
      cause: error.message,
      instead: GRANT_ALL,
    };
    throw new UndropError('UNDROP_ACCOUNT_UNFINISHED', params, error);
  }
  const absent = await missingSchemas(admin, schemas, await readSchemas(admin));
  return { account, isNew, grants, absent };
}

/** An address, or the name that the server has for it. */
async function hostOf(connection: ServicePool): Promise<string> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} SUBSTRING_INDEX(USER(), '@', -1) AS host`,
  );
  return textOf(rows[0] ?? {}, 'host');
}

async function exists(admin: ServicePool, { user, host }: Account): Promise<boolean> {
  try {
    const [rows = []] = await admin.run(
      sql`SELECT ${note('look')} COUNT(*) AS n FROM mysql.user
          WHERE User = ${user} AND Host = ${host}`,
    );
    return numberOf(rows[0] ?? {}, 'n') > 0;
  } catch (error) {
    if (!isServerError(error, ...ACCESS_DENIED)) throw error;
    const instead =
      '`undrop init --apply` looks there whether the account exists: GRANT SELECT ON mysql.user to the administrator, or have somebody run what `undrop init` prints.';
    const params = { account: 'the administrator', cause: error.message, instead };
    throw new UndropError('UNDROP_MISSING_RIGHT', params, error);
  }
}

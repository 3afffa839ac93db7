/**
 * `applyAccount` creates the service account with an administrator's account, or updates it. It may
 * run twice: it only adds privileges, and keeps the password of an existing account.
 */

import { causeText, isServerError, refusalFor } from '../connections/errors.js';
import { col, note, readServerFacts, type ServicePool, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import * as ER from '../wire/server-errors.js';
import { missingSchemas, readSchemas, readStrictness } from './examine.js';
import type { Account, Grant, Tier } from './grants.js';
import { createUserSql, grantSql, grantsFor } from './grants.js';

const NO_PASSWORD = 'UNDROP_PASSWORD is not set: expected the password of the new account.';

const GRANT_ALL =
  'Run `undrop init --apply` again with --admin-user and an account that has all of them WITH GRANT OPTION, or let an administrator run the GRANTs that `undrop init` prints.';

interface ApplyOptions {
  /** Without a host: the host from which the server sees the administrator. */
  readonly account: Pick<Account, 'user'> & { readonly host: string | null };
  /** Login requires TLS; for a new account only. Default: false. */
  readonly requiresTls?: boolean;
  /** The password of a new account. */
  readonly password: string;
  readonly tier: Tier;
  readonly schemas: readonly string[];
}

/** `admin` may create users and grant all needed privileges. Rejects with the server's errors. */
export async function applyAccount(admin: ServicePool, options: ApplyOptions) {
  const { password, tier, schemas, requiresTls = false } = options;
  const account = { ...options.account, host: options.account.host ?? (await hostOf(admin)) };
  const { isLiteral, ...strictness } = await readStrictness(admin);
  const server = { ...(await readServerFacts(admin)), ...strictness };
  const grants = grantsFor(server, { tier, schemas, isLiteral });
  const isNew = !(await exists(admin, account));
  if (isNew) {
    if (password === '') throw new UndropError('UNDROP_CONFIG', { problems: NO_PASSWORD });
    for (const query of createUserSql(account, password, { requiresTls, server })) {
      await admin.run(query);
    }
  }
  const refused: [Grant, string][] = [];
  try {
    for (const grant of grants) {
      const granting = admin.run(grantSql(grant, account));
      if (grant.isOptional !== true) await granting;
      else await granting.catch((error: unknown) => refused.push([grant, causeText(error)]));
    }
  } catch (error) {
    if (!isNew || !isServerError(error)) throw error;
    const params = {
      account: `${account.user}@${account.host}`,
      what: `but lacks privileges of the tier ${tier}`,
      cause: error.message,
      instead: GRANT_ALL,
    };
    throw new UndropError('UNDROP_ACCOUNT_UNFINISHED', params, error);
  }
  const absent = await missingSchemas(admin, schemas, await readSchemas(admin));
  const given = grants.filter((grant) => !refused.some(([one]) => one === grant));
  return {
    account,
    isNew,
    grants: given,
    /** Optional ones that the server refused, each with its error. */
    refused,
    /** Schemas among the grants that don't exist yet. */
    absent,
  };
}

/** An address, or the host name in the server. */
async function hostOf(connection: ServicePool): Promise<string> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} SUBSTRING_INDEX(USER(), '@', -1) AS host`,
  );
  return col.text(rows[0] ?? {}, 'host');
}

async function exists(admin: ServicePool, { user, host }: Account): Promise<boolean> {
  try {
    const [rows = []] = await admin.run(
      sql`SELECT ${note('look')} COUNT(*) AS n FROM mysql.user
          WHERE User = ${user} AND Host = ${host}`,
    );
    return col.number(rows[0] ?? {}, 'n') > 0;
  } catch (error) {
    const instead =
      '`undrop init --apply` checks there whether the account exists: GRANT SELECT ON mysql.user to the account of the administrator, or run the statements that `undrop init` prints.';
    const params = { account: 'the administrator', cause: (error as Error).message, instead };
    throw refusalFor(error, [[ER.ACCESS_DENIED, 'UNDROP_MISSING_RIGHT', params]]) ?? error;
  }
}

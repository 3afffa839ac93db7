/**
 * The statements that make the service account, as `undrop init` prints and runs them. They may run
 * twice: what is there already stays, the password too.
 */
import { renderQuery } from '../service/render.js';
import { grantClause, type SQLQuery, sql } from '../service/sql.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import type { Account, Grant } from './grants.js';

/** `requiresTls`: it may log in with TLS only. */
export function createUserSql(
  { user, host }: Account,
  password: string,
  { requiresTls, server }: { readonly requiresTls: boolean; readonly server: ServerVersion },
): readonly SQLQuery[] {
  const made = sql`CREATE USER ${user}@${host} IDENTIFIED BY ${password}`;
  if (!requiresTls) return [made];
  const isOld = server.flavour === 'mysql' && server.versionId < REQUIRE_SINCE;
  return isOld
    ? [made, sql`GRANT USAGE ON *.* TO ${user}@${host} REQUIRE SSL`]
    : [sql`${made} REQUIRE SSL`];
}

/** MySQL: before, CREATE USER has no such clause; MySQL 8 has none in GRANT. */
const REQUIRE_SINCE = 50_706;

export function grantSql({ rights, schema }: Grant, { user, host }: Account): SQLQuery {
  return sql`GRANT ${grantClause(rights, schema)} TO ${user}@${host}`;
}

/** A text for a client, of the statement that leaves an account nothing but its login. */
export function takeAwayAll({ user, host }: Account): string {
  return renderQuery(sql`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${user}@${host}`);
}

/** A text for a client, to be run as it is. */
export function printStatements(
  account: Account,
  made: ReturnType<typeof createUserSql>,
  grants: readonly Grant[],
): string {
  const lines = grants.map((grant) => `${renderQuery(grantSql(grant, account))};  -- ${grant.why}`);
  return [...made.map((query) => `${renderQuery(query)};`), ...lines].join('\n');
}

/**
 * The statements that make the service account, as `undrop init` prints and runs them. They may run
 * twice: what is there already stays, the password too.
 */
import { renderQuery } from '../service/render.js';
import { grantClause, type SQLQuery, sql } from '../service/sql.js';
import type { Account, Grant } from './grants.js';

export function createUserSql({ user, host }: Account, password: string): SQLQuery {
  return sql`CREATE USER ${user}@${host} IDENTIFIED BY ${password}`;
}

export function grantSql({ rights, schema }: Grant, { user, host }: Account): SQLQuery {
  return sql`GRANT ${grantClause(rights, schema)} TO ${user}@${host}`;
}

/** A text for a client, of the statement that leaves an account nothing but its login. */
export function takeAwayAll({ user, host }: Account): string {
  return renderQuery(sql`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${user}@${host}`);
}

/** A text for a client; the password is for whoever runs it to fill in, and it says so. */
export function printStatements(account: Account, grants: readonly Grant[]): string {
  const lines = grants.map((grant) => `${renderQuery(grantSql(grant, account))};  -- ${grant.why}`);
  const user = `${renderQuery(createUserSql(account, '…'))};  -- a password instead of …`;
  return [user, ...lines].join('\n');
}

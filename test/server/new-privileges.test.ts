/**
 * A service account that is granted a privilege while a proxy has connections open, whose sessions
 * have the privileges of their login: the next statement is held, not refused once more.
 */
import { randomBytes } from 'node:crypto';
import { heldRows } from '../support/client-held.js';
import { onServers } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';

const { password } = SERVICE_ACCOUNT;
/** More than a pool has connections. */
const TABLES = 10;

/** What is missing, and what is refused for it. */
const CASES = [
  { right: 'ALTER', by: 'DROP TABLE', error: /UNDROP_PRIVILEGES/ },
  { right: 'INSERT', by: 'DROP TABLE', error: /UNDROP_NOT_RECORDED/ },
  { right: 'PROCESS', by: 'DROP TABLE', error: /UNDROP_SESSION_NOT_FOUND|UNDROP_NOT_RECORDED/ },
  { right: 'ALTER', by: 'TRUNCATE', error: /UNDROP_PRIVILEGES|UNDROP_HOLD_FAILED/ },
  { right: 'INSERT', by: 'DROP DATABASE', error: /UNDROP_LEDGER_UNAVAILABLE|UNDROP_NOT_RECORDED/ },
  { right: 'PROCESS', by: 'DROP DATABASE', error: /UNDROP_SESSION_NOT_FOUND/ },
] as const;

onServers('privileges that come later on $name', (server, on) => {
  const { test } = on;
  const user = `u_${randomBytes(4).toString('hex')}`;
  const schema = `granted_${user}`;

  // The right to drop alone: the service account renames.
  on.account(user, { password, grants: [`DROP ON ${schema}.*`] });

  async function withAccount(
    right: string,
    run: (proxy: ProxyTarget, grant: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const service = `s_${randomBytes(4).toString('hex')}`;
    await makeServiceAccount(server, { user: service });
    await query(server, `REVOKE ${right} ON *.* FROM ${service}@'%'`);
    const PROTECT = 'drop-table,drop-database,create-or-replace,truncate';
    await using proxy = await proxyInFront({ ...server, user: service, password }, { PROTECT });
    try {
      await run(proxy, () => query(server, `GRANT ${right} ON *.* TO ${service}@'%'`));
    } finally {
      await query(server, `DROP USER ${service}@'%'`, `DROP DATABASE IF EXISTS ${schema}`);
    }
  }

  /** As the user does it; the error's text, if there is one. */
  async function say(proxy: ProxyTarget, text: string): Promise<string> {
    await using session = await connect({ ...proxy, user, password });
    return (await session.errorOf(text))?.message ?? '';
  }

  test.each(CASES)('$by is held after a GRANT of $right', async ({ right, by, error }) => {
    await withAccount(right, async (proxy, grant) => {
      const tables = Array.from({ length: TABLES }, (_, index) => `${schema}.t${index}`);
      await query(
        server,
        `CREATE DATABASE ${schema}`,
        ...tables.map((table) => `CREATE TABLE ${table} (id INT)`),
        `INSERT INTO ${schema}.t0 VALUES (1), (2)`,
      );
      const text = by === 'DROP DATABASE' ? `${by} ${schema}` : `${by} ${schema}.t0`;
      expect(await say(proxy, text)).toMatch(error);
      // Opens connections, which have the privileges of before.
      await Promise.all(tables.map((table) => say(proxy, `EXPLAIN DROP TABLE ${table}`)));
      await grant();
      expect([await say(proxy, text), (await heldRows(server, schema))['t0']]).toEqual(['', 2]);
    });
  });
});

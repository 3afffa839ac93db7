/** A drop with sql_log_bin off, through the proxy: nothing of it may reach a replica. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';
import { makeServiceAccount } from '../support/service-account.js';

describe.each(testServers())('$name', (server) => {
  let proxy: ProxyTarget;

  beforeAll(async () => {
    proxy = await proxyInFront(server);
  });

  afterAll(async () => {
    await proxy.stop();
  });

  test.each([
    { logged: 0, heldIn: '_undrop_local' },
    { logged: 1, heldIn: '_undrop' },
  ])('with sql_log_bin=$logged a table is held in $heldIn', async ({ logged, heldIn }) => {
    const schema = await freshSchema(server, 'unlogged');
    const session = await connect(proxy, { database: schema.name });
    try {
      await session.query('CREATE TABLE t (i INT)');
      await session.query(`SET SESSION sql_log_bin = ${logged}`);
      const before = await heldTables(heldIn);
      await session.query('DROP TABLE t');
      const after = await heldTables(heldIn);
      expect(after.filter((name) => !before.includes(name))).toHaveLength(1);
    } finally {
      await session.end();
      await schema.drop();
    }
  });

  test('of a schema is refused to an account that could make its guard in the log alone', async () => {
    await makeServiceAccount(server, { user: 'managed', tier: 'managed' });
    const schema = await freshSchema(server, 'unlogged');
    const managed = await proxyInFront(server, { USER: 'managed' });
    const session = await connect(managed);
    try {
      await session.query('SET SESSION sql_log_bin = 0');
      await expect(session.query(`DROP DATABASE ${schema.name}`)).rejects.toThrow(
        /^UNDROP_SCHEMA_NOT_DROPPED: .*sql_log_bin/,
      );
      const left = await query(server, `SHOW TABLES FROM ${schema.name}`);
      expect(left).toEqual([]);
      await session.query('SET SESSION sql_log_bin = 1');
      await session.query(`DROP DATABASE ${schema.name}`);
    } finally {
      await session.end();
      await managed.stop();
      await schema.drop();
    }
  });

  async function heldTables(schema: string): Promise<readonly string[]> {
    const rows = await query<{ name: string }>(
      server,
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = '${schema}' AND TABLE_NAME LIKE '\\_vt\\_HOLD%'`,
    );
    return rows.map(({ name }) => name);
  }
});

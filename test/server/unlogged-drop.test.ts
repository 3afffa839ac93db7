/** A drop with sql_log_bin off, through the proxy: nothing of it may reach a replica. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';

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

  async function heldTables(schema: string): Promise<readonly string[]> {
    const rows = await query<{ name: string }>(
      server,
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = '${schema}' AND TABLE_NAME LIKE '\\_vt\\_HOLD%'`,
    );
    return rows.map(({ name }) => name);
  }
});

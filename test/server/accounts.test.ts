/** Who is who: the service account at the start, and the user that a drop is recorded for. */
import { proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';

describe.each(testServers())('accounts on $name', (server) => {
  test('a service account that the server refuses stops the start', async () => {
    // It is there, because MySQL asks an unknown user by any plugin.
    await query(server, `CREATE USER refused@'%' IDENTIFIED BY 'right'`);
    try {
      const starting = proxyInFront(server, { USER: 'refused', PASSWORD: 'wrong' });
      await expect(starting).rejects.toMatchObject({ code: 'UNDROP_ACCOUNT' });
    } finally {
      await query(server, `DROP USER refused@'%'`);
    }
  });

  // On 5.6 mysql2 can't change the user, directly neither.
  const canChange = server.name !== 'mysql-5.6';
  const who = canChange ? 'the session has changed to' : 'has logged in';
  test(`a drop is recorded for the user that ${who}`, async () => {
    await using schema = await freshSchema(server, 'who');
    const user = `u_${schema.name.slice(-8)}`;
    await query(
      server,
      `CREATE USER ${user}@'%'`,
      `GRANT ALL ON ${schema.name}.* TO ${user}@'%'`,
      `CREATE TABLE ${schema.name}.t (id INT)`,
    );
    await using proxy = await proxyInFront(server);
    const login = canChange ? {} : { user, database: schema.name };
    await using client = await connect(proxy, login);
    try {
      if (canChange) await client.changeUser({ user, password: '', database: schema.name });
      await client.query('DROP TABLE t');
      const rows = await query<{ readonly user_name: string; readonly table_name: string }>(
        server,
        `SELECT user_name, table_name FROM _undrop.ledger WHERE schema_name = '${schema.name}'`,
      );
      expect(rows).toEqual([{ user_name: user, table_name: 't' }]);
    } finally {
      await query(server, `DROP USER ${user}@'%'`);
    }
  });
});

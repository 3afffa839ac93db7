/** The test servers themselves: what the other tests take for granted about them. */
import { describe, expect, test } from '@jest/globals';
import { RUN_NAMES } from '../support/server-set.js';
import { allTestServers, connect, freshSchema, generalLog, query } from '../support/servers.js';

test('all servers are there', () => {
  expect(allTestServers().map((server) => server.name)).toEqual(RUN_NAMES);
});

describe.each(allTestServers())('the server $name of the set', (server) => {
  test('is the product and version that its name says, with binlog and a server id', async () => {
    const rows = await query(
      server,
      'SELECT version() AS version, @@log_bin AS binlog, @@server_id AS id, @@general_log AS log',
    );
    const [flavour, version] = server.name.split('-') as [string, string];
    expect(rows).toEqual([
      { version: expect.stringContaining(version), binlog: 1, id: expect.any(Number), log: 0 },
    ]);
    expect(server.flavour).toBe(flavour);
  });

  test('lets root in by TCP as root@127.0.0.1, and other accounts from anywhere', async () => {
    const name = `u${process.pid}`;
    await query(server, `CREATE USER ${name} IDENTIFIED BY 'secret'`);
    const connection = await connect(server, { user: name, password: 'secret' });
    const [rows] = await connection.query('SELECT current_user() AS account');
    await connection.end();
    await query(server, `DROP USER ${name}`);
    expect(rows).toEqual([{ account: `${name}@%` }]);
    expect(await query(server, 'SELECT current_user() AS account')).toEqual([
      { account: 'root@127.0.0.1' },
    ]);
  });

  test('gives a fresh schema, and tells by its general log what it was sent', async () => {
    const schema = await freshSchema(server, 'named');
    await using log = await generalLog(server);
    await query(server, `CREATE TABLE ${schema.name}.t (a INT)`, `DROP TABLE ${schema.name}.t`);
    const said = (await log.read()).map((entry) => entry.text);
    await schema.drop();
    expect(said).toContain(`DROP TABLE ${schema.name}.t`);
    expect(schema.name).toMatch(/^named_[0-9a-f]{10}$/);
  });
});

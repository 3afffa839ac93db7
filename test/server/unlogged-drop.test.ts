/** A drop with sql_log_bin off, through the proxy: nothing of it may reach a replica. */
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { connect, freshSchema, query, startServer } from '../support/servers.js';
import { makeServiceAccount } from '../support/service-account.js';
import { binlogEnd } from './service-fixture.js';

onServers('a drop without a binary log on $name', (server, on) => {
  const _proxy = on.proxy({ COLLECT: 'off' });

  test('leaves nothing in the binary log, whether it is done or not', async () => {
    // What other tests have left to be completed would be in its log as well.
    await using own = await startServer(server.name);
    await query(own, 'CREATE DATABASE unlogged');
    await using alone = await proxyInFront(own, { COLLECT: 'off' });
    const flags = MODERN | CLIENT.MULTI_STATEMENTS;
    await using session = await RawClient.open(alone, { schema: 'unlogged', flags });
    await using root = await connect(own);
    const isHeld = async (table: string, at = '_undrop_local') => {
      const [row] = await ledgerRows(root, { table, state: 'HOLD' });
      return row?.['relocated'] === 1 && row['hold_schema'] === at;
    };
    const isInHistory = async (table: string, logged: number) => {
      const rows = await root.rows(`SELECT 1 FROM _undrop.history JOIN _undrop.ledger USING (id)
        WHERE table_name = '${table}' AND event = 'held' AND history.row_logged = ${logged}`);
      return rows.length === 1;
    };

    const tables = ['first', 'a', 'b', 'c'];
    await session.run([
      ...tables.map((name) => `CREATE TABLE ${name} (i INT)`),
      'DROP TABLE first',
    ]);
    await until(() => isHeld('first', '_undrop'), 'the first is held');
    await until(() => isInHistory('first', 1), 'all of the first is written');
    const before = await binlogEnd(root);
    await session.run(['SET sql_log_bin = 0; DROP TABLE a', 'DROP TABLE b']);
    const missing = await session.query('DROP TABLE IF EXISTS c, nothing; DROP TABLE nothing');
    expect(missing.results.map(({ kind }) => kind)).toEqual(['ok', 'err']);
    for (const name of ['a', 'b', 'c']) {
      await until(() => isHeld(name), `${name} is held`);
      await until(() => isInHistory(name, 0), `${name} is in the history`);
    }
    expect(await binlogEnd(root)).toEqual(before);
    await session.run(['SET sql_log_bin = 1', 'CREATE TABLE d (i INT)', 'DROP TABLE d']);
    await until(() => isHeld('d', '_undrop'), 'd is held');
  });

  test('of a schema is refused to an account that could make its barrier in the log alone', async () => {
    await makeServiceAccount(server, { user: 'managed', tier: 'managed' });
    await using schema = await freshSchema(server, 'unlogged');
    await using managed = await proxyInFront(server, { USER: 'managed' });
    await using session = await connect(managed);
    await session.query('SET SESSION sql_log_bin = 0');
    await expect(session.query(`DROP DATABASE ${schema.name}`)).rejects.toThrow(
      /^UNDROP_SCHEMA_NOT_DROPPED: .*sql_log_bin/,
    );
    const left = await query(server, `SHOW TABLES FROM ${schema.name}`);
    expect(left).toEqual([]);
    await session.run('SET SESSION sql_log_bin = 1', `DROP DATABASE ${schema.name}`);
  });

  test('by an account that may not unlog is held with its trigger, and refused for foreign keys', async () => {
    await makeServiceAccount(server, { user: 'managed', tier: 'managed' });
    await using schema = await freshSchema(server, 'unlogged');
    await using managed = await proxyInFront(server, { USER: 'managed' });
    await using session = await connect(managed, { database: schema.name });
    const held = () => query(server, `SHOW TABLES FROM ${schema.name} LIKE '\\_vt\\_HOLD%'`);
    await session.run(
      'SET SESSION sql_log_bin = 0',
      'CREATE TABLE t (i INT)',
      'CREATE TRIGGER on_t BEFORE INSERT ON t FOR EACH ROW SET NEW.i = 1',
      'DROP TABLE t',
    );
    expect(await session.rows('SHOW TABLES LIKE "t"')).toEqual([]);
    expect(await held()).toHaveLength(1);
    await session.run(
      'CREATE TABLE p (i INT PRIMARY KEY)',
      'CREATE TABLE c (i INT, FOREIGN KEY (i) REFERENCES p (i))',
    );
    const dropped = session.query('DROP TABLE c');
    await expect(dropped).rejects.toThrow(/^UNDROP_HOLD_FAILED: .*sql_log_bin/);
    expect(await held()).toHaveLength(1);
  });
});

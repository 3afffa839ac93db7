/**
 * The lock under which MySQL drops a partition: the last look there, and who may not lock. What is
 * held of a statement that fails amid its partitions.
 */
import { expect, test } from '@jest/globals';
import { swapPartitions } from '../../src/statements/partitions/partition-port.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';

const MYSQL = testServers().filter(({ flavour }) => flavour === 'mysql');

test.each(MYSQL)(
  'partitions with rows are not dropped, and nobody stays out, on $name',
  async (server) => {
    const { name: schema, drop } = await freshSchema(server, 'swaps');
    const root = await connect(server, { database: schema });
    const pool = poolOn(server, 2);
    const valuesOf = async () => {
      return (await root.column('SELECT v FROM t ORDER BY v')).map(Number);
    };
    await root.query(
      `CREATE TABLE t (v INT) PARTITION BY RANGE (v) (PARTITION p0 VALUES LESS THAN (10),
     PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30))`,
    );
    await root.query('INSERT INTO t VALUES (1), (21)');
    const swap = {
      schema,
      table: 't',
      way: 'locked' as const,
      sessionId: 0,
      parts: [],
      drops: ['p1', 'p2'],
      holdSchema: '_undrop',
      logged: true,
      killAfterMs: 5_000,
      utcNow: new Date(),
    };
    const first = await swapPartitions(pool, swap);
    await root.query('INSERT INTO t VALUES (22)');
    expect([first.kind, await valuesOf()]).toEqual(['gone', [1, 21, 22]]);
    await root.query('DELETE FROM t WHERE v > 10');
    const second = await swapPartitions(pool, swap);
    const left = await root.rows(
      `SELECT PARTITION_NAME AS name FROM information_schema.PARTITIONS
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 't'`,
      [schema],
    );
    expect([second.kind, left]).toEqual(['renamed', [{ name: 'p0' }]]);
    await pool.dispose();
    await root.end();
    await drop();
  },
);

test.each(MYSQL)(
  'without LOCK TABLES no row is taken of partitions that can’t be dropped, on $name',
  async (server) => {
    const { name: schema, drop } = await freshSchema(server, 'swaps');
    const account = `'${schema}'@'%'`;
    const parts = [1, 2, 3, 4, 5, 6].map((n) => `PARTITION p${n} VALUES LESS THAN (${n}0)`);
    await query(
      server,
      `CREATE USER ${account} IDENTIFIED BY 'swaps'`,
      `GRANT ALL ON *.* TO ${account}`,
      `REVOKE LOCK TABLES ON *.* FROM ${account}`,
      `CREATE TABLE ${schema}.t (v INT) PARTITION BY RANGE (v) (${parts.join(', ')})`,
      `INSERT INTO ${schema}.t VALUES (1), (11), (21), (31), (41), (51)`,
    );
    const { host, port } = server;
    const proxy = await proxyInFront(
      { host, port, user: schema, password: 'swaps' },
      { PROTECT: 'drop-table,drop-partition' },
    );
    const client = await connect({ ...proxy, user: 'root', password: '' }, { database: schema });
    await expect(
      client.query('ALTER TABLE t DROP PARTITION p1, p2, p3, p4, p5'),
    ).rejects.toMatchObject({
      message: expect.stringMatching(/^UNDROP_PRIVILEGES: .*LOCK TABLES/),
    });
    const root = await connect(server);
    await intentsSettled(root, [schema]);
    await root.end();
    const counted = `SELECT COUNT(*) AS count, (SELECT COUNT(*) FROM _undrop.ledger
      WHERE schema_name = '${schema}') AS recorded FROM ${schema}.t`;
    expect(await query(server, counted)).toEqual([{ count: 6, recorded: 0 }]);
    await client.end();
    await proxy.stop();
    await query(server, `DROP USER ${account}`);
    await drop();
  },
);

test.each(testServers())(
  'of a statement that fails what was taken is held, however soon it is due, on $name',
  async (server) => {
    const { name: schema, drop } = await freshSchema(server, 'swaps');
    const root = await connect(server, { database: schema });
    const numbers = Array.from({ length: 16 }, (_, index) => index);
    const parts = numbers.map((n) => `PARTITION p${n} VALUES LESS THAN (${n + 1})`);
    await root.query(`CREATE TABLE t (v INT) PARTITION BY RANGE (v) (${parts.join(', ')})`);
    await root.query(`INSERT INTO t VALUES ${numbers.map((n) => `(${n})`).join(', ')}`);
    let isOther = false;
    const tap = await wireTap(server, async ({ moment, command }) => {
      if (isOther || moment !== 'before statement') return true;
      isOther = command.includes('EXCHANGE PARTITION');
      if (!isOther) return true;
      // Eight exchanges are done before one fails.
      const [row] = await root.rows(
        `SELECT CONCAT(tables.TABLE_SCHEMA, '.', tables.TABLE_NAME) AS name
         FROM _undrop.ledger AS ledger JOIN information_schema.TABLES AS tables
           ON tables.TABLE_SCHEMA = '_undrop'
             AND tables.TABLE_NAME LIKE CONCAT('%', ledger.id, '%')
         WHERE ledger.schema_name = ? AND ledger.table_name = 't#p8'`,
        [schema],
      );
      await root.query(`ALTER TABLE ${row?.['name']} ADD COLUMN w INT`);
      return true;
    });
    const proxy = await proxyInFront(
      { ...server, ...tap },
      { PROTECT: 'drop-table,drop-partition', RULES: '*.t: now' },
    );
    const client = await connect(proxy, { database: schema });
    const text = `ALTER TABLE t TRUNCATE PARTITION ${numbers.map((n) => `p${n}`).join(', ')}`;
    await expect(client.query(text)).rejects.toMatchObject({
      message: expect.stringMatching(/^UNDROP_PARTITIONS_LEFT: .*different definitions/),
    });
    await client.end();
    await intentsSettled(root, [schema]);
    const [live] = await root.rows('SELECT COUNT(*) AS count FROM t');
    const held = await root.rows(
      `SELECT TIMESTAMPDIFF(DAY, dropped_at, hold_until) AS days
       FROM _undrop.ledger AS ledger JOIN information_schema.TABLES AS tables
         ON tables.TABLE_SCHEMA = ledger.hold_schema AND tables.TABLE_NAME = ledger.hold_name
       WHERE ledger.schema_name = ?`,
      [schema],
    );
    expect([Number(live?.['count']), held.length]).toEqual([8, 8]);
    expect(new Set(held.map(({ days }) => Number(days)))).toEqual(new Set([7]));
    await proxy.stop();
    await tap.close();
    await root.end();
    await drop();
  },
);

/** The last look before a partition is dropped on MySQL, under the lock. */
import { expect, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { swapPartitions } from '../../src/drop/swap-partitions.js';
import { connect, freshSchema, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

const MYSQL = testServers().filter(({ flavour }) => flavour === 'mysql');

test.each(MYSQL)(
  'partitions with rows are not dropped, and nobody stays out, on $name',
  async (server) => {
    const { name: schema, drop } = await freshSchema(server, 'swaps');
    const root = await connect(server, { database: schema });
    const pool = poolOn(server, 2);
    const valuesOf = async () => {
      const [rows] = await root.query<RowDataPacket[]>('SELECT v FROM t ORDER BY v');
      return rows.map(({ v }) => Number(v));
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
      parts: [],
      drops: ['p1', 'p2'],
      holdSchema: '_undrop',
      logged: true,
      killAfterMs: 5_000,
      utcNow: new Date(),
    };
    const { outcome: first } = await swapPartitions(pool, swap);
    await root.query('INSERT INTO t VALUES (22)');
    expect([first.kind, await valuesOf()]).toEqual(['gone', [1, 21, 22]]);
    await root.query('DELETE FROM t WHERE v > 10');
    const { outcome: second } = await swapPartitions(pool, swap);
    const [left] = await root.query<RowDataPacket[]>(
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

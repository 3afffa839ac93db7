/**
 * Rows that break a foreign key since their table was away, on real servers: the restore says so
 * when the table is back, with a query that lists them.
 */
import { afterEach, beforeEach, describe, expect, jest } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { findBrokenRows } from '../../src/undo/broken-rows.js';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, type FreshSchema, freshSchema, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { sayTo } from './service-fixture.js';

jest.setTimeout(240_000);

const FAMILY = [
  'CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))',
  `CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, up INT,
    CONSTRAINT \`to p\` FOREIGN KEY (a, b) REFERENCES p (a, b),
    CONSTRAINT up FOREIGN KEY (up) REFERENCES c (id))`,
  'INSERT INTO p VALUES (1, 1), (2, 2)',
  'INSERT INTO c VALUES (1, 1, 1, NULL), (2, 2, 2, 1), (3, NULL, 9, NULL)',
];

describe.each(testServers())('rows that break a key on $name', (server) => {
  const test = testOnOne(server);
  let proxy: ProxyTarget;
  let pool: ServicePool;
  let schema: FreshSchema;
  let direct: Connection;

  beforeEach(async () => {
    proxy = await proxyInFront(server);
    pool = poolOn(server);
    schema = await freshSchema(server, 'broken');
    direct = await connect(server, { database: schema.name });
    for (const text of FAMILY) await direct.query(text);
  });
  afterEach(async () => {
    await direct.end();
    await proxy.stop();
    await pool.dispose();
    await schema.drop();
  });

  const place = (table: string) => ({ schema: schema.name, table });

  test('none are reported where all have their parents', async () => {
    for (const table of ['p', 'c']) expect(await findBrokenRows(pool, place(table))).toEqual([]);
  });

  test('are told of by the command, with a query that lists them', async () => {
    await sayTo(proxy, { schema: schema.name, texts: ['DROP TABLE c'] });
    await direct.query('DELETE FROM p WHERE a = 2');
    const { code, stdout } = await runUndrop(server, ['restore', `${schema.name}.c`, '--json']);
    expect(code).toBe(0);
    const { brokenKeys } = JSON.parse(stdout) as {
      readonly brokenKeys: readonly { readonly name: string; readonly query: string }[];
    };
    expect(brokenKeys).toMatchObject([{ name: 'to p', table: `${schema.name}.c`, isSeen: true }]);
    const [rows] = await direct.query<RowDataPacket[]>(brokenKeys[0]?.query ?? '');
    expect(rows.map(({ id }) => id)).toEqual([2]);
    // The parent is looked at by the keys of its children.
    expect(await findBrokenRows(pool, place('p'))).toMatchObject([{ name: 'to p' }]);
  });

  test('are a warning of UNDROP', async () => {
    await sayTo(proxy, { schema: schema.name, texts: ['DROP TABLE c'] });
    await direct.query('DELETE FROM p WHERE a = 2');
    const client = await connect(proxy, { database: schema.name });
    await client.query('UNDROP TABLE c');
    const [warnings] = await client.query<RowDataPacket[]>('SHOW WARNINGS');
    await client.end();
    expect(warnings.map(({ Message }) => Message)).toEqual([
      `${schema.name}.c: rows break foreign key to p.`,
    ]);
  });

  test('are not looked for longer than for a moment', async () => {
    const other = await connect(server, { database: schema.name });
    await other.query('LOCK TABLES p WRITE, c WRITE');
    const broken = await findBrokenRows(pool, place('c'));
    await other.end();
    expect(broken.map(({ isSeen }) => isSeen)).toEqual([false, false]);
  });
});

/** The statements of undrop's own through the proxy, as clients send them and see the answers. */
import { afterAll, beforeAll, describe, expect, jest } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, type FreshSchema, freshSchema, testServers } from '../support/servers.js';

jest.setTimeout(240_000);

/** An error as a client sees it. */
interface Said {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;
}

describe.each(testServers())('statements of undrop’s own on $name', (server) => {
  const test = testOnOne(server);
  let proxy: ProxyTarget;
  let schema: FreshSchema;
  let client: Connection;

  beforeAll(async () => {
    proxy = await proxyInFront(server);
    schema = await freshSchema(server);
    client = await connect(proxy, { database: schema.name, multipleStatements: true });
  });
  afterAll(async () => {
    await client.end();
    await schema.drop();
    await proxy.stop();
  });

  const errorOf = (work: Promise<unknown>): Promise<Said> =>
    work.then(
      () => Promise.reject(new Error('it was not refused')),
      ({ errno, sqlState, sqlMessage }: Said) => ({ errno, sqlState, sqlMessage }),
    );

  test.each([
    ['UNDROP TABLE', '', 1],
    ['UNDROP TABLE a b', 'b', 1],
    ['UNDROP\nTABLE a,\n  select 1', 'select 1', 3],
    [`SHOW DROPPED TABLES LIKE ${'x'.repeat(200)}`, 'x'.repeat(80), 1],
    ['EXPLAIN DROP TABLE a b', 'b', 1],
    ['FLASHBACK TABLE ä TO AFTER DROP', 'AFTER DROP', 1],
    ['UNDROP TABLE a ö', 'ö', 1],
  ])('%s is a syntax error in the words of the server', async (sql, near, line) => {
    const own = await errorOf(client.query('SELECT FROM WHERE'));
    const words = own.sqlMessage.replace(/near '.*$/s, `near '${near}' at line ${line}`);
    const expected = { errno: 1064, sqlState: '42000', sqlMessage: words };
    for (const work of [client.query(sql), client.prepare(sql), client.query(`DO 1; ${sql}`)]) {
      expect(await errorOf(work)).toEqual(expected);
    }
    const [shown] = await client.query('SHOW WARNINGS');
    const [warning] = shown as { Code: number; Message: string }[];
    expect(warning?.Code).toBe(1064);
    expect(words.startsWith(warning?.Message ?? 'none')).toBe(true);
  });

  test('what is no statement of undrop’s is the server’s own', async () => {
    for (const sql of ['UNDROP VIEW a', 'FLASHBACK DATABASE d', 'DESC DROP TABLE a']) {
      expect(await errorOf(client.query(sql))).toMatchObject({ errno: 1064 });
    }
  });

  test('a text that is prepared by its name is refused with words', async () => {
    const said = await errorOf(client.query("PREPARE s FROM 'UNDROP TABLE a'"));
    expect(said).toMatchObject({
      errno: 1235,
      sqlMessage: expect.stringContaining('UNDROP_NOT_UNDONE'),
    });
    expect(await errorOf(client.query('EXECUTE s'))).toMatchObject({ errno: 1243 });
  });
});

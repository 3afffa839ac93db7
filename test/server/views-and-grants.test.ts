/**
 * What hangs on the name of a table that is dropped: views over it and rights on it stay with the
 * name, as after a native drop. Neither a view nor a right leads to the held rows. Statements on
 * views themselves are the server's.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { listAll } from '../../src/undo/list.js';
import { restore } from '../../src/undo/run-restore.js';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { connect, type FreshSchema, freshSchema, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

const ACCOUNT = "reader@'127.0.0.1'";

describe.each(testServers())('on $name', (server) => {
  const test = testOnOne(server);
  let schema: FreshSchema;
  let proxy: ProxyTarget;
  let root: Connection;
  let client: RawClient;
  let reader: RawClient;
  let pool: ServicePool;

  beforeAll(async () => {
    schema = await freshSchema(server, 'grants');
    root = await connect(server, { database: schema.name });
    await root.query(`CREATE USER ${ACCOUNT}`);
    pool = poolOn(server);
    proxy = await proxyInFront(server);
    client = await RawClient.open(proxy, { schema: schema.name });
  });

  afterAll(async () => {
    await client.quit();
    await proxy.stop();
    await pool.dispose();
    await root.query(`DROP USER ${ACCOUNT}`);
    await root.end();
    await schema.drop();
  });

  beforeEach(async () => {
    await root.query('DROP VIEW IF EXISTS v');
    await root.query('DROP TABLE IF EXISTS a');
    await root.query('CREATE TABLE a (id INT, secret INT)');
    await root.query('INSERT INTO a VALUES (1, 10), (2, 20)');
  });

  async function drop(): Promise<{ readonly id: string; readonly name: string }> {
    const { results } = await client.query('DROP TABLE a');
    expect(results).toMatchObject([{ kind: 'ok' }]);
    const [held] = (await listAll(pool)).filter(({ origin }) => origin?.schema === schema.name);
    if (held === undefined) throw new Error('it is not held');
    return { id: held.id, name: `${held.holdSchema}.${held.holdName}` };
  }

  async function grants(): Promise<unknown> {
    const [rows] = await root.query({ sql: `SHOW GRANTS FOR ${ACCOUNT}`, rowsAsArray: true });
    return rows;
  }

  async function errnoOf(sql: string): Promise<number> {
    const { results } = await reader.query(sql);
    const [result] = results;
    return result?.kind === 'err' ? result.errno : 0;
  }

  test.each([
    ['the table', 'SELECT, UPDATE ON a'],
    ['a column', 'SELECT (id) ON a'],
  ])('rights on %s stay with its name, and reach nothing that is held', async (_what, right) => {
    await root.query(`GRANT ${right} TO ${ACCOUNT}`);
    reader = await RawClient.open({ ...server, user: 'reader' }, { schema: schema.name });
    const before = await grants();
    expect(await errnoOf('SELECT id FROM a')).toBe(0);

    const held = await drop();
    expect(await grants()).toEqual(before);
    expect(await errnoOf('SELECT id FROM a')).toBe(1146);
    expect(await errnoOf(`SELECT id FROM ${held.name}`)).toBe(1142);
    expect(await reader.rows('SHOW TABLES')).toEqual([]);

    await root.query('CREATE TABLE a (id INT)');
    expect(await errnoOf('SELECT id FROM a')).toBe(0);
    await root.query('DROP TABLE a');
    await restore(pool, { target: held.id });
    expect(await grants()).toEqual(before);
    expect(await reader.rows('SELECT id FROM a')).toEqual([['1'], ['2']]);

    await reader.quit();
    await root.query(`REVOKE ALL, GRANT OPTION FROM ${ACCOUNT}`);
  });

  test('a view over it finds nothing while it is held, and its rows when it is back', async () => {
    await root.query('CREATE VIEW v AS SELECT id FROM a');
    reader = await RawClient.open(server, { schema: schema.name });
    const held = await drop();
    expect(await errnoOf('SELECT * FROM v')).toBe(1356);

    await root.query('CREATE TABLE a (id INT)');
    expect(await reader.rows('SELECT * FROM v')).toEqual([]);
    await root.query('DROP TABLE a');
    await restore(pool, { target: held.id });
    expect(await reader.rows('SELECT * FROM v')).toEqual([['1'], ['2']]);
    await reader.quit();
  });

  test('a view is made, replaced and dropped as on the server, also among other statements', async () => {
    const texts = [
      'CREATE VIEW v AS SELECT id FROM a',
      'CREATE OR REPLACE VIEW v AS SELECT 1 AS one',
      'DROP TABLE v',
      'DROP VIEW a',
      'DROP VIEW v, missing',
      'CREATE OR REPLACE VIEW v AS SELECT 2 AS two',
      'DO 1; DROP VIEW v; CREATE OR REPLACE VIEW v AS SELECT 3 AS three; SELECT * FROM v',
      'DROP VIEW v; DROP TABLE IF EXISTS missing; CREATE VIEW v AS SELECT id FROM a; SELECT * FROM v',
      'DROP VIEW IF EXISTS v, missing',
      'DROP VIEW v',
    ];
    const said: unknown[] = [];
    for (const at of [server, proxy]) {
      await root.query('DROP VIEW IF EXISTS v');
      const flags = MODERN | CLIENT.MULTI_STATEMENTS;
      const session = await RawClient.open(at, { schema: schema.name, flags });
      const answers: unknown[] = [];
      for (const text of texts) {
        const { packets } = await session.query(text);
        const warnings = await session.rows('SHOW WARNINGS');
        answers.push([text, packets.map(({ payload }) => payload.toString('latin1')), warnings]);
      }
      answers.push(await session.rows('SELECT * FROM a'));
      await session.quit();
      said.push(answers);
    }
    expect(said[1]).toEqual(said[0]);
  });
});

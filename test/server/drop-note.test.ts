/** The note that says how a drop is undone (UNDROP_NOTE), as any client reads it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest } from '@jest/globals';
import type { Connection, ResultSetHeader } from 'mysql2/promise';
import { testOnOne } from '../support/on-one-server.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, type FreshSchema, freshSchema, query, testServers } from '../support/servers.js';

jest.setTimeout(240_000);

interface Diagnostic {
  readonly Level: string;
  readonly Code: number;
  readonly Message: string;
}

describe.each(testServers())('on $name', (server) => {
  const test = testOnOne(server);
  let proxy: ProxyTarget;
  let off: ProxyTarget;
  let schema: FreshSchema;
  let client: Connection;

  beforeAll(async () => {
    proxy = await proxyInFront(server, {
      NOTE: 'on',
      PROTECT: 'drop-table,drop-database,truncate',
    });
    off = await proxyInFront(server);
  });
  beforeEach(async () => {
    schema = await freshSchema(server);
    client = await connect(proxy, { database: schema.name, multipleStatements: true });
  });
  afterEach(async () => {
    await client.end();
    await schema.drop();
  });
  afterAll(async () => {
    await proxy.stop();
    await off.stop();
  });

  const create = (...tables: readonly string[]) =>
    query(server, ...tables.map((name) => `CREATE TABLE ${schema.name}.\`${name}\` (a INT)`));
  const run = async (sql: string, on: Connection = client) =>
    (await on.query<ResultSetHeader>(sql))[0];
  const diagnostics = async (on: Connection = client) =>
    (await on.query('SHOW WARNINGS'))[0] as unknown as readonly Diagnostic[];
  const heldAs = async (column: 'id' | 'group_id', table: string) => {
    const [row] = await query<{ readonly value: string }>(
      server,
      `SELECT ${column} AS value FROM _undrop.ledger
       WHERE schema_name = '${schema.name}' AND table_name = '${table}' ORDER BY id DESC LIMIT 1`,
    );
    return row?.value;
  };

  test.each([
    [''],
    ['ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'],
    ['STRICT_ALL_TABLES,ANSI'],
  ])('a drop under sql_mode %j says how it is undone', async (mode) => {
    await create('t');
    await run(`SET sql_mode = '${mode}'`);
    await run('SET NAMES latin1');
    expect(await run('DROP TABLE t')).toMatchObject({ affectedRows: 0, warningStatus: 1 });
    const [counts] = await client.query('SELECT ROW_COUNT() AS n, @@error_count AS e');
    expect(counts).toEqual([{ n: 0, e: 0 }]);
    await create('u');
    await run('DROP TABLE u');
    const [one, ...more] = await diagnostics();
    expect(more).toEqual([]);
    expect(one).toMatchObject({ Level: 'Warning', Code: 1105 });
    const undo = `UNDROP TABLE \`${schema.name}\`.\`u\` (id ${await heldAs('id', 'u')})`;
    expect(one?.Message).toMatch(/^Undo until \d{4}-\d\d-\d\d \d\d:\d\d UTC: UNDROP TABLE/);
    expect(one?.Message).toContain(undo);
  });

  test('several tables have one note, with the id of their drop', async () => {
    await create('a', 'b');
    expect((await run('DROP TABLE a, b')).warningStatus).toBe(1);
    const [one] = await diagnostics();
    const drop = `drop ${await heldAs('group_id', 'a')}`;
    expect(one?.Message.length).toBeLessThanOrEqual(128);
    expect(one?.Message).toMatch(/UNDROP TABLE|SHOW DROPPED TABLES/);
    expect(one?.Message.includes(drop) || one?.Message.includes(`\`b\``)).toBe(true);
  });

  test('a long name is left out, not cut', async () => {
    const name = `é${'x'.repeat(62)}`;
    await create(name);
    expect((await run(`DROP TABLE \`${name}\``)).warningStatus).toBe(1);
    const [one] = await diagnostics();
    expect(one?.Message).toMatch(/UTC: UNDROP TABLE '[0-9a-f]{32}'$/);
  });

  test('the server’s own notes win', async () => {
    await create('t');
    expect((await run('DROP TABLE IF EXISTS t, missing')).warningStatus).toBe(1);
    expect(await diagnostics()).toMatchObject([{ Level: 'Note', Code: 1051 }]);
  });

  test('a session without notes gets none, and neither does what is not held', async () => {
    await create('t', 'u');
    await run('SET sql_notes = 0');
    expect((await run('DROP TABLE t')).warningStatus).toBe(0);
    expect(await diagnostics()).toEqual([]);
    await run('SET sql_notes = 1');
    expect((await run('TRUNCATE TABLE u')).warningStatus).toBe(0);
    await run('CREATE TEMPORARY TABLE v (a INT)');
    expect((await run('DROP TABLE v')).warningStatus).toBe(0);
    expect((await run(`DROP DATABASE IF EXISTS ${schema.name}_none`)).warningStatus).toBe(1);
    expect(await diagnostics()).toMatchObject([{ Code: 1008 }]);
  });

  test('prepared, in a text of several statements, and in a transaction', async () => {
    await create('p', 'q', 'r');
    const [prepared] = await client.execute<ResultSetHeader>('DROP TABLE p');
    expect(prepared.warningStatus).toBe(1);
    expect(await diagnostics()).toMatchObject([{ Code: 1105 }]);
    const [results] = await client.query('SELECT 1; DROP TABLE q; SHOW WARNINGS');
    const [, dropped, shown] = results as unknown as [unknown, ResultSetHeader, Diagnostic[]];
    expect(dropped.warningStatus).toBe(1);
    expect(shown).toMatchObject([{ Code: 1105 }]);
    await run('START TRANSACTION');
    expect((await run('DROP TABLE r')).warningStatus).toBe(1);
  });

  test('a DROP DATABASE that held tables says so', async () => {
    await create('a', 'b');
    const { name } = schema;
    expect(await run(`DROP DATABASE ${name}`)).toMatchObject({ affectedRows: 2, warningStatus: 1 });
    const [one] = await diagnostics();
    expect(one?.Message).toContain(`: UNDROP DATABASE \`${name}\` (drop `);
  });

  test('off, nothing is said', async () => {
    await create('t');
    const plain = await connect(off, { database: schema.name });
    expect((await run('DROP TABLE t', plain)).warningStatus).toBe(0);
    expect(await diagnostics(plain)).toEqual([]);
    await plain.end();
  });
});

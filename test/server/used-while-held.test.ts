/**
 * Statements that fail because their table is held are counted, in whatever form they come, and
 * nothing else is.
 */
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront, runUndrop } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { connect, query, type Session } from '../support/servers.js';

const FAILS = { errno: 1146 };

onServers('a table that is held on $name', (server, on) => {
  const { afterAll, beforeAll, test } = on;
  beforeAll(() => freshLedger(server));
  afterAll(() => freshLedger(server));
  const schema = on.schema('used');
  const other = on.schema('used');

  /** A proxy, what it says of uses until it is stopped, and how many they are by now. */
  async function watching() {
    const said: Record<string, unknown>[] = [];
    const say = (fields: object) => {
      if ('event' in fields && fields.event === 'used-while-held') said.push({ ...fields });
    };
    const log = { debug: () => undefined, info: say, warn: say, error: say };
    const proxy = await proxyInFront(server, {}, log);
    const sum = (id: unknown) =>
      said.filter((one) => one['id'] === id).reduce((all, one) => all + Number(one['count']), 0);
    return { proxy, said, sum };
  }

  async function drop(proxy: ProxyTarget, table: string): Promise<string> {
    await using client = await connect(proxy, { database: schema.name });
    await client.run(`CREATE TABLE ${table} (id INT)`, `DROP TABLE ${table}`);
    const find = () => ledgerRows(client, { schema: schema.name, table, state: 'HOLD' });
    await until(async () => (await find()).length === 1, 'the outcome in the ledger');
    const [row] = await find();
    return String(row?.['id']);
  }

  /** Fails seven times because of `table`, in every form of a statement. */
  async function useIt(proxy: ProxyTarget, table: string): Promise<void> {
    const name = `${schema.name}.${table}`;
    await using client = await connect(proxy, { database: schema.name, multipleStatements: true });
    await failIn(client, table);
    await client.query(`CREATE TABLE passing_${table} (id INT)`);
    // One text that the server takes as it is, and one of which undrop takes a part.
    for (const first of ['SELECT 1', `DROP TABLE passing_${table}`]) {
      const text = `${first}; SELECT * FROM ${table}`;
      await expect(client.query(text)).rejects.toMatchObject(FAILS);
    }
    await using secure = await connect(proxy, { ssl: { rejectUnauthorized: false } });
    await expect(secure.query(`DELETE FROM ${name}`)).rejects.toMatchObject(FAILS);
    await using raw = await RawClient.open(proxy, { flags: MODERN | CLIENT.MULTI_STATEMENTS });
    const texts = ['SELECT 1', `SELECT * FROM ${name}`, 'DO 0', `INSERT INTO ${name} VALUES (1)`];
    raw.write(texts.map((text) => raw.queryPayload(text)));
    for (const _text of texts) await raw.answer();
  }

  async function failIn(client: Session, table: string): Promise<void> {
    await expect(client.query(`SELECT * FROM ${table}`)).rejects.toMatchObject(FAILS);
    await expect(client.execute(`UPDATE ${table} SET id = ?`, [1])).rejects.toMatchObject(FAILS);
    // Neither of these was ever dropped.
    for (const absent of [`${other.name}.${table}`, 'never_there', `${table}x`]) {
      await expect(client.query(`SELECT * FROM ${absent}`)).rejects.toMatchObject(FAILS);
    }
    await expect(client.query('SELECT nothing')).rejects.toMatchObject({ errno: 1054 });
    await client.query(`DROP TABLE IF EXISTS ${table}`);
  }

  test('is counted', async () => {
    const table = 't';
    const { proxy, said, sum } = await watching();
    const id = await drop(proxy, table);
    await useIt(proxy, table);
    await until(() => said.length > 0, 'the first line');
    await proxy.stop();
    expect([sum(id), said.filter((one) => one['id'] !== id)]).toEqual([7, []]);
    const what = { schema: schema.name, table, dropId: expect.stringMatching(/^[0-9a-f]{32}$/) };
    const who = { user: 'root', client: expect.stringMatching(/^127\.0\.0\.1:/) };
    expect(said[0]).toMatchObject({ ...what, ...who, threadId: expect.any(Number) });
    const { stdout } = await runUndrop(server, ['list', '--tables']);
    const used = 'is still used: 7 statements have failed, the last at .* by root from 127';
    expect(stdout).toMatch(new RegExp(`${schema.name}\\.${table} ${used}`));
  });

  test('goes on to be counted by the next proxy, and no more once it is restored', async () => {
    const before = await watching();
    const id = await drop(before.proxy, 'back');
    await useIt(before.proxy, 'back');
    await before.proxy.stop();
    const next = await watching();
    const client = await connect(next.proxy, { database: schema.name });
    await expect(client.query('SELECT * FROM back')).rejects.toMatchObject(FAILS);
    await until(() => next.sum(id) === 1, 'one more');
    const countOf = async () => {
      const { stdout } = await runUndrop(server, ['list', '--all', '--json']);
      const all = JSON.parse(stdout) as { id: string; usedWhileHeld: number }[];
      return all.find((one) => one.id === id)?.usedWhileHeld;
    };
    await until(async () => (await countOf()) === 8, 'all of them in the history');

    expect(await runUndrop(server, ['restore', `${schema.name}.back`])).toMatchObject({ code: 0 });
    await client.query('SELECT * FROM back');
    await query(server, `DROP TABLE ${schema.name}.back`);
    await expect(client.query('SELECT * FROM back')).rejects.toMatchObject(FAILS);
    await client.end();
    await next.proxy.stop();
    expect([next.sum(id), await countOf()]).toEqual([1, 8]);
  });
});

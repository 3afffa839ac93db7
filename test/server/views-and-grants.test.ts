/**
 * What hangs on the name of a table that is dropped: views over it and rights on it stay with the
 * name, as after a native drop. Neither a view nor a right leads to the held rows. Statements on
 * views themselves are the server's.
 */
import { onServers } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { listed, restored } from '../support/undrop-cli.js';

const ACCOUNT = "reader@'%'";

onServers('views and grants of a held table on $name', (server, on) => {
  const { beforeEach, test } = on;
  let reader: RawClient;

  const schema = on.schema('grants');
  const root = on.session({ schema });

  const proxy = on.proxy();
  const client = on.client({ to: proxy, schema });
  on.account('reader');

  beforeEach(async () => {
    await root.run('DROP VIEW IF EXISTS v', 'DROP TABLE IF EXISTS a');
    await root.run('CREATE TABLE a (id INT, secret INT)', 'INSERT INTO a VALUES (1, 10), (2, 20)');
  });

  async function drop(): Promise<{ readonly id: string; readonly name: string }> {
    const { results } = await client.query('DROP TABLE a');
    expect(results).toMatchObject([{ kind: 'ok' }]);
    const [held] = (await listed(server)).filter((one) => one.schema === schema.name);
    if (held === undefined) throw new Error('it is not held');
    return { id: held.id, name: `${held.holdSchema}.${held.holdName}` };
  }

  const grants = () => root.column(`SHOW GRANTS FOR ${ACCOUNT}`);
  const errnoOf = async (sql: string) => Number.parseInt(await reader.words(sql), 10) || 0;

  test.each([
    ['the table', 'SELECT, UPDATE ON a'],
    ['a column', 'SELECT (id) ON a'],
  ])('rights on %s stay with its name, and reach nothing that is held', async (_what, right) => {
    await root.query(`GRANT ${right} TO ${ACCOUNT}`);
    reader = await RawClient.open({ ...server, user: 'reader' }, { schema: schema.name });
    const before = await grants();
    expect(await errnoOf('SELECT id FROM a')).toBe(0);

    const held = await drop();
    expect([await grants(), await errnoOf('SELECT id FROM a')]).toEqual([before, 1146]);
    expect(await errnoOf(`SELECT id FROM ${held.name}`)).toBe(1142);
    expect(await reader.rows('SHOW TABLES')).toEqual([]);

    await root.query('CREATE TABLE a (id INT)');
    expect(await errnoOf('SELECT id FROM a')).toBe(0);
    await root.query('DROP TABLE a');
    await restored(server, held.id);
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
    await restored(server, held.id);
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
      await using session = await RawClient.open(at, { schema: schema.name, flags });
      const answers: unknown[] = [];
      for (const text of texts) {
        const { packets } = await session.query(text);
        const warnings = await session.rows('SHOW WARNINGS');
        answers.push([text, packets.map(({ payload }) => payload.toString('latin1')), warnings]);
      }
      answers.push(await session.rows('SELECT * FROM a'));
      said.push(answers);
    }
    expect(said[1]).toEqual(said[0]);
  });
});

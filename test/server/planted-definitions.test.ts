/**
 * Definitions that a user with rights on one schema alone has written so that they become several
 * statements when undrop creates them again, by the service account or in the session of an
 * administrator: nothing of them runs, what can come back is as it was, and the rest is named.
 */
import { jest } from '@jest/globals';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { RawClient } from '../support/raw-client.js';
import { connect, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { intentsSettled } from '../support/settled.js';

jest.setTimeout(120_000);

const MANAGED = 'undrop_m_planted';
/** In sjis the first two bytes of the literal are one character, and the next a backslash. */
const AS_TWO = Buffer.from(
  "CREATE VIEW v AS SELECT '\xbf\\\\''; DROP TABLE planted_shop.orders; -- ' AS x",
  'latin1',
);

onServers('planted definitions on $name', (server, on) => {
  const { afterAll, beforeAll, testOnEach: test } = on;
  const root = on.session();
  beforeAll(async () => {
    await makeServiceAccount(server, { user: MANAGED, tier: 'managed' });
    await root.run(
      'SET GLOBAL log_bin_trust_function_creators = 1',
      'CREATE DATABASE planted_shop',
      'CREATE TABLE planted_shop.orders (id INT PRIMARY KEY)',
    );
  });
  afterAll(async () => {
    await root.run(
      'SET GLOBAL log_bin_trust_function_creators = 0',
      `DROP USER ${MANAGED}@'%'`,
      'DROP DATABASE planted_shop',
    );
    await freshLedger(server);
  });
  on.account('planted_eve', { grants: ['ALL ON `pl\\_%`.*'] });
  const eve = { user: 'planted_eve', password: '' };
  const admins = { user: server.user, password: server.password };
  const managed: Target = { ...server, user: MANAGED, password: SERVICE_ACCOUNT.password };
  const proxies = { full: on.proxy(), managed: on.proxy({}, { upstream: managed }) };
  const schema = on.each.schema('pl');
  const isThere = () => root.rows("SHOW TABLES FROM planted_shop LIKE 'orders'");
  const shown = async () => {
    const [row] = await root.rows(`SHOW CREATE VIEW ${schema.name}.v`);
    return [row?.['Create View'], row?.['character_set_client']];
  };

  test.each([['full'], ['managed']] as const)('a view of sjis, tier %s', async (tier) => {
    const proxy = proxies[tier];
    await using client = await RawClient.open({ ...proxy, ...eve }, { schema: schema.name });
    for (const text of ['SET NAMES sjis', AS_TWO]) await client.query(text);
    const before = await shown();
    expect(before[1]).toBe('sjis');
    await client.query(`DROP DATABASE ${schema.name}`);
    await using admin = await connect({ ...proxy, ...admins }, { multipleStatements: true });
    await admin.query(`UNDROP DATABASE ${schema.name}`);
    expect(await isThere()).toHaveLength(1);
    expect(await shown()).toEqual(before);
  });

  test('a function of sjis has its backslashes', async () => {
    await using client = await RawClient.open({ ...proxies.full, ...eve }, { schema: schema.name });
    await client.query('SET NAMES sjis');
    const text = "CREATE FUNCTION f() RETURNS VARCHAR(9) DETERMINISTIC RETURN '\xb1 a\\nb'";
    await client.query(Buffer.from(text, 'latin1'));
    const value = () => root.rows(`SELECT HEX(${schema.name}.f()) AS f`);
    const before = await value();
    await client.run([`DROP DATABASE ${schema.name}`, `UNDROP DATABASE ${schema.name}`]);
    expect(await value()).toEqual(before);
  });

  test('a routine with bytes that are no text is named, not changed', async () => {
    await using client = await RawClient.open({ ...proxies.full, ...eve }, { schema: schema.name });
    const text = "CREATE PROCEDURE p() SELECT _binary'\xff\xfe\x80'";
    await client.query(Buffer.from(text, 'latin1'));
    await client.query(`DROP DATABASE ${schema.name}`);
    await using admin = await connect(proxies.full);
    await admin.query(`UNDROP DATABASE ${schema.name}`);
    const [warning] = await admin.rows('SHOW WARNINGS');
    expect(String(warning?.['Message'])).toContain('.p: its definition was not recorded');
    const rows = await root.rows(`SHOW PROCEDURE STATUS WHERE Db = '${schema.name}'`);
    expect(rows).toEqual([]);
  });

  if (server.flavour === 'mariadb') {
    test('a comment in a trigger is not its name', async () => {
      const place = `pl_*/#${server.port}`;
      await root.run(`CREATE DATABASE \`${place}\``, `CREATE TABLE \`${place}\`.t (id INT)`);
      await using client = await connect({ ...proxies.managed, ...eve }, { database: place });
      await client.query(
        `CREATE TRIGGER /* TRIGGER t1
x.y BEFORE INSERT ON x.t FOR EACH ROW SET @x=1; DROP TABLE planted_shop.orders; -- */ t1
BEFORE INSERT ON t FOR EACH ROW SET @a = 1`,
      );
      await client.query('DROP TABLE t');
      await intentsSettled(root, [place]);
      const [row] = await root.rows(
        `SELECT id FROM _undrop.ledger WHERE schema_name = '${place}' ORDER BY id DESC LIMIT 1`,
      );
      await using admin = await connect(
        { ...proxies.managed, ...admins },
        {
          multipleStatements: true,
          database: 'mysql',
        },
      );
      await admin.query(`UNDROP TABLE '${row?.['id']}'`);
      expect(await isThere()).toHaveLength(1);
      await root.query(`DROP DATABASE \`${place}\``);
    });
  }

  test('a session whose default schema is gone goes on', async () => {
    await root.run(`CREATE DATABASE IF NOT EXISTS planted_gone`);
    await root.run(`CREATE VIEW ${schema.name}.w AS SELECT 1 AS one`);
    await using admin = await connect(
      { ...proxies.managed, ...admins },
      { database: 'planted_gone' },
    );
    await admin.query(`DROP DATABASE ${schema.name}`);
    await root.query('DROP DATABASE planted_gone');
    await admin.query(`UNDROP DATABASE ${schema.name}`);
    expect(await admin.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await admin.run(`USE ${schema.name}`, `UNDROP DATABASE ${schema.name}`);
    expect(await root.rows(`SELECT one FROM ${schema.name}.w`)).toEqual([{ one: 1 }]);
  });
});

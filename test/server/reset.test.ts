/**
 * A schema that a tool has reset is brought back by one statement, and turned round by the same:
 * whatever the way in which its tables went, and although the tool has made them anew.
 */
import { jest } from '@jest/globals';
import { asking } from '../support/asking.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { fillRentalShop } from '../support/rental-shop.js';
import { schemaState } from '../support/schema-state.js';
import { connect, freshSchema, type Session } from '../support/servers.js';

jest.setTimeout(600_000);

const OPEN = `SELECT id FROM _undrop.ledger WHERE relocated = 0 AND state = 'HOLD'
  AND COALESCE(todo, '') NOT LIKE 'blocked%' OR state IN ('intent', 'emptying', 'emptied')`;

const DEFAULT_OF = (schema: string) =>
  `SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = '${schema}'`;

onServers('a reset on $name', (server, on) => {
  const { beforeAll, test } = on;
  on.freshLedger();
  const proxy = on.proxy({ HOLD: '2d' });
  const other = on.schema('other').name;
  const shop = on.each.schema('reset');
  const client = on.each.session({ to: proxy, schema: shop });
  const root = on.session();
  const account = on.each.accounts('a');
  const { column, cell } = asking(server);

  beforeAll(async () => {
    const owner = await column("SELECT 1 FROM mysql.user WHERE user = 'shop_owner'");
    if (owner.length === 0) await root.query("CREATE USER 'shop_owner'@'%' IDENTIFIED BY 'x y z'");
    await root.run(
      "GRANT ALL ON *.* TO 'shop_owner'@'%'",
      `CREATE TABLE ${other}.owner (id INT PRIMARY KEY)`,
      `INSERT INTO ${other}.owner VALUES (1)`,
    );
  });

  const settled = () =>
    until(async () => (await column(OPEN)).length === 0, 'what came before is settled');
  const tables = () =>
    column(`SELECT table_name FROM information_schema.tables
      WHERE table_schema = '${shop.name}' AND table_type LIKE '%BASE%' OR
      table_schema = '${shop.name}' AND table_type LIKE 'S%' ORDER BY 1`);
  const state = () => schemaState(server, shop.name);
  const quoted = (name: string) => `\`${name.replaceAll('`', '``')}\``;
  const time = async () => String(await cell("SELECT CONCAT(UTC_TIMESTAMP(), '+00:00')"));

  /** The tables that the tool makes anew, three rows in each. */
  async function migrate(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await client.query(`CREATE TABLE ${quoted(name)} (id INT PRIMARY KEY, other INT)`);
      await client.query(`INSERT INTO ${quoted(name)} VALUES (1, 1), (2, NULL), (3, NULL)`);
    }
  }

  let collation = '';

  const WAYS: Readonly<Record<string, (names: readonly string[]) => readonly string[]>> = {
    'one DROP of all': (names) => [`DROP TABLE ${names.map(quoted).join(', ')}`],
    'a DROP for each': (names) => names.map((name) => `DROP TABLE ${quoted(name)}`),
    'DROP DATABASE and CREATE': () => [
      `DROP DATABASE ${shop.name}`,
      `CREATE DATABASE ${shop.name} CHARACTER SET utf8mb4 COLLATE ${collation}`,
      `USE ${shop.name}`,
    ],
  };

  test.each(Object.entries(WAYS))(
    'by %s comes back as it was, and goes again',
    async (_way, go) => {
      collation = String(await cell(DEFAULT_OF(shop.name)));
      await fillRentalShop(server, shop.name, other);
      const names = await tables();
      const before = await state();
      const since = await time();
      await client.query('SET foreign_key_checks = 0');
      await client.run(...go(names));
      await settled();
      await migrate(names);
      // The tool was run twice.
      await client.run(...go(names));
      await settled();
      await migrate(names);
      const after = await state();
      await expect(client.query(`UNDROP ALL FROM ${shop.name} SINCE '${since}'`)).rejects.toThrow(
        /^UNDROP_NOT_ALL: .*SWAP holds the live tables instead/,
      );
      expect(await state()).toEqual(after);
      const again = `UNDROP ALL FROM ${shop.name} SINCE '${since}' SWAP`;
      await client.query(again);
      await settled();
      expect(await state()).toEqual(before);
      await client.query(again);
      await settled();
      expect((await state()).filter(ofTables)).toEqual(after.filter(ofTables));
      await client.query(again);
      await settled();
      expect(await state()).toEqual(before);
    },
  );

  test('by TRUNCATE of each comes back as it was, and goes again', async () => {
    await fillRentalShop(server, shop.name, other);
    const names = await column(`SELECT table_name FROM information_schema.tables
      WHERE table_schema = '${shop.name}' AND engine = 'InnoDB' AND table_type = 'BASE TABLE'`);
    const before = await state();
    const since = await time();
    await client.query('SET foreign_key_checks = 0');
    for (const city of ['Riga', 'Oslo']) {
      await client.run(...names.map((name) => `TRUNCATE ${quoted(name)}`));
      await settled();
      expect(definitionsIn(await state())).toEqual(definitionsIn(before));
      await client.run(
        `INSERT INTO store VALUES (1, 7, '${city}'), (2, 8, '${city}'), (3, 9, 'x')`,
        `INSERT INTO category VALUES (1, NULL, '${city}')`,
        `INSERT INTO rental VALUES (1, '2019-05-05', 1), (2, '2040-01-01', 2)`,
      );
    }
    const after = await state();
    const again = `UNDROP ALL FROM ${shop.name} SINCE '${since}' SWAP`;
    for (const expected of [before, after, before]) {
      await client.query(again);
      await settled();
      expect(await state()).toEqual(expected);
    }
  });

  /** Without rows and counters, which are others. */
  const definitionsIn = (lines: readonly string[]) =>
    lines
      .filter((line) => line.startsWith('{'))
      .map((line) => line.replace(/ AUTO_INCREMENT=\d+/, ''));

  /** Views and programs of a dropped schema stay when its tables are turned round. */
  function ofTables(line: string): boolean {
    return /^\{"Table"|^[^{]/.test(line);
  }

  test('by DROP DATABASE comes back by UNDROP DATABASE with SWAP, and turns round', async () => {
    collation = String(await cell(DEFAULT_OF(shop.name)));
    await fillRentalShop(server, shop.name, other);
    const names = await tables();
    const before = await state();
    await client.run(...(WAYS['DROP DATABASE and CREATE']?.(names) ?? []));
    await migrate(names);
    const after = await state();
    await client.query(`UNDROP DATABASE ${shop.name} SWAP`);
    await settled();
    expect(await state()).toEqual(before);
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', shop.name, '--swap']);
    expect([code, stderr]).toEqual([0, '']);
    await settled();
    expect((await state()).filter(ofTables)).toEqual(after.filter(ofTables));
  });

  test('of which a user may restore some only changes nothing', async () => {
    const { name } = shop;
    await client.run('CREATE TABLE a (id INT)', 'CREATE TABLE b (id INT)', 'DROP TABLE a, b');
    await account('some_only', `CREATE, INSERT ON ${name}.a`);
    await using some = await connect(proxy, { user: 'some_only', password: 'a' });
    const since = await time();
    const all = `UNDROP ALL FROM ${name} SINCE '1 hour ago'`;
    expect(await messageOf(some, all)).toMatch(/^UNDROP_NOT_ALL: .* 1 dropped tables of these/);
    expect(await tables()).toEqual([]);
    await some.query(`${all} PARTIAL`);
    expect(await tables()).toEqual(['a']);
    await account('none_at_all', 'CREATE ON mysql.none');
    await using none = await connect(proxy, { user: 'none_at_all', password: 'a' });
    expect(await messageOf(none, `UNDROP ALL SINCE '${since}'`)).toMatch(/^UNDROP_NO_SUCH_HELD/);
  });

  test('of twelve tables changes nothing for who may not do all of it', async () => {
    await fillRentalShop(server, shop.name, other);
    await client.run('CREATE TABLE more (id INT)', 'CREATE TABLE most (id INT)');
    const names = await tables();
    const since = await time();
    await client.query('SET foreign_key_checks = 0');
    await client.query(`DROP TABLE ${names.map(quoted).join(', ')}`);
    await settled();
    await migrate(names);
    const before = await state();
    const { name } = shop;
    const nine = names.slice(0, 9);
    const rights = 'CREATE, INSERT, DROP, ALTER';
    await account('nine_only', ...nine.map((table) => `${rights} ON ${name}.${quoted(table)}`));
    await account('elsewhere', `ALL ON ${other}.*`);
    await account('no_drop', `CREATE, INSERT, CREATE VIEW ON ${name}.*`);
    const undo = `UNDROP ALL FROM ${name} SINCE '${since}' SWAP`;
    const left = `${names.length - 9} dropped tables of these schemas this user may not restore`;
    const answers = [];
    for (const user of ['nine_only', 'elsewhere', 'no_drop']) {
      await using session = await connect(proxy, { user, password: 'a' });
      answers.push(await messageOf(session, undo));
    }
    expect(answers).toEqual([
      expect.stringContaining(left),
      expect.stringMatching(/^UNDROP_NO_SUCH_HELD: |command denied to user 'elsewhere'/),
      expect.stringMatching(/DROP(?:, \w+)* command denied to user 'no_drop'/),
    ]);
    expect(await state()).toEqual(before);
  });

  const messageOf = (session: Session, text: string) =>
    session.query(text).then(
      () => '',
      (error: Error) => error.message,
    );

  test('of many tables sends no text that grows with them but the RENAME', async () => {
    const names = Array.from({ length: 250 }, (_, nr) => `t${nr}`);
    for (const name of names) await client.query(`CREATE TABLE ${name} (id INT)`);
    for (const some of [names.slice(0, 125), names.slice(125)])
      await client.query(`DROP TABLE ${some.join(', ')}`);
    await settled();
    for (const name of names) await client.query(`CREATE TABLE ${name} (id INT)`);
    await root.run(
      'TRUNCATE mysql.general_log',
      "SET GLOBAL log_output = 'TABLE'",
      'SET GLOBAL general_log = 1',
    );
    try {
      await client.query(`UNDROP ALL FROM ${shop.name} SINCE '1 hour ago' SWAP`);
    } finally {
      await root.run('SET GLOBAL general_log = 0', "SET GLOBAL log_output = 'FILE'");
    }
    const long = await column(`SELECT LEFT(CONVERT(argument USING utf8), 100) FROM mysql.general_log
      WHERE LENGTH(argument) > 125000 AND argument NOT LIKE 'RENAME%swap%'`);
    expect(long).toEqual([]);
  });

  test('into another schema, or of one statement by its id', async () => {
    await using away = await freshSchema(server, 'away');
    await client.run('CREATE TABLE a (id INT)', 'CREATE TABLE b (id INT)', 'DROP TABLE a, b');
    const id = await cell(`SELECT group_id FROM _undrop.ledger WHERE schema_name = '${shop.name}'`);
    await client.query(`UNDROP DROP '${id}' TO SCHEMA ${away.name}`);
    expect(await tables()).toEqual([]);
    const there = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '${away.name}'`;
    expect(await cell(there)).toBe(2);
  });
});

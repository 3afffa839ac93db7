/**
 * Several tables with triggers in one drop, on real servers: all of them come back, or none is
 * gone. MariaDB, where a killed RENAME could damage one that it has renamed already, gets one
 * RENAME after the other. What is heard of such drops is in native_cases.json (z06).
 */
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect } from '../support/servers.js';
import { restored } from '../support/undrop-cli.js';

const MAKE = [
  ...['a', 'plain', 'b'].flatMap((table) => [
    `CREATE TABLE ${table} (id INT)`,
    `INSERT INTO ${table} VALUES (1), (2), (3)`,
  ]),
  'CREATE TRIGGER of_a BEFORE INSERT ON a FOR EACH ROW SET @x = 1',
  'CREATE TRIGGER of_b BEFORE INSERT ON b FOR EACH ROW SET @x = 2',
];
const DROP = 'DROP TABLE a, plain, b';

onServers('triggers of several dropped tables on $name', (server, on) => {
  const { beforeEach, test } = on;
  const proxy = on.proxy();
  const schema = on.each.schema('several');
  const root = on.each.session({ schema });
  const account = on.each.accounts('');
  beforeEach(() => root.run(...MAKE));

  const open = (user = server.user) => connect({ ...proxy, user }, { database: schema.name });
  const triggers = async () => (await root.column('SHOW TRIGGERS')).sort();
  const reattachAll = async () => {
    expect(await root.tables()).toEqual([]);
    for (const table of ['a', 'plain', 'b']) {
      const report = await restored(server, `${schema.name}.${table}`);
      const problems = report.triggers.map(({ problem }) => problem);
      expect(problems).toEqual(table === 'plain' ? [] : [null]);
      expect(await root.count(table)).toBe(3);
    }
    expect(await triggers()).toEqual(['of_a', 'of_b']);
  };

  test('dropped by a user with DROP alone they come back with their triggers', async () => {
    await account('ts_drops', `DROP ON ${schema.name}.*`);
    await using client = await open('ts_drops');
    await client.query(DROP);
    await reattachAll();
  });

  test('they stay where another session has the last of them locked', async () => {
    await using reader = await connect(server, { database: schema.name });
    await reader.run('BEGIN', 'SELECT * FROM b');
    await using client = await open();
    await client.query('SET lock_wait_timeout = 1');
    expect(await client.errnoOf(DROP)).toBe(1205);
    expect(await root.tables()).toEqual(['a', 'b', 'plain']);
    expect(await triggers()).toEqual(['of_a', 'of_b']);
  });

  test('are in no RENAME of MariaDB together, as a kill could damage one', async () => {
    await using client = await open();
    if (server.flavour !== 'mariadb') {
      await client.query(DROP);
      return reattachAll();
    }
    const [status] = await root.rows('SHOW MASTER STATUS');
    await client.query(DROP);
    const events = await root.rows(
      `SHOW BINLOG EVENTS IN '${status?.['File']}' FROM ${status?.['Position']}`,
    );
    const renames = events
      .map((event) => String(event['Info']))
      .filter((info) => /undrop hold(-by-service)? /.test(info))
      .map((info) => [...info.matchAll(/`(a|plain|b)` TO/g)].map(([, name]) => name));
    expect(renames).toEqual([['a'], ['plain'], ['b']]);
    await reattachAll();
  });

  test('keep them where a kill comes while a child of the next table is written to', async () => {
    await root.run(
      'CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB',
      'CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id)) ENGINE=InnoDB',
      'INSERT INTO parent VALUES (1)',
    );
    await using writer = await connect(server, { database: schema.name });
    await writer.run('BEGIN', 'INSERT INTO child VALUES (1)');
    await using client = await open();
    await client.query(
      'SET foreign_key_checks = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1',
    );
    let isDone = false;
    const dropping = client.errorOf('DROP TABLE a, parent').finally(() => {
      isDone = true;
    });
    await until(async () => {
      const ids = await root.column(
        `SELECT id FROM information_schema.processlist
         WHERE db = '${schema.name}' AND info LIKE 'RENAME%'`,
      );
      for (const id of ids) await root.errorOf(`KILL QUERY ${id}`);
      return isDone || ids.length > 0;
    }, 'the drop waits or is over');
    await dropping;
    await writer.query('ROLLBACK');
    if (!(await root.tables()).includes('a')) await restored(server, `${schema.name}.a`);
    await root.query('FLUSH TABLES');
    expect(await triggers()).toEqual(['of_a', 'of_b']);
    await root.query('INSERT INTO a VALUES (4)');
  });
});

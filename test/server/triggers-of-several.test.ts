/**
 * Several tables with triggers in one drop, on real servers: what is heard is what the server says
 * of such a drop, and all of them come back. MariaDB, where a killed RENAME could damage one that
 * it has renamed already, gets one RENAME after the other.
 */
import { beforeEach, describe, expect } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { testOnOne } from '../support/on-one-server.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import { connect, hasProcess, query } from '../support/servers.js';
import { TwoSchemas } from '../support/two-schemas.js';
import { restored } from '../support/undrop-cli.js';

const MAKE = [
  'CREATE TABLE plain (id INT)',
  'INSERT INTO plain VALUES (1), (2), (3)',
  'CREATE TRIGGER of_a BEFORE INSERT ON a FOR EACH ROW SET @x = 1',
  'CREATE TRIGGER of_b BEFORE INSERT ON b FOR EACH ROW SET @x = 2',
];
/** Of no table: what is said of a column of this view changes with the plan of the optimizer. */
const TRIGGERS = `SELECT CONCAT((SELECT GROUP_CONCAT(TRIGGER_NAME ORDER BY TRIGGER_NAME)
  FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE())) AS names`;
const END = ['SHOW WARNINGS', 'SELECT ROW_COUNT()', 'SHOW TABLES', TRIGGERS];
const DROP = 'DROP TABLE a, plain, b';

const TALKS: readonly (readonly [string, readonly string[]])[] = [
  ['all of them', [DROP, ...END]],
  ['beside a missing name', ['DROP TABLE a, missing, b', ...END]],
  ['beside a missing name, if they exist', ['DROP TABLE IF EXISTS a, missing, b', ...END]],
  [
    'in a transaction that it ends',
    ['BEGIN', 'INSERT INTO plain VALUES (4)', 'DROP TABLE a, b', 'ROLLBACK', ...END],
  ],
  ['in a transaction that only reads', ['START TRANSACTION READ ONLY', DROP, 'ROLLBACK', ...END]],
  ['under LOCK TABLES', ['LOCK TABLES a WRITE, b WRITE', 'DROP TABLE a, b', ...END]],
  ['under LOCK TABLES of one', ['LOCK TABLES a WRITE', 'DROP TABLE a, b', 'UNLOCK TABLES', ...END]],
  [
    'made anew with their triggers',
    [
      DROP,
      'CREATE TABLE a (id INT)',
      'CREATE TRIGGER of_b BEFORE INSERT ON a FOR EACH ROW SET @x = 3',
      'INSERT INTO a VALUES (1)',
      'SELECT @x',
      ...END,
    ],
  ],
];

/** The table is there, and whatever opens it says 1146 of another. */
const LOST_DEFAULT = [
  'CREATE SEQUENCE s',
  'CREATE TABLE lost (id INT DEFAULT nextval(s))',
  'DROP SEQUENCE s',
  'DROP TABLE a, lost, b',
  ...END,
];

onServers('triggers of several dropped tables on $name', (server, on) => {
  const { test } = on;
  const talks = server.name.startsWith('mariadb')
    ? [
        ...TALKS,
        ['beside a table whose default is of a sequence that is gone', LOST_DEFAULT] as const,
      ]
    : TALKS;

  const two = on.open(() => TwoSchemas.open(server));

  const say = async (texts: readonly string[], user = 'root') => {
    await using client = await RawClient.open(two.proxy, { user, schema: two.schema.name });
    const heard: string[] = [];
    for (const text of texts) heard.push(...describeAnswer(await client.query(text)));
    return heard;
  };
  const live = async () => {
    const rows = await query(server, `SHOW TABLES FROM ${two.schema.name}`);
    return rows.map((row) => String(Object.values(row)[0]));
  };
  const reattachAll = async () => {
    const { name } = two.schema;
    expect(await live()).toEqual([]);
    for (const table of ['a', 'plain', 'b']) {
      const { triggers } = await restored(server, `${name}.${table}`);
      expect(triggers.map(({ problem }) => problem)).toEqual(table === 'plain' ? [] : [null]);
      expect(await query(server, `SELECT COUNT(*) AS n FROM ${name}.${table}`)).toEqual([{ n: 3 }]);
    }
    const found = await query(server, `USE ${name}`, TRIGGERS);
    expect(found).toEqual([{ names: 'of_a,of_b' }]);
  };

  test.each(talks)('%s: the same bytes, and nothing is lost', async (_name, texts) => {
    await two.compare(async (target) => {
      await using client = await RawClient.open(target, { schema: two.schema.name });
      await client.run(MAKE);
      const heard: string[] = [];
      for (const text of texts) heard.push(...describeAnswer(await client.query(text)));
      return heard;
    });
  });

  describe('three tables', () => {
    // With hooks of its own it needs a test on each server.
    const test = testOnOne(server);
    beforeEach(async () => {
      await two.fill();
      await query(server, `USE ${two.schema.name}`, ...MAKE);
    });

    test('come back with their triggers', async () => {
      await say([DROP]);
      await reattachAll();
    });

    test('dropped by a user with DROP alone come back with their triggers', async () => {
      const grant = `GRANT DROP ON ${two.schema.name}.* TO ts_drops@'%'`;
      await query(server, "CREATE USER ts_drops@'%'", grant);
      const heard = await say([DROP, 'SHOW WARNINGS'], 'ts_drops');
      await query(server, "DROP USER ts_drops@'%'");
      expect(heard.join()).not.toMatch(/ERR/);
      await reattachAll();
    });

    test('stay where another session has the last of them locked', async () => {
      await using reader = await connect(server, { database: two.schema.name });
      await reader.run('BEGIN', 'SELECT * FROM b');
      const heard = await say(['SET lock_wait_timeout = 1', DROP]);
      expect(heard.join()).toMatch(/1205/);
      expect(await live()).toEqual(['a', 'b', 'plain']);
    });

    test('are dropped when a session that had one of them locked is done', async () => {
      const reader = await connect(server, { database: two.schema.name });
      await reader.run('BEGIN', 'SELECT * FROM b');
      const dropping = say([DROP]);
      const waiting = `STATE LIKE 'Waiting for table metadata%' AND DB = '${two.schema.name}'`;
      await until(() => hasProcess(server, waiting), 'the drop waits');
      await reader.end();
      await dropping;
      await reattachAll();
    });

    test('are in no RENAME of MariaDB together, as a kill could damage one', async () => {
      if (server.flavour !== 'mariadb') return;
      const [status] = await query(server, 'SHOW MASTER STATUS');
      await say([DROP]);
      const { File: file, Position: position } = status ?? {};
      const events = await query(server, `SHOW BINLOG EVENTS IN '${file}' FROM ${position}`);
      const renames = events
        .map(({ Info }) => String(Info))
        .filter((info) => /undrop hold(-by-service)? /.test(info))
        .map((info) => [...info.matchAll(/`(a|plain|b)` TO/g)].map(([, name]) => name));
      expect(renames).toEqual([['a'], ['plain'], ['b']]);
      await reattachAll();
    });

    test('keep them where a kill comes while a child of the next table is written to', async () => {
      const { name } = two.schema;
      await query(
        server,
        `USE ${name}`,
        'CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB',
        'CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id)) ENGINE=InnoDB',
        'INSERT INTO parent VALUES (1)',
      );
      const writer = await connect(server, { database: name });
      await writer.run('BEGIN', 'INSERT INTO child VALUES (1)');
      const lateFor =
        'SET foreign_key_checks = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1';
      let isDone = false;
      const dropping = say([lateFor, 'DROP TABLE a, parent']).finally(() => {
        isDone = true;
      });
      await until(async () => {
        const rows = await query<{ id: number }>(
          server,
          `SELECT id FROM information_schema.processlist
           WHERE db = '${name}' AND info LIKE '%RENAME%' AND command = 'Query'`,
        );
        for (const { id } of rows) await query(server, `KILL QUERY ${id}`).catch(() => []);
        return isDone || rows.length > 0;
      }, 'the drop waits or is over');
      await dropping;
      await writer.query('ROLLBACK');
      await writer.end();
      if (!(await live()).includes('a')) await restored(server, `${name}.a`);
      const found = await query(server, `USE ${name}`, `FLUSH TABLES`, TRIGGERS);
      expect(found).toEqual([{ names: 'of_a,of_b' }]);
      await query(server, `INSERT INTO ${name}.a VALUES (4)`);
    });
  });
});

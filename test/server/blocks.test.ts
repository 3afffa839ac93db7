/**
 * MariaDB's compound statements outside of stored programs, with drops in them: conversations that
 * are had directly and through the proxy, and compared to the byte. Each table is held with all its
 * rows; what can't be done exactly is refused, and then the block doesn't run at all.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { until } from '../support/poll.js';
import { proxyInFront, spawnProxy } from '../support/proxy.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { query, type Target, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { TwoSchemas } from '../support/two-schemas.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

const END = ['SELECT ROW_COUNT()', 'SHOW WARNINGS', 'SHOW TABLES'];
const AGAIN = 'CREATE TABLE a (id INT)';

/** `OTHER` is another schema with the same tables `a` and `b`. */
const TALKS: readonly (readonly [string, readonly string[]])[] = [
  ['a block', ['BEGIN NOT ATOMIC DROP TABLE a; END', ...END]],
  [
    'two drops, of two tables and in two schemas',
    ['BEGIN NOT ATOMIC DROP TABLE a, OTHER.a; DROP TABLE IF EXISTS b; END', ...END],
  ],
  ['a branch that is taken', ['IF 1 THEN DROP TABLE a; ELSE DROP TABLE b; END IF', ...END]],
  ['a branch that is not', ['IF 0 THEN DROP TABLE a; END IF', ...END]],
  ['a CASE', ['CASE 2 WHEN 1 THEN DROP TABLE a; WHEN 2 THEN DROP TABLE b; END CASE', ...END]],
  [
    'rows before and behind',
    [
      'BEGIN NOT ATOMIC SELECT * FROM a; DROP TABLE a; SELECT 2; INSERT INTO b VALUES (7); END',
      ...END,
    ],
  ],
  [
    'the name is free in the block',
    [
      'BEGIN NOT ATOMIC DROP TABLE a; CREATE TABLE a (x INT); INSERT INTO a VALUES (9); END',
      'SELECT * FROM a',
      ...END,
    ],
  ],
  [
    'an error behind the drop',
    ['BEGIN NOT ATOMIC DROP TABLE a; SELECT * FROM missing; DROP TABLE b; END', ...END],
  ],
  ['an error before it', ['BEGIN NOT ATOMIC SELECT * FROM missing; DROP TABLE a; END', ...END]],
  ['a syntax error', ['BEGIN NOT ATOMIC SELECT FROM; DROP TABLE a; END', ...END]],
  [
    'a loop beside it',
    [
      'BEGIN NOT ATOMIC DECLARE i INT DEFAULT 0; WHILE i < 3 DO INSERT INTO b VALUES (i); SET i = i + 1; END WHILE; DROP TABLE a; END',
      'SELECT * FROM b',
      ...END,
    ],
  ],
  [
    'a transaction that it ends',
    [
      'BEGIN',
      'INSERT INTO b VALUES (8)',
      'BEGIN NOT ATOMIC DROP TABLE a; END',
      'ROLLBACK',
      'SELECT * FROM b',
      ...END,
    ],
  ],
  [
    'comments and WAIT',
    [
      'BEGIN NOT ATOMIC /* x */ DROP /* y */ TABLE a WAIT 3 -- z\n; DROP TABLE `b` NOWAIT; END',
      ...END,
    ],
  ],
  [
    'one behind the other',
    [
      'BEGIN NOT ATOMIC DROP TABLE a; END',
      AGAIN,
      'BEGIN NOT ATOMIC DROP TABLE a; END;',
      'BEGIN NOT ATOMIC DROP VIEW IF EXISTS v; END',
      ...END,
    ],
  ],
  [
    'an error that names its line',
    ['BEGIN NOT ATOMIC\nDROP\n/* x\n */ TABLE\n  a;\n\nSELECT * FROM missing;\nEND', ...END],
  ],
  [
    'sequences',
    [
      'CREATE SEQUENCE s',
      'CREATE SEQUENCE t',
      'BEGIN NOT ATOMIC DROP SEQUENCE s; DROP TABLE IF EXISTS t; END',
      ...END,
    ],
  ],
];

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  [
    'a name that is missing',
    'BEGIN NOT ATOMIC DROP TABLE a; DROP TABLE missing; END',
    /no base table yet/,
  ],
  [
    'a name that comes to be',
    'BEGIN NOT ATOMIC CREATE TABLE c (id INT); DROP TABLE c; END',
    /no base table yet/,
  ],
  ['a view', 'BEGIN NOT ATOMIC DROP TABLE IF EXISTS v; END', /no base table yet/],
  ['a loop', 'WHILE 1 DO DROP TABLE a; END WHILE', /more than once/],
  [
    'a loop in a block',
    'BEGIN NOT ATOMIC LOOP IF 1 THEN DROP TABLE a; END IF; END LOOP; END',
    /more than once/,
  ],
  [
    'the same twice',
    'BEGIN NOT ATOMIC DROP TABLE a; CREATE TABLE a (x INT); DROP TABLE a; END',
    /more than once/,
  ],
  [
    'a handler',
    'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; DROP TABLE a; END',
    /a handler/,
  ],
  [
    'a drop in a handler',
    'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR NOT FOUND DROP TABLE a; END',
    /a handler/,
  ],
  [
    'a temporary table',
    'BEGIN NOT ATOMIC CREATE TEMPORARY TABLE a (x INT); DROP TABLE a; END',
    /temporary tables/,
  ],
  [
    'a dynamic text',
    "BEGIN NOT ATOMIC DROP TABLE a; EXECUTE IMMEDIATE CONCAT('DROP', ' TABLE b'); END",
    /another way/,
  ],
  ['a schema beside it', 'BEGIN NOT ATOMIC DROP TABLE a; DROP DATABASE OTHER; END', /another way/],
  ['a parent', 'BEGIN NOT ATOMIC DROP TABLE parent; END', /foreign keys/],
  ['a table with a trigger', 'BEGIN NOT ATOMIC DROP TABLE triggered; END', /triggers/],
  [
    'a child that comes to be',
    'BEGIN NOT ATOMIC CREATE TABLE c (id INT REFERENCES b (id)); DROP TABLE b; END',
    /foreign keys/,
  ],
  [
    'another table that takes its place',
    'BEGIN NOT ATOMIC RENAME TABLE a TO c, parent TO a; DROP TABLE a; END',
    /renames/,
  ],
  ['a version comment', 'BEGIN NOT ATOMIC /*!50000 DROP TABLE a */; END', /a version comment/],
  ['a table as a sequence', 'BEGIN NOT ATOMIC DROP SEQUENCE IF EXISTS a; END', /no sequence/],
];

describe.each(testServers().filter(({ flavour }) => flavour === 'mariadb'))(
  'on $name',
  (server) => {
    let two: TwoSchemas;

    beforeAll(async () => {
      two = await TwoSchemas.open(server);
    });
    afterAll(() => two.close());
    beforeEach(() => two.fill());

    const named = (text: string) => text.replaceAll('OTHER', two.other.name);

    test.each(TALKS)('%s: the same bytes, and nothing is lost', async (_name, texts) => {
      for (const flags of [MODERN, 0, MODERN | CLIENT.MULTI_STATEMENTS]) {
        await two.compare(async (target) => {
          const client = await RawClient.open(target, { schema: two.schema.name, flags });
          const heard: string[] = [];
          for (const text of texts) heard.push(...describeAnswer(await client.query(named(text))));
          await client.quit();
          return heard;
        });
      }
    });

    test.each(REFUSED)('%s: refused, and nothing of it has run', async (_name, text, why) => {
      const { name } = two.schema;
      await query(
        server,
        `USE ${name}`,
        'CREATE VIEW v AS SELECT 1',
        'CREATE TABLE parent (id INT PRIMARY KEY)',
        'CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))',
        'CREATE TABLE triggered (id INT)',
        'CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW SET @x = 1',
      );
      const tables = () => query(server, `SHOW FULL TABLES FROM ${name}`);
      const before = await tables();
      const client = await RawClient.open(two.proxy, { schema: name });
      const { results } = await client.query(named(text));
      const [result] = results;
      if (result?.kind !== 'err') throw new Error('it ran');
      expect(result.message.toString()).toMatch(/^UNDROP_NOT_DONE_YET: /);
      expect(result.message.toString()).toMatch(why);
      expect(await tables()).toEqual(before);
      expect(await client.rows('SELECT 1')).toEqual([['1']]);
      await client.quit();
      expect(await query(server, "SELECT id FROM _undrop.ledger WHERE state = 'intent'")).toEqual(
        [],
      );
    });

    /** A block that has dropped `a` and waits for a lock of ours before it drops `b`. */
    async function inTheMiddle(target: Target): Promise<RawClient> {
      await two.root.query("DO GET_LOCK('middle', 0)");
      const client = await RawClient.open(target, { schema: two.schema.name });
      const text = "BEGIN NOT ATOMIC DROP TABLE a; DO GET_LOCK('middle', 60); DROP TABLE b; END";
      client.write([client.queryPayload(text)]);
      await until(async () => {
        const rows = await query(server, `SHOW TABLES FROM ${two.schema.name} LIKE 'a'`);
        return rows.length === 0;
      }, 'the first drop of the block is done');
      return client;
    }

    async function statesOf(): Promise<readonly string[]> {
      const rows = await query<{ row: string }>(
        server,
        `SELECT CONCAT(table_name, ' ', state, ' ', relocated) AS 'row' FROM _undrop.ledger
         WHERE schema_name = '${two.schema.name}' ORDER BY id`,
      );
      return rows.map(({ row }) => row);
    }

    /** A proxy that finds the owner alive looks again after some seconds. */
    const areSettled = () =>
      until(
        async () => {
          const states = await statesOf();
          return states.length > 0 && states.every((state) => !state.includes('intent'));
        },
        'its intents are settled',
        180_000,
      );

    const goesOn = () => two.root.query("DO RELEASE_LOCK('middle')");

    test('a block whose proxy is killed in its middle is settled by the next one', async () => {
      const survival = new Survival(two.root, [two.schema.name]);
      await survival.remember();
      const killed = await spawnProxy(server);
      await inTheMiddle(killed);
      killed.kill('SIGKILL');
      await killed.ended;
      await goesOn();
      const next = await proxyInFront(server);
      await areSettled();
      expect(await survival.findLost()).toEqual([]);
      expect(await statesOf()).toContain('a HOLD 1');
      await next.stop();
    });

    test('a block whose client goes in its middle is settled', async () => {
      const survival = new Survival(two.root, [two.schema.name]);
      await survival.remember();
      const client = await inTheMiddle(two.proxy);
      client.close();
      await goesOn();
      await areSettled();
      expect(await survival.findLost()).toEqual([]);
      expect(await statesOf()).toContain('a HOLD 1');
    });

    test.each([
      [['LOCK TABLES a WRITE, b WRITE'], 'root', /under LOCK TABLES/],
      [['SET @x = 1'], 'tb_plain', /may not rename/],
    ])('%s as %s: it does not end in its middle', async (before, user, why) => {
      const { name } = two.schema;
      await query(
        server,
        "CREATE OR REPLACE USER tb_plain@'%'",
        `GRANT SELECT, INSERT, DROP ON ${name}.* TO tb_plain@'%'`,
      );
      const client = await RawClient.open({ ...two.proxy, user }, { schema: name });
      const rows = await client.rows('SELECT * FROM b');
      await client.run(before);
      const { results } = await client.query(
        'BEGIN NOT ATOMIC INSERT INTO b VALUES (9); DROP TABLE a; END',
      );
      const [result] = results;
      if (result?.kind !== 'err') throw new Error('it ran');
      expect(result.message.toString()).toMatch(why);
      expect(await client.rows('SELECT * FROM b')).toEqual(rows);
      await client.quit();
      await query(server, "DROP USER tb_plain@'%'");
    });

    test('IF EXISTS goes past what is gone when its turn comes', async () => {
      const { name } = two.schema;
      await query(server, `USE ${name}`, 'CREATE PROCEDURE p() RENAME TABLE a TO c');
      const client = await RawClient.open(two.proxy, { schema: name });
      const block = 'CALL p(); DROP TABLE IF EXISTS a; INSERT INTO b VALUES (9);';
      await client.run([`BEGIN NOT ATOMIC ${block} END`]);
      expect(await client.rows('SELECT id FROM b WHERE id = 9')).toEqual([['9']]);
      expect(await client.rows('SHOW TABLES')).toEqual([['b'], ['c']]);
      await client.quit();
    });

    test('what was dropped in a block is at home, and in the ledger, when the session goes on', async () => {
      const survival = new Survival(two.root, [two.schema.name]);
      await survival.remember();
      const client = await RawClient.open(two.proxy, { schema: two.schema.name });
      await client.run(['BEGIN NOT ATOMIC DROP TABLE a; DO SLEEP(0); DROP TABLE b; END']);
      expect(await client.rows('SHOW TABLES')).toEqual([]);
      expect(await survival.findLost()).toEqual([]);
      const rows = await query(
        server,
        `SELECT state, relocated FROM _undrop.ledger WHERE schema_name = '${two.schema.name}'
       ORDER BY id DESC LIMIT 2`,
      );
      expect(rows).toEqual([
        { state: 'HOLD', relocated: 1 },
        { state: 'HOLD', relocated: 1 },
      ]);
      await client.quit();
    });
  },
);

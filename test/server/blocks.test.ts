/**
 * MariaDB's compound statements outside of stored programs, with drops in them: conversations that
 * are had directly and through the proxy, and compared to the byte. Each table is held with all its
 * rows; what can't be done exactly is refused, and then the block doesn't run at all.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { query, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { TwoSchemas } from '../support/two-schemas.js';

jest.setTimeout(120_000);

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
  ['a version comment', 'BEGIN NOT ATOMIC /*!50000 DROP TABLE a */; END', /a version comment/],
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

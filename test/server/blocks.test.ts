/**
 * MariaDB's compound statements outside of stored programs, with drops in them: conversations that
 * are had directly and through the proxy, and compared to the byte. Each table is held with all its
 * rows; what can't be done exactly is refused, and then the block doesn't run at all.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { query, testServers } from '../support/servers.js';
import { TwoSchemas } from '../support/two-schemas.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

const END = ['SELECT ROW_COUNT()', 'SHOW WARNINGS', 'SHOW TABLES'];
const AGAIN = 'CREATE TABLE a (id INT)';
const KEYED = [
  'CREATE TABLE p (id INT PRIMARY KEY)',
  'INSERT INTO p VALUES (1)',
  'CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p (id) ON DELETE CASCADE)',
  'INSERT INTO c VALUES (1)',
];

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
  ['IF EXISTS of what is missing', ['BEGIN NOT ATOMIC DROP TABLE IF EXISTS c; END', ...END]],
  ['a sequence that is missing', ['BEGIN NOT ATOMIC DROP SEQUENCE IF EXISTS c; END', ...END]],
  [
    'tables made anew, of which one is missing',
    [
      'BEGIN NOT ATOMIC DROP TABLE IF EXISTS a; CREATE TABLE a (x INT); DROP TABLE IF EXISTS c; CREATE TABLE c (y INT); INSERT INTO c VALUES (5); END',
      'SELECT * FROM a',
      'SELECT * FROM c',
      ...END,
    ],
  ],
  ['missing names beside a table', ['BEGIN NOT ATOMIC DROP TABLE IF EXISTS c, a, d; END', ...END]],
  [
    'a missing name ends it behind the table beside',
    ['BEGIN NOT ATOMIC DROP TABLE c, a; DROP TABLE b; END', ...END],
  ],
  [
    'a missing name ends a transaction',
    [
      'BEGIN NOT ATOMIC START TRANSACTION; INSERT INTO b VALUES (8); DROP TABLE IF EXISTS c; ROLLBACK; END',
      'SELECT * FROM b',
      ...END,
    ],
  ],
  [
    'a handler that ends it',
    [
      "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION SELECT 'out'; DROP TABLE a; SELECT * FROM missing; DROP TABLE b; END",
      ...END,
    ],
  ],
  [
    'a handler that goes on',
    [
      "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLSTATE '42S02' SELECT 'on'; DROP TABLE c; DROP TABLE a, b; SELECT 1; END",
      ...END,
    ],
  ],
  [
    'a handler that sends the error on',
    [
      'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; INSERT INTO b VALUES (9); DROP TABLE a; DROP TABLE c; END',
      'SELECT * FROM b',
      ...END,
    ],
  ],
  [
    'a cursor that comes to its end',
    [
      'BEGIN NOT ATOMIC DECLARE x, done INT DEFAULT 0; DECLARE c CURSOR FOR SELECT id FROM b; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1; OPEN c; REPEAT FETCH c INTO x; UNTIL done END REPEAT; CLOSE c; DROP TABLE a; END',
      ...END,
    ],
  ],
  [
    'tables with triggers, whose names are free behind it',
    [
      'CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1',
      'CREATE TRIGGER u BEFORE INSERT ON b FOR EACH ROW SET @x = 2',
      'BEGIN NOT ATOMIC DROP TABLE a, b; CREATE TABLE a (id INT); INSERT INTO a VALUES (1); END',
      'CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 3',
      'INSERT INTO a VALUES (2)',
      'SELECT @x',
      'SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()',
      ...END,
    ],
  ],
  [
    'foreign keys, made anew',
    [
      ...KEYED,
      `BEGIN NOT ATOMIC DROP TABLE IF EXISTS c; DROP TABLE IF EXISTS p;
       CREATE TABLE p (id INT PRIMARY KEY);
       CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p (id)); END`,
      'SHOW CREATE TABLE c',
      'INSERT INTO c VALUES (1)',
      'INSERT INTO p VALUES (1)',
      'INSERT INTO c VALUES (1)',
      ...END,
    ],
  ],
  [
    'a child, and rows of its parent behind it',
    [...KEYED, 'BEGIN NOT ATOMIC DROP TABLE c; END', 'DELETE FROM p', 'DROP TABLE p', ...END],
  ],
  [
    'foreign keys that are made behind it',
    [
      'BEGIN NOT ATOMIC DROP TABLE a; CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p (id)); END',
      'SHOW CREATE TABLE c',
      ...END,
    ],
  ],
];

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  [
    'a missing name that a program may make',
    'BEGIN NOT ATOMIC CALL p(); DROP TABLE IF EXISTS missing; END',
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
    'a handler of the error of a drop alone',
    'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1051 BEGIN END; DROP TABLE a; END',
    /handles error 1051/,
  ],
  [
    'a handler that would go on in the middle of a drop',
    'BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; DROP TABLE a, c; END',
    /takes several/,
  ],
  [
    'a drop in a handler',
    'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR NOT FOUND DROP TABLE a; END',
    /more than once/,
  ],
  [
    'a temporary table',
    'BEGIN NOT ATOMIC CREATE TEMPORARY TABLE a (x INT); DROP TABLE a; END',
    /temporary tables/,
  ],
  [
    'a dynamic text',
    "BEGIN NOT ATOMIC DROP TABLE a; EXECUTE IMMEDIATE CONCAT('DROP', ' TABLE b'); END",
    /executes a text which only the server knows/,
  ],
  [
    'a PREPARE of a variable, without any drop',
    "BEGIN NOT ATOMIC FOR i IN 1..2 DO SET @v = 'DO 1'; PREPARE p FROM @v; EXECUTE p; END FOR; END",
    /which may be a drop\. Write that text as a literal/,
  ],
  ['a schema beside it', 'BEGIN NOT ATOMIC DROP TABLE a; DROP DATABASE OTHER; END', /another way/],
  ['a parent', 'BEGIN NOT ATOMIC DROP TABLE parent; END', /before its children/],
  ['a parent before its child', 'BEGIN NOT ATOMIC DROP TABLE parent, child; END', /its children/],
  [
    'a child, and rows of its parent in the block',
    'BEGIN NOT ATOMIC DROP TABLE child; DELETE FROM parent; END',
    /more than drop and create/,
  ],
  [
    'a child that may be passed by',
    'BEGIN NOT ATOMIC IF 0 THEN DROP TABLE child; END IF; DROP TABLE parent; END',
    /more than drop and create/,
  ],
  [
    'a foreign key of a name that is taken until its end',
    'BEGIN NOT ATOMIC DROP TABLE child; CREATE TABLE child (id INT, CONSTRAINT k FOREIGN KEY (id) REFERENCES parent (id)); END',
    /names of their own/,
  ],
  [
    'a trigger that a table still has until its end',
    'BEGIN NOT ATOMIC DROP TABLE triggered; DROP TRIGGER IF EXISTS t; END',
    /speaks of triggers/,
  ],
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
        'CREATE TABLE child (id INT, CONSTRAINT k FOREIGN KEY (id) REFERENCES parent (id))',
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
      // It may name what it would have made itself.
      expect(result.message.toString()).not.toContain('still there');
      expect(result.message.toString()).toMatch(why);
      expect(await tables()).toEqual(before);
      expect(await client.rows('SELECT 1')).toEqual([['1']]);
      await client.quit();
      expect(await query(server, "SELECT id FROM _undrop.ledger WHERE state = 'intent'")).toEqual(
        [],
      );
    });
  },
);

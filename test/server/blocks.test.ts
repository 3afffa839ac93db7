/**
 * MariaDB's compound statements outside of stored programs: one with a drop in it is refused, and
 * then nothing of it runs; one without is the server's, to the byte.
 */
import { describe, expect, test } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { inHooks } from '../support/on-servers.js';
import { CLIENT, MODERN, RawClient } from '../support/raw-client.js';
import { query, testServers } from '../support/servers.js';
import { TwoSchemas } from '../support/two-schemas.js';

const END = ['SELECT ROW_COUNT()', 'SHOW WARNINGS', 'SHOW TABLES'];

/** Without a drop. */
const TALKS: readonly (readonly [string, readonly string[]])[] = [
  ['a block without a drop', ['BEGIN NOT ATOMIC INSERT INTO a VALUES (7); SELECT 2; END', ...END]],
  ['a view', ['BEGIN NOT ATOMIC DROP VIEW IF EXISTS v; END', ...END]],
  ['a syntax error', ['BEGIN NOT ATOMIC SELECT FROM; END', ...END]],
];

const SEND_PLAIN = /in a compound statement\. Send it as a plain statement of its own/;

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['a block', 'BEGIN NOT ATOMIC INSERT INTO b VALUES (9); DROP TABLE a; END', SEND_PLAIN],
  ['a syntax error in the drop', 'BEGIN NOT ATOMIC DROP TABLE a b; END', SEND_PLAIN],
  ['a missing name', 'BEGIN NOT ATOMIC DROP TABLE IF EXISTS missing; END', SEND_PLAIN],
  ['a branch', 'IF 0 THEN DROP TABLE a; END IF', SEND_PLAIN],
  ['a CASE', 'CASE 2 WHEN 1 THEN DO 1; WHEN 2 THEN DROP TABLE b; END CASE', SEND_PLAIN],
  ['a loop', 'WHILE 1 DO DROP TABLE a; END WHILE', SEND_PLAIN],
  [
    'a drop in a handler',
    'BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR NOT FOUND DROP TABLE a; END',
    SEND_PLAIN,
  ],
  ['a hint', 'BEGIN NOT ATOMIC /* undrop: pin */ DROP TABLE a; END', SEND_PLAIN],
  ['a version comment', 'BEGIN NOT ATOMIC /*!50000 DROP TABLE a */; END', SEND_PLAIN],
  ['a schema', 'BEGIN NOT ATOMIC DROP DATABASE OTHER; END', SEND_PLAIN],
  [
    'a dynamic text',
    "BEGIN NOT ATOMIC DROP TABLE a; EXECUTE IMMEDIATE CONCAT('DROP', ' TABLE b'); END",
    SEND_PLAIN,
  ],
  [
    'a PREPARE of a variable, without any drop',
    "BEGIN NOT ATOMIC FOR i IN 1..2 DO SET @v = 'DO 1'; PREPARE p FROM @v; EXECUTE p; END FOR; END",
    SEND_PLAIN,
  ],
];

describe.each(testServers().filter(({ flavour }) => flavour === 'mariadb'))(
  'drops in blocks on $name',
  (server) => {
    const { beforeEach, open } = inHooks();
    const two = open(() => TwoSchemas.open(server));
    beforeEach(() => two.fill());

    test.each(TALKS)('%s: the same bytes', async (_name, texts) => {
      for (const flags of [MODERN, 0, MODERN | CLIENT.MULTI_STATEMENTS]) {
        await two.compare(async (target) => {
          await using client = await RawClient.open(target, { schema: two.schema.name, flags });
          const heard: string[] = [];
          for (const text of texts) heard.push(...describeAnswer(await client.query(text)));
          return heard;
        });
      }
    });

    test.each(REFUSED)('%s: refused, and nothing of it has run', async (_name, text, why) => {
      const { name } = two.schema;
      const tables = async () => [
        await query(server, `SHOW FULL TABLES FROM ${name}`),
        await query(server, `SELECT * FROM ${name}.b`),
      ];
      const before = await tables();
      for (const flags of [MODERN, MODERN | CLIENT.MULTI_STATEMENTS]) {
        await using client = await RawClient.open(two.proxy, { schema: name, flags });
        const [result] = (await client.query(text.replaceAll('OTHER', two.other.name))).results;
        if (result?.kind !== 'err') throw new Error('it ran');
        expect(result.message.toString()).toMatch(/^UNDROP_NOT_DONE_YET: /);
        expect(result.message.toString()).toMatch(why);
        expect(await tables()).toEqual(before);
        expect(await client.rows('SELECT 1')).toEqual([['1']]);
      }
      const isOurs = `schema_name IN ('${name}', '${two.other.name}')`;
      const intents = `SELECT id FROM _undrop.ledger WHERE state = 'intent' AND ${isOurs}`;
      expect(await query(server, intents)).toEqual([]);
    });
  },
);

/**
 * What a compound statement of MariaDB's has dropped by its end, or by a death in its middle: held
 * at home, in the ledger, and to be brought back whole. What would end it in its middle, though a
 * drop would not, is seen before it runs.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { restore } from '../../src/undo/run-restore.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { query, type Target, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { Survival } from '../support/survival.js';
import { TwoSchemas } from '../support/two-schemas.js';

// A busy machine is slow, not wrong.
jest.setTimeout(240_000);

describe.each(testServers().filter(({ flavour }) => flavour === 'mariadb'))(
  'on $name',
  (server) => {
    let two: TwoSchemas;

    beforeAll(async () => {
      two = await TwoSchemas.open(server);
    });
    afterAll(() => two.close());
    beforeEach(() => two.fill());

    /** A block that has dropped `a` and waits for a lock of ours before it drops `b`. */
    async function inTheMiddle(target: Target): Promise<RawClient> {
      await two.root.query("DO GET_LOCK('middle', 0)");
      await two.root.query(
        `CREATE TRIGGER ${two.schema.name}.t BEFORE INSERT ON ${two.schema.name}.a
         FOR EACH ROW SET @x = 1`,
      );
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
    const areSettled = async () => {
      try {
        await until(
          async () => {
            const states = await statesOf();
            return states.length > 0 && states.every((state) => !state.includes('intent'));
          },
          'its intents are settled',
          120_000,
        );
      } catch (error) {
        const sessions = await query(server, 'SHOW FULL PROCESSLIST');
        throw new Error(JSON.stringify([await statesOf(), sessions]), { cause: error });
      }
    };

    const goesOn = () => two.root.query("DO RELEASE_LOCK('middle')");

    test('a block whose proxy is killed in its middle is settled by the next one', async () => {
      const survival = new Survival(two.root, [two.schema.name]);
      await survival.remember();
      const killed = await spawnProxy(server);
      await inTheMiddle(killed);
      killed.kill('SIGKILL');
      await killed.ended;
      // The session is in the middle still when the next one looks, and another one collects.
      const next = await spawnProxy(server);
      await until(() => next.lines.some(({ event }) => event === 'ledger'), 'it has looked');
      await goesOn();
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
      [
        ['SET autocommit = 0', 'LOCK TABLES a WRITE, b WRITE', 'SELECT * FROM b'],
        'root',
        /under LOCK TABLES/,
      ],
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
      const left = await client.rows('SELECT * FROM b');
      await client.quit();
      const [result] = results;
      if (result?.kind !== 'err') throw new Error('it ran');
      expect(result.message.toString()).toMatch(why);
      expect(left).toEqual(rows);
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

    test('what was dropped in a block comes back with its keys and triggers', async () => {
      const { name } = two.schema;
      await query(
        server,
        `USE ${name}`,
        'CREATE TABLE p (id INT PRIMARY KEY)',
        'INSERT INTO p VALUES (1)',
        'CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p (id))',
        'INSERT INTO c VALUES (1)',
        'CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW SET @x = 1',
      );
      const shown = async () => [
        await query(server, `SHOW CREATE TABLE ${name}.c`),
        await query(
          server,
          `SELECT ACTION_STATEMENT AS text FROM information_schema.TRIGGERS
           WHERE TRIGGER_SCHEMA = '${name}' AND EVENT_OBJECT_TABLE = 'c'`,
        ),
        await query(server, `SELECT * FROM ${name}.c`),
      ];
      const before = await shown();
      const client = await RawClient.open(two.proxy, { schema: name });
      await client.run(['BEGIN NOT ATOMIC DROP TABLE c; DROP TABLE p; END']);
      expect(await client.rows('SHOW TABLES')).toEqual([['a'], ['b']]);
      await client.quit();
      const pool = poolOn(server);
      for (const table of ['p', 'c']) await restore(pool, { target: `${name}.${table}` });
      await pool.dispose();
      expect(await shown()).toEqual(before);
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

/**
 * kill -9 of the proxy at every so many events (KILL_EVERY, the first chosen by KILL_SEED) of a
 * TRUNCATE of a table with a parent and a child: the table is there at every moment, as it was or
 * empty, and then what it had is held whole and can be restored; its keys and those of its child
 * are as they were; recovery renames nothing that lives; what is left of a twin is empty, has a
 * hold name and is due within the hour.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import type { ServicePool } from '../../src/service/pools.js';
import { restore } from '../../src/undo/run-restore.js';
import { Dice, seededRandom } from '../support/dice.js';
import { until } from '../support/poll.js';
import { connect, freshSchema, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { intentsSettled } from '../support/settled.js';
import { sessionsGone, type TappedProxy, tappedProxy } from './killed-drops.js';

/** Odd, so that each kind of event has its turn. */
const EVERY = Number(process.env['KILL_EVERY'] ?? '31');
const SEED = Number(process.env['KILL_SEED'] ?? '1');
const EVENTS_MAX = 600;
const SETTLED_MS = 20_000;
const PROTECT = { PROTECT: 'truncate' };
const WHOLE = { fromRename: false };
const KEYS = ['a.mine>p', 'c.theirs>a'];

/** The test on one server of the set. */
export function killedTruncates(name: string): void {
  describe(`a proxy killed in the middle of a TRUNCATE on ${name}`, () => {
    const server = testServer(name);
    let pool: ServicePool;
    let direct: Connection;

    beforeAll(async () => {
      pool = poolOn(server, 2);
      await ensureLedger(pool);
      direct = await connect(server);
    });

    afterAll(async () => {
      await direct.end();
      await pool.dispose();
    });

    test('leaves the table as it was, or empty and held, wherever it is killed', async () => {
      const schema = await freshSchema(server, 'killt');
      const states = new Set<number>();
      const first = 1 + new Dice(seededRandom(SEED)).below(EVERY);
      let victim = await tappedProxy(server, WHOLE, PROTECT);
      let places = 0;
      for (let at = first; ; at += EVERY) {
        expect(at).toBeLessThan(EVENTS_MAX);
        await make(direct, schema.name);
        victim.killAt(at);
        await truncateThrough(victim, schema.name);
        if (victim.killedAt() === null) await victim.proxy.stop();
        await victim.proxy.ended;
        const killedAt = victim.killedAt();
        await victim.tap.close();
        await sessionsGone(direct, schema.name);
        const rows = await countRows(direct, `${schema.name}.a`);
        victim = await tappedProxy(server, WHOLE, PROTECT);
        await intentsSettled(direct, [schema.name], SETTLED_MS);
        const where = `killed at ${at}: ${killedAt?.moment} of ${killedAt?.text}`;
        const after = await countRows(direct, `${schema.name}.a`);
        expect({ where, rows: after }).toEqual({ where, rows });
        const held = await heldIds(direct, schema.name);
        expect({ where, held: held.length }).toEqual({ where, held: rows === 3 ? 0 : 1 });
        await until(
          async () => JSON.stringify(await keysOf(direct, schema.name)) === JSON.stringify(KEYS),
          `the keys are as they were, ${where}`,
          SETTLED_MS,
        );
        expect({ where, left: await oddTwins(direct) }).toEqual({ where, left: [] });
        for (const id of held) {
          await restore(pool, { target: id, to: 'back' });
          expect({ where, n: await countRows(direct, `${schema.name}.back`) }).toEqual({
            where,
            n: 3,
          });
        }
        states.add(rows);
        if (killedAt === null) break;
        places++;
      }
      await victim.proxy.stop();
      await victim.tap.close();
      process.stdout.write(`${server.name}: killed at ${places} events, every ${EVERY}.\n`);
      expect([...states].sort()).toEqual([0, 3]);
      await schema.drop();
    }, 1_200_000);
  });
}

async function make(direct: Connection, schema: string): Promise<void> {
  await direct.query(`DROP TABLE IF EXISTS ${schema}.back, ${schema}.c, ${schema}.a, ${schema}.p`);
  const key = (name: string, parent: string) =>
    `CONSTRAINT ${name} FOREIGN KEY (pid) REFERENCES ${schema}.${parent} (id)`;
  for (const text of [
    `CREATE TABLE ${schema}.p (id INT PRIMARY KEY) ENGINE=InnoDB`,
    `CREATE TABLE ${schema}.a (id INT PRIMARY KEY AUTO_INCREMENT, pid INT, ${key('mine', 'p')})
      ENGINE=InnoDB`,
    `CREATE TABLE ${schema}.c (id INT PRIMARY KEY, pid INT, ${key('theirs', 'a')}) ENGINE=InnoDB`,
    `INSERT INTO ${schema}.p VALUES (1)`,
    `INSERT INTO ${schema}.a (pid) VALUES (1), (1), (NULL)`,
  ]) {
    await direct.query(text);
  }
}

/** The end of the connection is fine where a kill is meant. */
async function truncateThrough({ proxy }: TappedProxy, schema: string): Promise<void> {
  try {
    const client = await connect(proxy, { database: schema });
    client.on('error', () => undefined);
    try {
      await client.query('SET foreign_key_checks = 0');
      await client.query('TRUNCATE TABLE a');
    } finally {
      client.destroy();
    }
  } catch (error) {
    const { code } = error as { readonly code?: string };
    const isEnd = code === 'PROTOCOL_CONNECTION_LOST' || code === 'ECONNRESET';
    if (!isEnd) throw error;
  }
}

async function countRows(direct: Connection, table: string): Promise<number> {
  const [[row]] = await direct.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
  return Number(row?.['n']);
}

async function heldIds(direct: Connection, schema: string): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'HOLD'",
    [schema],
  );
  return rows.map(({ id }) => String(id));
}

async function keysOf(direct: Connection, schema: string): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME, '>', REFERENCED_TABLE_NAME) AS one
     FROM information_schema.REFERENTIAL_CONSTRAINTS
     WHERE CONSTRAINT_SCHEMA = ? AND UNIQUE_CONSTRAINT_SCHEMA = ? ORDER BY one`,
    [schema, schema],
  );
  return rows.map(({ one }) => String(one));
}

/** Tables of ours that nobody knows, but twins that are about to be collected. */
export async function oddTwins(direct: Connection): Promise<readonly string[]> {
  const [rows] = await direct.query<RowDataPacket[]>(
    `SELECT TABLE_SCHEMA AS place, TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE '\\_vt\\_%'
       AND SUBSTRING(TABLE_NAME, 10, 32) NOT IN (SELECT id FROM _undrop.ledger)
       AND SUBSTRING(TABLE_NAME, 43) > DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 61 MINUTE, '%Y%m%d%H%i%s')`,
  );
  return rows.map(({ place, name }) => `${place}.${name}`);
}

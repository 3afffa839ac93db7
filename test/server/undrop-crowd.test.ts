/**
 * Sessions drop and undrop the same few names at once. Whatever UNDROP says OK to has all its rows,
 * and in the end each table that was made is there once, live or held.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { freshLedger } from '../support/fresh-ledger.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { isLong, rounds, sample } from '../support/sample.js';
import { connect, freshSchema, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

// A busy machine is slow, not wrong.
jest.setTimeout(300_000);

const SESSIONS = rounds(20, 8);
/** At least. */
const ROUNDS = 6;
const LASTS_MS = rounds(60_000, 0);
const [NAMES, TABLES, ROWS] = [3, 6, 50];

/** The name is taken; nothing is held, or dropped, of that name; somebody was faster. */
const EXPECTED = new Set([1050, 1051, 1146, 1205, 1213]);
const REFUSED = /^UNDROP_(CHANGED_MEANWHILE|NOT_SEEN|NOT_RESTORABLE|NOT_SWAPPED) ?/;

const servers = isLong ? testServers() : sample(testServers(), { name: 'crowd', count: 1 });

describe.each(servers)('on $name', (server) => {
  let proxy: ProxyTarget;
  let root: Connection;
  let schema = '';

  beforeAll(async () => {
    await freshLedger(server);
    proxy = await proxyInFront(server);
    root = await connect(server, { multipleStatements: true });
    schema = (await freshSchema(server, 'undrops')).name;
  });

  afterAll(async () => {
    await proxy.stop();
    await root.query(`DROP DATABASE ${schema}`);
    await root.end();
    await freshLedger(server);
  });

  async function generationsIn(place: string): Promise<readonly number[]> {
    const [rows] = await root.query<RowDataPacket[]>(
      `SELECT generation, COUNT(*) AS n FROM ${place} GROUP BY generation`,
    );
    expect(rows).toMatchObject([{ n: ROWS }]);
    return rows.map((row) => row['generation'] as number);
  }

  test('every table that came back has all its rows, and none is lost', async () => {
    const values = Array.from({ length: ROWS }, (_row, index) => `(@generation, ${index})`);
    for (let table = 0; table < TABLES; table++) {
      const name = `${schema}.g${table}`;
      await root.query(
        `CREATE TABLE ${name} (generation INT, n INT) ENGINE=InnoDB; SET @generation = ${table};
         INSERT INTO ${name} VALUES ${values.join(', ')}`,
      );
    }
    const surprises: string[] = [];
    const counted: number[] = [];
    let [restored, dropped, endMs] = [0, 0, 0];

    async function live(session: number): Promise<void> {
      const client = await RawClient.open(proxy, { schema });
      const send = async (sql: string): Promise<boolean> => {
        const { results } = await client.query(sql);
        const [result] = results;
        if (result?.kind !== 'err') return true;
        const isRefusal = REFUSED.test(result.message.toString());
        if (!EXPECTED.has(result.errno) && !isRefusal) surprises.push(`${sql}: ${result.message}`);
        return false;
      };
      for (let round = 0; round < ROUNDS || performance.now() < endMs; round++) {
        const name = `t${(session + round) % NAMES}`;
        const own = `own_${session}_${round}`;
        if (await send(`UNDROP TABLE ${name} TO ${own}`)) {
          restored++;
          // Nobody else knows this name.
          const { results } = await client.query(`SELECT COUNT(*) FROM ${own}`);
          const [result] = results;
          if (result?.kind === 'rows') counted.push(result.rows.length);
          expect(await generationsIn(`${schema}.${own}`)).toHaveLength(1);
          if (!(await send(`RENAME TABLE ${own} TO ${name}`))) await send(`DROP TABLE ${own}`);
        }
        if (await send(`DROP TABLE ${name}`)) dropped++;
        if (await send(`UNDROP TABLE ${name}${round % 4 === 0 ? ' SWAP' : ''}`)) restored++;
      }
      await client.quit();
    }

    for (let table = 0; table < TABLES; table++) {
      await root.query(`RENAME TABLE ${schema}.g${table} TO ${schema}.t0`);
      const client = await connect(proxy, { database: schema });
      await client.query('DROP TABLE t0');
      await client.end();
    }
    endMs = performance.now() + LASTS_MS;
    await Promise.all(Array.from({ length: SESSIONS }, (_session, index) => live(index)));
    expect(surprises).toEqual([]);
    expect(restored).toBeGreaterThan(SESSIONS);
    expect(dropped).toBeGreaterThan(SESSIONS / 2);
    expect(counted.length).toBeGreaterThan(0);
    await intentsSettled(root, [schema]);
    const [places] = await root.query<RowDataPacket[]>(
      `SELECT TABLE_SCHEMA AS place, TABLE_NAME AS name FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = '${schema}'
         OR TABLE_SCHEMA LIKE '\\\\_undrop%' AND TABLE_NAME LIKE '\\\\_vt\\\\_%'`,
    );
    const found: number[] = [];
    for (const { place, name } of places) {
      found.push(...(await generationsIn(`\`${place}\`.\`${name}\``)));
    }
    expect(found.toSorted()).toEqual(Array.from({ length: TABLES }, (_table, index) => index));
  });
});

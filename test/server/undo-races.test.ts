/**
 * Whoever restores a table at the very moment at which its time is over gets it whole, or is told
 * that it can't be had, and then it goes. Never half of it, and never both.
 */
import { describe, expect, jest, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { startCollecting } from '../lifecycle/collecting.js';
import { Dice, seededRandom } from '../support/dice.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import { isLong, rounds, sample, seedFor } from '../support/sample.js';
import { connect, testServers } from '../support/servers.js';

// A busy machine is slow, not wrong.
jest.setTimeout(600_000);

const ROUNDS = rounds(25, 2);
const [TABLES, SESSIONS, ROWS] = [10, 4, 40];
/** After the start of a collector a restore begins within so long. */
const WITHIN_MS = 100;
const REFUSED = /^UNDROP_(BUSY|CHANGED_MEANWHILE|NO_SUCH_HELD|NOT_HELD|NOT_RESTORABLE):/;

const servers = isLong ? testServers() : sample(testServers(), { name: 'races', count: 1 });

describe.each(servers)('undo beside a collector on $name', (server) => {
  const on = onServer(server);
  on.freshLedger();
  const proxy = on.proxy({ HOLD: '1s', MIN_HOLD: '0s' });
  const root = on.session({ multipleStatements: true });
  const schema = on.schema('races').name;
  const dice = new Dice(seededRandom(seedFor(server.name)));

  test(`${ROUNDS * TABLES} restores at the due time: whole, or gone`, async () => {
    const values = Array.from({ length: ROWS }, (_row, index) => `(${index})`).join(', ');
    const surprises: string[] = [];
    let [restored, refused] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const names = Array.from({ length: TABLES }, (_table, index) => `r${round}_${index}`);
      for (const name of names) {
        await root.query(
          `CREATE TABLE ${schema}.${name} (id INT PRIMARY KEY) ENGINE=InnoDB;
           INSERT INTO ${schema}.${name} VALUES ${values}`,
        );
      }
      const dropping = await connect(proxy, { database: schema });
      await dropping.query(`DROP TABLE ${names.join(', ')}`);
      await dropping.end();
      const due = await held();
      expect(due).toHaveLength(TABLES);
      const dueMs = Math.max(...due.map((row) => Number(row['dueMs'])));
      await until(async () => (await nowMs()) >= dueMs, 'they are due');
      const startMs = await nowMs();
      const collecting = startCollecting(server, { fastDrop: 'never', purgeChunkRows: 5 });
      const left = [...names];
      const restore = async () => {
        await using client = await RawClient.open(proxy, { schema });
        for (let name = left.pop(); name !== undefined; name = left.pop()) {
          const atMs = startMs + dice.below(WITHIN_MS);
          await until(async () => (await nowMs()) >= atMs, 'the time has come');
          const { results } = await client.query(`UNDROP TABLE ${name}`);
          const [result] = results;
          const isRefused = result?.kind === 'err';
          if (isRefused && !REFUSED.test(result.message.toString())) {
            surprises.push(`${name}: ${result.errno} ${result.message}`);
          }
          if (isRefused) refused++;
          else restored++;
          // What it says holds, whatever the collector does next.
          if (!isRefused) expect(await countOf(name)).toBe(ROWS);
        }
      };
      await Promise.all(Array.from({ length: SESSIONS }, restore));
      await until(async () => (await held()).length === 0, 'the others are gone');
      await collecting.stop();
      const live = await root.rows(`SHOW TABLES FROM ${schema}`);
      expect(live).toHaveLength(restored);
    }
    expect(surprises).toEqual([]);
    expect(restored + refused).toBe(ROUNDS * TABLES);
  });

  async function nowMs(): Promise<number> {
    const [row] = await root.rows('SELECT ROUND(UNIX_TIMESTAMP(UTC_TIMESTAMP(3)) * 1000) AS ms');
    return Number(row?.['ms']);
  }

  /** All that is held is this test's. */
  async function held(): Promise<readonly RowDataPacket[]> {
    const rows = await root.rows(
      `SELECT 1000 * UNIX_TIMESTAMP(STR_TO_DATE(RIGHT(TABLE_NAME, 14), '%Y%m%d%H%i%s')) AS dueMs
       FROM information_schema.TABLES
       WHERE TABLE_SCHEMA IN ('_undrop', ?) AND TABLE_NAME LIKE '\\_vt\\_%'`,
      [schema],
    );
    return rows;
  }

  async function countOf(name: string): Promise<number> {
    const [row] = await root.rows(`SELECT COUNT(*) AS n FROM ${schema}.${name}`);
    return Number(row?.['n']);
  }
});

/**
 * DROP DATABASE through the proxy against a session that creates tables with rows in the schema
 * and commits: each row that it was told is committed is in its table or in a held one.
 */
import { jest } from '@jest/globals';
import { heldTables } from '../support/client-held.js';
import { Dice, seededRandom } from '../support/dice.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { LATE } from '../support/load.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { isLong, rounds, seedFor } from '../support/sample.js';
import { connect, freshSchema, type Session, testServers } from '../support/servers.js';

/** For each server. */
const ROUNDS = rounds(8, 2);
const SEED = seedFor('pauses');

const LONGEST_MS = 120_000 + ROUNDS * 30_000;
jest.setTimeout(LONGEST_MS);

/** Of a rival; then the drop has its way. */
const TABLES_MAX = 25;
const PAUSE_MS_MAX = 120;
/** A table may be on its way from one name to the next: what is lost is lost at every look. */
const LOOKS = 3;
const ER_NO_SUCH_TABLE = 1146;

inLanes(
  testServers(),
  'rivals for a schema on $name',
  (server, lane) => {
    const on = onServer(server, lane);
    on.freshLedger();
    const proxy = on.proxy();
    const root = on.session();
    const dice = new Dice(seededRandom(SEED));

    async function lookForLost(schema: string, tables: ReadonlySet<string>) {
      const held = await heldTables(server, (one) => one === schema);
      const live = await root.tables(schema);
      const lost: string[] = [];
      for (const table of tables) {
        const counts = held.filter((one) => one.table === table).map(({ rows }) => rows);
        if (live.includes(table)) counts.push(await root.count(`${schema}.${table}`));
        const rows = counts.reduce((sum, count) => sum + count, 0);
        if (rows !== 1) lost.push(`${table} has ${rows} rows in ${counts.length} tables`);
      }
      return lost;
    }

    /** Of `tables`, each with one row: those that are neither there nor held with it. */
    async function findLost(schema: string, tables: ReadonlySet<string>) {
      for (let look = 1; ; look++) {
        try {
          const lost = await lookForLost(schema, tables);
          if (lost.length === 0 || look === LOOKS) return lost;
        } catch (error) {
          const { errno } = error as { readonly errno?: number };
          if (errno !== ER_NO_SUCH_TABLE || look === LOOKS) throw error;
        }
      }
    }

    on.testOnEach(`${ROUNDS} times one creates in a dropped schema: no row is lost`, async () => {
      const problems: string[] = [];
      let [committed, dropped] = [0, 0];
      for (let round = 0; round < ROUNDS; round++) {
        const { name, drop } = await freshSchema(server, 'rival');
        await using client = await connect({ ...proxy, user: server.user });
        const rival = startRival(await connect(server), name, dice.below(PAUSE_MS_MAX));
        await until(() => rival.committed.size >= 2, 'two tables have a row');
        const said = await client.query(`DROP DATABASE ${name}`).then(() => null, String);
        await rival.stop();
        if (said === null) dropped++;
        // The other creates too fast for it, or the server is slow.
        else if (!said.includes('UNDROP_CHANGED_MEANWHILE') && !LATE.test(said)) {
          problems.push(`round ${round}: ${said}`);
        }
        committed += rival.committed.size;
        const lost = await findLost(name, rival.committed);
        problems.push(...lost.map((what) => `round ${round}: ${what}`));
        await drop();
        await freshLedger(server);
      }
      process.stdout.write(
        `${server.name}: seed ${SEED}, ${dropped} of ${ROUNDS} dropped, ${committed} rows committed\n`,
      );
      expect(problems).toEqual([]);
      // In a few rounds the other may create too fast each time.
      if (isLong) expect(dropped).toBeGreaterThan(0);
    });
  },
  LONGEST_MS,
);

/** Creates a table and commits a row in it, again and again, until it is told to stop. */
function startRival(session: Session, schema: string, pauseMs: number) {
  /** Tables whose row was said to be committed. */
  const committed = new Set<string>();
  let isStopped = false;
  /** False where the schema is gone, or the table is held by then. */
  const makes = async (table: string): Promise<boolean> => {
    const at = `${schema}.${table}`;
    const create = `CREATE TABLE ${at} (id INT) ENGINE=InnoDB`;
    for (const text of [create, 'BEGIN', `INSERT INTO ${at} VALUES (1)`, 'COMMIT']) {
      const error = await session.errorOf(text);
      if (error !== null && typeof error.errno !== 'number') throw error;
      if (error !== null) return false;
    }
    return true;
  };
  const run = async () => {
    await session.query('SET lock_wait_timeout = 5');
    for (let n = 1; !isStopped && n <= TABLES_MAX; n++) {
      if (await makes(`t${n}`)) committed.add(`t${n}`);
      await session.query(`DO SLEEP(${pauseMs / 1_000})`);
    }
    await session.end();
  };
  const ended = run();
  return {
    committed,
    stop: () => {
      isStopped = true;
      return ended;
    },
  };
}

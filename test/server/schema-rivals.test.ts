/**
 * DROP DATABASE through the proxy against a session that creates tables with rows in the schema
 * and commits: each row that it was told is committed is in its table or in a held one.
 */
import { expect, jest } from '@jest/globals';
import { Dice, seededRandom } from '../support/dice.js';
import { inLanes } from '../support/lanes.js';
import { LATE } from '../support/load.js';
import { onServer } from '../support/on-servers.js';
import type { ProxyTarget } from '../support/proxy.js';
import { isLong, rounds, seedFor } from '../support/sample.js';
import {
  connect,
  freshSchema,
  type Session,
  type TestServer,
  testServers,
} from '../support/servers.js';

/** For each server. */
const ROUNDS = rounds(20, 2);
const SEED = seedFor('pauses');

const LONGEST_MS = 120_000 + ROUNDS * 30_000;
jest.setTimeout(LONGEST_MS);

/** Of a rival; then the drop has its way. */
const TABLES_MAX = 25;
const PAUSE_MS_MAX = 120;

inLanes(
  testServers(),
  'rivals for a schema on $name',
  (server, lane) => {
    const on = onServer(server, lane);
    const proxy = on.proxy();
    const root = on.session();

    on.testOnEach(
      `${ROUNDS} times a schema is dropped while another session creates in it: no row is lost`,
      async () => {
        const { problems, committed, dropped } = await runAll(server, proxy, root);
        process.stdout.write(
          `${server.name}: seed ${SEED}, ${dropped} of ${ROUNDS} dropped, ${committed} rows committed\n`,
        );
        expect(problems).toEqual([]);
        expect(committed).toBeGreaterThan(0);
        // In a few rounds the other may create too fast each time.
        if (isLong) expect(dropped).toBeGreaterThan(0);
      },
    );
  },
  LONGEST_MS,
);

async function runAll(server: TestServer, proxy: ProxyTarget, root: Session) {
  const dice = new Dice(seededRandom(SEED));
  const problems: string[] = [];
  let [committed, dropped] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const { name, drop } = await freshSchema(server, 'rival');
    const client = await connect({ ...proxy, user: server.user });
    const rival = new Rival(await connect(server), name, dice.below(PAUSE_MS_MAX));
    const creating = rival.run();
    await rival.begun;
    const said = await client.query(`DROP DATABASE ${name}`).then(() => null, String);
    rival.stop();
    await creating;
    await client.end();
    if (said === null) dropped++;
    // The other creates too fast for it, or the server is slow.
    else if (!said.includes('UNDROP_CHANGED_MEANWHILE') && !LATE.test(said)) {
      problems.push(`round ${round}: ${said}`);
    }
    committed += rival.committed.size;
    const lost = await findLost(root, name, rival.committed);
    problems.push(...lost.map((what) => `round ${round}: ${what}`));
    await drop();
  }
  return { problems, committed, dropped };
}

/** Creates a table and commits a row in it, again and again, until it is told to stop. */
class Rival {
  readonly #session: Session;
  readonly #schema: string;
  readonly #pauseMs: number;
  #isStopped = false;
  #begin: () => void = () => undefined;
  /** Two tables have a row, or there will be none. */
  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  /** Tables whose row was said to be committed. */
  readonly committed = new Set<string>();

  constructor(session: Session, schema: string, pauseMs: number) {
    this.#session = session;
    this.#schema = schema;
    this.#pauseMs = pauseMs;
  }

  async run(): Promise<void> {
    await this.#session.query('SET lock_wait_timeout = 5');
    for (let n = 1; !this.#isStopped && n <= TABLES_MAX; n++) {
      const table = `t${n}`;
      if (await this.#makes(table)) this.committed.add(table);
      if (this.committed.size === 2) this.#begin();
      await this.#session.query(`DO SLEEP(${this.#pauseMs / 1_000})`);
    }
    this.#begin();
    await this.#session.end();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** False where the schema is gone, or the table is held by then. */
  async #makes(table: string): Promise<boolean> {
    try {
      await this.#session.query(`CREATE TABLE ${this.#schema}.${table} (id INT) ENGINE=InnoDB`);
      await this.#session.query('BEGIN');
      await this.#session.query(`INSERT INTO ${this.#schema}.${table} VALUES (1)`);
      await this.#session.query('COMMIT');
      return true;
    } catch (error) {
      if (typeof (error as { readonly errno?: number }).errno !== 'number') throw error;
      return false;
    }
  }
}

/** Of `tables`, each with one row: those that are neither there nor held with it. */
async function findLost(root: Session, schema: string, tables: ReadonlySet<string>) {
  const dropped = await root.rows(
    'SELECT id, table_name AS name FROM _undrop.ledger WHERE schema_name = ?',
    [schema],
  );
  // Where they are is in the ledger a moment behind the answer only.
  const there = await root.rows(
    `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS place FROM information_schema.TABLES
     WHERE TABLE_SCHEMA IN ('_undrop', ?)`,
    [schema],
  );
  const all = there.map(({ place }) => String(place));
  const places = new Map<string, string[]>();
  for (const { id, name } of dropped) {
    const held = all.filter((place) => place.includes(String(id)));
    places.set(String(name), [...(places.get(String(name)) ?? []), ...held]);
  }
  const lost: string[] = [];
  for (const table of tables) {
    const own = [...(places.get(table) ?? []), `${schema}.${table}`];
    let rows = 0;
    for (const place of own) rows += await countRows(root, place);
    if (rows !== 1) lost.push(`${table} has ${rows} rows in ${own.join(', ')}`);
  }
  for (const place of [...places.values()].flat()) await root.query(`DROP TABLE ${place}`);
  return lost;
}

async function countRows(root: Session, place: string): Promise<number> {
  try {
    return Number((await root.column(`SELECT COUNT(*) AS n FROM ${place}`))[0]);
  } catch (error) {
    const { errno } = error as { readonly errno?: number };
    if (errno !== 1146 && errno !== 1049) throw error;
    return 0;
  }
}

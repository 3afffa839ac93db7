/**
 * Sessions create, fill and drop the same few tables at once: every row whose INSERT was answered
 * OK is afterwards in a live table or in a held one, and none is there twice. Others drop and
 * undrop the same few names: whatever UNDROP says OK to has all its rows, and in the end each table
 * that was made is there once, live or held. And whoever undrops a table at the moment at which its
 * time is over gets it whole, or is told that it can't be had, and then it goes.
 */
import { jest } from '@jest/globals';
import { startCollecting } from '../collector/collecting.js';
import { Dice, seededRandom } from '../support/dice.js';
import { LATE } from '../support/load.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import { rounds, sample, seedFor } from '../support/sample.js';
import { connect, testServers } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

// A busy machine is slow, not wrong.
jest.setTimeout(600_000);

/** At least, of each session. */
const ROUNDS = 6;

/** Of those who drop alone. */
const DROPPERS = rounds(50, 20);
const [DROPPED_NAMES, ROWS_A_ROUND] = [4, 3];
/** What natively happens to those who meet: exists, unknown, no such table, deadlock. */
const NATIVE = new Set([1050, 1051, 1146, 1213]);
/** Tables that never hold still are refused, whichever of the two looks missed them last. */
const RESTLESS = /^UNDROP_(CHANGED_MEANWHILE|NOT_SEEN) ?/;

const SESSIONS = rounds(20, 8);
const LASTS_MS = rounds(15_000, 0);
const [NAMES, TABLES, ROWS] = [3, 6, 50];

/** The name is taken; nothing is held, or dropped, of that name; somebody was faster. */
const EXPECTED = new Set([...NATIVE, 1205]);
const REFUSED = /^UNDROP_(CHANGED_MEANWHILE|NOT_SEEN|NOT_RESTORABLE|NOT_SWAPPED) ?/;

/** At the due time. */
const DUE_ROUNDS = rounds(6, 2);
const [DUE_TABLES, DUE_SESSIONS, DUE_ROWS] = [10, 4, 40];
/** After the start of a collector a restore begins within so long. */
const WITHIN_MS = 100;
const TOO_LATE = /^UNDROP_(BUSY|CHANGED_MEANWHILE|NO_SUCH_HELD|NOT_HELD|NOT_RESTORABLE):/;

const servers = sample(testServers(), { name: 'crowd', count: 1 });

/** Says a text; what is neither done nor expected is a surprise. */
function sayer(client: RawClient, errnos: ReadonlySet<number>, refused: RegExp) {
  const surprises: string[] = [];
  const say = async (sql: string): Promise<boolean> => {
    const [result] = (await client.query(sql)).results;
    if (result?.kind !== 'err') return true;
    const message = result.message.toString();
    const isKnown = errnos.has(result.errno) || refused.test(message) || LATE.test(message);
    if (!isKnown) surprises.push(`${sql}: ${message}`);
    return false;
  };
  return { say, surprises };
}

describe.each(servers)('a crowd that creates, fills and drops on $name', (server) => {
  const on = onServer(server);
  const proxy = on.proxy();
  const root = on.session();
  const schema = on.schema('crowd').name;

  test('no row is lost', async () => {
    let [inserted, dropped] = [0, 0];
    async function live(session: number): Promise<readonly string[]> {
      await using client = await RawClient.open(proxy, { schema });
      const { say, surprises } = sayer(client, NATIVE, RESTLESS);
      for (let round = 0; round < ROUNDS; round++) {
        const table = `t${(session + round) % DROPPED_NAMES}`;
        await say(`CREATE TABLE IF NOT EXISTS ${table} (session INT, round INT)`);
        for (let row = 0; row < ROWS_A_ROUND; row++) {
          if (await say(`INSERT INTO ${table} VALUES (${session}, ${round})`)) inserted++;
        }
        const ifExists = round % 2 === 0 ? 'IF EXISTS ' : '';
        if (await say(`DROP TABLE ${ifExists}${table}`)) dropped++;
      }
      return surprises;
    }

    const lives = Array.from({ length: DROPPERS }, (_session, index) => live(index));
    expect((await Promise.all(lives)).flat()).toEqual([]);
    expect(dropped).toBeGreaterThan(DROPPERS);
    await intentsSettled(root, [schema]);
    const held = await root.rows(
      'SELECT hold_schema AS place, hold_name AS name FROM _undrop.ledger WHERE schema_name = ?',
      [schema],
    );
    const there = await root.rows(
      `SELECT table_schema AS place, table_name AS name FROM information_schema.tables
       WHERE table_schema = ? AND table_name NOT LIKE '\\_vt\\_%'`,
      [schema],
    );
    expect(held.length).toBeGreaterThan(DROPPED_NAMES);
    let counted = 0;
    for (const { place, name } of [...held, ...there]) {
      counted += await root.count(`${place}.${name}`);
    }
    expect(counted).toBe(inserted);
  });
});

describe.each(servers)('a crowd that drops and undrops on $name', (server) => {
  const on = onServer(server);
  on.freshLedger();
  const proxy = on.proxy();
  const root = on.session({ multipleStatements: true });
  const schema = on.schema('undrops').name;

  async function generationsIn(place: string): Promise<readonly number[]> {
    const rows = await root.rows(`SELECT generation, COUNT(*) AS n FROM ${place}
      GROUP BY generation`);
    expect(rows).toMatchObject([{ n: ROWS }]);
    return rows.map((row) => row['generation'] as number);
  }

  test('every table that came back has all its rows, and none is lost', async () => {
    const values = Array.from({ length: ROWS }, (_row, index) => `(@generation, ${index})`);
    for (let table = 0; table < TABLES; table++) {
      const name = `${schema}.g${table}`;
      await root.query(`CREATE TABLE ${name} (generation INT, n INT) ENGINE=InnoDB;
        SET @generation = ${table}; INSERT INTO ${name} VALUES ${values.join(', ')}`);
    }
    const counted: number[] = [];
    let [restored, dropped, endMs] = [0, 0, 0];

    async function live(session: number): Promise<readonly string[]> {
      await using client = await RawClient.open(proxy, { schema });
      const { say, surprises } = sayer(client, EXPECTED, REFUSED);
      for (let round = 0; round < ROUNDS || performance.now() < endMs; round++) {
        const name = `t${(session + round) % NAMES}`;
        const own = `own_${session}_${round}`;
        if (await say(`UNDROP TABLE ${name} TO ${own}`)) {
          restored++;
          // Nobody else knows this name.
          const { results } = await client.query(`SELECT COUNT(*) FROM ${own}`);
          const [result] = results;
          if (result?.kind === 'rows') counted.push(result.rows.length);
          expect(await generationsIn(`${schema}.${own}`)).toHaveLength(1);
          if (!(await say(`RENAME TABLE ${own} TO ${name}`))) await say(`DROP TABLE ${own}`);
        }
        if (await say(`DROP TABLE ${name}`)) dropped++;
        if (await say(`UNDROP TABLE ${name}${round % 4 === 0 ? ' SWAP' : ''}`)) restored++;
      }
      return surprises;
    }

    for (let table = 0; table < TABLES; table++) {
      await root.query(`RENAME TABLE ${schema}.g${table} TO ${schema}.t0`);
      await using client = await connect(proxy, { database: schema });
      await client.query('DROP TABLE t0');
    }
    endMs = performance.now() + LASTS_MS;
    const lives = Array.from({ length: SESSIONS }, (_session, index) => live(index));
    expect((await Promise.all(lives)).flat()).toEqual([]);
    expect(restored).toBeGreaterThan(SESSIONS);
    expect(dropped).toBeGreaterThan(SESSIONS / 2);
    expect(counted.length).toBeGreaterThan(0);
    await intentsSettled(root, [schema]);
    const places = await root.rows(`SELECT TABLE_SCHEMA AS place, TABLE_NAME AS name
      FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${schema}'
      OR TABLE_SCHEMA LIKE '\\\\_undrop%' AND TABLE_NAME LIKE '\\\\_vt\\\\_%'`);
    const found: number[] = [];
    for (const { place, name } of places) {
      found.push(...(await generationsIn(`\`${place}\`.\`${name}\``)));
    }
    expect(found.toSorted()).toEqual(Array.from({ length: TABLES }, (_table, index) => index));
  });
});

describe.each(servers)('undo beside a collector on $name', (server) => {
  const on = onServer(server);
  on.freshLedger();
  const proxy = on.proxy({ HOLD: '1s', MIN_HOLD: '0s' });
  const root = on.session({ multipleStatements: true });
  const schema = on.schema('races').name;
  const dice = new Dice(seededRandom(seedFor(server.name)));

  const nowMs = async () =>
    Number((await root.column('SELECT ROUND(UNIX_TIMESTAMP(UTC_TIMESTAMP(3)) * 1000)'))[0]);

  /** When each is due that is held, which is this test's. */
  const dueTimesMs = async () =>
    (
      await root.column(
        `SELECT 1000 * UNIX_TIMESTAMP(STR_TO_DATE(RIGHT(TABLE_NAME, 14), '%Y%m%d%H%i%s'))
         FROM information_schema.TABLES
         WHERE TABLE_SCHEMA IN ('_undrop', ?) AND TABLE_NAME LIKE '\\_vt\\_%'`,
        [schema],
      )
    ).map(Number);

  test(`${DUE_ROUNDS * DUE_TABLES} restores at the due time: whole, or gone`, async () => {
    const values = Array.from({ length: DUE_ROWS }, (_row, index) => `(${index})`).join(', ');
    const surprises: string[] = [];
    let [restored, refused] = [0, 0];
    for (let round = 0; round < DUE_ROUNDS; round++) {
      const names = Array.from({ length: DUE_TABLES }, (_table, index) => `r${round}_${index}`);
      for (const name of names) {
        await root.query(`CREATE TABLE ${schema}.${name} (id INT PRIMARY KEY) ENGINE=InnoDB;
          INSERT INTO ${schema}.${name} VALUES ${values}`);
      }
      await using dropping = await connect(proxy, { database: schema });
      await dropping.query(`DROP TABLE ${names.join(', ')}`);
      const due = await dueTimesMs();
      expect(due).toHaveLength(DUE_TABLES);
      await until(async () => (await nowMs()) >= Math.max(...due), 'they are due');
      const startMs = await nowMs();
      const collecting = startCollecting(server, { fastDrop: 'never', purgeChunkRows: 5 });
      const left = [...names];
      const restore = async () => {
        await using client = await RawClient.open(proxy, { schema });
        for (let name = left.pop(); name !== undefined; name = left.pop()) {
          const atMs = startMs + dice.below(WITHIN_MS);
          await until(async () => (await nowMs()) >= atMs, 'the time has come');
          const [result] = (await client.query(`UNDROP TABLE ${name}`)).results;
          if (result?.kind === 'err') {
            refused++;
            const message = result.message.toString();
            if (!TOO_LATE.test(message)) surprises.push(`${name}: ${result.errno} ${message}`);
            continue;
          }
          restored++;
          // What it says holds, whatever the collector does next.
          expect(await root.count(`${schema}.${name}`)).toBe(DUE_ROWS);
        }
      };
      await Promise.all(Array.from({ length: DUE_SESSIONS }, restore));
      await until(async () => (await dueTimesMs()).length === 0, 'the others are gone');
      await collecting.stop();
      expect(await root.tables(schema)).toHaveLength(restored);
    }
    expect(surprises).toEqual([]);
    expect(restored + refused).toBe(DUE_ROUNDS * DUE_TABLES);
  });
});

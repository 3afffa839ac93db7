/**
 * kill -9 of the server in the middle of a DROP DATABASE through the proxy, at its statements and
 * answers, and as it renames partitions: afterwards every table is live in its schema or held,
 * with all its rows, or was torn by the server, and recovery says so.
 */
import { Dice, seededRandom } from '../support/dice.js';
import { until } from '../support/poll.js';
import { rounds, seedFor } from '../support/sample.js';
import { type Session, testServerNames } from '../support/servers.js';
import { nth } from './cells.js';
import { type FaultRig, openFaultRig } from './fault-rig.js';
import { say } from './say-drop.js';

/** And one that is amid the RENAME. */
const KILLS = rounds(20, 1);
/** Those of a drop of these tables are some more; behind the last nothing is killed. */
const EVENTS = 200;
const SCHEMA = 'kill_server';
const PARTITIONS = 16;
const ROWS = { child: 2, parent: 3, parts: 4, plain: 1 };

describe.each(testServerNames())('a DROP DATABASE on %s', (name) => {
  let rig: FaultRig;

  beforeAll(async () => {
    rig = await openFaultRig(name);
  }, 120_000);

  afterAll(() => rig.close());

  test('loses no table when the server is killed in the middle of it', async () => {
    const dice = new Dice(seededRandom(seedFor(name)));
    const ends: string[] = [];
    // MySQL 5.6 would come out of it with other tables damaged, too; see torn-tables.test.ts.
    const amid = name === 'mysql-5.6' ? 0 : 1;
    for (let kill = 0; kill < amid + KILLS; kill++) {
      const isAmid = kill < amid;
      const at = isAmid ? 'the RENAME' : 1 + dice.below(EVENTS);
      await make(rig);
      const isEvent = nth(Number(at), ({ moment }) => {
        return moment === 'before statement' || moment === 'before answer';
      });
      rig.arm('server killed', (event) =>
        isAmid ? event.moment === 'after statement' && isRename(event.command) : isEvent(event),
      );
      const texts = ['SET lock_wait_timeout = 1', `DROP DATABASE ${SCHEMA}`];
      const { leave } = await say(rig, texts);
      leave();
      const { struck } = rig.disarm();
      await rig.mend();
      try {
        await until(() => isSettled(rig), 'recovery has come to an end');
        const isTorn = await isInPieces(rig);
        const end = isTorn ? 'in pieces' : await restoreAll(rig);
        ends.push(`${struck === null ? 'not killed' : 'killed'}: ${end}`);
        if (!isTorn) continue;
        expect([name === 'mysql-9.7', struck]).toEqual([false, expect.anything()]);
        await rig.close();
        rig = await openFaultRig(name);
      } catch (error) {
        const cause = { cause: error };
        throw new Error(`killed at ${at}: ${struck?.moment} of ${struck?.text}`, cause);
      }
    }
    process.stdout.write(`${name}: ${ends.join(', ')}\n`);
  }, 1_200_000);
});

async function isSettled(rig: FaultRig): Promise<boolean> {
  await rig.recover();
  const open = await rig.direct.rows(
    `SELECT id FROM _undrop.ledger
     WHERE schema_name = ? AND state IN ('intent', 'emptying', 'emptied')
       AND COALESCE(todo, '') <> 'torn'`,
    [SCHEMA],
  );
  return open.length === 0;
}

function isRename(command: Buffer): boolean {
  return /RENAME.*\bparts\b/s.test(command.toString('latin1'));
}

/** As recovery says of the one with partitions; then all pieces and all other rows are there. */
async function isInPieces({ direct }: FaultRig): Promise<boolean> {
  const rows = await direct.rows(
    "SELECT id, table_name AS name FROM _undrop.ledger WHERE schema_name = ? AND todo = 'torn'",
    [SCHEMA],
  );
  if (rows.length === 0) return false;
  expect(rows).toMatchObject([{ name: 'parts' }]);
  const pieces = await direct.rows(
    `SELECT NAME FROM information_schema.INNODB_SYS_TABLES
     WHERE NAME LIKE '${SCHEMA}/parts#p#%' OR NAME LIKE '%${rows[0]?.['id']}%#p#%'`,
  );
  expect(pieces).toHaveLength(PARTITIONS);
  const { parts: _torn, ...others } = ROWS;
  expect(await countsOf(direct, Object.keys(others))).toEqual(others);
  return true;
}

async function countsOf(direct: Session, tables: readonly string[]) {
  const counts = tables.map(async (table) => [table, await direct.count(`${SCHEMA}.${table}`)]);
  return Object.fromEntries(await Promise.all(counts)) as Readonly<Record<string, number>>;
}

/** Then all rows are there. */
async function restoreAll(rig: FaultRig): Promise<string> {
  const { direct } = rig;
  const there = await direct.column('SHOW DATABASES LIKE ?', [SCHEMA]);
  if (there.length === 0) await direct.query(`CREATE DATABASE ${SCHEMA}`);
  const held = await direct.column(
    "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'HOLD'",
    [SCHEMA],
  );
  for (const id of held) await rig.restore(id);
  const tables = (await direct.tables(SCHEMA)).filter((table) => table !== 'seen');
  expect(await countsOf(direct, tables)).toEqual(ROWS);
  return there.length === 0 ? 'gone' : `back, ${held.length} held`;
}

async function make({ direct }: FaultRig): Promise<void> {
  await direct.run(
    `DROP DATABASE IF EXISTS ${SCHEMA}`,
    `CREATE DATABASE ${SCHEMA}`,
    `CREATE TABLE ${SCHEMA}.parent (a INT PRIMARY KEY) ENGINE=InnoDB`,
    `INSERT INTO ${SCHEMA}.parent VALUES (1), (2), (3)`,
    `CREATE TABLE ${SCHEMA}.child (a INT PRIMARY KEY, b INT, CONSTRAINT up FOREIGN KEY (b)
      REFERENCES parent (a)) ENGINE=InnoDB`,
    `INSERT INTO ${SCHEMA}.child VALUES (1, 1), (2, 2)`,
    `CREATE TABLE ${SCHEMA}.plain (a INT PRIMARY KEY) ENGINE=InnoDB`,
    `INSERT INTO ${SCHEMA}.plain VALUES (1)`,
    `CREATE TABLE ${SCHEMA}.parts (a INT PRIMARY KEY) ENGINE=InnoDB
      PARTITION BY HASH (a) PARTITIONS ${PARTITIONS}`,
    `INSERT INTO ${SCHEMA}.parts VALUES (1), (2), (3), (4)`,
    `CREATE VIEW ${SCHEMA}.seen AS SELECT a FROM ${SCHEMA}.plain`,
  );
}

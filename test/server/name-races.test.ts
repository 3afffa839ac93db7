/**
 * Two statements of undrop on one name, some milliseconds apart: no row is lost, and each table
 * that comes back afterwards has its key, its CHECK and its trigger, or whoever asked for it is
 * told what is missing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Dice, seededRandom } from '../support/dice.js';
import { onServers } from '../support/on-servers.js';
import { rounds, seedFor } from '../support/sample.js';
import { connect, query, type Session } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

// A busy machine is slow, not wrong.
jest.setTimeout(1_800_000);

const RACES = rounds(30, 10);
const APART_MS = 60;
/** Of the table that is held before the race, and of the live one. */
const [HELD_ROWS, LIVE_ROWS] = [2, 3];
const TRIES = 10;

onServers('races on one name on $name', (server, on) => {
  const { afterEach, testOnEach: test } = on;
  const hasChecks = server.name !== 'mysql-5.6';
  const proxy = on.proxy({
    ...{ PROTECT: 'drop-table,drop-database,truncate,create-or-replace' },
    // An intent that a restore at the same moment has touched is left to recovery.
    ...{ COLLECT: 'auto', GRACE: '0s', CHECK_INTERVAL: '1s' },
  });
  const root = on.session();
  const dice = new Dice(seededRandom(seedFor(server.name)));
  const made: string[] = [];
  const races: string[] = [];
  afterEach(async () => {
    for (const name of made.splice(0)) await root.query(`DROP DATABASE IF EXISTS ${name}`);
  });

  const columns = `(id INT PRIMARY KEY, p INT, KEY led (p), CONSTRAINT led FOREIGN KEY (p) REFERENCES p (id)${hasChecks ? ', CHECK (id < 100)' : ''}) ENGINE=InnoDB`;
  const statements = [
    ...['TRUNCATE TABLE t', 'DROP TABLE t', 'UNDROP TABLE t SWAP', 'UNDROP TABLE t'],
    'DROP DATABASE !',
    ...(server.flavour === 'mariadb' ? [`CREATE OR REPLACE TABLE t ${columns}`] : []),
  ];

  const login = { user: server.user, password: server.password };
  const client = (database?: string) =>
    connect({ ...proxy, ...login }, database === undefined ? {} : { database });
  /** The server's or undrop's refusal is an answer as well. */
  const answerTo = async (session: Session, text: string) =>
    (await session.errorOf(text))?.message.slice(0, 200) ?? 'ok';
  const isThere = async (schema: string) =>
    (await root.rows(`SHOW DATABASES LIKE '${schema}'`)).length > 0;
  const isLive = async (schema: string) => (await root.tables(schema)).includes('t');
  const settled = (schema: string) => intentsSettled(root, [schema], 30_000);

  async function makeTable(schema: string, rows: number, hasTrigger: boolean): Promise<void> {
    const values = Array.from({ length: rows }, (_row, id) => `(${id}, 1)`).join(', ');
    await query(
      server,
      `USE ${schema}`,
      `CREATE TABLE t ${columns}`,
      `INSERT INTO t VALUES ${values}`,
      ...(hasTrigger
        ? ['CREATE TRIGGER acts BEFORE INSERT ON t FOR EACH ROW SET NEW.p = NEW.p']
        : []),
    );
  }

  const isHeld = (id: string) => root.count(`_undrop.ledger WHERE id = '${id}' AND state = 'HOLD'`);

  /** What the live table lacks. */
  async function missingIn(schema: string, hasTrigger: boolean): Promise<readonly string[]> {
    const keys = await root.column(`SELECT CONSTRAINT_NAME
      FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '${schema}'
      AND TABLE_NAME = 't'`);
    const triggers = await root.column(`SHOW TRIGGERS FROM ${schema} LIKE 't'`);
    const shown = await root.show(`${schema}.t`);
    return [
      ...(keys.includes('led') ? [] : ['foreign key led']),
      ...(hasTrigger && !triggers.includes('acts') ? ['trigger acts'] : []),
      ...(hasChecks && !/CHECK \(/.test(shown) ? ['CHECK'] : []),
    ];
  }

  /** Until it is done, as another session may have the table; resolves to the warnings. */
  async function undo(schema: string, text: string): Promise<string> {
    for (let tries = 1; ; tries++) {
      await using session = await client();
      const answer = await answerTo(session, text);
      const warnings = await session.rows('SHOW WARNINGS');
      // Tables whose names are taken stay held.
      if (answer.startsWith('UNDROP_PARTLY: ')) return answer;
      if (answer === 'ok') return warnings.map(({ Message: one }) => String(one)).join(' ');
      if (tries === TRIES) throw new Error(`${text}: ${answer}`);
      await settled(schema);
    }
  }

  async function race(nr: number): Promise<string | null> {
    const schema = `nr_${nr}_${dice.below(1_000_000)}`;
    made.push(schema);
    const [one, other, apartMs] = [dice.of(statements), dice.of(statements), dice.below(APART_MS)];
    // One that was created anew has none.
    const hasTrigger = !/CREATE/.test(`${one} ${other}`) && dice.chance(0.5);
    await query(
      server,
      `CREATE DATABASE ${schema}`,
      `CREATE TABLE ${schema}.p (id INT PRIMARY KEY) ENGINE=InnoDB`,
      `INSERT INTO ${schema}.p VALUES (1)`,
    );
    await makeTable(schema, HELD_ROWS, hasTrigger);
    await undo(schema, `DROP TABLE ${schema}.t`);
    await settled(schema);
    await makeTable(schema, LIVE_ROWS, hasTrigger);
    const [first, second] = [await client(schema), await client(schema)];
    const [said, saidToo] = await Promise.all([
      answerTo(first, one.replace('!', schema)),
      sleep(apartMs).then(() => answerTo(second, other.replace('!', schema))),
    ]);
    await Promise.all([first.end(), second.end()]);
    const what = `${one} → ${said} | ${apartMs} ms | ${other} → ${saidToo}`;
    races.push(what);
    await settled(schema);
    const counts = new Set<number>();
    if (!(await isThere(schema))) {
      const told = await undo(schema, `UNDROP DATABASE ${schema}`);
      const missing = (await isLive(schema)) ? await missingIn(schema, hasTrigger) : [];
      if (missing.length > 0 && told === '') return `${what}: the schema lacks ${missing.join()}`;
    }
    // Each that is held has its turn as the live one.
    const ids = await root.column(`SELECT id FROM _undrop.ledger WHERE schema_name = '${schema}'
      AND table_name = 't' AND kind = 'base' AND state = 'HOLD' ORDER BY id DESC`);
    if (await isLive(schema)) counts.add(await root.count(`${schema}.t`));
    for (const id of ids) {
      const swap = (await isLive(schema)) ? ' SWAP' : '';
      const told = await undo(schema, `UNDROP TABLE '${id}'${swap}`);
      expect([id, await isHeld(id)]).toEqual([id, 0]);
      counts.add(await root.count(`${schema}.t`));
      const missing = await missingIn(schema, hasTrigger);
      if (missing.length > 0 && told === '') return `${what}: ${id} lacks ${missing.join()}`;
    }
    // And the live one, once it was dropped as well.
    await undo(schema, `DROP TABLE ${schema}.t`);
    await settled(schema);
    const told = await undo(schema, `UNDROP TABLE ${schema}.t`);
    const missing = await missingIn(schema, hasTrigger);
    if (missing.length > 0 && told === '') return `${what}: the live one lacks ${missing.join()}`;
    const isLost = ![HELD_ROWS, LIVE_ROWS].every((rows) => counts.has(rows));
    await root.run(`DROP DATABASE ${schema}`);
    return isLost ? `${what}: rows of [${[...counts].join()}] alone are there` : null;
  }

  test(`${RACES} races: whole, or told`, async () => {
    const surprises: string[] = [];
    for (let nr = 0; nr < RACES; nr++) {
      const surprise = await race(nr).catch((error: Error) => `${races.at(-1)}: ${error.message}`);
      if (surprise !== null) surprises.push(surprise);
    }
    expect(surprises).toEqual([]);
  });
});

/**
 * What others do at the moment of a RENAME, on real servers behind a tap. Foreign keys that another
 * session makes behind the look at the tables follow it, and are led back, or taken off, all the
 * same. A KILL that meets it at its very end: the server says 1317, and the RENAME is done (MySQL
 * 8.0, end of mysql_execute_command): no held table is without its row, and the answer of a RENAME
 * that the service did comes to its user.
 */
import { whereIs } from '../collector/collecting.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';
import { ledgerRowOf, sayTo } from './service-fixture.js';

/** An ERR packet with the errno 1317. */
const INTERRUPTED = Buffer.from('\xff\x25\x05#70100Query execution was interrupted', 'latin1');

onServersAtOnce('the moment of a RENAME on $name', (server, on) => {
  const { beforeEach, test } = on;
  /** Which RENAMEs are said to have been interrupted, by a note in them; each once. */
  let late: string | null = null;
  /** Once, before the RENAME of a drop. */
  let meanwhile: (() => Promise<unknown>) | null = null;

  const schema = on.schema('late');
  const direct = on.session({ schema });
  const account = on.each.accounts('');
  const tap = on.open(() =>
    wireTap(server, async ({ moment, command }) => {
      if (moment === 'before statement' && command.includes('RENAME /* undrop hold')) {
        const work = meanwhile;
        meanwhile = null;
        await work?.();
      }
      if (moment !== 'before answer' || late === null) return true;
      const text = command.toString('latin1');
      if (!text.includes(`RENAME /* undrop ${late} `)) return true;
      late = null;
      return { ends: INTERRUPTED };
    }),
  );
  const proxy = on.proxy(
    { PROTECT: 'drop-table,truncate,drop-database,create-or-replace', RULES: '' },
    { upstream: tap },
  );

  beforeEach(async () => {
    late = null;
    await query(
      server,
      `DROP TABLE IF EXISTS ${schema.name}.a`,
      `CREATE TABLE ${schema.name}.a (id INT PRIMARY KEY)`,
      `INSERT INTO ${schema.name}.a VALUES (1), (2)`,
    );
  });

  async function errnoOf(text: string, user = server.user): Promise<number> {
    const password = user === server.user ? server.password : '';
    await using client = await connect({ ...proxy, user, password }, { database: schema.name });
    return (await client.errnoOf(text)) ?? 0;
  }

  const row = () => ledgerRowOf(direct, { schema: schema.name, table: 'a' });

  async function expectHeld(): Promise<void> {
    await until(async () => (await row())?.['state'] === 'HOLD', 'the ledger has it');
    const held = await row();
    expect(await direct.count(`${held?.['hold_schema']}.${held?.['hold_name']}`)).toBe(2);
  }

  test('a KILL in the session of the user is answered as the server did, and the table is held', async () => {
    // With a trigger the session itself renames it, on each server.
    await direct.query('CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET @a = 1');
    late = 'hold';
    expect([await errnoOf('DROP TABLE a'), late]).toEqual([1317, null]);
    await expectHeld();
    await direct.query('CREATE TABLE a (id INT)');
  });

  test('a KILL of a RENAME for the user is no error for the user', async () => {
    await account('dropper', `DROP ON ${schema.name}.*`);
    late = 'hold-by-service';
    expect([await errnoOf('DROP TABLE a', 'dropper'), late]).toEqual([0, null]);
    await expectHeld();
  });

  test('a KILL of a TRUNCATE is none either, and what was there is held once', async () => {
    late = 'hold-by-service';
    expect([await errnoOf('TRUNCATE TABLE a'), late]).toEqual([0, null]);
    await expectHeld();
    expect(await direct.count('a')).toBe(0);
    expect(await whereIs(server, String((await row())?.['id']))).toHaveLength(1);
  });

  test('a KILL of a restore is none: the table is back', async () => {
    expect(await errnoOf('DROP TABLE a')).toBe(0);
    await expectHeld();
    late = 'put-back';
    const { stdout } = await runUndrop({ ...tap }, ['restore', `${schema.name}.a`, '--json']);
    expect(late).toBe(null);
    expect(JSON.parse(stdout)).toMatchObject({ recorded: true });
    expect(await direct.count('a')).toBe(2);
  });

  const many = on.schema('late_many');
  const FEW = 5;

  const STEPS = ['hold-by-service', 'relocate', 'put-back'];
  test.each(STEPS)('a KILL amid many tables (%s): all of it goes, and comes back', async (step) => {
    const tables = Array.from({ length: FEW }, (_, nr) => `${step.replaceAll('-', '_')}_${nr}`);
    for (const table of tables) {
      await query(server, `CREATE TABLE ${many.name}.${table} (id INT PRIMARY KEY)`);
    }
    // With triggers they are relocated later, together.
    for (const table of tables.slice(0, 2)) {
      const trigger = `CREATE TRIGGER ${many.name}.${table} BEFORE INSERT ON ${many.name}.${table}`;
      await query(server, `${trigger} FOR EACH ROW SET @a = 1`);
    }
    late = step;
    expect(await errnoOf(`DROP DATABASE ${many.name}`)).toBe(0);
    expect([await errnoOf(`UNDROP DATABASE ${many.name}`), late]).toEqual([0, null]);
    const states = await direct.rows(`SELECT t.TABLE_NAME AS name, l.state
      FROM information_schema.TABLES t JOIN _undrop.ledger l ON l.schema_name = TABLE_SCHEMA
      AND l.table_name = t.TABLE_NAME WHERE TABLE_SCHEMA = '${many.name}' AND l.kind = 'base'
      ORDER BY 1`);
    expect(states).toEqual(tables.map((name) => ({ name, state: 'restored' })));
    await query(server, `DROP TABLE ${tables.map((name) => `${many.name}.${name}`).join(', ')}`);
  });

  const mine = on.schema('late_mine');
  const others = on.schema('late_others');
  const parentsOf = async (table: string): Promise<string[]> => {
    const shown = await direct.show(`${others.name}.${table}`);
    return [...shown.matchAll(/REFERENCES (.*) \(/g)].map(([, to = '']) => to.replaceAll('`', ''));
  };
  const isReplaced = server.flavour === 'mariadb';
  const STATEMENTS = [
    'DROP TABLE parent',
    'DROP TABLE parent, beside',
    'DROP DATABASE `mine`',
    ...(isReplaced ? ['CREATE OR REPLACE TABLE parent (id INT PRIMARY KEY)'] : []),
  ];

  /** Says it, and does `work` before its RENAME. */
  async function say(text: string, work: () => Promise<unknown>): Promise<void> {
    await direct.query(`CREATE DATABASE IF NOT EXISTS ${mine.name}`);
    for (const table of ['parent', 'beside']) {
      await direct.query(`CREATE TABLE IF NOT EXISTS ${mine.name}.${table} (id INT PRIMARY KEY)`);
    }
    meanwhile = work;
    const texts = ['SET foreign_key_checks = 0', text.replace('`mine`', mine.name)];
    await sayTo(proxy, { schema: mine.name, texts });
    expect(meanwhile).toBeNull();
  }

  test.each(STATEMENTS)('%s: a child that is made then has its own name', async (text) => {
    await direct.query(`DROP TABLE IF EXISTS ${others.name}.kid`);
    await say(text, () =>
      direct.query(`CREATE TABLE ${others.name}.kid (id INT PRIMARY KEY,
        CONSTRAINT kid_key FOREIGN KEY (id) REFERENCES ${mine.name}.parent (id))`),
    );
    expect(await parentsOf('kid')).toEqual([`${mine.name}.parent`]);
    await intentsSettled(direct, [mine.name]);
  });

  test.each(STATEMENTS)('%s: what becomes a child then keeps nobody from a row', async (text) => {
    await direct.query(`CREATE TABLE IF NOT EXISTS ${others.name}.live (id INT PRIMARY KEY)`);
    await direct.query(`INSERT INTO ${others.name}.live VALUES (1)`);
    await say(text, async () => {
      await direct.query(`INSERT INTO ${mine.name}.parent VALUES (1)`);
      await direct.query(`ALTER TABLE ${mine.name}.parent ADD CONSTRAINT to_live
        FOREIGN KEY (id) REFERENCES ${others.name}.live (id)`);
    });
    await direct.query(`DELETE FROM ${others.name}.live`);
    await intentsSettled(direct, [mine.name]);
  });
});

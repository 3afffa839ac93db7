/**
 * A KILL that meets a RENAME at its very end: the server says 1317, and the RENAME is done (MySQL
 * 8.0, end of mysql_execute_command). On real servers behind a tap that says so in their place: no
 * held table is without its row, and the answer of a RENAME that the service did comes to its user.
 */
import { expect } from '@jest/globals';
import { restore } from '../../src/restore/restore.js';
import { encodeErr } from '../../src/wire/response.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { wireTap } from '../support/wire-tap.js';
import { ledgerRowOf } from './service-fixture.js';

const INTERRUPTED = encodeErr({
  errno: 1317,
  sqlState: '70100',
  message: Buffer.from('Query execution was interrupted'),
});

onServersAtOnce('a KILL too late for its RENAME on $name', (server, on) => {
  const { beforeEach, test } = on;
  /** Which RENAMEs are said to have been interrupted, by a note in them; each once. */
  let late: string | null = null;

  const schema = on.schema('late');
  const direct = on.session({ schema });
  const tap = on.open(() =>
    wireTap(server, ({ moment, command }) => {
      if (moment !== 'before answer' || late === null) return true;
      const text = command.toString('latin1');
      if (!text.includes(`RENAME /* undrop ${late} `)) return true;
      late = null;
      return { ends: INTERRUPTED };
    }),
  );
  const proxy = on.proxy(
    { PROTECT: 'drop-table,truncate,drop-database', RULES: '' },
    { upstream: tap },
  );
  const tapped = on.open(() => poolOn({ ...tap }));

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

  test('in the session of the user is answered as the server did, and the table is held', async () => {
    // With a trigger the session itself renames it, on each server.
    await direct.query('CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET @a = 1');
    late = 'hold';
    expect(await errnoOf('DROP TABLE a')).toBe(1317);
    expect(late).toBe(null);
    await expectHeld();
    await direct.query('CREATE TABLE a (id INT)');
  });

  test('for the user is no error for the user', async () => {
    await query(
      server,
      "CREATE USER dropper@'127.0.0.1'",
      `GRANT DROP ON ${schema.name}.* TO dropper@'127.0.0.1'`,
    );
    late = 'hold-by-service';
    expect(await errnoOf('DROP TABLE a', 'dropper')).toBe(0);
    expect(late).toBe(null);
    await expectHeld();
    await query(server, "DROP USER dropper@'127.0.0.1'");
  });

  test('of a TRUNCATE is none either, and what was there is held once', async () => {
    late = 'hold-by-service';
    expect(await errnoOf('TRUNCATE TABLE a')).toBe(0);
    expect(late).toBe(null);
    await expectHeld();
    const rows = await direct.rows('SELECT COUNT(*) AS n FROM a');
    expect(rows[0]?.['n']).toBe(0);
    const id = (await row())?.['id'];
    const held = await direct.rows(
      `SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME LIKE '%${id}%'`,
    );
    expect(held).toHaveLength(1);
  });

  test('of a restore is none: the table is back', async () => {
    expect(await errnoOf('DROP TABLE a')).toBe(0);
    await expectHeld();
    late = 'put-back';
    const report = await restore(tapped, { target: `${schema.name}.a` });
    expect(late).toBe(null);
    expect(report.recorded).toBe(true);
    const rows = await direct.rows('SELECT COUNT(*) AS n FROM a');
    expect(rows[0]?.['n']).toBe(2);
  });

  const many = on.schema('late_many');
  const FEW = 5;

  test.each([['hold-by-service'], ['relocate'], ['put-back']])(
    'of many tables of a schema (%s): all of it goes, and comes back',
    async (step) => {
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
      expect(await errnoOf(`UNDROP DATABASE ${many.name}`)).toBe(0);
      expect(late).toBe(null);
      const states = await direct.rows(
        `SELECT t.TABLE_NAME AS name, l.state FROM information_schema.TABLES t
         JOIN _undrop.ledger l ON l.schema_name = TABLE_SCHEMA AND l.table_name = t.TABLE_NAME
         WHERE TABLE_SCHEMA = '${many.name}' AND l.kind = 'base' ORDER BY 1`,
      );
      expect(states).toEqual(tables.map((name) => ({ name, state: 'restored' })));
      await query(server, `DROP TABLE ${tables.map((name) => `${many.name}.${name}`).join(', ')}`);
    },
  );
});

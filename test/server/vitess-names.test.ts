/**
 * Tables of other people that are named as held ones: Vitess up to 18 names its own so, and old
 * copies and dumps have such tables.
 */
import { expect, test as jestTest } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

const NAMES = [
  '_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410',
  '_vt_PURGE_6ace8bcef73211ea87e9f875a4d24e91_20200915120410',
  '_vt_EVAC_6ace8bcef73211ea87e9f875a4d24e92_20200915120410',
  '_vt_DROP_6ace8bcef73211ea87e9f875a4d24e93_20200915120410',
  '_vt_hld_6ace8bcef73211ea87e9f875a4d24e94_20200915120410_',
];

onServers('tables named as held ones on $name', (_server, on) => {
  const { beforeEach, test } = on;

  on.freshLedger();
  const proxy = on.proxy();

  const schema = on.each.schema();
  const client = on.each.session({ to: proxy, schema });
  beforeEach(async () => {
    for (const [index, name] of NAMES.entries()) {
      await client.query(`CREATE TABLE ${name} (id INT PRIMARY KEY)`);
      await client.query(`INSERT INTO ${name} VALUES (${index})`);
    }
  });

  const rowsOf = (sql: string) => client.rows(sql);
  const idIn = async (table: string) =>
    (await rowsOf(`SELECT id FROM ${schema.name}.${table}`)).map(({ id }) => id);

  test('DROP DATABASE holds them, and UNDROP DATABASE brings them back', async () => {
    await client.query(`CREATE VIEW ${NAMES[0]?.replace('HOLD', 'DROP')} AS SELECT 1 AS one`);
    await client.query(`DROP DATABASE ${schema.name}`);
    expect(await rowsOf(`SHOW DATABASES LIKE '${schema.name}'`)).toEqual([]);
    await client.query(`UNDROP DATABASE ${schema.name}`);
    for (const [index, name] of NAMES.entries()) expect(await idIn(name)).toEqual([index]);
  });

  test('a copy of a table that is held elsewhere keeps no schema from being dropped', async () => {
    await client.run('CREATE TABLE a (id INT PRIMARY KEY)', 'DROP TABLE a');
    const read = 'SELECT hold_name AS name FROM _undrop.ledger WHERE table_name = ? AND state = ?';
    let name = '';
    const isHeld = async () => {
      const rows = await client.rows(read, ['a', 'HOLD']);
      name = String(rows[0]?.['name'] ?? '');
      return name !== '';
    };
    await until(isHeld, 'the ledger has it');
    await client.run(`CREATE TABLE ${name} (id INT PRIMARY KEY)`, `INSERT INTO ${name} VALUES (9)`);
    await client.run(`DROP DATABASE ${schema.name}`, `UNDROP DATABASE ${schema.name}`);
    expect(await idIn(name)).toEqual([9]);
  });

  test.each(NAMES)('DROP TABLE holds %s, and UNDROP brings it back to its name', async (name) => {
    const [id] = await idIn(name);
    await client.run(`DROP TABLE ${name}`, `UNDROP TABLE ${name}`);
    expect(await idIn(name)).toEqual([id]);
  });
});

onServers('UNDROP_ADOPT=vitess on $name', (server, on) => {
  on.freshLedger();
  const schema = on.schema();
  const client = on.session({ schema });

  jestTest('they are listed, collected, and restored under a name that is given', async () => {
    const [past = '', purging = ''] = NAMES;
    const id = '6ace8bcef73211ea87e9f875a4d24eff';
    const later = `_vt_hld_${id}_20990915120410_`;
    const view = past.replace('HOLD', 'DROP');
    for (const name of [past, purging, later]) {
      await client.query(`CREATE TABLE ${name} (id INT PRIMARY KEY)`);
      await client.query(`INSERT INTO ${name} VALUES (7)`);
    }
    await client.query(`CREATE VIEW ${view} AS SELECT 1 AS one`);
    const adopts = { ADOPT: 'vitess', COLLECT: 'on', EVAC: '0s' };
    await using proxy = await proxyInFront(server, adopts);
    await using through = await connect(proxy, { database: schema.name });

    const tables = async () => {
      const listed = `SELECT TABLE_NAME AS name FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = '${schema.name}'`;
      return (await query<{ name: string }>(server, listed)).map(({ name }) => name);
    };
    await until(async () => `${await tables()}` === view, 'only the view is left');
    await until(async () => {
      const listed = `SELECT state FROM _undrop.ledger
          WHERE schema_name = '${schema.name}' AND id <> '${id}'`;
      const rows = await query<{ state: string }>(server, listed);
      return rows.length === 2 && rows.every(({ state }) => state === 'removed');
    }, 'both that were due are removed');
    const shown = await through.query<RowDataPacket[]>('SHOW FULL DROPPED TABLES');
    expect(shown[0]).toMatchObject([{ Table: later }]);
    await expect(through.query(`UNDROP TABLE '${id}'`)).rejects.toThrow(/original name/);
    await through.query(`UNDROP TABLE '${id}' TO back`);
    const rows = await through.rows('SELECT id FROM back');
    expect(rows).toEqual([{ id: 7 }]);
  });
});

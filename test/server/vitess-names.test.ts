/**
 * Tables of other people that are named as held ones: Vitess up to 18 names its own so, and old
 * copies and dumps have such tables.
 */
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';

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

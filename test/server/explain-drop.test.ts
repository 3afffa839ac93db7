/** EXPLAIN DROP TABLE and EXPLAIN DROP DATABASE: what they say is what the drop then does. */
import type { RowDataPacket } from 'mysql2/promise';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { connect, query, type Session, type Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const RULES = '*.keep_*: refuse; *.native_*: native; *.long_*: hold=30d; *.short_*: hold=1h';
const USER = 'explainer';

type Row = { readonly Table: string; readonly What: string; readonly [column: string]: unknown };

onServers('EXPLAIN of a drop on $name', (server, on) => {
  const { test } = on;
  on.account(USER, { password: 'only for tests' });
  const proxy = on.proxy({ RULES, REQUIRE_IDLE: '365d' });
  const schema = on.each.schema();
  const client = on.each.session({ to: proxy, schema });

  const create = (...tables: readonly string[]) =>
    query(
      server,
      ...tables.map((name) => `CREATE TABLE ${schema.name}.${name} (a INT PRIMARY KEY)`),
    );
  const rowsOf = (sql: string, on: Session = client) => on.rows<Row>(sql);
  const errorOf = (sql: string, on: Session) => on.errorOf(sql);
  const namesIn = async () =>
    (await query(server, `SHOW TABLES FROM ${schema.name}`)).map((row) => Object.values(row)[0]);
  const heldIn = async () =>
    (await ledgerRows(client, { schema: schema.name })).map((row) => row['table_name']).sort();

  test('says what is known of a table, and does nothing', async () => {
    await create('t', 'child');
    const of = `${schema.name}.`;
    await query(
      server,
      `ALTER TABLE ${of}child ADD FOREIGN KEY (a) REFERENCES ${of}t (a)`,
      `CREATE TRIGGER ${of}tr BEFORE INSERT ON ${of}t FOR EACH ROW SET NEW.a = 1`,
    );
    await client.query("SET @undrop = 'hold=9d'");
    const [row, another, ...more] = await rowsOf('EXPLAIN DROP TABLE child, t');
    expect(more).toEqual([]);
    expect(row).toMatchObject({ Table: 'child', Foreign_keys: '1 of its own', Triggers: 0 });
    expect(another).toMatchObject({
      Schema: schema.name,
      Table: 't',
      Kind: 'base table',
      What: 'held (hint hold=9d)',
      Hold_name: expect.stringMatching(/^_undrop\._vt_HOLD_<id>_\d{14}$/),
      Hold_until: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/),
      Foreign_keys: '1 of its children',
      Triggers: 1,
      Rows: 0,
      Bytes: 16_384,
    });
    const [left] = await client.rows('SELECT @undrop AS hint');
    expect(left).toEqual({ hint: 'hold=9d' });
    expect((await namesIn()).sort()).toEqual(['child', 't']);
    expect(await heldIn()).toEqual([]);
    const [prepared] = await client.execute<(RowDataPacket & Row)[]>('EXPLAIN DROP TABLE t, child');
    expect(prepared.map(({ Table, Triggers }) => [Table, Triggers])).toEqual([
      ['t', 1],
      ['child', 0],
    ]);
    expect((await client.query('SHOW WARNINGS'))[0]).toEqual([]);
  });

  test.each([
    ...['DROP TABLE a, b', 'DROP TABLE IF EXISTS a, missing, v', 'DROP TABLE a, missing'],
    ...['DROP TABLE parent', 'DROP TABLE kid, parent, long_a', 'DROP TABLE a, keep_a'],
    ...['DROP TABLE a, used', 'DROP TABLE a, used /* undrop: insist */', 'DROP TABLE temp, a'],
    'DROP TABLE short_a /* undrop: pin */',
  ])('%s is explained as it is done', async (sql) => {
    await create('a', 'b', 'parent', 'keep_a', 'used', 'long_a', 'short_a', 'temp');
    const { name } = schema;
    await query(
      server,
      `CREATE TABLE ${name}.kid (a INT, FOREIGN KEY (a) REFERENCES ${name}.parent (a))`,
      `CREATE VIEW ${name}.v AS SELECT a FROM ${name}.b`,
      `INSERT INTO ${name}.used VALUES (1)`,
    );
    await client.query('CREATE TEMPORARY TABLE temp (a INT)');
    const rows = await rowsOf(`EXPLAIN ${sql}`);
    const expected = rows.filter(({ What }) => What.startsWith('held'));
    await errorOf(sql, client);
    await intentsSettled(client, [name]);
    const gone = await heldIn();
    expect(gone).toEqual(expected.map(({ Table }) => Table).sort());
    const live = await namesIn();
    const bases = rows.filter(({ Kind }) => Kind === 'base table');
    const dropped = bases.filter(({ Table }) => !live.includes(Table));
    expect(dropped.map(({ Table }) => Table).sort()).toEqual(gone);
    for (const { Table, What, Hold_until } of expected) {
      const [row] = await query<{ readonly until: string }>(
        server,
        `SELECT CAST(hold_until AS CHAR) AS \`until\` FROM _undrop.ledger
         WHERE schema_name = '${name}' AND table_name = '${Table}'`,
      );
      const until = String(Hold_until).replace(/:\d\d UTC$/, '');
      const isPinned = What.includes('pin');
      expect(isPinned ? row?.until.slice(0, 4) : row?.until.slice(0, 15)).toBe(
        isPinned ? '9999' : until.slice(0, 15),
      );
    }
  });

  test('what passes to the server is told so, and refusals have their reasons', async () => {
    await create('native_a', 'keep_a', 'a');
    expect(await rowsOf('EXPLAIN DROP TABLE native_a')).toMatchObject([
      { What: 'dropped by the server, at once and for good (rule *.native_*: native)' },
    ]);
    const refused = await rowsOf('EXPLAIN DROP TABLE keep_a');
    expect(refused[0]?.What).toMatch(/^refused: UNDROP_RULE: .*\*\.keep_\*: refuse/);
    const hinted = await rowsOf('EXPLAIN DROP TABLE a /* undrop: destroy */');
    expect(hinted[0]?.What).toMatch(/^refused: UNDROP_DESTROY: /);
    const wrong = await errorOf('EXPLAIN DROP TABLE a /* undrop: keep */', client);
    expect(wrong?.message).toMatch(/^UNDROP_HINT: /);
  });

  test('who may not drop it hears the server’s own words, and nothing of the table', async () => {
    await create('mine', 'others');
    const grants: [string, string][] = [
      ['SELECT', 'EXPLAIN DROP TABLE mine'],
      ['DROP', 'EXPLAIN DROP TABLE mine, others'],
      ['SELECT', `EXPLAIN DROP DATABASE ${schema.name}`],
    ];
    const as = (target: Target) =>
      connect({ ...target, user: USER, password: 'only for tests' }, { database: schema.name });
    for (const [right, sql] of grants) {
      const on = `ON ${schema.name}.mine`;
      await query(server, `GRANT ${right} ${on} TO ${USER}@'%'`);
      const [proxied, direct] = [await as(proxy), await as(server)];
      const own = await errorOf(sql.replace('EXPLAIN ', ''), direct);
      expect(await errorOf(sql, proxied)).toEqual(own);
      expect(own?.errno).toBe(sql.includes('DATABASE') ? 1044 : 1142);
      const [shown] = await proxied.query<RowDataPacket[]>('SHOW WARNINGS');
      expect(shown.map(({ Code }) => Code as number)).toEqual([own?.errno]);
      if (right === 'DROP') {
        expect(await rowsOf('EXPLAIN DROP TABLE mine', proxied)).toMatchObject([
          { Table: 'mine', What: 'held' },
        ]);
      }
      await Promise.all([proxied.end(), direct.end()]);
      await query(server, `REVOKE ${right} ${on} FROM ${USER}@'%'`);
    }
    expect(await namesIn()).toContain('mine');
  });

  test('a schema: a row for each table, none for one that is not there', async () => {
    await create('a', 'b', 'native_a');
    const { name } = schema;
    const rows = await rowsOf(`EXPLAIN DROP DATABASE ${name}`);
    expect(rows.map(({ Table, Kind, What }) => [Table, Kind, What]).sort()).toEqual([
      ['a', 'base table', 'held'],
      ['b', 'base table', 'held'],
      ['native_a', 'base table', 'held (rule *.native_*: native)'],
    ]);
    await query(server, `INSERT INTO ${name}.b VALUES (1)`);
    const [used] = await rowsOf(`EXPLAIN DROP SCHEMA ${name}`);
    expect(used?.What).toMatch(/^refused: UNDROP_IN_USE: Schema .*\.b was in use within 365d/);
    expect(await rowsOf(`EXPLAIN DROP DATABASE IF EXISTS ${name}_none`)).toEqual([]);
    expect((await errorOf(`EXPLAIN DROP DATABASE ${name}_none`, client))?.errno).toBe(1008);
    expect((await namesIn()).length).toBe(3);
    expect(await heldIn()).toEqual([]);
  });

  test('EXPLAIN of anything else is the server’s', async () => {
    expect(await rowsOf('EXPLAIN SELECT 1')).toHaveLength(1);
    await create('t');
    expect((await errorOf('EXPLAIN DROP VIEW t', client))?.errno).toBe(1064);
    // MariaDB reads it as DESCRIBE, of a table of that name.
    expect([1064, 1146]).toContain((await errorOf('EXPLAIN TRUNCATE t', client))?.errno);
    expect((await errorOf('EXPLAIN DROP TABLE t nonsense', client))?.errno).toBe(1064);
    expect(await namesIn()).toEqual(['t']);
  });
});

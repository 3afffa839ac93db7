/**
 * Tables with partitions, which MariaDB and MySQL before 8 rename one by one, and any tables of
 * MySQL before 8: there a drop is one RENAME, straight into the recycle schema, so that a server
 * that is killed finds one place at most to tear the table, and nobody sees it in its schema.
 */
import type { RowDataPacket } from 'mysql2/promise';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { intentsSettled, relocationsSettled } from '../support/settled.js';
import { restored } from '../support/undrop-cli.js';
import { type BinlogPlace, binlogEnd, binlogSince } from './service-fixture.js';

const PARTITIONS = `PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10),
  PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30))`;

onServers('a table with partitions on $name', (server, on) => {
  const proxy = on.proxy();
  const schema = on.schema('pieces').name;
  const root = on.session({ schema });
  const client = on.client({ to: proxy, schema });

  const schemas = () => [schema, `${schema}_gone`, `${schema}_back`];

  async function make(table: string, partitions = PARTITIONS): Promise<void> {
    await root.query(`CREATE TABLE ${table} (id INT PRIMARY KEY) ENGINE=InnoDB ${partitions}`);
    await root.query(`INSERT INTO ${table} VALUES (1), (11), (21)`);
  }

  async function heldOf(table: string, from = schema): Promise<RowDataPacket> {
    await relocationsSettled(root, schemas());
    const row = (await ledgerRows(root, { schema: from, table, state: 'HOLD' })).at(-1);
    if (row === undefined) throw new Error(`${table} is not held`);
    expect(await root.count(`${row['hold_schema']}.${row['hold_name']}`)).toBe(3);
    return row;
  }

  /** By the drop of a schema. */
  async function heldFrom(name: string): Promise<readonly RowDataPacket[]> {
    await intentsSettled(root, schemas());
    const rows = await ledgerRows(root, { schema: name, state: 'HOLD' });
    return rows.filter((row) => row['kind'] === 'base');
  }

  /** As an earlier version of undrop held it. */
  async function holdInPlace({ id, hold_name: name }: RowDataPacket, own: string): Promise<void> {
    await root.query(`RENAME TABLE _undrop.${name} TO ${own}.${name}`);
    await root.query(
      `UPDATE _undrop.ledger SET hold_schema = ?, relocated = 0, todo = 'blocked_by_partitions',
         failure = 'it has partitions' WHERE id = ?`,
      [own, id],
    );
  }

  /** Since `from`, those that name the table of that id. */
  async function renamesOf(id: string, from: BinlogPlace): Promise<number> {
    const events = await binlogSince(root, from);
    // What MariaDB notes of rows of the ledger has the restore script in it.
    const isRename = ({ Event_type: type, Info: text }: RowDataPacket) =>
      type === 'Query' && /RENAME/.test(text) && String(text).includes(id);
    return events.filter(isRename).length;
  }

  const here = () => binlogEnd(root);

  async function said(text: string): Promise<readonly string[]> {
    const { results } = await client.query(text);
    return results.map((result) =>
      result.kind === 'err' ? result.message.toString() : result.kind,
    );
  }

  test('is dropped by one RENAME', async () => {
    await make('t');
    const from = await here();
    expect(await said('DROP TABLE t')).toEqual(['ok']);
    const held = await heldOf('t');
    expect(held).toMatchObject({ hold_schema: '_undrop', relocated: 1, todo: null });
    expect(await renamesOf(String(held['id']), from)).toBe(1);
    await restored(server, String(held['id']));
    const rows = await root.rows('SELECT id FROM t ORDER BY id');
    expect(rows).toEqual([{ id: 1 }, { id: 11 }, { id: 21 }]);
    await root.query('DROP TABLE t');
  });

  test('by two if a trigger or LOCK TABLES is in the way, or a session’s SHOW CREATE TABLE says less', async () => {
    const ways = [
      { before: "SET sql_mode = 'ANSI'", renames: server.name.startsWith('mysql') ? 1 : 2 },
      { before: 'LOCK TABLES t WRITE', renames: 2 },
      { before: 'CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW SET @a = 1', renames: 2 },
    ];
    for (const { before, renames } of ways) {
      await make('t');
      expect(await said(before)).toEqual(['ok']);
      const from = await here();
      expect(await said('DROP TABLE t')).toEqual(['ok']);
      const held = await heldOf('t');
      expect(held).toMatchObject({ hold_schema: '_undrop', relocated: 1, todo: null });
      const found = await renamesOf(String(held['id']), from);
      expect({ before, renames: found }).toEqual({ before, renames });
      await said("SET sql_mode = ''");
    }
  });

  test('once also without partitions, unless it has keys, or goes with one that has some on MySQL 8', async () => {
    await make('t', '');
    await make('parent', '');
    await root.query(`CREATE TABLE child (id INT PRIMARY KEY, FOREIGN KEY (id)
      REFERENCES parent (id)) ENGINE=InnoDB`);
    await root.query('INSERT INTO child SELECT id FROM parent');
    const from = await here();
    expect(await said('DROP TABLE t, child, parent')).toEqual(['ok']);
    const ids: string[] = [];
    for (const table of ['parent', 'child', 't']) {
      const held = await heldOf(table);
      ids.push(String(held['id']));
      expect(held).toMatchObject({ hold_schema: '_undrop', relocated: 1, todo: null });
      const renames = await renamesOf(String(held['id']), from);
      const isOnce = table === 't' && server.name !== 'mysql-9.7';
      expect({ table, renames }).toEqual({ table, renames: isOnce ? 1 : 2 });
    }
    for (const target of ids) await restored(server, target);
    expect(await root.show('child')).toContain('REFERENCES `parent`');
    await root.query('DROP TABLE t, child, parent');
  });

  test('by the session itself if the service can’t have it', async () => {
    await make('t', '');
    // Of the session itself; the RENAME ends it, as a native drop does.
    expect([await said('HANDLER t OPEN'), await said('DROP TABLE t')]).toEqual([['ok'], ['ok']]);
    expect(await heldOf('t')).toMatchObject({ hold_schema: '_undrop', relocated: 1, todo: null });
  });

  test('into the schema that no replica sees, if it is not logged', async () => {
    for (const partitions of [PARTITIONS, '']) {
      await make('t', partitions);
      expect(await said('SET sql_log_bin = 0')).toEqual(['ok']);
      const from = await here();
      expect(await said('DROP TABLE t')).toEqual(['ok']);
      expect(await said('SET sql_log_bin = 1')).toEqual(['ok']);
      const held = await heldOf('t');
      expect(held).toMatchObject({ hold_schema: '_undrop_local', relocated: 1, todo: null });
      expect(await renamesOf(String(held['id']), from)).toBe(0);
    }
  });

  test('leaves its schema with that, by one RENAME; so does one that is held there', async () => {
    const name = `${schema}_gone`;
    await root.query(`CREATE DATABASE ${name}`);
    await make(`${name}.early`);
    await make(`${name}.late`);
    expect(await said(`DROP TABLE ${name}.early`)).toEqual(['ok']);
    await holdInPlace(await heldOf('early', name), name);
    const from = await here();
    expect(await said(`DROP DATABASE ${name}`)).toEqual(['ok']);
    const rows = await heldFrom(name);
    const places = rows.map((row) => `${row['table_name']} in ${row['hold_schema']}`);
    expect(places).toEqual(['early in _undrop', 'late in _undrop']);
    for (const row of rows) expect(await root.count(`_undrop.${row['hold_name']}`)).toBe(3);
    const late = String(rows[1]?.['id']);
    expect(await renamesOf(late, from)).toBe(1);
  });

  test('with a trigger, too, and all of them are back where the schema can’t go', async () => {
    const name = `${schema}_back`;
    await root.query(`CREATE DATABASE ${name}`);
    await make(`${name}.plain`);
    await make(`${name}.bound`);
    await root.query(`CREATE TRIGGER ${name}.tr AFTER INSERT ON ${name}.bound
      FOR EACH ROW SET @a = 1`);
    await root.query(`CREATE TABLE ${name}.parent (id INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES ${name}.parent (id))
      ENGINE=InnoDB`);
    const [refused = ''] = await said(`DROP DATABASE ${name}`);
    expect(refused).not.toBe('ok');
    for (const table of ['plain', 'bound']) expect(await root.count(`${name}.${table}`)).toBe(3);
    await root.query('DROP TABLE child');
    expect(await said(`DROP DATABASE ${name}`)).toEqual(['ok']);
    const places = (await heldFrom(name)).map((row) => row['hold_schema']);
    expect(new Set(places)).toEqual(new Set(['_undrop']));
  });
});

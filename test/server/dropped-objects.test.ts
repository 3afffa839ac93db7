/**
 * Views, routines, triggers and events that are dropped or replaced on their own: their definitions
 * are recorded, listed, and made again by who may make them; and those that a reset took or made
 * anew come back with the tables.
 */
import { asking } from '../support/asking.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { schemaState } from '../support/schema-state.js';
import { connect } from '../support/servers.js';

/** By kind: its name, and its text after CREATE. */
const OBJECTS: Readonly<Record<string, readonly [name: string, text: string]>> = {
  VIEW: ['v', 'VIEW v AS SELECT id FROM t'],
  PROCEDURE: ['p', 'PROCEDURE p(IN n INT) SELECT n'],
  FUNCTION: ['f', "FUNCTION f() RETURNS VARCHAR(9) DETERMINISTIC NO SQL RETURN 'ü'"],
  TRIGGER: ['r', 'TRIGGER r BEFORE INSERT ON "t" FOR EACH ROW SET NEW.id = NEW.id + 1'],
  EVENT: ['e', 'EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM t'],
};
const KINDS = Object.keys(OBJECTS);

onServers('dropped objects on $name', (server, on) => {
  const { test } = on;
  on.freshLedger();
  const proxy = on.proxy();
  const schema = on.each.schema('objects');
  const client = on.each.session({ to: proxy, schema });
  const account = on.each.accounts('a');
  const { cell, column } = asking(server);

  const state = () => schemaState(server, schema.name);
  const recorded = (count: number) =>
    until(async () => {
      const kept = `SELECT COUNT(*) FROM _undrop.ledger WHERE kind = 'view'
        AND schema_name = '${schema.name}'`;
      return Number(await cell(kept)) === count;
    }, `${count} definitions are recorded`);

  async function make(): Promise<void> {
    await client.query('CREATE TABLE t (id INT PRIMARY KEY)');
    await client.query("SET sql_mode = 'ANSI_QUOTES'");
    for (const [, text] of Object.values(OBJECTS)) await client.query(`CREATE ${text}`);
    await client.query("SET sql_mode = ''");
  }

  const dropAll = () =>
    client.run(...KINDS.map((kind) => `DROP ${kind} IF EXISTS ${OBJECTS[kind]?.[0] ?? ''}`));

  test('each is listed, and comes back as it was', async () => {
    await make();
    const before = await state();
    await dropAll();
    await recorded(KINDS.length);
    const listed = await client.rows(`SHOW DROPPED OBJECTS FROM ${schema.name}`);
    expect(listed.map((row) => row['Kind']).sort()).toEqual(KINDS.toSorted());
    for (const kind of KINDS) await client.query(`UNDROP ${kind} ${OBJECTS[kind]?.[0] ?? ''}`);
    expect(await state()).toEqual(before);
    await expect(client.query('UNDROP VIEW v')).rejects.toThrow(/^UNDROP_NAME_TAKEN: /);
    await expect(client.query('UNDROP VIEW none')).rejects.toThrow(/^UNDROP_NO_SUCH_HELD: /);
  });

  test('a user without the rights sees none, and makes none', async () => {
    await make();
    await dropAll();
    await recorded(KINDS.length);
    await account('reader', `SELECT ON ${schema.name}.*`);
    await using reader = await connect(proxy, {
      user: 'reader',
      password: 'a',
      database: schema.name,
    });
    expect(await reader.rows('SHOW DROPPED OBJECTS')).toEqual([]);
    await expect(reader.query('UNDROP VIEW v')).rejects.toThrow(/^UNDROP_NO_SUCH_HELD: /);
    await account('writer', `SELECT, INSERT, CREATE ON ${schema.name}.*`);
    await using writer = await connect(proxy, {
      user: 'writer',
      password: 'a',
      database: schema.name,
    });
    await expect(writer.query('UNDROP VIEW v')).rejects.toThrow(/^UNDROP_NOT_UNDONE: /);
    expect(await column(`SHOW FULL TABLES FROM ${schema.name} WHERE Table_type = 'VIEW'`)).toEqual(
      [],
    );
  });

  test('a live one is exchanged, and exchanged back', async () => {
    await make();
    const before = await state();
    await client.run('DROP VIEW v', 'CREATE VIEW v AS SELECT 2 AS two');
    const after = await state();
    await recorded(1);
    await client.query('UNDROP VIEW v SWAP');
    expect(await state()).toEqual(before);
    await recorded(2);
    await client.query('UNDROP VIEW v SWAP');
    expect(await state()).toEqual(after);
  });

  test('a reset of tables and objects is undone, and turned round', async () => {
    await make();
    const before = await state();
    const since = await cell("SELECT CONCAT(UTC_TIMESTAMP(), '+00:00')");
    await dropAll();
    await client.run(
      ...['DROP TABLE t', 'CREATE TABLE t (id INT, more INT)', 'INSERT INTO t VALUES (1, 2)'],
      'CREATE VIEW v AS SELECT more FROM t',
    );
    await recorded(KINDS.length);
    const changed = await state();
    const undo = `UNDROP ALL FROM ${schema.name} SINCE '${String(since)}' SWAP`;
    await client.query(undo);
    expect(await state()).toEqual(before);
    await client.query(undo);
    const now = await state();
    expect(now.filter((line) => changed.includes(line))).toEqual(changed);
    expect(now.some((line) => line.includes('"Trigger"'))).toBe(false);
    await client.query(undo);
    expect(await state()).toEqual(before);
  });
});

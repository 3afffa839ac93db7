/**
 * Views, routines, triggers and events that are dropped or replaced on their own: their definitions
 * are recorded, listed, and made again by who may make them; and those that a reset took or made
 * anew come back with the tables.
 */
import type { ResultSetHeader } from 'mysql2/promise';
import { asking } from '../support/asking.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { schemaState } from '../support/schema-state.js';
import { connect, freshSchema } from '../support/servers.js';

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
  const client = on.each.session({ to: proxy, schema, multipleStatements: true });
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
    await expect(client.query('UNDROP VIEW v')).rejects.toThrow(/: VIEW \S+ exists\. SWAP/);
    await expect(client.query('UNDROP VIEW none')).rejects.toThrow(/: no dropped VIEW /);
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
    await expect(reader.query('UNDROP VIEW v')).rejects.toThrow(/: no dropped VIEW /);
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

  test('a reset by another brings no program of others to who may not make it', async () => {
    await make();
    await client.query('DROP PROCEDURE p');
    await recorded(1);
    await account('filler', `SELECT, INSERT, CREATE, CREATE VIEW, EXECUTE ON ${schema.name}.*`);
    await using filler = await connect(proxy, {
      user: 'filler',
      password: 'a',
      database: schema.name,
    });
    await filler.query(`UNDROP ALL FROM ${schema.name} SINCE '1h'`);
    expect(await column(`SHOW PROCEDURE STATUS WHERE Db = '${schema.name}'`)).toEqual([]);
  });

  test('what can not be created leaves the live one, and a failed drop nothing', async () => {
    await client.run('CREATE TABLE t (id INT, gone INT)', 'CREATE VIEW v AS SELECT gone FROM t');
    await client.run('DROP VIEW v', 'ALTER TABLE t DROP COLUMN gone');
    await recorded(1);
    await client.query('CREATE VIEW v AS SELECT id FROM t');
    const before = await state();
    await expect(client.query('UNDROP VIEW v SWAP')).rejects.toThrow(/did not create it/);
    expect(await state()).toEqual(before);
    await account('nobody', `SELECT ON ${schema.name}.*`);
    await using nobody = await connect(proxy, {
      user: 'nobody',
      password: 'a',
      database: schema.name,
    });
    await expect(nobody.query('DROP VIEW v')).rejects.toMatchObject({ errno: 1142 });
    await client.run('CREATE VIEW w AS SELECT 1', 'DROP VIEW w');
    const names = async () =>
      (await client.rows(`SHOW DROPPED OBJECTS FROM ${schema.name}`)).map(({ Name }) => Name);
    await until(async () => (await names())[0] === 'w', 'the later one is recorded');
    // The one that was swapped, too: it is back.
    expect(await names()).toEqual(['w', 'v', 'v']);
  });

  test('names of views differ in case, where the server says so', async () => {
    await client.run('CREATE VIEW v AS SELECT 1', 'DROP VIEW v');
    await recorded(1);
    await client.run('CREATE VIEW V AS SELECT 2', 'DROP VIEW V');
    await recorded(2);
    await client.query('UNDROP VIEW v');
    expect(await client.rows('SELECT * FROM v')).toEqual([{ 1: 1 }]);
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

  test('several of one text, and what replaces a routine, are recorded', async () => {
    await make();
    await client.run(
      ...(server.flavour === 'mariadb' ? ['CREATE OR REPLACE PROCEDURE p() SELECT 7'] : []),
    );
    await client.query('DROP VIEW v; DROP FUNCTION f');
    const kinds = () => client.rows(`SHOW DROPPED OBJECTS FROM ${schema.name}`);
    const expected = ['FUNCTION', 'VIEW', ...(server.flavour === 'mariadb' ? ['PROCEDURE'] : [])];
    await recorded(expected.length);
    expect((await kinds()).map((row) => row['Kind']).sort()).toEqual(expected.sort());
    await expect(client.query('EXPLAIN UNDROP VIEW v')).rejects.toThrow(/SQL syntax/);
    await client.query('UNDROP VIEW v');
    const [again] = await client.query<ResultSetHeader>('UNDROP VIEW v SWAP');
    expect(again.info).toContain('is the same already');
  });

  test('a routine and a view of a dropped schema are exchanged with the tables, and back', async () => {
    const { name } = schema;
    const f = (n: number) => `CREATE FUNCTION f() RETURNS INT DETERMINISTIC NO SQL RETURN ${n}`;
    const filled = (n: number) => [
      `CREATE TABLE t (id INT, c${n} INT)`,
      `CREATE VIEW v AS SELECT ${n} AS n`,
      f(n),
    ];
    await client.run(...filled(1));
    const before = await state();
    const [collation] = await column(`SELECT default_collation_name FROM information_schema.schemata
      WHERE schema_name = '${name}'`);
    const again = `CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE ${collation}`;
    await client.run(`DROP DATABASE ${name}`, again, `USE ${name}`);
    await client.run(...filled(2));
    const after = await state();
    for (const expected of [before, after, before]) {
      await client.query(`UNDROP DATABASE ${name} SWAP`);
      expect(await state()).toEqual(expected);
    }
    // Those of another statement stay.
    await client.run('CREATE TABLE u (id INT)', 'DROP TABLE u', 'CREATE TABLE u (other INT)');
    const [drop] = await column(`SELECT group_id FROM _undrop.ledger WHERE table_name = 'u'
      AND schema_name = '${name}'`);
    await client.run(`UNDROP DROP '${drop}' SWAP`, `UNDROP DROP '${drop}' SWAP`);
    expect((await state()).filter((line) => /"View"|"Function"/.test(line))).toEqual(
      before.filter((line) => /"View"|"Function"/.test(line)),
    );
  });

  test('the command with a schema leaves others as they are', async () => {
    await using other = await freshSchema(server, 'beside');
    const since = String(await cell("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%s')"));
    await client.run(
      `CREATE TABLE ${other.name}.t (id INT)`,
      `CREATE VIEW ${other.name}.v AS SELECT 1`,
    );
    await client.run(`DROP DATABASE ${other.name}`, `CREATE DATABASE ${other.name}`);
    await client.run(
      `CREATE VIEW ${other.name}.v AS SELECT 2`,
      'CREATE TABLE t (id INT)',
      'DROP TABLE t',
    );
    const before = await schemaState(server, other.name);
    const args = ['restore', '--schema', schema.name, '--since', since, '--swap'];
    const { code, stderr } = await runUndrop(server, args);
    expect([code, stderr]).toEqual([0, '']);
    expect([await client.tables(), await schemaState(server, other.name)]).toEqual([['t'], before]);
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

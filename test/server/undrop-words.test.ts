/**
 * Lists by their clauses, HOLD and PURGE: through the proxy, by text and prepared.
 */
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, freshSchema, query } from '../support/servers.js';

onServers('the words that people type on $name', (server, on) => {
  const { test } = on;
  on.freshLedger();
  const proxy = on.proxy({ HOLD: '2d', MIN_HOLD: '1h', MAX_HOLD: '30d' });
  const schema = on.each.schema('words');
  const client = on.each.session({ to: proxy, schema, multipleStatements: true });

  async function drop(...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      await client.run(
        `CREATE TABLE ${table} (id INT PRIMARY KEY)`,
        `INSERT INTO ${table} VALUES (1), (2)`,
        `DROP TABLE ${table}`,
      );
    }
  }
  const shown = (rest: string) =>
    client.rows(`SHOW FULL DROPPED TABLES FROM ${schema.name} ${rest}`);
  const tablesOf = async (rest: string) => (await shown(rest)).map((row) => row['Table']);
  /** The info text of an OK; without session tracking the driver has its length for letters. */
  const infoOf = async (sql: string) => {
    const [{ info }] = await client.query<ResultSetHeader>(sql);
    return info.slice(info.search(/[a-z]\w*\.a|\d+ tables/));
  };
  const warningOf = async () => String((await client.rows('SHOW WARNINGS'))[0]?.['Message'] ?? '');
  /** Newest first. */
  const idsOf = async (table: string) => (await shown(`LIKE '${table}'`)).map((row) => row['Id']);
  const idOf = async (table: string) => String((await idsOf(table))[0]);
  const dueOf = async (table: string) => (await duesOf(table))[0];
  const duesOf = async (table: string) => {
    const rows = await query<{ readonly hours: number }>(
      server,
      `SELECT ROUND(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), hold_until) / 3600) AS hours
       FROM _undrop.ledger WHERE state = 'HOLD' AND schema_name = '${schema.name}'
         AND table_name = '${table}' ORDER BY id DESC`,
    );
    return rows.map(({ hours }) => Number(hours));
  };

  test.each([0, 2])('a dropped schema of %i tables is listed until it is back', async (count) => {
    const tables = ['a', 'b'].slice(0, count);
    for (const table of tables) await client.query(`CREATE TABLE ${table} (id INT)`);
    await client.query(`DROP DATABASE ${schema.name}`);
    const listed = `SHOW DROPPED DATABASES LIKE '${schema.name.replaceAll('_', '\\_')}'`;
    const row = { Schema: schema.name, User: 'root', Tables: count, Held: count };
    expect(await client.rows(listed)).toMatchObject([row]);
    await client.query(`UNDROP DATABASE ${schema.name}`);
    expect(await client.tables(schema.name)).toEqual(tables);
    if (count === 0) expect(await client.rows(listed)).toEqual([]);
  });

  test('of a table in PURGE the list has the rows that are left, and when they will be gone', async () => {
    await client.query('CREATE TABLE a (id INT PRIMARY KEY)');
    const values = Array.from({ length: 1_000 }, (_, id) => `(${id})`).join(',');
    await client.run(`INSERT INTO a VALUES ${values}`, 'ANALYZE TABLE a', 'DROP TABLE a');
    const id = await idOf('a');
    const places = `SELECT TABLE_SCHEMA AS \`schema\`, TABLE_NAME AS name
      FROM information_schema.TABLES WHERE TABLE_NAME LIKE '%${id}%' AND TABLE_SCHEMA = '_undrop'`;
    const find = () => query<{ readonly schema: string; readonly name: string }>(server, places);
    await until(async () => (await find()).length > 0, 'it is in its schema');
    const [held] = await find();
    const begun = new Date(Date.now() - 60_000).toISOString().replaceAll(/[-:T]|\..*/g, '');
    const purged = `_undrop._vt_PURGE_${id}_${begun}`;
    await query(
      server,
      `RENAME TABLE _undrop.\`${held?.name}\` TO ${purged}`,
      `DELETE FROM ${purged} WHERE id < 500`,
      `ANALYZE TABLE ${purged}`,
    );
    const [row] = await shown('');
    expect(row).toMatchObject({
      ...{ Id: id, State: 'PURGE' },
      Next: expect.stringMatching(/^its rows are being deleted until about \d{4}-/),
    });
    expect(Number(row?.['Rows'])).toBeGreaterThan(0);
    expect(Number(row?.['Rows'])).toBeLessThan(900);
  });

  test('SHOW DROPPED TABLES has six columns, and as many digits of an id as tell it from others', async () => {
    await drop('a', 'b', 'c');
    const rows = await client.rows(`SHOW DROPPED TABLES FROM ${schema.name}`);
    const columns = ['Id', 'Schema', 'Table', 'Dropped_at', 'User', 'Expires_at'];
    expect(Object.keys(rows[0] ?? {})).toEqual(columns);
    const ids = rows.map(({ Id }) => String(Id));
    expect(new Set(ids).size).toBe(3);
    expect(ids.every((id) => id.length >= 6 && id.length < 32)).toBe(true);
    const whole = await shown('');
    expect(Object.keys(whole[0] ?? {})).toHaveLength(14);
    expect(whole.map(({ Id }) => String(Id).slice(-(ids[0]?.length ?? 0)))).toEqual(ids);
    await client.query(`UNDROP TABLE '${ids[2]}'`);
    expect(await client.tables()).toEqual(['a']);
  });

  test('a list by name, user, time and id', async () => {
    await drop('a', 'b', 'c', 'b');
    expect(await tablesOf('')).toEqual(['b', 'c', 'b', 'a']);
    expect(await tablesOf('LIMIT 2')).toEqual(['b', 'c']);
    expect(await tablesOf('LIMIT 0')).toEqual([]);
    expect(await tablesOf("LIKE 'B' BY 'ROOT'")).toEqual(['b', 'b']);
    expect(await tablesOf("BY 'r%'")).toEqual([]);
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString().slice(0, 16);
    expect(await tablesOf(`SINCE '${hourAgo}' LIMIT 3`)).toEqual(['b', 'c', 'b']);
    expect(await tablesOf("SINCE '2100-01-01'")).toEqual([]);
    const [, c, , a] = await shown('');
    expect(await tablesOf(`LIKE '${c?.['Id']}'`)).toEqual(['c']);
    expect(await tablesOf(`LIKE '${a?.['Drop_id']}'`)).toEqual(['a']);
  });

  test('the view of all that is held: joined, grouped, prepared, and not for everybody', async () => {
    await drop('a', 'b');
    await client.run('CREATE TABLE a (id INT)', 'DROP TABLE a');
    const own = `FROM _undrop.dropped_tables WHERE schema_name = '${schema.name}'`;
    const counts = `SELECT table_name, COUNT(*) AS n ${own} GROUP BY table_name ORDER BY n DESC`;
    const counted = [
      { table_name: 'a', n: 2 },
      { table_name: 'b', n: 1 },
    ];
    expect(await client.rows(counts)).toMatchObject(counted);
    expect((await client.execute<RowDataPacket[]>(counts))[0]).toMatchObject(counted);
    const joined = `SELECT d.table_name FROM _undrop.dropped_tables AS d
      JOIN _undrop.history AS h ON h.id = d.id AND h.event = 'held'
      WHERE d.schema_name = '${schema.name}' AND d.user_name = 'root'`;
    await until(async () => (await client.rows(joined)).length === 3, 'its history is written');
    await query(server, `CREATE USER no_view@'%'`, `GRANT ALL ON ${schema.name}.* TO no_view@'%'`);
    const other = await connect(proxy, { user: 'no_view', password: '' });
    expect(await other.errorOf(`SELECT id ${own}`)).toMatchObject({ errno: 1142 });
    await other.end();
    await query(server, `DROP USER no_view@'%'`);
  });

  test('the first ones in the order of sizes are those of the whole list', async () => {
    await drop('a', 'b', 'c', 'd', 'e');
    const left = `SELECT id FROM _undrop.ledger
      WHERE schema_name = '${schema.name}' AND (restore_script IS NULL OR relocated = 0)`;
    await until(async () => (await query(server, left)).length === 0, 'their sizes are recorded');
    await query(
      server,
      `UPDATE _undrop.ledger SET byte_estimate = CASE table_name
         WHEN 'a' THEN 300 WHEN 'd' THEN 400 WHEN 'b' THEN 500 WHEN 'e' THEN 500 END
       WHERE schema_name = '${schema.name}'`,
    );
    const bySize = await tablesOf('ORDER BY size');
    expect(bySize).toEqual(['e', 'b', 'd', 'a', 'c']);
    for (const count of [1, 2, 4, 9]) {
      const first = bySize.slice(0, count);
      expect(await tablesOf(`ORDER BY size LIMIT ${count}`)).toEqual(first);
    }
  });

  test('prepared, in the binary protocol', async () => {
    await drop('a', 'b');
    const [named] = await client.execute<RowDataPacket[]>(
      `SHOW FULL DROPPED TABLES FROM ${schema.name} LIKE 'a' BY 'root' ORDER BY size LIMIT 9`,
    );
    expect(named).toMatchObject([{ Table: 'a', Bytes: expect.any(Number) }]);
    const [held] = await client.execute<ResultSetHeader>("HOLD TABLE a FOR '5d'");
    expect(held.affectedRows).toBe(0);
    expect(await dueOf('a')).toBe(120);
  });

  test.each([
    [
      "SHOW DROPPED TABLES WHERE User = 'a'",
      1064,
      "[BY 'user'] [SINCE 'time'] [MATCHING 'text'] [ORDER BY size]",
    ],
    ["SHOW DROPPED TABLES SINCE '2h'", 1210, 'expected a time like 2026-11-24 14:00 or'],
    ["HOLD a FOR '3d'", 1064, "(undrop's own: HOLD TABLE name | 'id' FOR '30d'"],
    ['PURGE TABLES', 1064, "(undrop's own: PURGE TABLE name"],
    ["HOLD TABLE a FOR '3'", 1210, "expected a duration like 12h or 30d, found '3'"],
    ["HOLD TABLE a UNTIL 'soon'", 1210, "found 'soon'"],
    ["UNDROP TABLE a BEFORE 'soon'", 1210, "found 'soon'"],
  ])('%s is refused', async (sql, errno, words) => {
    const said = await client.errorOf(sql);
    expect(said).toMatchObject({ errno, message: expect.stringContaining(words) });
  });

  test('an error that finds nothing names what is near, as far as the user may see it', async () => {
    await using other = await freshSchema(server, 'near');
    await drop('a');
    await client.query(`CREATE TABLE ${other.name}.b (id INT)`);
    await client.query(`DROP TABLE ${other.name}.b`);
    const near = (await client.errorOf('UNDROP TABLE b'))?.message;
    expect(near).toContain(
      `No held table matches "\`${schema.name}\`.\`b\`". Held under that name: ${other.name}.b, dropped 20`,
    );
    await query(
      server,
      `CREATE USER near_user@'%'`,
      `GRANT ALL ON ${schema.name}.* TO near_user@'%'`,
    );
    const session = await connect(proxy, { user: 'near_user', password: '' });
    const hidden = (await session.errorOf(`UNDROP TABLE ${schema.name}.b`))?.message;
    await session.end();
    await query(server, `DROP USER near_user@'%'`);
    expect(hidden).not.toContain(other.name);
  });

  test('EXPLAIN UNDROP says what would come back, and does nothing', async () => {
    await client.run(
      'CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB',
      'INSERT INTO parent VALUES (1), (2)',
      'CREATE TABLE a (id INT PRIMARY KEY, p INT, CONSTRAINT to_parent FOREIGN KEY (p) REFERENCES parent (id)) ENGINE=InnoDB',
      'INSERT INTO a VALUES (1, 1), (2, 2), (3, NULL)',
      'CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.p = NEW.p',
      'DROP TABLE a',
    );
    // Asked again where the server is too slow to count in the moment that it has.
    const explained = async (rest: string) => {
      let row: RowDataPacket | undefined;
      await until(async () => {
        [row] = await client.rows(`EXPLAIN UNDROP TABLE ${rest}`);
        return !String(row?.['Notes']).includes('not counted');
      }, 'its rows are counted');
      return row;
    };
    const name = `${schema.name}.a`;
    const id = await idOf('a');
    const whole = { Id: id, Table: name, Becomes: name, Foreign_keys: 1, Triggers: 1 };
    expect(await explained('a')).toMatchObject({ ...whole, Notes: null });
    await client.query('DELETE FROM parent WHERE id = 2');
    expect(await explained(`'${id}'`)).toMatchObject({ Notes: '1 rows would break to_parent' });
    await client.query('CREATE TABLE a (id INT)');
    expect((await explained('a'))?.['Notes']).toMatch(/^refused: a table has that name/);
    expect((await explained('a SWAP'))?.['Notes']).toMatch(/^the live table .*; 1 rows would/);
    expect(await explained('a TO b')).toMatchObject({ Becomes: `${schema.name}.b` });
    await client.query('DROP TABLE parent');
    expect((await explained('a TO b'))?.['Notes']).toBe(
      `to_parent refers to ${schema.name}.parent, which is missing`,
    );
    expect(await client.errorOf('EXPLAIN UNDROP TABLE nothing')).toMatchObject({ errno: 1146 });
    const [prepared] = await client.execute<RowDataPacket[]>('EXPLAIN UNDROP TABLE a TO b');
    expect(prepared).toMatchObject([{ Becomes: `${schema.name}.b` }]);
    expect(await client.tables()).toEqual(['a']);
  });

  test('UNDROP … BEFORE brings back the newest that was dropped before', async () => {
    await drop('a');
    await query(
      server,
      `UPDATE _undrop.ledger SET dropped_at = '2026-11-20 10:00' WHERE schema_name = '${schema.name}'`,
    );
    await drop('a');
    await client.query("UNDROP TABLE a BEFORE '2026-11-20 12:00+01:00' TO old");
    expect(await client.tables()).toEqual(['old']);
    const said = await client.errorOf("UNDROP TABLE a BEFORE '2026-11-20 09:00' TO older");
    expect(said).toMatchObject({ errno: 1146 });
  });

  test('HOLD only lengthens, up to UNDROP_MAX_HOLD', async () => {
    await drop('a');
    expect(await infoOf("HOLD TABLE a FOR '10d'")).toMatch(/^\S+\.a is held until \d{4}-/);
    expect(await dueOf('a')).toBe(240);
    for (const sql of ["HOLD TABLE a FOR '1d'", "HOLD TABLE a FOR '31d'"]) {
      expect(await client.errorOf(sql)).toMatchObject({
        message: expect.stringContaining('UNDROP_HOLD_NOT_CHANGED'),
      });
    }
    await client.query(`HOLD TABLE '${(await idOf('a')).slice(-8)}' FOR '20d'`);
    expect(await dueOf('a')).toBe(480);
    expect(await client.errorOf("HOLD TABLE b FOR '20d'")).toMatchObject({ errno: 1146 });
  });

  test('PURGE leaves UNDROP_MIN_HOLD, and HOLD and UNDROP take it back', async () => {
    await drop('a', 'b');
    expect(await infoOf('PURGE TABLE a')).toMatch(
      /^\S+\.a: removed from \d{4}-.* on, .*; until then UNDROP/,
    );
    expect(await dueOf('a')).toBe(1);
    await client.query("HOLD TABLE a FOR '3d'");
    expect(await dueOf('a')).toBe(72);
    // Its hold was lengthened.
    expect(await client.errorOf('PURGE TABLE a')).toMatchObject({
      message: expect.stringContaining('its hold was lengthened'),
    });
    await client.query('PURGE TABLE b');
    await client.query('UNDROP TABLE b');
    expect(await client.count('b')).toBe(2);
  });

  test('of a name that is held twice HOLD and PURGE mean the newest, and name the other', async () => {
    await drop('a', 'a');
    const [newest, older] = await idsOf('a');
    const other = ` Others of that name are unchanged: ${older}.`;
    expect(await infoOf('PURGE TABLE a')).toContain(other);
    expect(await infoOf(`HOLD TABLE ${schema.name}.a FOR '10d'`)).toContain(other);
    expect(await duesOf('a')).toEqual([240, 48]);
    // A crash has left the newest in pieces.
    const [row] = await query<{ readonly name: string }>(
      server,
      `SELECT hold_name AS name FROM _undrop.ledger WHERE id = '${newest}'`,
    );
    await query(server, `DROP TABLE _undrop.${row?.name}`);
    await query(
      server,
      `UPDATE _undrop.ledger SET state = 'intent', todo = 'torn', failure = 'torn' WHERE id = '${newest}'`,
    );
    const torn = ` Others of that name are unchanged: ${newest}.`;
    expect(await infoOf('PURGE TABLE a')).toContain(torn);
    expect(await infoOf("HOLD TABLE a FOR '9d'")).toContain(torn);
    const said = await runUndrop(server, ['hold', `${schema.name}.a`, '--for', '20d']);
    expect(said.stdout).toContain(`(${older}) is held until`);
    expect(said.stdout).toContain(`Also held under that name; unchanged:\n  ${newest}  HOLD`);
    const removed = await runUndrop(server, ['remove', `${schema.name}.a`, '--yes']);
    expect([removed.code, removed.stdout]).toEqual([0, expect.stringContaining(String(older))]);
  });

  test('PURGE DATABASE is about what its DROP dropped', async () => {
    await drop('single');
    const made = ['a', 'b', 'c'].map((table) => `CREATE TABLE ${table} (id INT)`);
    await client.run(...made, `DROP DATABASE ${schema.name}`);
    await client.query(`HOLD TABLE ${schema.name}.a FOR '3d'`);
    const all = await infoOf(`PURGE DATABASE ${schema.name}`);
    expect(all).toMatch(/^2 tables: removed from /);
    expect(await warningOf()).toMatch(/^Not, pinned or held longer: \S+\.a\.$/);
    const dues = ['single', 'a', 'b', 'c'].map(dueOf);
    expect(await Promise.all(dues)).toEqual([48, 72, 1, 1]);
    await client.query('PURGE DATABASE of_no_drop');
  });

  test('PURGE ends a hold at once where UNDROP_ALLOW_DESTROY says so', async () => {
    await using quick = await proxyInFront(server, { ALLOW_DESTROY: 'users', HOLD: '2d' });
    await drop('a');
    const session = await connect(quick, { database: schema.name });
    await session.query('PURGE TABLE a');
    await session.end();
    expect(await dueOf('a')).toBe(0);
  });
});

/**
 * The statements of undrop's own through the proxy, by text and prepared, as clients send them and
 * see the answers: what comes back, lists by their clauses, HOLD and PURGE.
 */
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { whereIs } from '../collector/collecting.js';
import { asking } from '../support/asking.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { createMariadb } from '../support/mariadb.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { CLIENT, MARIADB_CLIENT, RawClient } from '../support/raw-client.js';
import { connect, freshSchema, query } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const UNDROP_FORM = "UNDROP TABLE name, ... | 'id' [BEFORE 'time'] [TO name] [SWAP] ";

/** An error as a client sees it. */
interface Said {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;
}

onServers('statements of undrop’s own on $name', (server, on) => {
  const { test } = on;

  on.freshLedger();
  const proxy = on.proxy({ HOLD: '2d', MIN_HOLD: '1h', MAX_HOLD: '30d' });

  const schema = on.each.schema();
  const client = on.each.session({ to: proxy, schema, multipleStatements: true });
  const account = on.each.accounts('a');

  const errorOf = (work: Promise<unknown>) =>
    work.then(
      () => Promise.reject(new Error('it was not refused')),
      ({ errno, sqlState, sqlMessage }: Said) => ({ errno, sqlState, sqlMessage }),
    );
  const refuses = async (sql: string, what: Partial<Said> | RegExp) => {
    const said = what instanceof RegExp ? { sqlMessage: expect.stringMatching(what) } : what;
    expect(await errorOf(client.query(sql))).toMatchObject(said);
  };
  const rowsOf = (sql: string) => client.rows(sql);
  const idsIn = async (table: string) =>
    (await rowsOf(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => id);
  const show = (rest = '') => rowsOf(`SHOW FULL DROPPED TABLES FROM ${schema.name} ${rest}`);

  /** Two rows, `first` and the next. */
  async function make(table: string, first = 1): Promise<void> {
    await client.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
    await client.query(`INSERT INTO ${table} VALUES (${first}), (${first + 1})`);
  }

  async function makeAndDrop(table: string, first = 1): Promise<void> {
    await make(table, first);
    await client.query(`DROP TABLE ${table}`);
  }

  test('a child without its parent says so, and not if both come back', async () => {
    const warnings = () => client.rows('SHOW WARNINGS');
    await client.run(
      'CREATE TABLE pa (id INT PRIMARY KEY)',
      'CREATE TABLE ch (id INT PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES pa (id))',
      'DROP TABLE ch, pa',
    );
    await intentsSettled(client, [schema.name]);
    await client.query('UNDROP TABLE ch');
    const [said] = await warnings();
    expect(said?.['Message']).toContain(`f refers to ${schema.name}.pa, which is missing`);
    await client.query('DROP TABLE ch');
    await intentsSettled(client, [schema.name]);
    await client.query('UNDROP TABLE ch, pa');
    expect(await warnings()).toEqual([]);
    expect(await client.errnoOf('INSERT INTO ch VALUES (1)')).toBe(1452);
  });

  test('the newest of that name comes back, with its rows; by its id, any', async () => {
    await makeAndDrop('a', 1);
    await makeAndDrop('a', 5);
    const [newer, older] = await show();
    const id = String(older?.['Id']);
    const both = new RegExp(`^UNDROP_AMBIGUOUS.*${newer?.['Id']}`);
    await refuses(`UNDROP TABLE '${id.slice(0, 4)}'`, both);
    const [answer] = await client.query('UNDROP TABLE a');
    expect(answer).toMatchObject({ affectedRows: 0, warningStatus: 0 });
    expect([await rowsOf('SHOW WARNINGS'), await idsIn('a')]).toEqual([[], [5, 6]]);
    expect(await show()).toMatchObject([{ Id: id }]);
    await client.query(`UNDROP TABLE '${id}' TO b`);
    expect(await idsIn('b')).toEqual([1, 2]);
    await refuses(`UNDROP TABLE '${id}'`, { errno: 1146 });
  });

  test('a table in a schema of the server comes back there, as its OK says', async () => {
    const table = `mysql.${schema.name}_own`;
    await client.query(`CREATE TABLE ${table} (id INT PRIMARY KEY)`);
    await client.run(`DROP TABLE ${table}`, `UNDROP TABLE ${table}`);
    expect(await idsIn(table)).toEqual([]);
    await query(server, `DROP TABLE ${table}`);
  });

  /** The info text of its OK; without session tracking the driver has its length for letters. */
  const infoOf = async (sql: string) => {
    const [{ info }] = await client.query<ResultSetHeader>(sql);
    return info.slice(info.search(/Restored |[a-z]\w*\.a|\d+ tables/));
  };
  const fill = async (table: string, rows: number) => {
    const values = Array.from({ length: rows }, (_, index) => `(${index})`).join(', ');
    await client.query(`CREATE TABLE IF NOT EXISTS ${table} (id INT PRIMARY KEY)`);
    if (rows > 0) await client.query(`INSERT INTO ${table} VALUES ${values}`);
  };
  const TIME = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`;
  const came = (table: string, how: string, rest: string) =>
    expect.stringMatching(
      new RegExp(`^Restored ${table} \\(dropped ${TIME} by root, ${how}\\)\\.${rest}$`),
    );

  test('its OK says what came back, and what else is held of that name', async () => {
    const table = `${schema.name}.a`;
    for (const rows of [3, 4, 1, 5]) {
      await fill('a', rows);
      await client.query('DROP TABLE a');
    }
    const others = (count: number) => ` ${count} others are held, the newest dropped ${TIME}\\.`;
    expect(await infoOf('UNDROP TABLE a')).toEqual(came(table, 'DROP TABLE, 5 rows', others(3)));
    const other = ` The replaced table is held: UNDROP TABLE ${table} SWAP\\.`;
    expect(await infoOf('UNDROP TABLE a SWAP')).toEqual(came(table, 'DROP TABLE, 1 row', other));
    expect(await infoOf('UNDROP TABLE a TO b')).toEqual(
      came(`${table} as ${schema.name}.b`, 'SWAP, 5 rows', others(2)),
    );
    await make('`ä`');
    await client.run('DROP TABLE a, `ä`', 'SET character_set_results = latin1');
    expect(await infoOf('UNDROP TABLE `ä`, a')).toMatch(
      /^Restored .*\.(\?|a) \(dropped .*\)\. And 1 more\./,
    );
    await client.run('SET NAMES utf8mb4', `DROP DATABASE ${schema.name}`);
    expect(await infoOf(`UNDROP DATABASE ${schema.name}`)).toMatch(
      /^Restored 3 tables of \S+, as before .* UTC\.$/,
    );
    // Those that were dropped before.
    const single = `other dropped tables of ${schema.name} are held: SHOW DROPPED TABLES`;
    const warnings = (await rowsOf('SHOW WARNINGS')).map(({ Message }) => String(Message));
    expect(warnings.join()).toContain(single);
  });

  test.each([
    ['empty', 1, 0],
    ['a tenth', 20, 2],
    ['a part of what is counted', 4_000, 100],
  ])('if the newest is %s, its OK names the older, larger one', async (_name, older, newer) => {
    for (const rows of [older, newer]) {
      await fill('a', rows);
      await client.query('DROP TABLE a');
    }
    const id = (await show()).at(-1)?.['Id'];
    const many = older > 1_000 ? '(at least|about) [\\d,]+' : String(older);
    const larger = ` The one dropped ${TIME} has ${many} rows?: UNDROP TABLE '${id}' SWAP`;
    const counted = `DROP TABLE, ${newer} rows`;
    let text = '';
    // Restored again where the server is too slow to count in the moment that it has.
    await until(async () => {
      if (text !== '') await client.query('DROP TABLE a');
      text = await infoOf('UNDROP TABLE a');
      return new RegExp(`${counted}\\)\\.${larger}$`).test(text);
    }, 'its rows are counted');
    expect(await idsIn('a')).toHaveLength(newer);
    expect(text).toEqual(came(`${schema.name}.a`, counted, larger));
    await client.query(text.replace(/^.*(UNDROP )/, '$1'));
    expect(await idsIn('a')).toHaveLength(older);
    expect(await infoOf('UNDROP TABLE a SWAP')).not.toBe('');
    await fill('b', 9);
    await client.query('DROP TABLE b');
    await fill('b', 1);
    await client.query('DROP TABLE b');
    expect(await infoOf('UNDROP TABLE b')).not.toContain('The one');
  });

  test('under another name, also of another schema', async () => {
    await using other = await freshSchema(server);
    for (const first of [1, 3, 5, 7]) await makeAndDrop('a', first);
    await client.query(`UNDROP TABLE a TO ${other.name}.b`);
    await client.query('UNDROP TABLE a TO c');
    await client.run('UNDROP TABLE a', `DO 1; UNDROP TABLE ${schema.name}.a TO d; DO 2`);
    expect(await idsIn(`${other.name}.b`)).toEqual([7, 8]);
    expect(await idsIn('c')).toEqual([5, 6]);
    expect(await idsIn('a')).toEqual([3, 4]);
    expect(await idsIn('d')).toEqual([1, 2]);
  });

  test('one that fails is named, and the others are back', async () => {
    await makeAndDrop('a');
    await makeAndDrop('b');
    await client.query('CREATE TABLE a (x INT)');
    const said = await errorOf(client.query('UNDROP TABLE a, nothing, b'));
    expect(said.sqlMessage).toMatch(/^UNDROP_PARTLY: 2 of 3 .*\.a exists.*\.nothing"/);
    expect(await idsIn('b')).toEqual([1, 2]);
    await client.run('DROP TABLE b', 'CREATE TABLE b (x INT)');
    const taken = await errorOf(client.query('UNDROP TABLE a, b'));
    expect(taken.sqlMessage).toMatch(
      /^UNDROP_PARTLY: 2 of 2 .*: UNDROP_NAME_TAKEN: .* Swap the two/,
    );
    expect(taken.sqlMessage?.match(/UNDROP_NAME_TAKEN/g)).toHaveLength(1);
    await client.run('DROP TABLE b', 'UNDROP TABLE b');
    await refuses('UNDROP TABLE a', { errno: 1050, sqlState: '42S01' });
    await refuses('UNDROP TABLE nothing', { errno: 1146, sqlState: '42S02' });
    expect(await rowsOf('SHOW WARNINGS')).toEqual([
      { Level: 'Error', Code: 1146, Message: expect.stringMatching(/^UNDROP_NO_SUCH_HELD: /) },
    ]);
    await refuses('UNDROP TABLE b, b', { errno: 1066 });
  });

  test('a key that can’t come back is a warning', async () => {
    await make('p');
    await client.query(`CREATE TABLE c (id INT PRIMARY KEY, p INT, CONSTRAINT k FOREIGN KEY (p)
      REFERENCES p (id))`);
    await client.run('INSERT INTO c VALUES (1, 1)', 'DROP TABLE c');
    await client.query('ALTER TABLE p MODIFY id VARCHAR(9)');
    const [answer] = await client.query('UNDROP TABLE c');
    expect(answer).toMatchObject({ warningStatus: 1 });
    const [warning] = await rowsOf('SHOW WARNINGS');
    expect(warning).toMatchObject({ Level: 'Warning', Code: 1105 });
    expect(warning?.['Message']).toContain(`${schema.name}.c`);
    expect(await idsIn('c')).toEqual([1]);
  });

  test('SWAP: the live table is held, and the dropped one has the name', async () => {
    await makeAndDrop('a', 1);
    await make('a', 5);
    await client.query('UNDROP TABLE a SWAP');
    expect(await idsIn('a')).toEqual([1, 2]);
    await client.query('UNDROP TABLE a SWAP');
    expect(await idsIn('a')).toEqual([5, 6]);
    const [held] = await show();
    await client.query(`UNDROP TABLE '${String(held?.['Id']).slice(0, 20)}' SWAP`);
    expect(await idsIn('a')).toEqual([1, 2]);
    // Where no table has the name, that is an UNDROP.
    await client.run('DROP TABLE a', 'UNDROP TABLE a SWAP');
    expect([await idsIn('a'), await show()]).toMatchObject([[1, 2], [{ How: 'SWAP' }]]);
  });

  test('what is held no more: the error says when, as what, and by whom it was restored', async () => {
    await account('told');
    await make('a');
    await using other = await connect(proxy, { database: schema.name });
    await other.query('DROP TABLE a');
    const id = String((await show())[0]?.['Id']);
    const name = String((await ledgerRows(client, { id }))[0]?.['hold_name']);
    await client.query('UNDROP TABLE a TO b');
    const as = `${schema.name}\\.b`;
    const fate = new RegExp(
      `It was restored at ${TIME} as ${as} by root from [\\d.]+:\\d+ \\(Node-MySQL-2\\)\\.`,
    );
    const says = async (target: string) =>
      (await errorOf(client.query(`UNDROP TABLE ${target}`))).sqlMessage;
    // The history is written after the answer.
    await until(async () => (await says('a')).includes(' by root from '), 'the history is written');
    for (const target of ['a', `'${id}'`, `'${id.slice(0, 20)}'`, `'${name}'`, name]) {
      expect([target, await says(target)]).toEqual([target, expect.stringMatching(fate)]);
    }
    await using stranger = await connect({ ...proxy, user: 'told', password: 'a' });
    const refusal = errorOf(stranger.query(`UNDROP TABLE '${id}'`));
    expect((await refusal).sqlMessage).not.toContain('It was');
  });

  test('odd names, and names in other character sets', async () => {
    for (const name of ['a`b', 'a.b', 'a b', 'ä€', 'SELECT', "a'b"]) {
      const quoted = `\`${name.replaceAll('`', '``')}\``;
      await makeAndDrop(quoted);
      expect(await rowsOf(`SHOW FULL DROPPED TABLES FROM ${schema.name}`)).toMatchObject([
        { Table: name },
      ]);
      await client.query(`UNDROP TABLE ${quoted}`);
      expect(await idsIn(quoted)).toEqual([1, 2]);
      await client.query(`RENAME TABLE ${quoted} TO gone_${name.length}_${name.codePointAt(1)}`);
    }
    await client.run('CREATE TABLE `ä` (id INT); DROP TABLE `ä`', 'SET NAMES latin1');
    // The driver writes UTF-8 all the same, so only the server's charset differs.
    await refuses(Buffer.from('UNDROP TABLE `\xe4`', 'latin1').toString('latin1'), { errno: 1235 });
    await client.query('SET character_set_client = utf8mb4');
    expect(await show()).toMatchObject([{ Table: '?' }]);
    await client.run('SET NAMES utf8mb4', 'UNDROP TABLE `ä`');
    expect(await show()).toEqual([]);
  });

  test('by both drivers, prepared and not, the rows are the same', async () => {
    await make('a');
    await make('b');
    await client.query('DROP TABLE a, b');
    const sql = `SHOW FULL DROPPED TABLES IN ${schema.name}`;
    const expected = await rowsOf(sql);
    const [prepared] = await client.execute(sql);
    expect(prepared).toEqual(expected);
    const { host, port, user, password } = proxy;
    const own = { host, port, user, password, database: schema.name, multipleStatements: true };
    await using other = await createMariadb({ ...own, bigIntAsNumber: true });
    expect([...(await other.query(sql))]).toEqual(expected);
    expect([...(await other.execute(sql))]).toEqual(expected);
    const several = await other.query(`DO 1; ${sql}; SELECT 2 AS two`);
    expect([[...several[1]], [...several[2]]]).toEqual([expected, [{ two: 2 }]]);
    await other.execute('UNDROP TABLE a');
    const [answer] = await client.execute('UNDROP TABLE b');
    expect(answer).toMatchObject({ affectedRows: 0 });
    expect(await idsIn('a')).toEqual(await idsIn('b'));
  });

  test('its packets are numbered, also among other statements, and where it was prepared', async () => {
    await makeAndDrop('a');
    await using raw = await RawClient.open(proxy, {
      ...{ schema: schema.name, flags: CLIENT.DEPRECATE_EOF | CLIENT.MULTI_STATEMENTS },
      mariadb: MARIADB_CLIENT.CACHE_METADATA | MARIADB_CLIENT.EXTENDED_METADATA,
    });
    const sql = `SHOW FULL DROPPED TABLES FROM ${schema.name}`;
    for (const [text, kinds] of [
      [sql, ['rows']],
      [`DO 1; ${sql}; ${sql}; DO 2`, ['ok', 'rows', 'rows', 'ok']],
    ] as const) {
      const { results, packets } = await raw.query(text);
      expect(results.map(({ kind }) => kind)).toEqual(kinds);
      const numbers = packets.map((_packet, index) => index + 1);
      expect(packets.map(({ sequenceId }) => sequenceId)).toEqual(numbers);
    }
    const { id } = await raw.prepare(sql);
    if (id === null) throw new Error('it was not prepared');
    expect((await raw.execute(id)).results.map(({ kind }) => kind)).toEqual(['rows']);
    expect((await raw.query('SELECT 1')).results.map(({ kind }) => kind)).toEqual(['rows']);
  });

  test('what was prepared means what it meant then, as often as it is executed', async () => {
    await using other = await freshSchema(server);
    const undrop = await client.prepare('UNDROP TABLE a');
    const shown = await client.prepare(`SHOW FULL DROPPED TABLES FROM ${schema.name}`);
    await makeAndDrop('a');
    await client.query(`USE ${other.name}`);
    expect((await shown.execute([]))[0]).toEqual([expect.objectContaining({ Table: 'a' })]);
    for (let times = 0; times < 2; times++) {
      await undrop.execute([]);
      expect(await idsIn(`${schema.name}.a`)).toEqual([1, 2]);
      expect(await errorOf(undrop.execute([]))).toMatchObject({ errno: 1146 });
      await client.query(`DROP TABLE ${schema.name}.a`);
    }
  });

  test('a schema comes back whole, or its tables in another schema', async () => {
    const [one, two] = [`${schema.name}_1`, `${schema.name}_2`];
    await client.query(`CREATE DATABASE ${one}; USE ${one}`);
    await make('a');
    await make('b', 5);
    await client.run('CREATE VIEW v AS SELECT id FROM a', `DROP DATABASE ${one}`);
    expect(await rowsOf(`SHOW FULL DROPPED TABLES FROM ${one}`)).toMatchObject([
      { How: 'DROP DATABASE' },
      { How: 'DROP DATABASE' },
    ]);
    const undrop = await client.prepare(`UNDROP DATABASE ${one}`);
    await undrop.execute([]);
    expect([await rowsOf('SHOW WARNINGS'), await idsIn(`${one}.v`)]).toEqual([[], [1, 2]]);
    expect(await idsIn(`${one}.b`)).toEqual([5, 6]);
    await client.run(`DROP DATABASE ${one}; DO 1`, `UNDROP DATABASE ${one} TO ${two}`);
    expect(await idsIn(`${two}.a`)).toEqual([1, 2]);
    // Names that are taken stay so, and what is held stays held.
    await client.query(`DROP DATABASE ${two}; CREATE DATABASE ${two}; USE ${two}`);
    await make('a', 7);
    await refuses(`UNDROP DATABASE ${two}`, /UNDROP_PARTLY: 1 of 2 tables/);
    expect(await idsIn(`${two}.a`)).toEqual([7, 8]);
    expect(await idsIn(`${two}.b`)).toEqual([5, 6]);
    await refuses('UNDROP DATABASE nowhere_at_all', /UNDROP_NO_SUCH_SCHEMA/);
    await query(server, `DROP DATABASE IF EXISTS ${one}`, `DROP DATABASE ${two}`);
  });

  test('it commits, as DDL does; SHOW does not', async () => {
    await makeAndDrop('a');
    await client.query('CREATE TABLE kept (id INT) ENGINE=InnoDB');
    await client.query('BEGIN; INSERT INTO kept VALUES (1)');
    expect(await show()).toHaveLength(1);
    await client.query('ROLLBACK');
    expect(await idsIn('kept')).toEqual([]);
    await client.run('BEGIN; INSERT INTO kept VALUES (1)', 'UNDROP TABLE a', 'ROLLBACK');
    expect(await idsIn('kept')).toEqual([1]);
  });

  test('in the mode observe it works, in the mode off the server is asked', async () => {
    await makeAndDrop('a');
    await using observing = await proxyInFront(server, { MODE: 'observe' });
    await using off = await proxyInFront(server, { MODE: 'off' });
    const sql = `UNDROP TABLE ${schema.name}.a`;
    await using seen = await connect(observing, { multipleStatements: true });
    await using blind = await connect(off);
    expect(await errorOf(blind.query(sql))).toMatchObject({ errno: 1064 });
    await seen.query(`DO 1; ${sql}`);
    expect(await idsIn('a')).toEqual([1, 2]);
  });

  test.each([
    ['UNDROP TABLE', '', 1, UNDROP_FORM],
    ['UNDROP TABLE a b', 'b', 1, UNDROP_FORM],
    ['UNDROP\nTABLE a,\n  select 1', 'select 1', 3, UNDROP_FORM],
    [`SHOW FULL DROPPED TABLES LIKE ${'x'.repeat(200)}`, 'x'.repeat(80), 1, 'SHOW [FULL] DROPPED'],
    ['EXPLAIN DROP TABLE a b', 'b', 1, 'EXPLAIN DROP TABLE name'],
  ])('%s is a syntax error, and says the forms', async (sql, near, line, form) => {
    const own = await errorOf(client.query('SELECT FROM WHERE'));
    const where = `near '${near}' at line ${line}`;
    const forms = ` (undrop's own: ${form}`;
    const { sqlMessage } = await errorOf(client.query(sql));
    expect(sqlMessage).toContain(`${own.sqlMessage.replace(/near '.*$/s, where)}${forms}`);
    // As many bytes as the C client library shows.
    expect(Buffer.byteLength(sqlMessage)).toBeLessThan(512);
    const expected = { errno: 1064, sqlState: '42000', sqlMessage };
    for (const work of [client.prepare(sql), client.query(`DO 1; ${sql}`)]) {
      expect(await errorOf(work)).toEqual(expected);
    }
    const [shown] = await client.query('SHOW WARNINGS');
    const [warning] = shown as { Code: number; Message: string }[];
    expect(warning?.Code).toBe(1064);
    expect(sqlMessage.startsWith(warning?.Message ?? 'none')).toBe(true);
  });

  test('a text that is prepared by its name is refused with words', async () => {
    // No statement of undrop's.
    await refuses('DESC DROP TABLE a', { errno: 1064 });
    const said = await errorOf(client.query("PREPARE s FROM 'UNDROP TABLE a'"));
    expect(said).toMatchObject({
      errno: 1235,
      sqlMessage: expect.stringContaining('UNDROP_NOT_UNDONE'),
    });
    await refuses('EXECUTE s', { errno: 1243 });
  });

  const drop = async (...tables: readonly string[]) => {
    for (const table of tables) await makeAndDrop(table);
  };
  const tablesOf = async (rest: string) => (await show(rest)).map((row) => row['Table']);
  const warningOf = async () => String((await rowsOf('SHOW WARNINGS'))[0]?.['Message'] ?? '');
  /** Newest first. */
  const idsOf = async (table: string) => (await show(`LIKE '${table}'`)).map((row) => row['Id']);
  const idOf = async (table: string) => String((await idsOf(table))[0]);
  const dueOf = async (table: string) => (await duesOf(table))[0];
  const duesOf = async (table: string) => {
    const hours = await asking(server).column(`
      SELECT ROUND(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), hold_until) / 3600)
      FROM _undrop.ledger WHERE state = 'HOLD' AND schema_name = '${schema.name}'
      AND table_name = '${table}' ORDER BY id DESC`);
    return hours.map(Number);
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
    await until(async () => (await whereIs(server, id)).length > 0, 'it is in its schema');
    const [held] = await whereIs(server, id);
    const begun = new Date(Date.now() - 60_000).toISOString().replaceAll(/[-:T]|\..*/g, '');
    const purged = `_undrop._vt_PURGE_${id}_${begun}`;
    await query(
      server,
      `RENAME TABLE ${held} TO ${purged}`,
      `DELETE FROM ${purged} WHERE id < 500`,
      `ANALYZE TABLE ${purged}`,
    );
    const [row] = await show();
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
    const whole = await show();
    expect(Object.keys(whole[0] ?? {})).toHaveLength(15);
    expect(whole.map(({ Id }) => String(Id).slice(-(ids[0]?.length ?? 0)))).toEqual(ids);
    await client.query(`UNDROP TABLE '${ids[2]}'`);
    expect(await client.tables()).toEqual(['a']);
  });

  test('a list by name, user, time and id', async () => {
    await drop('a', 'b', 'c', 'b');
    expect(await tablesOf('')).toEqual(['b', 'c', 'b', 'a']);
    expect([await tablesOf('LIMIT 2'), await tablesOf('LIMIT 0')]).toEqual([['b', 'c'], []]);
    expect(await tablesOf("LIKE 'B' BY 'ROOT'")).toEqual(['b', 'b']);
    expect(await tablesOf("BY 'r%'")).toEqual([]);
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString().slice(0, 16);
    expect(await tablesOf(`SINCE '${hourAgo}' LIMIT 3`)).toEqual(['b', 'c', 'b']);
    expect(await tablesOf("SINCE '2100-01-01'")).toEqual([]);
    const [, c, , a] = await show();
    expect(await tablesOf(`LIKE '${c?.['Id']}'`)).toEqual(['c']);
    expect(await tablesOf(`LIKE '${a?.['Drop_id']}'`)).toEqual(['a']);
    const [prepared] = await client.execute(
      `SHOW FULL DROPPED TABLES FROM ${schema.name} LIKE 'a' BY 'root' ORDER BY size LIMIT 9`,
    );
    expect(prepared).toMatchObject([{ Table: 'a', Bytes: expect.any(Number) }]);
    expect(await rowsOf('SHOW FULL DROPPED TABLES FROM nowhere_at_all')).toEqual([]);
    await make('c_1');
    await make('d');
    await client.query('DROP TABLE c_1, d');
    const [one, other] = await show();
    expect(one?.['Drop_id']).toBe(other?.['Drop_id']);
    const known = { Schema: schema.name, How: 'DROP TABLE', User: 'root', State: 'HOLD' };
    const like = await show("LIKE 'C\\_%'");
    expect(like).toMatchObject([{ ...known, Table: 'c_1', Statement: 'DROP TABLE c_1, d' }]);
    expect(like[0]?.['Dropped_at']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    expect(like[0]?.['Next']).toBe(`removed from ${like[0]?.['Expires_at']} on`);
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
    await account('no_view', `ALL ON ${schema.name}.*`);
    await using other = await connect(proxy, { user: 'no_view', password: 'a' });
    expect(await other.errorOf(`SELECT id ${own}`)).toMatchObject({ errno: 1142 });
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

  test.each([
    ["SHOW DROPPED TABLES WHERE User = 'a'", 1064, "[BY 'user'] [SINCE 'time'] [ORDER BY size]"],
    ["SHOW DROPPED TABLES SINCE 'soon'", 1210, 'expected a time like 2026-11-24 14:00,'],
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
    await client.run(`CREATE TABLE ${other.name}.b (id INT)`, `DROP TABLE ${other.name}.b`);
    const near = (await client.errorOf('UNDROP TABLE b'))?.message;
    expect(near).toContain(
      `No held table matches "\`${schema.name}\`.\`b\`". Held under that name: ${other.name}.b, dropped 20`,
    );
    await account('near_user', `ALL ON ${schema.name}.*`);
    await using session = await connect(proxy, { user: 'near_user', password: 'a' });
    const hidden = (await session.errorOf(`UNDROP TABLE ${schema.name}.b`))?.message;
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
    await client.run('DROP TABLE parent', 'CREATE TABLE parent (id INT PRIMARY KEY)');
    // A parent that is refused doesn't come back.
    expect((await explained('a TO b'))?.['Notes']).toMatch(/WITH KEYS/);
    expect((await explained('a, parent'))?.['Notes']).toMatch(/WITH KEYS/);
    await client.query('DROP TABLE parent');
    expect((await explained('a TO b'))?.['Notes']).toBe(
      `to_parent refers to ${schema.name}.parent, which is missing`,
    );
    expect(await client.errorOf('EXPLAIN UNDROP TABLE nothing')).toMatchObject({ errno: 1146 });
    const [prepared] = await client.execute<RowDataPacket[]>('EXPLAIN UNDROP TABLE a TO b');
    expect(prepared).toMatchObject([{ Becomes: `${schema.name}.b` }]);
    expect(await client.tables()).toEqual(['a']);
  });

  test('a restore that lacks a key is none of a later drop, nor of another table', async () => {
    await client.run(
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE a (id INT, CONSTRAINT k FOREIGN KEY (id) REFERENCES p (id))',
      'DROP TABLE a, p',
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'UNDROP TABLE a TO old',
    );
    for (const name of ['a', 'b']) {
      await client.run(`CREATE TABLE ${name} (id INT)`, `DROP TABLE ${name}`);
      const said = await client.errorOf(`UNDROP TABLE ${name} TO old`);
      expect(said).toMatchObject({ errno: 1050 });
    }
    expect((await client.tables()).sort()).toEqual(['old', 'p']);
    await client.query('UNDROP TABLE old WITH KEYS');
    expect(await client.show('old')).toContain('CONSTRAINT `k`');
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
    const [held] = await client.execute(`HOLD TABLE '${(await idOf('a')).slice(-8)}' FOR '20d'`);
    expect(held).toMatchObject({ affectedRows: 0 });
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
    await client.run('PURGE TABLE b', 'UNDROP TABLE b');
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
    const [row] = await ledgerRows(client, { id: String(newest) });
    await query(
      server,
      `DROP TABLE _undrop.${row?.['hold_name']}`,
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
    expect(await warningOf()).toMatch(/^Not, pinned, locked or held longer: \S+\.a\.$/);
    const dues = ['single', 'a', 'b', 'c'].map(dueOf);
    expect(await Promise.all(dues)).toEqual([48, 72, 1, 1]);
    await client.query('PURGE DATABASE of_no_drop');
  });

  test('PURGE ends a hold at once where UNDROP_ALLOW_DESTROY says so', async () => {
    await using quick = await proxyInFront(server, { ALLOW_DESTROY: 'users', HOLD: '2d' });
    await drop('a');
    await using session = await connect(quick, { database: schema.name });
    await session.query('PURGE TABLE a');
    expect(await dueOf('a')).toBe(0);
  });

  if (server.flavour === 'mariadb') {
    test('EXECUTE IMMEDIATE of IF, CONCAT, literals and variables runs as it is read', async () => {
      await client.run(
        'CREATE TABLE t (id INT PRIMARY KEY)',
        "SET @no = 0, @engine = 'InnoDB'",
        "EXECUTE IMMEDIATE IF(@no, 'SELECT 1', 'DO 0')",
        "EXECUTE IMMEDIATE IF(@no, 'DO 0', CONCAT('ALTER TABLE t ENGINE=', @engine))",
        "EXECUTE IMMEDIATE IF(@no, 'START TRANSACTION', 'COMMIT')",
      );
      for (const text of [
        "EXECUTE IMMEDIATE IF(@no, 'DO 0', CONCAT('DR', 'OP TABLE t'))",
        "EXECUTE IMMEDIATE UPPER('drop table t')",
        "EXECUTE IMMEDIATE IF(@no := 1, 'DROP TABLE t', 'DROP TABLE t')",
      ]) {
        const { sqlMessage } = await errorOf(client.query(text));
        expect([text, sqlMessage]).toEqual([text, expect.stringMatching(/^UNDROP_NOT_/)]);
      }
      expect(await idsIn('t')).toEqual([]);
    });
  }
});

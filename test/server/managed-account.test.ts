/**
 * Triggers, views, routines and events that a service account of the tier managed may not make
 * again, on real servers: their tables move as any other, a schema with them can be dropped, and
 * they come back by the session of a user who may make them, or by the statements that undrop
 * keeps; until then commands and the status say so.
 */
import { jest } from '@jest/globals';
import type { ResultSetHeader } from 'mysql2/promise';
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { dumpOf, fillRentalShop } from '../support/rental-shop.js';
import { connect, generalLog, type Session, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { relocationsSettled } from '../support/settled.js';
import { restored } from '../support/undrop-cli.js';
import { wireTap } from '../support/wire-tap.js';
import { ledgerRowOf } from './service-fixture.js';

jest.setTimeout(120_000);

const USER = 'undrop_managed';
const OWNER = { user: 'shop_owner', password: 'x y z' };
/** Two of one event, in an order that isn't that of their names; one of a definer who is gone. */
const OTHERS = ['first', 'gone', 'second'];

onServers('a managed account on $name', (server, on) => {
  const { afterAll, beforeAll, beforeEach, test, testOnEach } = on;
  const isOld = server.name === 'mysql-5.6';
  /** In the order in which they are made: each event's in its own, as the server sorts events. */
  const inOrder: string =
    { 'mysql-9.7': 'second, gone, first', 'mysql-5.6': 'gone, first, second' }[server.name] ??
    'gone, second, first';
  const managed: Target = { ...server, user: USER, password: SERVICE_ACCOUNT.password };
  let name = '';
  const run = (...texts: readonly string[]) => root.run(...texts);
  const trust = (isTrusted: boolean) =>
    run(`SET GLOBAL log_bin_trust_function_creators = ${isTrusted ? 1 : 0}`);

  const root = on.session();
  const other = on.schema('other').name;
  afterAll(async () => {
    await trust(false);
    await run(`DROP USER ${USER}@'%'`, "DROP USER 'shop_owner'@'%'");
    await freshLedger(server);
  });
  beforeAll(async () => {
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    // Else MariaDB and MySQL 5.6 let it take no trigger off.
    await trust(true);
    const [isThere] = await root.rows("SELECT 1 FROM mysql.user WHERE user = 'shop_owner'");
    if (!isThere) await run("CREATE USER 'shop_owner'@'%' IDENTIFIED BY 'x y z'");
    await run(`CREATE TABLE ${other}.owner (id INT PRIMARY KEY)`);
    await run(`INSERT INTO ${other}.owner VALUES (1)`, "GRANT ALL ON *.* TO 'shop_owner'@'%'");
  });
  on.account('mt_plain', { password: 'plain', grants: ['ALL ON `mt\\_%`.*'] });
  const proxy = on.proxy({}, { upstream: managed });
  beforeEach(() => freshLedger(server));
  const schema = on.each.schema('mt');
  const shop = on.each.schema('mt_shop');
  beforeEach(async () => {
    ({ name } = schema);
    const events = isOld ? ['BEFORE UPDATE', 'BEFORE INSERT'] : ['BEFORE INSERT', 'BEFORE INSERT'];
    await run(
      `USE ${name}`,
      "SET sql_mode = 'ANSI_QUOTES'",
      'CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))',
      "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
      `CREATE TRIGGER "second" ${events[0]} ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '1')`,
      `CREATE TRIGGER ${name}.first ${events[1]} ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '2')`,
      'CREATE DEFINER=gone@nowhere TRIGGER gone AFTER DELETE ON t FOR EACH ROW SET @x = OLD.id',
      'CREATE TABLE plain (id INT)',
      // The server writes the table's name anew when it renames one.
      'RENAME TABLE t TO t0',
      'RENAME TABLE t0 TO t',
      "SET sql_mode = ''",
    );
  });

  const select = (text: string, on = root) => on.rows(text);
  /** All that the server says of the triggers, but the time. */
  const shown = async (): Promise<readonly unknown[]> => {
    const rows = await select(`SHOW TRIGGERS FROM ${name}`);
    const created: unknown[] = [];
    for (const { Trigger: trigger } of rows) {
      const [row = {}] = await select(`SHOW CREATE TRIGGER ${name}.\`${trigger}\``);
      created.push({ ...row, Created: null });
    }
    return [...rows.map((row) => ({ ...row, Created: null })), ...created];
  };
  const names = async () => (await root.column(`SHOW TRIGGERS FROM ${name}`)).sort();
  const client = (user = server.user, password = server.password, database?: string) =>
    connect({ ...proxy, user, password }, database === undefined ? {} : { database });
  const say = async (texts: readonly string[], session?: Session) => {
    const talker = session ?? (await client(server.user, server.password, name));
    for (const text of texts) await talker.query(text);
    const warnings = await select('SHOW WARNINGS', talker);
    if (session === undefined) await talker.end();
    return warnings.map(({ Message: message }) => String(message)).join(' ');
  };
  const outcome = async () => {
    const read = () => ledgerRowOf(root, { schema: name, table: 't' });
    await until(async () => (await read())?.['restore_script'] != null, 'the outcome');
    return read();
  };
  const status = () => runUndrop(server, ['status']);
  /** Of the managed account. */
  const own = { USER, PASSWORD: SERVICE_ACCOUNT.password };

  test('a table with them is held as any other, and nothing tries to make them', async () => {
    await using log = await generalLog(server);
    await using session = await client(server.user, server.password, name);
    const [row] = await select('EXPLAIN DROP TABLE t', session);
    const [ok] = await session.query<ResultSetHeader>('DROP TABLE t');
    for (const said of [String(row?.['What']), ok.info]) {
      expect(said).toContain('its triggers come back by UNDROP of a user who may create them');
    }
    await relocationsSettled(root, [name]);
    expect(await outcome()).toMatchObject({ relocated: 1, hold_schema: '_undrop', todo: null });
    expect(await names()).toEqual([]);
    expect(await select(`SHOW TABLES FROM ${name} LIKE '%hold%'`)).toEqual([]);
    const sent = (await log.read()).map(({ text }) => text);
    expect(sent.filter((text) => /^CREATE .*TRIGGER/is.test(text))).toEqual([]);
  });

  test('a session whose user may makes them as they were, and keeps its settings', async () => {
    const before = await shown();
    await using session = await client(server.user, server.password, name);
    const settings = `SELECT @@sql_mode, @@character_set_client, @@collation_connection,
      @@character_set_results, @@lock_wait_timeout, DATABASE()`;
    await session.query("SET NAMES latin1 COLLATE latin1_bin, sql_mode = 'ANSI_QUOTES'");
    const own = await select(settings, session);
    await session.query('DROP TABLE t');
    const [ok] = await session.query('UNDROP TABLE t');
    expect(ok).toMatchObject({ warningStatus: 0 });
    expect([await select(settings, session), await shown()]).toEqual([own, before]);
    expect(await ledgerRowOf(root, { schema: name, table: 't' })).toMatchObject({ todo: null });
    await run(`INSERT INTO ${name}.t VALUES (3, 'x')`);
    const [row] = await select(`SELECT v FROM ${name}.t WHERE id = 3`);
    expect([row, (await status()).code]).toEqual([{ v: isOld ? 'x2' : 'x12' }, 0]);
  });

  test('so does one without a default schema', async () => {
    await using session = await client();
    await say([`DROP TABLE ${name}.t`, `UNDROP TABLE ${name}.t TO ${name}.u`], session);
    const [{ db } = { db: '' }] = await select('SELECT DATABASE() AS db', session);
    expect([db, await names()]).toEqual([null, OTHERS]);
    await run(`INSERT INTO ${name}.u VALUES (3, 'x')`);
    const [row] = await select(`SELECT v FROM ${name}.u WHERE id = 3`);
    expect(row).toEqual({ v: isOld ? 'x2' : 'x12' });
    // And they are taken off again.
    await say([`DROP TABLE ${name}.u`]);
    await relocationsSettled(root, [name]);
    expect(await names()).toEqual([]);
  });

  test('where the user may not, a warning and the status name them until they are back', async () => {
    await using session = await client('mt_plain', 'plain', name);
    const warning = await say(['DROP TABLE t', 'UNDROP TABLE t'], session);
    expect(warning).toContain(`${name}.t: without its triggers ${inOrder}`);
    const id = String((await outcome())?.['id']);
    expect(warning).toContain(`undrop show --sql ${id}`);
    expect(await select(`SELECT COUNT(*) AS n FROM ${name}.t`)).toEqual([{ n: 2 }]);
    const { code, stdout } = await status();
    expect(code).toBe(1);
    expect(stdout).toContain(`${name}.t lacks ${inOrder};`);
    const script = await runUndrop(server, ['show', '--sql', id]);
    expect(script).toMatchObject({ code: 0, stderr: '' });
    const plain = dumpTools(server).client as CliName;
    const how = connectionOptions(plain);
    const made = await runClient(plain, server, how, { input: script.stdout });
    expect([[made.code, made.stderr], await names()]).toEqual([[0, ''], OTHERS]);
    expect((await status()).code).toBe(0);
  });

  test('a restore without them exits with 1, and the UNDROP that it names adds them', async () => {
    const before = await shown();
    // An older table of that name stays held.
    await run('RENAME TABLE t TO t0', 'CREATE TABLE t (id INT)');
    await say(['DROP TABLE t']);
    await run('RENAME TABLE t0 TO t');
    await say(['DROP TABLE t']);
    const { code, stderr } = await runUndrop(server, ['restore', `${name}.t`], own);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`  ${name}.t: without its triggers ${inOrder} `),
    ]);
    expect(stderr).toContain(`; UNDROP TABLE ${name}.t adds them: `);
    expect(stderr).toContain('with the tier full (`undrop init --tier full`)');
    expect([await say([`UNDROP TABLE ${name}.t`]), await shown()]).toEqual(['', before]);
    expect((await status()).code).toBe(0);
    const doctor = await runUndrop(server, ['doctor'], own);
    expect(doctor.stdout).toContain('the tier full restores them: `undrop init --tier full`');
  });

  test('a restore beside the outcome of its drop is marked, and so is what it lacks', async () => {
    const todos: unknown[] = [];
    let isMarking = false;
    const row = () => ledgerRowOf(root, { schema: name, table: 't' });
    await using tap = await wireTap(managed, async ({ moment, command }) => {
      if (moment !== 'before statement') return true;
      const text = command.toString('latin1');
      if (text.includes('UPDATE /* undrop outcome ')) {
        await until(() => isMarking, 'the restore has read the intent');
      }
      if (text.includes('UPDATE /* undrop restore ') && !isMarking) {
        isMarking = true;
        await until(async () => (await row())?.['state'] === 'HOLD', 'the outcome is written');
      }
      if (text.includes('RENAME /* undrop put-back ')) todos.push((await row())?.['todo']);
      return true;
    });
    await using tapped = await proxyInFront({ ...managed, ...tap });
    await using session = await connect(
      { ...tapped, user: 'mt_plain', password: 'plain' },
      { database: name },
    );
    const warning = await say(['DROP TABLE t', 'UNDROP TABLE t'], session);
    expect(warning).toContain(`${name}.t: without its triggers ${inOrder}`);
    expect(todos).toEqual(['restoring']);
    expect(await row()).toMatchObject({ state: 'restored', todo: 'triggers' });
    expect([await say([`UNDROP TABLE ${name}.t`]), await names()]).toEqual(['', OTHERS]);
  });

  test('a table that was created after such a restore gets none of them', async () => {
    await say(['DROP TABLE t']);
    await outcome();
    await runUndrop(server, ['restore', `${name}.t`], own);
    for (const made of [[], ['CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))']]) {
      await say([...made, 'DROP TABLE t']);
      await outcome();
    }
    expect((await status()).stdout).not.toContain('lacks');
    expect([await say(['UNDROP TABLE t']), await names()]).toEqual(['', []]);
  });

  test('one whose name another has taken is not asked of the server, and not waited for', async () => {
    await say(['DROP TABLE t']);
    await outcome();
    await run(`CREATE TRIGGER ${name}.first BEFORE INSERT ON ${name}.plain FOR EACH ROW DO 1`);
    await using log = await generalLog(server);
    const { triggers } = await restored(server, `${name}.t`);
    const sent = (await log.read()).map(({ text }) => text);
    const problems = triggers.flatMap(({ name: trigger, problem }) => (problem ? [trigger] : []));
    expect(problems).toEqual(['first']);
    expect(sent.filter((text) => /^CREATE .*TRIGGER.*first/im.test(text))).toEqual([]);
    expect((await status()).code).toBe(0);
  });

  test('a DROP DATABASE that fails at its end puts them back by its own session', async () => {
    const before = await shown();
    const reader = await connect(server, { database: name });
    await run(`CREATE VIEW ${name}.seen AS SELECT 1 AS one`);
    await reader.run('BEGIN', 'SELECT * FROM seen');
    await using session = await client(server.user, server.password, name);
    await session.query('SET lock_wait_timeout = 1');
    const failed = await session.errnoOf(`DROP DATABASE ${name}`);
    await reader.end();
    expect([failed, await shown(), (await status()).code]).toEqual([1205, before, 0]);
  });

  test('with the binary log they stay where DROP TRIGGER takes SUPER, and the drop says what to do', async () => {
    await trust(false);
    try {
      const isNew = server.name === 'mysql-9.7';
      await say(['DROP TABLE t']);
      if (isNew) await relocationsSettled(root, [name]);
      const held = await outcome();
      expect(held?.['relocated']).toBe(isNew ? 1 : 0);
      expect(held?.['todo']).toBe(isNew ? null : 'blocked_by_triggers');
      await runUndrop(server, ['restore', `${name}.t`], own);
      await using session = await client();
      const [explained] = await select(`EXPLAIN DROP DATABASE ${name}`, session);
      const dropped = await say([`DROP DATABASE ${name}`]).catch(({ message }: Error) => message);
      if (isNew) return;
      expect(explained?.['What']).toMatch(
        /^not dropped: its table t cannot be moved out of it .*SUPER/,
      );
      expect(dropped).toMatch(/SUPER.*drop those triggers; then drop the schema/s);
      expect(await names()).toEqual(OTHERS);
    } finally {
      await trust(true);
    }
  });

  const dropShop = async (session: Session) => {
    await session.query(`DROP DATABASE ${shop.name}`);
    const isOpen = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${shop.name}'
      AND state IN ('intent', 'emptying', 'emptied')`;
    await until(async () => (await select(isOpen)).length === 0, 'the drop is recorded');
  };

  testOnEach('a user who may creates all of a schema, and keeps the settings', async () => {
    await fillRentalShop(server, shop.name, other);
    const before = await dumpOf(server, shop.name);
    await using session = await client();
    await session.query("SET NAMES latin1 COLLATE latin1_bin, sql_mode = 'ANSI_QUOTES'");
    await session.query("SET time_zone = '-03:30'");
    const settings = `SELECT @@sql_mode, @@character_set_client, @@collation_connection,
    @@time_zone, @@lock_wait_timeout, DATABASE()`;
    await session.query(`USE ${other}`);
    const its = await session.rows(settings);
    await dropShop(session);
    const [ok] = await session.query<ResultSetHeader>(`UNDROP DATABASE ${shop.name}`);
    expect(await say([], session)).toBe('');
    expect(ok.info).toContain(` of ${shop.name}, as before`);
    expect([await session.rows(settings), await dumpOf(server, shop.name)]).toEqual([its, before]);
  });

  testOnEach('the command exits with 1, and the UNDROP that it names adds the rest', async () => {
    await fillRentalShop(server, shop.name, other);
    const before = await dumpOf(server, shop.name);
    await using session = await client(OWNER.user, OWNER.password);
    await dropShop(session);
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', shop.name], own);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`VIEW ${shop.name}.z_films: `)]);
    expect(stderr).toContain('UNDROP DATABASE adds them: through undrop, by a user who may');
    const lacks = new RegExp(`schema ${shop.name} is not restored whole: without .*VIEW z_films`);
    expect(await status()).toMatchObject({ code: 1, stdout: expect.stringMatching(lacks) });
    expect(await say([`USE ${shop.name}`, `UNDROP DATABASE ${shop.name}`], session)).toBe('');
    expect((await status()).stdout).not.toContain(shop.name);
    expect(await dumpOf(server, shop.name)).toEqual(before);
  });

  testOnEach('a user with less creates what is his own, and is told what is missing', async () => {
    const definer = "DEFINER = 'mt_plain'@'%'";
    await run(
      `USE ${shop.name}`,
      'CREATE TABLE t (id INT PRIMARY KEY)',
      'INSERT INTO t VALUES (1)',
      `CREATE ${definer} VIEW own AS SELECT id FROM t`,
      `CREATE ${definer} VIEW above AS SELECT id FROM own`,
      `CREATE ${definer} PROCEDURE counts() SELECT COUNT(*) FROM t`,
      `CREATE ${definer} EVENT late ON SCHEDULE AT '2037-02-03 04:05:06' DO DELETE FROM t`,
      'CREATE VIEW roots AS SELECT id FROM t',
      'USE mysql',
    );
    await using session = await client('mt_plain', 'plain');
    await dropShop(session);
    const said = await say([`UNDROP DATABASE ${shop.name}`], session);
    expect(said).toContain('.roots: ');
    // A warning of MySQL has 128 characters.
    if (server.flavour === 'mariadb') expect(said).toContain('UNDROP DATABASE adds them: ');
    expect(said).not.toMatch(/own|above|counts|late/);
    expect(await root.column(`SHOW TABLES FROM ${shop.name}`)).toEqual(['above', 'own', 't']);
    const [event] = await select(`SHOW CREATE EVENT ${shop.name}.late`);
    expect(String(event?.['Create Event'])).toContain('2037-02-03 04:05:06');
    await root.query(`CALL ${shop.name}.counts()`);
  });

  testOnEach('what is missing beside tables whose names are taken is told, too', async () => {
    const { name } = shop;
    await run(
      `USE ${name}`,
      'CREATE TABLE t (id INT)',
      'CREATE TABLE u (id INT)',
      'CREATE VIEW roots AS SELECT id FROM t',
      'USE mysql',
    );
    await using session = await client('mt_plain', 'plain');
    await dropShop(session);
    await run(`CREATE DATABASE ${name}`, `CREATE TABLE ${name}.t (x INT)`);
    const error = await session.errorOf(`UNDROP DATABASE ${name}`);
    expect(error?.message).toMatch(
      /^UNDROP_PARTLY: 1 of 2 tables .*t'? exists.* VIEW \S+\.roots: /,
    );
  });

  testOnEach('a repeated UNDROP leaves others of those names, and names them', async () => {
    const { name } = shop;
    const acts = (table: string) =>
      `CREATE TRIGGER ${table}_acts BEFORE INSERT ON ${table} FOR EACH ROW SET @x = 1`;
    await run(
      `USE ${name}`,
      'CREATE TABLE p (id INT PRIMARY KEY)',
      `CREATE TABLE t (id BIGINT PRIMARY KEY, pid INT, KEY led (pid),
      CONSTRAINT led FOREIGN KEY (pid) REFERENCES p (id))`,
      'CREATE TABLE gone (id INT)',
      'CREATE TABLE past (id INT)',
      ...['t', 'past', 'p'].map(acts),
      'USE mysql',
    );
    await using session = await client('mt_plain', 'plain');
    await dropShop(session);
    await session.query(`UNDROP DATABASE ${name}`);
    expect(await say([], session)).toContain('without its triggers');
    const isLater = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${name}'
    HAVING MAX(ended_at) < UTC_TIMESTAMP()`;
    await until(async () => (await root.rows(isLater)).length > 0, 'the next second');
    await session.query(`DROP TABLE ${name}.t, ${name}.gone`);
    await session.query(`CREATE TABLE ${name}.t (id BIGINT PRIMARY KEY, pid INT, other TEXT)`);
    await run(`DROP TABLE ${name}.past`, `CREATE TABLE ${name}.past (other INT)`);
    await using admin = await client();
    const said = await say([`UNDROP DATABASE ${name}`], admin);
    expect(said).toContain(`2 other dropped tables of ${name} are held: `);
    expect(await root.show(`${name}.t`)).not.toContain('FOREIGN KEY');
    expect(await root.column(`SHOW TRIGGERS FROM ${name}`)).toEqual(['p_acts']);
  });
});

/**
 * A dropped schema with views, routines, events and triggers of other definers under a service
 * account of the tier managed, on real servers: UNDROP DATABASE creates in the user's own session
 * what the account may not create; the command says what is missing, and by which statement it
 * comes back.
 */
import { expect, jest } from '@jest/globals';
import type { ResultSetHeader } from 'mysql2/promise';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop } from '../support/proxy.js';
import { dumpOf, fillRentalShop } from '../support/rental-shop.js';
import { connect, type Session, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';

jest.setTimeout(120_000);

const USER = 'undrop_m_schemas';
const OWNER = { user: 'shop_owner', password: 'x y z' };

onServers('schemas of a managed account on $name', (server, on) => {
  const { afterAll, afterEach, beforeAll, testOnEach: test } = on;
  const managed: Target = { ...server, user: USER, password: SERVICE_ACCOUNT.password };
  const root = on.session();
  const other = on.schema('other').name;
  const trust = (isTrusted: boolean) =>
    root.query(`SET GLOBAL log_bin_trust_function_creators = ${isTrusted ? 1 : 0}`);
  afterAll(async () => {
    await trust(false);
    await root.run(`DROP USER ${USER}@'%'`, "DROP USER 'shop_owner'@'%'");
    await freshLedger(server);
  });
  beforeAll(async () => {
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    // Else MariaDB and MySQL 5.6 let it take no trigger off.
    await trust(true);
    const [isThere] = await root.rows("SELECT 1 FROM mysql.user WHERE user = 'shop_owner'");
    if (!isThere) await root.query("CREATE USER 'shop_owner'@'%' IDENTIFIED BY 'x y z'");
    await root.run(`CREATE TABLE ${other}.owner (id INT PRIMARY KEY)`);
    await root.run(`INSERT INTO ${other}.owner VALUES (1)`, "GRANT ALL ON *.* TO 'shop_owner'@'%'");
  });
  on.account('ms_plain', { password: 'plain', grants: ['ALL ON `ms\\_%`.*'] });
  const proxy = on.proxy({}, { upstream: managed });
  const schema = on.each.schema('ms');
  afterEach(() => root.query('SET foreign_key_checks = 1'));

  const client = (user = server.user, password = server.password) =>
    connect({ ...proxy, user, password });
  const dropIt = async (session: Session) => {
    await session.query(`DROP DATABASE ${schema.name}`);
    const isOpen = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${schema.name}'
      AND state IN ('intent', 'emptying', 'emptied')`;
    await until(async () => (await root.rows(isOpen)).length === 0, 'the drop is recorded');
  };
  const warnings = async (session: Session) =>
    (await session.rows('SHOW WARNINGS')).map(({ Message: message }) => String(message)).join(' ');

  test('a user who may creates all of it, and keeps the settings of the session', async () => {
    await fillRentalShop(server, schema.name, other);
    const before = await dumpOf(server, schema.name);
    await using session = await client();
    await session.query("SET NAMES latin1 COLLATE latin1_bin, sql_mode = 'ANSI_QUOTES'");
    await session.query("SET time_zone = '-03:30'");
    const settings = `SELECT @@sql_mode, @@character_set_client, @@collation_connection,
      @@time_zone, @@lock_wait_timeout, DATABASE()`;
    await session.query(`USE ${other}`);
    const own = await session.rows(settings);
    await dropIt(session);
    const [ok] = await session.query<ResultSetHeader>(`UNDROP DATABASE ${schema.name}`);
    expect(await warnings(session)).toBe('');
    expect(ok.info).toContain(`Restored ${schema.name}`);
    expect(await session.rows(settings)).toEqual(own);
    expect(await dumpOf(server, schema.name)).toEqual(before);
  });

  test('the command exits with 1, and the UNDROP DATABASE that it names adds the rest', async () => {
    await fillRentalShop(server, schema.name, other);
    const before = await dumpOf(server, schema.name);
    await using session = await client(OWNER.user, OWNER.password);
    await dropIt(session);
    const variables = { USER, PASSWORD: SERVICE_ACCOUNT.password };
    const command = ['restore', '--schema', schema.name];
    const { code, stdout } = await runUndrop(server, command, variables);
    expect([code, stdout]).toEqual([1, expect.stringContaining(`Restored in part ${schema.name}`)]);
    expect(stdout).toContain('VIEW z_films: ');
    expect(stdout).toContain('UNDROP DATABASE adds them: through undrop, by a user who may');
    const status = () => runUndrop(server, ['status'], variables);
    const lacks = new RegExp(`schema ${schema.name} is not restored whole: without .*VIEW z_films`);
    expect(await status()).toMatchObject({ code: 1, stdout: expect.stringMatching(lacks) });
    await session.query(`USE ${schema.name}`);
    await session.query(`UNDROP DATABASE ${schema.name}`);
    expect(await warnings(session)).toBe('');
    expect((await status()).stdout).not.toContain(schema.name);
    expect(await dumpOf(server, schema.name)).toEqual(before);
  });

  test('a user with less creates what is his own, and is told what is missing', async () => {
    const { name } = schema;
    const own = "DEFINER = 'ms_plain'@'%'";
    await root.run(
      `USE ${name}`,
      'CREATE TABLE t (id INT PRIMARY KEY)',
      'INSERT INTO t VALUES (1)',
      `CREATE ${own} VIEW own AS SELECT id FROM t`,
      `CREATE ${own} VIEW above AS SELECT id FROM own`,
      `CREATE ${own} PROCEDURE counts() SELECT COUNT(*) FROM t`,
      `CREATE ${own} EVENT late ON SCHEDULE AT '2037-02-03 04:05:06' DO DELETE FROM t`,
      'CREATE VIEW roots AS SELECT id FROM t',
      'USE mysql',
    );
    await using session = await client('ms_plain', 'plain');
    await dropIt(session);
    await session.query(`UNDROP DATABASE ${name}`);
    const said = await warnings(session);
    expect(said).toContain('VIEW roots: ');
    // A warning of MySQL has 128 characters.
    if (server.flavour === 'mariadb') expect(said).toContain('UNDROP DATABASE adds them: ');
    expect(said).not.toMatch(/own|above|counts|late/);
    expect(await root.column(`SHOW TABLES FROM ${name}`)).toEqual(['above', 'own', 't']);
    const [event] = await root.rows(`SHOW CREATE EVENT ${name}.late`);
    expect(String(event?.['Create Event'])).toContain('2037-02-03 04:05:06');
    await root.query(`CALL ${name}.counts()`);
  });

  test('what is missing beside tables whose names are taken is told, too', async () => {
    const { name } = schema;
    await root.run(
      `USE ${name}`,
      'CREATE TABLE t (id INT)',
      'CREATE TABLE u (id INT)',
      'CREATE VIEW roots AS SELECT id FROM t',
      'USE mysql',
    );
    await using session = await client('ms_plain', 'plain');
    await dropIt(session);
    await root.run(`CREATE DATABASE ${name}`, `CREATE TABLE ${name}.t (x INT)`);
    const error = await session.errorOf(`UNDROP DATABASE ${name}`);
    expect(error?.message).toMatch(/^UNDROP_PARTLY: 1 of 2 tables .*t exists.* VIEW roots: /);
  });

  test('a repeated UNDROP leaves other tables of those names as they are, and names them', async () => {
    const { name } = schema;
    const acts = (table: string) =>
      `CREATE TRIGGER ${table}_acts BEFORE INSERT ON ${table} FOR EACH ROW SET @x = 1`;
    await root.run(
      `USE ${name}`,
      'CREATE TABLE p (id INT PRIMARY KEY)',
      `CREATE TABLE t (id BIGINT PRIMARY KEY, pid INT, KEY led (pid),
        CONSTRAINT led FOREIGN KEY (pid) REFERENCES p (id))`,
      'CREATE TABLE gone (id INT)',
      'CREATE TABLE past (id INT)',
      ...['t', 'past', 'p'].map(acts),
      'USE mysql',
    );
    await using session = await client('ms_plain', 'plain');
    await dropIt(session);
    await session.query(`UNDROP DATABASE ${name}`);
    expect(await warnings(session)).toContain('without its triggers');
    const isLater = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${name}'
      HAVING MAX(ended_at) < UTC_TIMESTAMP()`;
    await until(async () => (await root.rows(isLater)).length > 0, 'the next second');
    await session.query(`DROP TABLE ${name}.t, ${name}.gone`);
    await session.query(`CREATE TABLE ${name}.t (id BIGINT PRIMARY KEY, pid INT, other TEXT)`);
    await root.run(`DROP TABLE ${name}.past`, `CREATE TABLE ${name}.past (other INT)`);
    await using admin = await client();
    const error = await admin.errorOf(`UNDROP DATABASE ${name}`);
    expect(error?.message).toMatch(/^UNDROP_PARTLY: 3 of 4 tables /);
    for (const table of ['t', 'gone']) {
      expect(error?.message).toContain(`${table}: it was dropped again, as `);
    }
    expect(error?.message).toContain('past: it was restored before, and altered, renamed or');
    expect(await root.show(`${name}.t`)).not.toContain('FOREIGN KEY');
    expect(await root.column(`SHOW TRIGGERS FROM ${name}`)).toEqual(['p_acts']);
  });

  test('an event whose time has passed meanwhile is missing, and named', async () => {
    const { name } = schema;
    const own = "DEFINER = 'ms_plain'@'%'";
    await root.run(
      `USE ${name}`,
      'CREATE TABLE t (id INT PRIMARY KEY)',
      `CREATE ${own} EVENT late ON SCHEDULE AT '2037-02-03 04:05:06' DO DELETE FROM t`,
      'USE mysql',
    );
    await using session = await client('ms_plain', 'plain');
    await dropIt(session);
    await root.run(
      `UPDATE _undrop.ledger SET definition = REPLACE(definition, '2037-02-03', '2007-02-03')
       WHERE schema_name = '${name}' AND kind = 'schema'`,
    );
    await session.query(`UNDROP DATABASE ${name}`);
    expect(await warnings(session)).toContain('EVENT late: ');
    expect(await root.rows(`SHOW EVENTS FROM ${name}`)).toEqual([]);
  });
});

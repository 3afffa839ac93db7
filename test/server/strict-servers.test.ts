/**
 * Settings of a server that are stricter than its tables: what was made before them, or by a
 * session without them, is dropped, emptied and brought back as anything else where the service
 * account has the privilege; else the answer comes at once, and the doctor names the privilege.
 */
import { jest } from '@jest/globals';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, type Session, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { relocationsSettled } from '../support/settled.js';

jest.setTimeout(120_000);

const [USER, POOR] = ['undrop_strict', 'undrop_poor'];

onServers('tables that are not as the settings want them on $name', (server, on) => {
  const { afterAll, beforeAll, beforeEach, testOnEach: test } = on;
  const isMysql = server.flavour === 'mysql';
  const isNew = server.name === 'mysql-9.7';
  const root = on.session();
  const account = (user: string): Target => ({
    ...server,
    user,
    password: SERVICE_ACCOUNT.password,
  });
  const set = (setting: string, value: string) => root.query(`SET GLOBAL ${setting} = ${value}`);
  beforeAll(async () => {
    await makeServiceAccount(server, { user: POOR, tier: 'managed' });
    if (isNew) await set('sql_require_primary_key', 'ON');
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    if (isNew) await set('sql_require_primary_key', 'OFF');
  });
  afterAll(async () => {
    for (const user of [USER, POOR]) await root.query(`DROP USER ${user}@'%'`);
    await freshLedger(server);
  });
  beforeEach(() => freshLedger(server));
  /** A session has the settings of its login: its service connections are newer than these. */
  const sessionThrough = async (user: string) => {
    const protect = { PROTECT: 'drop-table,truncate,drop-database' };
    const through = on.each.keep(await proxyInFront(account(user), protect));
    const login = { user: server.user, password: server.password };
    return connect({ ...through, ...login }, { database: schema.name });
  };
  const schema = on.each.schema('strict');

  const made = (...texts: readonly string[]) =>
    root.run(`USE ${schema.name}`, ...texts, 'USE mysql');
  const keysOf = (table: string) =>
    root.column(`SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS
      WHERE CONSTRAINT_SCHEMA = '${schema.name}' AND TABLE_NAME = '${table}'`);
  const warnings = async (session: Session) =>
    (await session.rows('SHOW WARNINGS')).map(({ Message: message }) => String(message));

  const keyless = () =>
    made(
      'CREATE TABLE p (id INT, UNIQUE KEY (id))',
      `CREATE TABLE c (id INT, CONSTRAINT led FOREIGN KEY (id) REFERENCES p (id),
         CHECK (id < 100))`,
      'INSERT INTO p VALUES (1)',
      'INSERT INTO c VALUES (1)',
    );

  if (isNew) {
    test('sql_require_primary_key: a child and a parent without one come back whole', async () => {
      await keyless();
      await set('sql_require_primary_key', 'ON');
      await set('sql_generate_invisible_primary_key', 'ON');
      try {
        await using session = await sessionThrough(USER);
        for (const drop of ['DROP TABLE c', 'TRUNCATE TABLE c', 'DROP TABLE c, p']) {
          await session.query(drop);
          await relocationsSettled(root, [schema.name]);
          const undo = drop.startsWith('DROP')
            ? drop.replace('DROP', 'UNDROP')
            : 'UNDROP TABLE c SWAP';
          await session.query(undo);
          expect([undo, ...(await warnings(session))]).toEqual([undo]);
          expect(await keysOf('c')).toEqual(['led']);
          expect(await root.column(`SELECT id FROM ${schema.name}.c`)).toEqual([1]);
          const [shown] = await root.rows(`SHOW CREATE TABLE ${schema.name}.c`);
          expect(String(shown?.['Create Table'])).toContain('CHECK ');
          expect(String(shown?.['Create Table'])).not.toContain('my_row_id');
        }
        await session.run(`DROP DATABASE ${schema.name}`, `UNDROP DATABASE ${schema.name}`);
        expect((await warnings(session)).join()).not.toContain('Table ');
        expect(await keysOf('c')).toEqual(['led']);
      } finally {
        await set('sql_require_primary_key', 'OFF');
        await set('sql_generate_invisible_primary_key', 'OFF');
      }
    });

    test('… without the privilege the answer names it, as do the doctor and init', async () => {
      await keyless();
      await set('sql_require_primary_key', 'ON');
      try {
        await using session = await sessionThrough(POOR);
        await expect(session.query('DROP TABLE c')).rejects.toThrow(/sql_require_primary_key/);
        const variables = { USER: POOR, PASSWORD: SERVICE_ACCOUNT.password };
        const doctor = await runUndrop(server, ['doctor'], variables);
        expect(doctor.stdout).toContain('without SESSION_VARIABLES_ADMIN: as the server requires');
        const init = await runUndrop(server, ['init'], variables);
        expect(init.stdout).toContain('Where sql_require_primary_key is ON, also: GRANT');
      } finally {
        await set('sql_require_primary_key', 'OFF');
      }
    });
  }

  test('a row that is too big for innodb_strict_mode: TRUNCATE holds the rows', async () => {
    const columns = Array.from({ length: 40 }, (_none, n) => `c${n} CHAR(255)`).join(', ');
    await made(
      'SET SESSION innodb_strict_mode = 0',
      `CREATE TABLE big (id INT PRIMARY KEY, ${columns}) ENGINE=InnoDB CHARSET=latin1
         ROW_FORMAT=COMPACT`,
      'INSERT INTO big (id) VALUES (1)',
      'SET SESSION innodb_strict_mode = DEFAULT',
    );
    await using session = await sessionThrough(USER);
    await session.query('TRUNCATE TABLE big');
    expect(await root.count(`${schema.name}.big`)).toBe(0);
    await session.query('UNDROP TABLE big SWAP');
    expect(await root.count(`${schema.name}.big`)).toBe(1);
  });

  if (server.name !== 'mysql-5.6') {
    test('a filter of the replica by schema: doctor and status name it', async () => {
      const filter = (name: string) =>
        root.query(
          isMysql
            ? `CHANGE REPLICATION FILTER REPLICATE_DO_DB = (${name})`
            : `SET GLOBAL replicate_do_db = '${name}'`,
        );
      await filter('told_shop');
      try {
        for (const command of ['doctor', 'status']) {
          const { code, stdout } = await runUndrop(server, [command]);
          expect([command, code]).toEqual([command, 1]);
          expect(stdout).toContain('replicate-do-db=told_shop: such filters go by');
        }
      } finally {
        await filter('');
      }
      const { stdout } = await runUndrop(server, ['doctor']);
      expect(stdout).not.toContain('such filters');
    });
  }
});

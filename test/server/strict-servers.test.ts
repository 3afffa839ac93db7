/**
 * Settings of a server that are stricter than its tables: what was made before them, or by a
 * session without them, is dropped, emptied and brought back as anything else where the service
 * account has the privilege; else the answer comes at once, and the doctor names the privilege.
 */
import { expect, jest } from '@jest/globals';
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
    if (isNew) await set('table_encryption_privilege_check', 'ON');
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    if (isNew) await set('sql_require_primary_key', 'OFF');
    if (isNew) await set('table_encryption_privilege_check', 'OFF');
  });
  afterAll(async () => {
    for (const user of [USER, POOR]) await root.query(`DROP USER ${user}@'%'`);
    await freshLedger(server);
  });
  beforeEach(() => freshLedger(server));
  /** A session has the settings of its login: its service connections are newer than these. */
  const through = async (user: string) => {
    const protect = { PROTECT: 'drop-table,truncate,drop-database' };
    return on.each.keep(await proxyInFront(account(user), protect));
  };
  const sessionThrough = async (user: string) => {
    const login = { user: server.user, password: server.password };
    return connect({ ...(await through(user)), ...login }, { database: schema.name });
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
        await session.query(`DROP DATABASE ${schema.name}`);
        await session.query(`UNDROP DATABASE ${schema.name}`);
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

    test('table_encryption_privilege_check: schemas of another default encryption', async () => {
      await root.query(`ALTER DATABASE ${schema.name} DEFAULT ENCRYPTION = 'N'`);
      await root.query('CREATE DATABASE IF NOT EXISTS _undrop');
      await root.query("ALTER DATABASE _undrop DEFAULT ENCRYPTION = 'Y'");
      await set('table_encryption_privilege_check', 'ON');
      try {
        await made('CREATE TABLE t (id INT PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
        await using session = await sessionThrough(USER);
        await session.query('DROP TABLE t');
        await relocationsSettled(root, [schema.name]);
        await session.query('UNDROP TABLE t');
        expect(await warnings(session)).toEqual([]);
        expect(await root.column(`SELECT id FROM ${schema.name}.t`)).toEqual([1]);
        const variables = { USER: POOR, PASSWORD: SERVICE_ACCOUNT.password };
        const doctor = await runUndrop(server, ['doctor'], variables);
        expect(doctor.stdout).toContain('without TABLE_ENCRYPTION_ADMIN: as table_encryption');
      } finally {
        await set('table_encryption_privilege_check', 'OFF');
        await root.query("ALTER DATABASE _undrop DEFAULT ENCRYPTION = 'N'");
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

  if (!isMysql) {
    test('alter_algorithm=NOCOPY: what needs a copy is done all the same', async () => {
      await made(
        'CREATE TABLE p (id INT PRIMARY KEY)',
        `CREATE TABLE c (id INT PRIMARY KEY, CONSTRAINT led FOREIGN KEY (id) REFERENCES p (id),
           CONSTRAINT small CHECK (id < 100))`,
        'INSERT INTO p VALUES (1)',
        'INSERT INTO c VALUES (1)',
      );
      await set('alter_algorithm', 'NOCOPY');
      try {
        await using session = await sessionThrough(USER);
        for (const texts of [
          ['TRUNCATE TABLE c', 'UNDROP TABLE c SWAP'],
          ['DROP TABLE c, p', 'UNDROP TABLE p, c'],
        ]) {
          for (const text of texts) {
            await session.query(text);
            await relocationsSettled(root, [schema.name]);
          }
          expect(await warnings(session)).toEqual([]);
          expect(await keysOf('c')).toEqual(['led']);
        }
      } finally {
        await set('alter_algorithm', 'DEFAULT');
      }
    });
  }
});

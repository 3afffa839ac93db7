/** `undrop uninstall`: what is held is shown, or goes; nothing is lost, and nothing is left. */
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { runUndrop, spawnProxy } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';

const MANAGED = 'leaving';

onServersAtOnce('uninstalling from $name', (server, on) => {
  const { beforeAll, beforeEach, afterAll, afterEach, test } = on;
  on.freshLedger();
  const own = on.schema('uninstalled');
  const whole = `${own.name}_whole`;
  const managed = { ...server, ...SERVICE_ACCOUNT, user: MANAGED };
  const uninstall = (...flags: readonly string[]) =>
    runUndrop(server, ['uninstall', '--fast-drop', 'always', ...flags]);
  const restoreAll = async (account = server) => {
    await runUndrop(account, ['restore', '--schema', whole]);
    await runUndrop(account, ['restore', '--since', '2000-01-01']);
  };
  const schemasLeft = async () =>
    (await query<{ name: string }>(server, "SHOW DATABASES LIKE '%undrop%'")).length;

  const services = async () => (await query(server, 'SELECT 1 FROM _undrop.proxies')).length;
  /** A service may not delete its row at its end, and then counts as running for two minutes. */
  const forgetServices = () => query(server, 'DELETE FROM _undrop.proxies').catch(() => undefined);

  /** Runs statements through a proxy, which is gone then. */
  async function through(statements: readonly string[], account = server): Promise<void> {
    await using proxy = await spawnProxy(account);
    await query({ ...server, host: proxy.host, port: proxy.port }, ...statements);
    await proxy.stop();
    await forgetServices();
  }

  beforeAll(() => makeServiceAccount(server, { user: MANAGED, tier: 'managed' }));
  beforeEach(async () => {
    await through([
      `CREATE TABLE ${own.name}.t (id INT PRIMARY KEY)`,
      `INSERT INTO ${own.name}.t VALUES (1), (2)`,
      `DROP TABLE ${own.name}.t`,
      `CREATE DATABASE ${whole}`,
      `CREATE TABLE ${whole}.t (id INT PRIMARY KEY)`,
      `CREATE VIEW ${whole}.v AS SELECT id FROM ${whole}.t`,
      `DROP DATABASE ${whole}`,
    ]);
  });
  afterEach(() =>
    query(
      server,
      `DROP TABLE IF EXISTS ${own.name}.t`,
      `DROP DATABASE IF EXISTS ${whole}`,
      'DROP DATABASE IF EXISTS _undrop',
    ),
  );
  afterAll(() => query(server, `DROP USER ${MANAGED}`));

  test('shows what is held, and leaves nothing once it is back', async () => {
    const shown = await uninstall('--yes');
    expect([shown.code, shown.stdout]).toEqual([1, expect.stringMatching(/^Held:\n.*2 tables/s)]);
    for (const what of [`${own.name}.t (`, `The schema ${whole} was`, 'undrop restore --since']) {
      expect(shown.stdout).toContain(what);
    }
    expect(await query(server, `SHOW TABLES FROM ${own.name}`)).toEqual([]);
    await restoreAll();
    const unasked = await uninstall();
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
    const done = await uninstall('--yes');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/^DROP USER '\S+'@'\S+';$/m);
    expect(await query(server, `SELECT id FROM ${own.name}.t`)).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await query(server, `SELECT id FROM ${whole}.v`)).toEqual([]);
    expect(await schemasLeft()).toBe(0);
  });

  test('removes what is held for good, if that is asked for', async () => {
    const done = await uninstall('--remove', '--yes');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(await query(server, `SHOW TABLES FROM ${own.name}`)).toEqual([]);
    expect(await schemasLeft()).toBe(0);
  });

  test('is refused beside a proxy, in a pause, and while a stranger is in its schemas', async () => {
    await using proxy = await spawnProxy(server);
    await until(async () => (await services()) === 1, 'the service is in the ledger');
    const beside = await uninstall('--yes');
    expect(beside).toMatchObject({ code: 1, stderr: expect.stringContaining('stop them') });
    await proxy.stop();
    await forgetServices();
    await runUndrop(server, ['pause']);
    const paused = await uninstall('--remove', '--yes');
    expect(paused).toMatchObject({ code: 1, stderr: expect.stringContaining('paused by') });
    await runUndrop(server, ['resume']);
    await query(server, 'CREATE TABLE _undrop.stranger (id INT)');
    const kept = await uninstall('--remove', '--yes');
    expect(kept).toMatchObject({ code: 1, stderr: expect.stringContaining('_undrop.stranger') });
    await query(server, 'DROP TABLE _undrop.stranger');
    expect([(await uninstall('--remove', '--yes')).code, await schemasLeft()]).toEqual([0, 0]);
  });

  test('is refused while a hold is locked, whatever it is told', async () => {
    const [name] = await query<{ name: string }>(
      server,
      `SELECT id AS name FROM _undrop.ledger
      WHERE table_name = 't' AND schema_name = '${own.name}'`,
    );
    await runUndrop(server, ['hold', name?.name ?? '', '--for', '9d', '--lock']);
    const kept = await uninstall('--remove', '--yes');
    expect(kept).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('1 held tables are locked'),
    });
    expect(await schemasLeft()).toBeGreaterThan(0);
    await query(server, 'UPDATE _undrop.ledger SET locked_until = UTC_TIMESTAMP()');
    expect((await uninstall('--remove', '--yes')).code).toBe(0);
  });

  test('loses no table that is dropped while it is on its way', async () => {
    await uninstall('--remove', '--yes');
    // A killed command leaves the ledger closed; drops are refused then.
    await through([`CREATE TABLE ${own.name}.u (id INT)`]);
    await query(server, 'RENAME TABLE _undrop.ledger TO _undrop.ledger_retired');
    await query(server, "INSERT INTO _undrop.control VALUES ('retired', NULL, '', NOW(), 1000000)");
    await using proxy = await spawnProxy(server);
    await expect(query(proxy, `DROP TABLE ${own.name}.u`)).rejects.toThrow(/UNDROP_/);
    await proxy.stop();
    await forgetServices();
    const again = await uninstall('--yes');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(await query(server, `SELECT * FROM ${own.name}.u`)).toEqual([]);
    await query(server, `DROP TABLE ${own.name}.u`);
  });

  test('keeps a table that it cannot remove, and the ledger with it', async () => {
    const [held] = await query<{ name: string }>(
      server,
      `SELECT CONCAT(hold_schema, '.', hold_name) AS name FROM _undrop.ledger
        WHERE schema_name = '${own.name}' AND state = 'HOLD'`,
    );
    await using reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${held?.name}`);
    const done = await uninstall('--remove', '--yes');
    expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining('Held:\n') });
    await reader.query('ROLLBACK');
    expect(await schemasLeft()).toBeGreaterThan(0);
  });

  test('names views that only the ledger has, also of a schema that was made anew', async () => {
    const kept = expect.stringContaining(`Only the ledger has, of ${whole}: VIEW v.`);
    await query(server, `CREATE DATABASE ${whole}`, `CREATE TABLE ${whole}.t (id INT)`);
    expect(await uninstall('--yes')).toMatchObject({ code: 1, stdout: kept });
    await query(server, `DROP DATABASE ${whole}`);
    const restored = await runUndrop(managed, ['restore', '--schema', whole]);
    expect(restored.code).toBe(1);
    expect(await uninstall('--yes')).toMatchObject({ code: 1, stdout: kept });
  });

  test('keeps the definitions of what it could not restore', async () => {
    const trigger = `CREATE TRIGGER ${own.name}.r BEFORE INSERT ON ${own.name}.t FOR EACH ROW SET @a = 1`;
    await through(
      [`CREATE TABLE ${own.name}.w (id INT)`, `UNDROP TABLE ${own.name}.t`, trigger].concat(
        `DROP TABLE ${own.name}.t`,
      ),
      managed,
    );
    await restoreAll(managed);
    await query(server, `CREATE OR REPLACE VIEW ${whole}.v AS SELECT 1 AS one`);
    const { code } = await runUndrop(managed, ['uninstall', '--yes', '--fast-drop', 'always']);
    const isBack = (await query(server, `SHOW TRIGGERS FROM ${own.name}`)).length > 0;
    // With the privilege to create it, it is there; else the ledger is.
    const ledgers = await query(server, "SHOW DATABASES LIKE '\\_undrop'");
    expect([code, ledgers.length]).toEqual(isBack ? [0, 0] : [1, 1]);
    await query(server, `DROP TABLE ${own.name}.w`);
  });
});

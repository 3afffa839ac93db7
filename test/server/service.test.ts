/**
 * The service pool on real servers: settings, values, errors, deadlines; and how its account logs
 * in, by a key that is known, and by no other, and by a password file that changes meanwhile. It
 * calls the pool, which no command shows. With somebody on the way to the server:
 * connections/login/driver-login.test.ts. By a client certificate: lent-tls.test.ts.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isKilled, isServerError } from '../../src/connections/errors.js';
import { spkiOf } from '../../src/connections/login/server-key.js';
import { openServicePool, type ServicePoolOptions } from '../../src/connections/pool/open-pool.js';
import { greet } from '../../src/connections/pool/pool-set.js';
import { runWithTimeout } from '../../src/connections/pool/statement-timeout.js';
import { col, ident, readServerFacts, type ServicePool, sql } from '../../src/connections/sql.js';
import { OWN_BYTES, OWN_ROWS } from '../../src/connections/true-sizes.js';
import { UndropError } from '../../src/errors.js';
import { silentLog } from '../../src/log.js';
import { temporaryFolder } from '../support/folders.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { openRelay } from '../support/relay.js';
import { connect, hasProcess, query, type Session, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

const PASSWORD = 'pa$$ wörd;';
const UNCHECKED = {
  ...{ isOptional: false, ca: null, identity: null },
  ...{ verifies: false, verifiesName: false },
};
const DEADLINE = expect.objectContaining({ code: 'UNDROP_DEADLINE' });

onServers('the service pool on $name', (server, on) => {
  const pool = on.pool();
  const schema = on.schema();

  async function settings(on: ServicePool): Promise<string> {
    const [[row] = []] = await on.run(
      sql`SELECT CONCAT_WS('|', @@sql_mode, @@time_zone, @@autocommit + 0,
        @@lock_wait_timeout, @@foreign_key_checks + 0, @@character_set_client, @@character_set_results) AS settings`,
    );
    return col.text(row ?? {}, 'settings');
  }

  test('starts every text from its own settings, whatever ran before', async () => {
    const own = '|+00:00|1|1|1|utf8mb4|utf8mb4';
    expect(await settings(pool)).toBe(own);
    await pool.run(
      sql`SET sql_mode = 'ANSI_QUOTES', time_zone = '+05:00', foreign_key_checks = 0,
          lock_wait_timeout = 77`,
    );
    expect(await settings(pool)).toBe(own);
  });

  test('joins, writes and takes its time, whatever limits sessions begin with', async () => {
    const limit = { mysql: 'max_execution_time', mariadb: 'max_statement_time' }[server.flavour];
    const readOnly = server.name === 'mysql-9.7' ? 'transaction_read_only' : 'tx_read_only';
    const limits = ['sql_select_limit', 'max_join_size'];
    if (server.name !== 'mysql-5.6') limits.push(limit);
    const table = ident(schema.name, 'begins');
    await pool.run(sql`CREATE TABLE ${table} (id INT)`);
    await query(server, ...[...limits, readOnly].map((name) => `SET GLOBAL ${name} = 1`));
    await using fresh = poolOn(server);
    try {
      await fresh.run(sql`INSERT INTO ${table} VALUES (1), (2), (3)`);
      const [joined] = await fresh.run(sql`SELECT a.id FROM ${table} AS a, ${table} AS b`);
      expect(joined).toHaveLength(9);
      const [rows] = await fresh.run(sql`SELECT SLEEP(1.1) AS slept UNION ALL SELECT 2`);
      expect(rows?.map((row) => col.number(row, 'slept'))).toEqual([0, 2]);
    } finally {
      const undone = limits.map((name) => `SET GLOBAL ${name} = DEFAULT`);
      await query(server, ...undone, `SET GLOBAL ${readOnly} = 0`);
    }
  });

  test('escapes values right where the server starts sessions with NO_BACKSLASH_ESCAPES', async () => {
    const [before] = await query<{ mode: string }>(server, 'SELECT @@GLOBAL.sql_mode AS mode');
    await query(server, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'");
    await using fresh = poolOn(server);
    try {
      const evil = `a\\' OR 1=1 -- `;
      const [[row] = []] = await fresh.run(sql`SELECT ${evil} AS a, LENGTH(${'\\'}) AS n`);
      expect(col.text(row ?? {}, 'a')).toBe(evil);
      expect(col.number(row ?? {}, 'n')).toBe(1);
    } finally {
      await query(server, `SET GLOBAL sql_mode = '${before?.mode ?? ''}'`);
    }
  });

  test('says a text in UTF-8 behind one that failed under another charset, in a task', async () => {
    const said = await pool.task(async (connection) => {
      const texts = [sql`SET NAMES latin1`, sql`SELECT nonsense`];
      await expect(connection.run(texts)).rejects.toMatchObject({ errno: 1054 });
      const [rows] = await connection.run(sql`SELECT ${'café ħ'} AS text`);
      return rows?.[0]?.['text'];
    });
    expect(said).toBe('café ħ');
  });

  test('runs nothing behind a statement in another charset, and speaks UTF-8 again', async () => {
    const behind = pool.task(async (connection) => {
      const latin1 = sql`SET character_set_client = latin1`;
      await connection.run([latin1], { last: Buffer.from("SELECT 'caf\xe9'", 'latin1') });
      await connection.run(sql`SELECT 1`);
    });
    await expect(behind).rejects.toThrow('its last statement was run');
    for (const text of ['café', 'Š', 'ħ']) {
      const [rows] = await pool.run(sql`SELECT ${text} AS text`);
      expect(rows?.[0]?.['text']).toBe(text);
    }
  });

  test('runs one last statement, and not several', async () => {
    const last = Buffer.from('SELECT 1; CREATE TABLE planted (id INT)');
    const ran = pool.run([sql`USE ${ident(schema.name)}`], { last });
    await expect(ran).rejects.toMatchObject({ errno: 1064 });
    const [tables] = await pool.run(sql`SHOW TABLES FROM ${ident(schema.name)} LIKE 'planted'`);
    expect(tables).toHaveLength(0);
  });

  test('gives each statement of a text its answer', async () => {
    const table = ident(schema.name, 'what? ünï');
    const answers = await pool.run([
      sql`CREATE TABLE ${table} (id BIGINT PRIMARY KEY, at DATETIME, note VARCHAR(20))`,
      sql`INSERT INTO ${table} VALUES (${9007199254740993n}, ${new Date('2026-01-02T03:04:05Z')},
          ${'?'}), (2, NULL, NULL)`,
      sql`SELECT * FROM ${table} ORDER BY id DESC`,
      sql`SELECT 1 AS one FROM ${table} WHERE id < 0`,
    ]);
    expect(answers.map(({ affectedRows }) => affectedRows)).toEqual([0, 2, 0, 0]);
    expect([...(answers[2] ?? [])].map((row) => ({ ...row }))).toEqual([
      { id: 9007199254740993n, at: new Date('2026-01-02T03:04:05Z'), note: '?' },
      { id: 2n, at: null, note: null },
    ]);
    expect(answers[3]).toHaveLength(0);
  });

  test('rejects with the error of the server, and works on', async () => {
    const missing = pool.run(sql`SELECT * FROM ${ident(schema.name, 'missing?')}`);
    await expect(missing).rejects.toMatchObject({ errno: 1146, sqlState: '42S02' });
    await expect(pool.run(sql`SELEC 1`)).rejects.toMatchObject({ errno: 1064 });
    expect(await settings(pool)).toContain('utf8mb4');
  });

  test('keeps connection and named lock through an error inside a task', async () => {
    const name = `undrop-${schema.name}`;
    await pool.task(async (connection) => {
      await connection.run(sql`SELECT GET_LOCK(${name}, 0) AS got`);
      await expect(connection.run(sql`SELECT nonsense`)).rejects.toMatchObject({ errno: 1054 });
      const [[row] = []] = await connection.run(
        sql`SELECT IS_USED_LOCK(${name}) = CONNECTION_ID() AS mine, CONNECTION_ID() AS id`,
      );
      expect(col.number(row ?? {}, 'mine')).toBe(1);
      expect(col.number(row ?? {}, 'id')).toBe(connection.threadId);
    });
  });

  test('never gives a connection on whose task has thrown', async () => {
    let used = 0;
    const broken = pool.task(async (connection) => {
      used = connection.threadId;
      await connection.run(sql`BEGIN`);
      throw new Error('the task is broken');
    });
    await expect(broken).rejects.toThrow('the task is broken');
    await until(async () => !(await isConnected(used)), 'its session has ended');
  });

  test('survives the killing of a connection that a task has and does not use', async () => {
    await pool.task(async (connection) => {
      await query(server, `KILL ${connection.threadId}`);
      await until(async () => !(await isConnected(connection.threadId)), 'its session has ended');
      await expect(connection.run(sql`SELECT 1`)).rejects.toMatchObject({
        code: 'UNDROP_SERVICE_FAILED',
      });
    });
    expect(await settings(pool)).toContain('utf8mb4');
  });

  test('writes nothing to the binary log where it is told so, and does again afterwards', async () => {
    const isLogged = async (through: Pick<ServicePool, 'run'>) => {
      const look = [sql`DO 0`, sql`SELECT @@SESSION.sql_log_bin AS logged`];
      const [, [row = {}] = []] = await through.run(look);
      return col.flag(row, 'logged');
    };
    const unlogged = pool.logging(false);
    expect([await isLogged(unlogged), await unlogged.task(isLogged)]).toEqual([false, false]);
    await pool.task(async (connection) => {
      const off = connection.logging(false);
      expect(await isLogged(off)).toBe(false);
      const failing = off.run([sql`DO 0`, sql`SELECT nonsense`]);
      await expect(failing).rejects.toMatchObject({ errno: 1054 });
      expect([await isLogged(connection), await isLogged(pool)]).toEqual([true, true]);
    });
  });

  test('gives up a statement at its deadline and ends it on the server', async () => {
    const slow = pool.run(sql`SELECT ${schema.name}, SLEEP(60)`, { deadlineMs: 150 });
    await expect(slow).rejects.toEqual(DEADLINE);
    const isOver = async () => !(await isRunning(`SELECT '${schema.name}', SLEEP(60)`));
    await until(isOver, 'its statement has ended');
    expect(await settings(pool)).toContain('utf8mb4');
  });

  test('never hangs on a way that swallows bytes, and works again when there is one', async () => {
    await using relay = await openRelay(server);
    await using far = poolOn(relay);
    await Promise.all([far.run(sql`SELECT SLEEP(0.05)`), far.run(sql`SELECT SLEEP(0.05)`)]);
    const task = far.task(async (connection) => {
      await connection.run(sql`SELECT 1`);
      relay.swallow();
      await connection.run(sql`SELECT 2`, { deadlineMs: 150 });
    });
    await expect(task).rejects.toEqual(DEADLINE);
    await expect(far.run(sql`SELECT 3`, { deadlineMs: 150 })).rejects.toEqual(DEADLINE);
    relay.resume();
    expect(await settings(far)).toContain('utf8mb4');
  }, 180_000);

  test('waits for a metadata lock for a moment only', async () => {
    const table = ident(schema.name, 'locked');
    await pool.run(sql`CREATE TABLE ${table} (id INT) ENGINE=InnoDB`);
    const other: Session = await connect(server);
    try {
      await other.query(`LOCK TABLES ${schema.name}.locked WRITE`);
      const rename = sql`RENAME TABLE ${table} TO ${ident(schema.name, 'moved')}`;
      const error = await runWithTimeout(pool, rename).catch((reason: unknown) => reason);
      expect(isKilled(error)).toBe(true);
      await other.query('UNLOCK TABLES');
      await runWithTimeout(pool, rename);
    } finally {
      await other.end();
    }
    const [rows = []] = await pool.run(sql`SELECT * FROM ${ident(schema.name, 'moved')}`);
    expect(rows).toHaveLength(0);
  });

  test('knows no size of a table that MySQL 9.7 renames at that moment', async () => {
    const max = sql`4294967295`;
    const row = sql`SELECT 'InnoDB' AS ENGINE, ${max} AS TABLE_ROWS, ${max} AS DATA_LENGTH,
      ${max} AS INDEX_LENGTH`;
    const sizes = sql`SELECT ${OWN_ROWS} AS rowCount, ${OWN_BYTES} AS bytes FROM (${row}) AS t`;
    const [[found] = []] = await pool.run(sizes);
    expect({ ...found }).toEqual({ rowCount: null, bytes: null });
  });

  test('tells what kind of server it is', async () => {
    const facts = await readServerFacts(pool);
    expect(facts.flavour).toBe(server.name.startsWith('mariadb') ? 'mariadb' : 'mysql');
    const [, major, minor] = /-(\d+)\.(\d+)$/.exec(server.name) ?? [];
    expect(Math.floor(facts.versionId / 100)).toBe(Number(major) * 100 + Number(minor));
    expect(facts.readOnly).toBe(false);
    expect(facts.serverIdentity.length).toBeGreaterThan(8);
    expect(facts.startedAt.getTime()).toBeLessThanOrEqual(facts.utcNow.getTime());
    expect((await readServerFacts(pool)).serverIdentity).toBe(facts.serverIdentity);
  });

  test('a lock is waited for, and nothing else', async () => {
    const [was] = await query<{ was: string }>(server, 'SELECT @@GLOBAL.event_scheduler AS was');
    await query(
      server,
      `CREATE EVENT ${schema.name}.later ON SCHEDULE EVERY 1 DAY STARTS NOW() + INTERVAL 1 DAY DO DO 0`,
      'SET GLOBAL event_scheduler = ON',
      `CREATE TABLE ${schema.name}.waited (id INT)`,
    );
    // It waits for its next event, which no KILL brings.
    const scheduler = await stateOf("USER = 'event_scheduler'");
    expect(scheduler.state).toMatch(/^Waiting for next activation/);
    expect(await pool.isWaiting(scheduler.id)).toBe(false);
    await using reader = await connect(server, { database: schema.name });
    await reader.run('BEGIN', 'SELECT * FROM waited');
    await using waiter = await connect(server, { database: schema.name });
    const answered = waiter.query('RENAME TABLE waited TO renamed');
    const locked = await stateOf(`ID = ${waiter.threadId}`);
    expect(locked.state).toMatch(/^Waiting for .* lock/);
    expect(await pool.isWaiting(locked.id)).toBe(true);
    await reader.query('ROLLBACK');
    await answered;
    await query(
      server,
      `SET GLOBAL event_scheduler = ${was?.was ?? 'OFF'}`,
      `DROP EVENT ${schema.name}.later`,
    );
  });

  async function stateOf(who: string): Promise<{ readonly id: number; readonly state: string }> {
    let found = { id: 0, state: '' };
    await until(async () => {
      const [row] = await query<{ id: number; state: string }>(
        server,
        `SELECT ID AS id, STATE AS state FROM information_schema.PROCESSLIST
         WHERE ${who} AND STATE LIKE 'Waiting for %'`,
      );
      found = row ?? found;
      return row !== undefined;
    }, `${who} waits`);
    return found;
  }

  const isConnected = async (threadId: number) => hasProcess(server, `ID = ${threadId}`);

  async function isRunning(text: string): Promise<boolean> {
    const rows = await query<{ INFO: string | null; ID: number; own: number }>(
      server,
      'SELECT INFO, ID, CONNECTION_ID() AS own FROM information_schema.PROCESSLIST',
    );
    return rows.some(({ INFO, ID, own }) => ID !== own && INFO?.includes(text) === true);
  }
});

test('a server that is not there is unreachable, whoever would log in', async () => {
  const pool = openServicePool({
    ...{ address: { host: '127.0.0.1', port: 1 }, user: 'nobody', password: '', connectionsMax: 2 },
    log: silentLog,
  });
  const error = await pool.run(sql`SELECT 1`).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UndropError);
  expect(isServerError(error)).toBe(false);
  expect(error).toMatchObject({ code: 'UNDROP_UPSTREAM_UNREACHABLE' });
  await pool.dispose();
});

describe.each(testServers())('logins of the service account on $name', (server) => {
  const { name, host, port } = server;

  async function withPool<T>(
    options: Partial<ServicePoolOptions>,
    work: (pool: ReturnType<typeof openServicePool>) => Promise<T>,
  ): Promise<T> {
    const pool = openServicePool({
      ...{ address: { host, port }, user: 'key_of_it', password: PASSWORD },
      ...{ connectionsMax: 3, log: silentLog, ...options },
    });
    try {
      return await work(pool);
    } finally {
      await pool.dispose();
    }
  }

  test('a password file is read for each connection', async () => {
    await using folder = await temporaryFolder('password');
    const passwordFile = join(folder.path, 'password');
    writeFileSync(passwordFile, 'old\n');
    await query(server, "CREATE USER rotated@'%' IDENTIFIED BY 'old'");
    try {
      const user = 'rotated';
      await withPool({ user, password: 'old', passwordFile }, async (pool) => {
        await pool.task(async (first) => {
          await first.run(sql`SELECT 1`);
          const change = name === 'mysql-5.6' ? 'SET PASSWORD FOR' : 'ALTER USER';
          const to = name === 'mysql-5.6' ? "= PASSWORD('new')" : "IDENTIFIED BY 'new'";
          await query(server, `${change} rotated@'%' ${to}`);
          // MySQL 9.7 lets the old password in from its cache until the new one was used.
          const another = await connect({ host, port, user, password: 'new' });
          await another.end();
          writeFileSync(passwordFile, 'new\n');
          // The first connection is taken, so this is another one.
          await pool.run(sql`SELECT 1`);
          // In the middle of a rotation it may be gone for a moment.
          rmSync(passwordFile);
          await pool.task(async (third) => {
            await third.run(sql`SELECT 1`);
            await first.run(sql`SELECT 1`);
          });
        });
      });
    } finally {
      await query(server, "DROP USER rotated@'%'");
    }
  });

  if (name !== 'mysql-9.7') return;

  describe('caching_sha2_password', () => {
    const plugin = 'caching_sha2_password';

    beforeAll(async () => {
      await query(server, `CREATE USER key_of_it@'%' IDENTIFIED WITH ${plugin} BY '${PASSWORD}'`);
    });

    afterAll(() => query(server, "DROP USER key_of_it@'%'"));

    let changes = 0;

    /** What it asks for is the password itself: nothing of it is in its cache. */
    const coldLogin = async (options: Partial<ServicePoolOptions>): Promise<string> => {
      const password = `${PASSWORD}${changes++}`;
      await query(server, `ALTER USER key_of_it@'%' IDENTIFIED WITH ${plugin} BY '${password}'`);
      return withPool({ password, ...options }, (pool) =>
        greet(pool, { host, port }).then(
          () => 'in',
          (error: unknown) => (error instanceof UndropError ? error.code : 'another error'),
        ),
      );
    };

    test('lets the account in by the key that is pinned, and by no other', async () => {
      const [status] = await query<{ Value: string }>(
        server,
        "SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'",
      );
      const key = createPublicKey(status?.Value ?? '');
      expect(await coldLogin({ serverKey: { pinned: spkiOf(key) } })).toBe('in');
      const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
      const refused = await coldLogin({ serverKey: { pinned: spkiOf(other) } });
      expect(refused).toBe('UNDROP_SERVER_KEY');
    });

    test('lets it in in TLS, and on this machine without', async () => {
      expect([await coldLogin({ tls: UNCHECKED }), await coldLogin({})]).toEqual(['in', 'in']);
      expect(await coldLogin({ password: 'another' })).toBe('UNDROP_ACCOUNT');
    });
  });

  test('sha256_password is refused in TLS too', async () => {
    const account = `old_plugin@'%' IDENTIFIED WITH sha256_password BY '${PASSWORD}'`;
    await query(server, `CREATE USER ${account}`);
    const options = { user: 'old_plugin', tls: UNCHECKED };
    const greeting = withPool(options, (pool) => greet(pool, { host, port }));
    await expect(greeting).rejects.toMatchObject({ code: 'UNDROP_SERVER_KEY' });
    await query(server, "DROP USER old_plugin@'%'");
  });
});

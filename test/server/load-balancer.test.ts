/**
 * Two proxies behind HAProxy, by deploy/haproxy, while the service account is locked, its password
 * changed, and the ledger dropped: clients are served all the time, drops are held again as soon as
 * the cause is gone, and until then nothing that is dropped is destroyed. Then each proxy is
 * restarted in turn, and the pools of clients lose no statement.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPool, type PoolConnection } from 'mysql2/promise';
import { countRows } from '../collector/collecting.js';
import { heldRows } from '../support/client-held.js';
import { Crowd } from '../support/crowd.js';
import { temporaryFolder } from '../support/folders.js';
import { startHaproxy } from '../support/haproxy.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { adminOf, type ProxyProcess, spawnProxy, type Variables } from '../support/proxy.js';
import { rounds } from '../support/sample.js';
import { connect, query, type TestServer } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';

const { password } = SERVICE_ACCOUNT;
/** more than the two after which HAProxy takes a proxy out of service. */
const CHECKS = 3;
/** HAProxy has to take a proxy out of service meanwhile, with two checks. */
const DRAIN = { DRAIN_WAIT: '5s', DRAIN_TIMEOUT: '15s' };
const RESTARTS = rounds(5, 1);
const POOL = { connectionLimit: 8, users: 4 };

/** MySQL 9.7 accepts the old password, from its cache, until the new one has been used. */
async function setPassword(server: TestServer, user: string, password: string): Promise<void> {
  const set = `SET PASSWORD FOR '${user}'@'%' = PASSWORD('${password}')`;
  const alter = `ALTER USER '${user}'@'%' IDENTIFIED BY '${password}'`;
  await query(server, server.name === 'mysql-5.6' ? set : alter);
  const tls = server.name === 'mysql-9.7' ? { ssl: { rejectUnauthorized: false } } : {};
  await using _session = await connect({ ...server, user, password }, tls);
}

/** MySQL 5.6 locks no account; there it gets another name. */
async function setLock(server: TestServer, user: string, word: 'LOCK' | 'UNLOCK'): Promise<void> {
  const names = [`'${user}'@'%'`, `'${user}_no'@'%'`];
  const [from, to] = word === 'LOCK' ? names : names.reverse();
  const rename = `RENAME USER ${from} TO ${to}`;
  const alter = `ALTER USER '${user}'@'%' ACCOUNT ${word}`;
  await query(server, server.name === 'mysql-5.6' ? rename : alter);
}

onServersAtOnce('behind HAProxy, on $name', (server, on) => {
  const { afterAll, beforeAll, testOnEach: test } = on;
  const user = `svc_${randomBytes(4).toString('hex')}`;
  const schema = `balanced_${user}`;
  const folder = on.open(() => temporaryFolder('balanced'));
  const passwordFile = () => join(folder.path, 'password');
  const proxies: ProxyProcess[] = [];
  beforeAll(async () => {
    await writeFile(passwordFile(), password);
    await makeServiceAccount(server, { user });
    await query(server, `CREATE DATABASE ${schema}`);
    for (const _ of ['a', 'b']) {
      proxies.push(await startProxy({ ADMIN_LISTEN: '127.0.0.1:0' }));
    }
  });
  afterAll(async () => {
    for (const proxy of proxies) proxy.kill('SIGKILL');
    await query(server, `DROP DATABASE ${schema}`, `DROP USER '${user}'@'%'`);
  });
  const haproxy = on.open(() =>
    startHaproxy(proxies.map((proxy) => ({ ...proxy, admin: adminOf(proxy) }))),
  );
  const crowd = on.open(() => new Crowd(balanced()));
  beforeAll(() => undisturbed('before anything happens'));

  async function startProxy(variables: Variables): Promise<ProxyProcess> {
    const all = { PASSWORD_FILE: passwordFile(), ...DRAIN, ...variables };
    return on.keep(await spawnProxy({ ...server, user, password }, all));
  }

  const balanced = () => ({ ...server, host: haproxy.host, port: haproxy.port });

  /** HAProxy has checked often enough to take both out of service, and clients are still served. */
  async function undisturbed(when: string): Promise<void> {
    await haproxy.checkedTimes(CHECKS, when);
    await crowd.goesOn(CHECKS);
    expect(crowd.refusedSince(0)).toEqual([]);
  }

  async function statusOf(path: string): Promise<readonly number[]> {
    const answers = proxies.map((proxy) => fetch(`http://${adminOf(proxy)}${path}`));
    return (await Promise.all(answers)).map(({ status }) => status);
  }

  const areReady = () =>
    until(async () => (await statusOf('/readyz')).every((one) => one === 200), '/readyz is 200');

  async function dropsAre(status: 200 | 503): Promise<void> {
    await until(
      async () => (await statusOf('/readyz?drops')).every((one) => one === status),
      `/readyz?drops is ${status}`,
    );
  }

  async function dropNow(table: string): Promise<'held' | 'there'> {
    await query(server, `CREATE TABLE ${schema}.${table} (id INT)`);
    await query(server, `INSERT INTO ${schema}.${table} VALUES (1), (2)`);
    await query(balanced(), `DROP TABLE ${schema}.${table}`).catch(() => undefined);
    if ((await heldRows(server, schema))[table] === 2) return 'held';
    expect(await countRows(server, `${schema}.${table}`)).toBe(2);
    return 'there';
  }

  test('the service account is locked', async () => {
    await setLock(server, user, 'LOCK');
    await dropsAre(503);
    await undisturbed('while its account is refused');
    await areReady();
    await dropNow('during');
    await setLock(server, user, 'UNLOCK');
    await dropsAre(200);
    expect(await dropNow('after')).toBe('held');
  });

  test('its password is rotated, and the file follows', async () => {
    await setPassword(server, user, 'the next');
    await dropsAre(503);
    await undisturbed('while the file has the old password');
    await dropNow('rotated');
    await writeFile(passwordFile(), 'the next');
    await dropsAre(200);
    expect(await dropNow('next')).toBe('held');
  });

  test.each([1, 2])('each proxy is restarted in turn, %i', async (turn) => {
    const tables = [`of_statements_${turn}`, `of_transactions_${turn}`];
    const create = (table: string) => `CREATE TABLE ${schema}.${table} (a INT) ENGINE=InnoDB`;
    await query(server, ...tables.map(create));
    const used = [
      usePool((connection) => connection.query(`INSERT INTO of_statements_${turn} VALUES (1)`)),
      usePool(async (connection) => {
        await connection.beginTransaction();
        await connection.query(`INSERT INTO of_transactions_${turn} VALUES (1)`);
        await connection.query(`SELECT COUNT(*) FROM of_transactions_${turn}`);
        await connection.commit();
      }),
    ];
    for (let restart = 0; restart < RESTARTS; restart++) {
      const index = (turn + restart) % proxies.length;
      const { [index]: before } = proxies;
      if (before === undefined) throw new Error('there is a proxy');
      const where = { LISTEN: `127.0.0.1:${before.port}`, ADMIN_LISTEN: adminOf(before) };
      await before.stop();
      expect(before.child.exitCode).toBe(0);
      proxies[index] = await startProxy(where);
      await undisturbed(`after restart ${restart}`);
      for (const one of used) await one.goesOn();
    }
    const done = await Promise.all(used.map((one) => one.end()));
    const counted = tables.map((table) => countRows(server, `${schema}.${table}`));
    expect(await Promise.all(counted)).toEqual(done);
  });

  /**
   * A pool that is used all the while, until it is ended; then how often it was, or why not. Before
   * each use it checks its connection, and may meet one that has ended.
   */
  function usePool(use: (connection: PoolConnection) => Promise<unknown>) {
    const { host, port } = balanced();
    const { connectionLimit, users } = POOL;
    const login = { host, port, user: server.user, password: server.password };
    const pool = createPool({ ...login, database: schema, connectionLimit });
    let [count, isOver] = [0, false];
    const run = async () => {
      while (!isOver) {
        const connection = await pool.getConnection();
        const isThere = await connection.ping().then(
          () => true,
          () => false,
        );
        if (isThere) {
          await use(connection);
          count++;
          connection.release();
        } else connection.destroy();
      }
    };
    const done = Promise.all(Array.from({ length: users }, run));
    done.catch(() => undefined);
    return {
      goesOn: async () => {
        const before = count;
        const isOn = until(() => count > before + connectionLimit, 'the pool goes on');
        await Promise.race([isOn, done]);
      },
      end: async () => {
        isOver = true;
        await done.finally(() => pool.end());
        return count;
      },
    };
  }

  test('the ledger is dropped', async () => {
    await query(server, 'DROP DATABASE _undrop');
    await dropsAre(503);
    await undisturbed('without a ledger');
    await areReady();
    // A drop makes it anew.
    expect(await dropNow('anew')).toBe('held');
    await dropsAre(200);
    await undisturbed('with a new one');
  });
});

/**
 * The files of deploy/ and docs/topologies.md, run as they stand with only addresses replaced: two
 * proxies behind HAProxy of which one is killed while clients come, the PROXY protocol,
 * people through undrop and applications beside it, several servers, and MySQL Router in front of
 * two proxies and between a proxy and its server. Further files are in load-balancer, galera and
 * keepalived.
 */
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../throwaway-servers/launch.js';
import { heldRows } from '../support/client-held.js';
import { Crowd } from '../support/crowd.js';
import { runPromtool } from '../support/debian-tools.js';
import { deployedSettings, startDeployed } from '../support/deployed.js';
import { projectFolder, temporaryFolder } from '../support/folders.js';
import { type Haproxy, type HaproxyFile, startHaproxy } from '../support/haproxy.js';
import { startRouter } from '../support/mysql-router.js';
import { onServer, onServers } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import { adminOf, runUndrop, spawnProxy, type Variables } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { connect, query, type Target, type TestServer, testServer } from '../support/servers.js';
import type { Service } from '../support/service.js';
import { intentsSettled } from '../support/settled.js';
import { readText } from '../support/source-file.js';

/** HAProxy takes a proxy out of service after two. */
const CHECKS = 3;
/** Clients that come after an event, many times what HAProxy needs to meet both proxies. */
const CLIENTS = 50;
const ADMIN = { ADMIN_LISTEN: '127.0.0.1:0' };

async function startPair(server: TestServer, settings: string, file: HaproxyFile, own = {}) {
  const start = () => startDeployed(settings, server, { ...ADMIN, ...own });
  const pair = [await start(), await start()] as const;
  const balanced = pair.map(({ proxy }) => ({ ...proxy, admin: adminOf(proxy) }));
  const haproxy = await startHaproxy(balanced, file);
  const end = async () => {
    await haproxy.stop();
    for (const service of pair) await service[Symbol.asyncDispose]();
  };
  return { pair, haproxy, [Symbol.asyncDispose]: end };
}

onServers('the files of deploy, in front of $name', (server, on) => {
  const { test } = on;
  const schema = on.schema('deployed');

  test('beside: one proxy on the machine of the server, by TCP and by the socket', async () => {
    const ways: Readonly<Record<string, Variables>> = {
      'beside/undrop': {},
      'beside/undrop-socket': { UPSTREAM: server.socketPath ?? '' },
    };
    for (const [path, own] of Object.entries(ways)) {
      await using service = await startDeployed(path, server, own);
      const table = path.replace(/\W/g, '_');
      const target = { ...server, ...addressOf(service) };
      await dropHeld(server, schema.name, { target, table });
      await query(target, `UNDROP TABLE ${schema.name}.${table}`);
    }
  });

  test('haproxy: a proxy that is killed costs no later client its connection', async () => {
    await using started = await startPair(server, 'haproxy/undrop', 'haproxy/haproxy');
    const { pair, haproxy } = started;
    const [killed, other] = pair;
    await using crowd = new Crowd(through(haproxy));
    await crowd.goesOn(CLIENTS);
    const { port } = killed.proxy;
    killed.proxy.kill('SIGKILL');
    await until(async () => !(await listens(port)), 'nothing listens at its address');
    // Those before may have been in the proxy as it died.
    const since = crowd.come;
    await haproxy.checkedTimes(CHECKS, 'and one proxy is gone');
    await crowd.goesOn(CLIENTS);
    await dropHeld(server, schema.name, { target: through(haproxy), table: 'after_a_kill' });
    await other.says({ event: 'held' });
    expect(other.logged({ event: 'held' })).toHaveLength(1);
    await using _again = await startDeployed('haproxy/undrop', server, placeOf(killed));
    await haproxy.checkedTimes(CHECKS, 'and it is back');
    await crowd.goesOn(CLIENTS);
    expect(crowd.refusedSince(since)).toEqual([]);
  });

  test('haproxy: by the PROXY protocol the audit has the address of the client', async () => {
    await using folder = await temporaryFolder('audit');
    const auditFile = join(folder.path, 'audit.json');
    const own = { PROXY_PROTOCOL: '127.0.0.1', AUDIT_FILE: auditFile };
    const file = 'haproxy/haproxy-proxy-protocol';
    await using started = await startPair(server, 'haproxy/undrop-proxy-protocol', file, own);
    const { host, port } = started.haproxy;
    const stream = net.connect({ host, port, localAddress: '127.0.0.7' });
    const [target, table] = [through(started.haproxy), 'by_somebody'];
    await dropHeld(server, schema.name, { target, table, stream });
    const [line = ''] = (await readFile(auditFile, 'utf8')).split('\n');
    const from = expect.stringMatching(/^127\.0\.0\.7:\d+$/);
    expect(JSON.parse(line)).toMatchObject({ event: 'held', client: from });
    const [row] = await query(
      server,
      `SELECT client_address AS client FROM _undrop.ledger WHERE table_name = 'by_somebody'`,
    );
    expect(row).toEqual({ client: expect.stringContaining('127.0.0.7') });
  });

  const through = ({ host, port }: Haproxy): Target => ({ ...server, host, port });
});

/** Drops a table of two rows through `target`; resolves when it is held whole. */
async function dropHeld(
  server: TestServer,
  schema: string,
  { target, table, stream }: { target: Target; table: string; stream?: net.Socket },
): Promise<void> {
  const name = `${schema}.${table}`;
  await query(server, `CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
  await using session = await connect(target, stream && { stream });
  await session.query(`DROP TABLE ${name}`);
  await using root = await connect(server);
  await intentsSettled(root, [schema]);
  expect((await heldRows(server, schema))[table]).toBe(2);
}

function addressOf({ proxy: { host, port } }: Service) {
  return { host, port };
}

/** Where it listened, for the one that takes its place. */
function placeOf({ proxy }: Service): Variables {
  return { LISTEN: `${proxy.host}:${proxy.port}`, ADMIN_LISTEN: adminOf(proxy) };
}

test('several: a proxy for each server, and one Prometheus', async () => {
  const ends = { orders: 'mysql-9.7', billing: 'mariadb-11.8' };
  await using folder = await temporaryFolder('several');
  const jobs = readText('deploy/several/prometheus.yml');
  for (const [name, behind] of Object.entries(ends)) {
    const server = testServer(behind);
    await using service = await startDeployed(`several/${name}`, server, ADMIN);
    const address = `${service.proxy.host}:${service.proxy.port}`;
    const isListed = async () => (await runUndrop(server, ['status'])).stdout.includes(address);
    await until(isListed, 'the service is in the status');
    const { adminListen } = deployedSettings(`several/${name}`);
    const port = String(adminListen).split(':')[1];
    expect(jobs).toContain(
      `job_name: undrop-${name}\n    static_configs: [{ targets: ["10.0.0.5:${port}"] }]`,
    );
  }
  const checked = await checkPrometheus(folder.path, jobs);
  expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('rules found') });
});

async function checkPrometheus(folder: string, config: string) {
  await writeFile(join(folder, 'prometheus.yml'), config);
  await writeFile(join(folder, 'prometheus-alerts.yml'), readText('docs/prometheus-alerts.yml'));
  return runPromtool(['check', 'config', join(folder, 'prometheus.yml')]);
}

/** The file has schema and account `shop` and `app`, and undrop's host for people. */
const BY_PEOPLE = { undrop: '127.0.0.1', elsewhere: '127.0.0.2' };
const NO_PRIVILEGE = 1142;
const NO_ACCOUNT = 1045;

const PEOPLE = sample(['mysql-9.7', 'mariadb-11.8'], { name: 'people', count: 1 });
describe.each(PEOPLE)('people through undrop, applications straight to %s', (name) => {
  test('what applications drop is refused by the server, what people drop is held', async () => {
    const server = testServer(name);
    const file = await readFile(join(projectFolder, 'deploy/people-through/accounts.sql'), 'utf8');
    const statements = file
      .replaceAll(/^--.*$/gm, '')
      .replaceAll('10.0.0.5', BY_PEOPLE.undrop)
      .split(';')
      .filter((text) => text.trim() !== '');
    await query(
      server,
      'CREATE DATABASE shop',
      'CREATE TABLE shop.orders (id INT PRIMARY KEY, note INT)',
      'INSERT INTO shop.orders (id) VALUES (1), (2)',
      "CREATE USER 'app'@'%' IDENTIFIED BY 'a password'",
      "GRANT ALL ON shop.* TO 'app'@'%'",
    );
    try {
      await query(server, ...statements);
      const login = (user: string) => ({ ...server, user, password: 'a password' });
      await using application = await connect(login('app'));
      for (const statement of [
        'DROP TABLE shop.orders',
        'DROP DATABASE shop',
        'TRUNCATE TABLE shop.orders',
        'RENAME TABLE shop.orders TO shop.old',
        'ALTER TABLE shop.orders DROP COLUMN note',
      ]) {
        expect([statement, await application.errnoOf(statement)]).toEqual([
          statement,
          statement.includes('DATABASE') ? 1044 : NO_PRIVILEGE,
        ]);
      }
      await application.run('DELETE FROM shop.orders WHERE id = 2');
      // Not by undrop: the account isn't there for this host.
      const from = { host: server.host, port: server.port, localAddress: BY_PEOPLE.elsewhere };
      await expect(connect(login('dba'), { stream: net.connect(from) })).rejects.toMatchObject({
        errno: NO_ACCOUNT,
      });
      await using service = await startDeployed('beside/undrop', server);
      await using person = await connect({ ...login('dba'), ...addressOf(service) });
      await person.run('DROP TABLE shop.orders', 'UNDROP TABLE shop.orders');
      expect(await person.count('shop.orders')).toBe(1);
    } finally {
      await query(server, 'DROP DATABASE shop', "DROP USER 'app'@'%'");
      await query(server, `DROP USER IF EXISTS 'dba'@'${BY_PEOPLE.undrop}'`);
    }
  });
});

describe('MySQL Router', () => {
  const server = testServer('mysql-9.7');
  const on = onServer(server);
  const schema = on.schema('routed');
  const { testOnEach: test } = on;

  async function dropAndUndo(target: Target, table: string): Promise<void> {
    const name = `${schema.name}.${table}`;
    await dropHeld(server, schema.name, { target, table });
    await using session = await connect(target);
    await session.run(`UNDROP TABLE ${name}`);
    expect(await session.count(name)).toBe(2);
  }

  const routed = (port: number): Target => ({ ...server, host: '127.0.0.1', port });

  test('in front of two proxies: the second serves while the first is away', async () => {
    const port = await freePort();
    // Nobody else on the machine gets its port while it is away.
    await using first = await spawnProxy(server, { LISTEN: '127.0.0.8:0' });
    await using second = await spawnProxy(server);
    const config = readText('deploy/router/in-front.conf')
      .replace('bind_address=0.0.0.0', 'bind_address=127.0.0.1')
      .replace('bind_port=6446', `bind_port=${port}`)
      .replace('10.0.0.5:3307', `${first.host}:${first.port}`)
      .replace('10.0.0.6:3307', `${second.host}:${second.port}`);
    await using _router = await startRouter(config, port);
    await dropAndUndo(routed(port), 'in_front');
    await using crowd = new Crowd(routed(port));
    await crowd.goesOn(CLIENTS);
    first.kill('SIGKILL');
    await until(async () => !(await listens(first.port)), 'nothing listens at its address');
    const since = crowd.come;
    await crowd.goesOn(CLIENTS);
    await dropAndUndo(routed(port), 'by_the_second');
    expect(crowd.refusedSince(since)).toEqual([]);
    const heldBy = ({ lines }: typeof first) =>
      lines.filter(({ event }) => event === 'held').length;
    expect([heldBy(first), heldBy(second)]).toEqual([1, 1]);
  });

  test('behind a proxy: in TLS undrop reaches the server; without it Router ends a drop', async () => {
    const port = await freePort();
    const config = readText('deploy/router/behind.conf')
      .replace('bind_port=6446', `bind_port=${port}`)
      .replace('db1.example.org:3306', `${server.host}:${server.port}`)
      .replace('db2.example.org:3306', `127.0.0.1:${await freePort()}`);
    await using _router = await startRouter(config, port);
    const behind = { UPSTREAM: `127.0.0.1:${port}` };
    await using proxy = await spawnProxy(server, { ...behind, UPSTREAM_TLS: 'required' });
    await dropAndUndo(proxy, 'behind');
    await using clear = await spawnProxy(server, behind);
    await query(server, `CREATE TABLE ${schema.name}.clear (id INT)`);
    await using session = await connect(clear);
    // Router reads what isn't in TLS, and takes the second of two commands at once for broken.
    await expect(session.run(`DROP TABLE ${schema.name}.clear`)).rejects.toThrow();
    expect(await query(server, `SELECT 1 FROM ${schema.name}.clear`)).toEqual([]);
  });
});

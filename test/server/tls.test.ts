/**
 * TLS with real clients and servers, beyond the logins (tls-logins.test.ts): what command-line
 * clients see of it, with a certificate that is given, that of the server, or none; accounts that
 * insist on it; certificates that are renewed, and that all workers show; UNDROP_TLS=required; and
 * sessions that resume the TLS that an earlier one had with the server, where that lets them.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls, { type TLSSocket } from 'node:tls';
import * as caps from '../../src/wire/capabilities.js';
import { makeCertificates } from '../support/certificates.js';
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runClient } from '../support/clients.js';
import { startKillable } from '../support/killable-server.js';
import { SERVERS_WITHOUT_TLS, tlsOptions } from '../support/login-plugins.js';
import { createMariadb } from '../support/mariadb.js';
import { testOnOne } from '../support/on-one-server.js';
import { inHooks, onServers } from '../support/on-servers.js';
import type { Variables } from '../support/proxy.js';
import { proxyInFront, reloadBySignal, runUndrop, spawnProxy } from '../support/proxy.js';
import * as servers from '../support/servers.js';

const PASSWORD = 'pa$$ word;';
const CLIS: readonly CliName[] = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'];
/** MySQL 9 has left behind the logins of the other servers. */
const clisFor = (name: string) => CLIS.filter((cli) => cli !== 'mysql-9.7' || name === 'mysql-9.7');
const IN_TLS = { ssl: { rejectUnauthorized: false } };
/** Those that have TLS without being told. */
const SAMPLED = servers.testServerNames().filter((name) => /mysql-9.7|mariadb-11.8/.test(name));
const WITH_TLS = SAMPLED.length === 0 ? (['mysql-9.7'] as const) : SAMPLED;

const files = inHooks().open(makeCertificates);

describe.each(servers.testServers())('TLS on $name', ({ name }) => {
  const test = testOnOne({ name });
  const hasTls = !SERVERS_WITHOUT_TLS.has(name);
  const account = { user: 'app', password: PASSWORD };
  const insisting = { user: 'insists', password: PASSWORD };
  const { beforeAll, keep, open } = inHooks();
  const certified = () => ({ TLS_CERT: files.cert, TLS_KEY: files.key });
  const server = open(() => servers.startServer(name, hasTls ? tlsOptions(name, files) : []));
  /** With a certificate, and without TLS. */
  const proxy = open(() => proxyInFront(server, certified()));
  const bare = open(() => proxyInFront(server, { TLS: 'off' }));

  beforeAll(async () => {
    const grant = "GRANT ALL ON *.* TO insists@'%'";
    await servers.query(
      server,
      `CREATE USER app@'%' IDENTIFIED BY '${PASSWORD}'`,
      `CREATE USER insists@'%' IDENTIFIED BY '${PASSWORD}'`,
      // 5.6 has it in GRANT alone.
      ...(name === 'mysql-5.6'
        ? [`${grant} REQUIRE SSL`]
        : [grant, "ALTER USER insists@'%' REQUIRE SSL"]),
    );
  });

  async function statusOf(cli: CliName, target: servers.Target, options: readonly string[]) {
    const script = "SHOW STATUS LIKE 'Ssl_cipher';\nstatus\n";
    // `status` is a command of the client, which MySQL 9 has to be asked for.
    const commands = cli === 'mysql-9.7' ? ['--commands'] : [];
    const args = [...options, ...commands, '--batch'];
    const { stdout, stderr } = await runClient(cli, target, args, { input: script });
    return `${stdout}\n${stderr}`;
  }

  test.each(clisFor(name))('%s has a cipher if it asks for TLS, and else none', async (cli) => {
    const target = { ...proxy, ...account };
    const inTls = await statusOf(cli, target, connectionOptions(cli, { tls: true }));
    expect(inTls).toMatch(/^SSL:\s+Cipher in use is \S+/m);
    // The server's word on its own leg, which is in TLS where the client's is and it can be.
    expect(inTls).toMatch(hasTls ? /^Ssl_cipher\t\S+$/m : /^Ssl_cipher\t$/m);
    const plain = await statusOf(cli, target, connectionOptions(cli, { tls: false }));
    expect(plain).toMatch(/^SSL:\s+Not in use$/m);
    expect(plain).toMatch(/^Ssl_cipher\t$/m);
  });

  test('a client in TLS checks the certificate of the proxy by its authority and its name (wire 28)', async () => {
    const check = ['--ssl-verify-server-cert'];
    const cli = name === 'mysql-9.7' ? 'mysql-9.7' : 'mariadb-11.8';
    const optionsWith = (ca: string) =>
      cli === 'mysql-9.7'
        ? ['--ssl-mode=VERIFY_IDENTITY', `--ssl-ca=${ca}`]
        : [...check, `--ssl-ca=${ca}`];
    const target = { ...proxy, ...account };
    const good = await statusOf(cli, target, optionsWith(files.ca));
    expect(good).toMatch(/^SSL:\s+Cipher in use is \S+/m);
    const bad = await statusOf(cli, target, optionsWith(files.otherCa));
    expect(bad).toMatch(/^ERROR 2026 /m);
  });

  test('an account with REQUIRE SSL logs in as it does directly: in TLS, where the server has it', async () => {
    const outcome = async (target: servers.Target, tls: boolean): Promise<unknown> => {
      try {
        const connection = await servers.connect({ ...target, ...insisting }, tls ? IN_TLS : {});
        connection.destroy();
        return 'in';
      } catch (error) {
        const { errno, message } = error as { errno?: number; message: string };
        return [errno, message];
      }
    };
    const refused = await outcome(server, false);
    expect(refused).toEqual([1045, expect.stringContaining('Access denied')]);
    expect([await outcome(proxy, false), await outcome(bare, false)]).toEqual([refused, refused]);
    expect(await outcome(proxy, true)).toEqual(hasTls ? 'in' : refused);
  });

  test('a certificate that is not trusted is a matter of the TLS settings', async () => {
    const wants = hasTls
      ? { UPSTREAM_TLS: 'verify-ca', UPSTREAM_CA: files.otherCa }
      : { UPSTREAM_TLS: 'required' };
    const { code, stderr } = await runUndrop(server, ['list'], wants);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^undrop: UNDROP_UPSTREAM_TLS: .*Check UNDROP_UPSTREAM_TLS, UNDROP_UPSTREAM_CA and/,
      ),
    });
  });

  test('a service account with REQUIRE SSL needs a leg in TLS to the server, and holds then', async () => {
    const service = { ...server, ...insisting };
    for (const variables of [{ TLS: 'off' }, { UPSTREAM_TLS: 'disabled' }]) {
      const starting = proxyInFront(service, variables);
      await expect(starting).rejects.toMatchObject({ code: 'UNDROP_ACCOUNT' });
    }
    const legs = [{ UPSTREAM_TLS: 'required' }, { UPSTREAM_TLS: 'preferred' }, {}];
    // Where nothing but TLS will do, a server without it is one that may come up with it later.
    for (const variables of hasTls ? legs : []) {
      await using schema = await servers.freshSchema(server, 'svc');
      const target = keep(await proxyInFront(service, variables));
      const { user, password } = server;
      await using client = await servers.connect(target, { user, password, database: schema.name });
      await client.run('CREATE TABLE t AS SELECT 1 AS a', 'DROP TABLE t');
      expect(await heldRows(server, schema.name)).toEqual({ t: 1 });
    }
    const listed = await runUndrop(service, ['list', '--upstream-tls=required']);
    expect([listed.code, listed.stderr]).toEqual(
      hasTls
        ? [0, '']
        : [expect.any(Number), expect.stringContaining('not support secure connection')],
    );
  });
});

onServers('TLS without a setting on $name', (server, on) => {
  const { test } = on;
  const schema = on.schema();
  const proxyWith = async (variables: Variables) => on.keep(await proxyInFront(server, variables));

  /** Of an account that nobody has used yet; `options` on top of none at all. */
  async function say(cli: CliName, to: servers.Target, options: readonly string[] = []) {
    const user = `fresh_${randomBytes(4).toString('hex')}`;
    await servers.query(server, `CREATE USER ${user}@'%' IDENTIFIED BY '${PASSWORD}'`);
    const args = [...options, '--batch', '-N', '-e', 'SELECT 42'];
    const { host, port } = to;
    const said = await runClient(cli, { host, port, user, password: PASSWORD }, args);
    await servers.query(server, `DROP USER ${user}@'%'`);
    return `${said.stdout}${said.stderr.replace(/^mysql: \[Warning\] .*\n/, '')}`;
  }

  test.each(clisFor(server.name))('%s logs in as it comes, with a cold cache', async (cli) => {
    expect(await say(cli, await proxyWith({}))).toBe('42\n');
  });

  test('mariadb 11.8 wants to be told at any other host, as nobody vouches for us (wire 28)', async () => {
    const remote = await proxyWith({ LISTEN: '127.0.0.2:0' });
    expect(await say('mariadb-11.8', remote)).toMatch(/^ERROR 2026 .*(NOT trusted|self-signed)/);
    expect(await say('mariadb-11.8', remote, ['--skip-ssl-verify-server-cert'])).toBe('42\n');
  });

  test('required refuses clients without TLS as a server does, and not those on a socket', async () => {
    const path = join(files.folder, 'required.sock');
    const proxy = await proxyWith({ TLS: 'required', LISTEN: `127.0.0.1:0,${path}` });
    const { user, password } = server;
    const refused = { errno: 3159, sqlState: 'HY000' };
    await expect(servers.connect(proxy)).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(/^UNDROP_TLS_REQUIRED: Connections using insecure transport/),
    });
    await (await servers.connect(proxy, IN_TLS)).end();
    await (await createMariadb({ socketPath: path, user, password })).end();
  });

  test('all workers show one certificate, also behind a reload', async () => {
    await using proxy = await spawnProxy(server, { WORKERS: '2' });
    const first = await shownBy(proxy);
    expect(first).toHaveLength(1);
    await reloadBySignal(proxy);
    expect(await shownBy(proxy)).toEqual(first);
  });

  test('a client resumes its TLS with any worker, also behind a reload', async () => {
    await using proxy = await spawnProxy(server, { WORKERS: '2' });
    const { session } = await secureSession(proxy);
    const resumed = async () => (await secureSession(proxy, session)).isResumed;
    expect([await resumed(), await resumed()]).toEqual([true, true]);
    await reloadBySignal(proxy);
    expect([await resumed(), await resumed()]).toEqual([true, true]);
  });

  test('SIGHUP renews the certificate, and not by a key of another', async () => {
    const own = { TLS_CERT: join(files.folder, 'own.pem'), TLS_KEY: join(files.folder, 'own-key') };
    const install = (cert: string, key: string) => {
      copyFileSync(cert, own.TLS_CERT);
      copyFileSync(key, own.TLS_KEY);
    };
    install(files.cert, files.key);
    await using proxy = await spawnProxy(server, { ...own, WORKERS: '2' });
    await using live = await servers.connect(proxy, { ...IN_TLS, database: schema.name });
    await live.run('CREATE TABLE t AS SELECT 1 AS a');
    const first = await shownBy(proxy);
    install(files.renewedCert, files.renewedKey);
    expect(await shownBy(proxy)).toEqual(first);
    await reloadBySignal(proxy);
    const second = await shownBy(proxy);
    expect(second).toHaveLength(1);
    expect(second).not.toEqual(first);
    install(files.cert, files.ecKey);
    expect(await reloadBySignal(proxy)).toMatchObject({ err: { code: 'UNDROP_CONFIG' } });
    expect(await shownBy(proxy)).toEqual(second);
    // The session that was open all the while goes on.
    await live.run('DROP TABLE t');
    expect(await heldRows(server, schema.name)).toEqual({ t: 1 });
  });
});

/** The certificates that new clients are shown; workers take clients in turn. */
async function shownBy(proxy: servers.Target): Promise<readonly string[]> {
  const seen = new Set<string>();
  for (let count = 0; count < 4; count++) seen.add(await fingerprintAt(proxy));
  return [...seen];
}

/** TLS as a driver begins it, which then leaves; `earlier`: a session to resume. */
async function secureSession({ host, port }: servers.Target, earlier?: Buffer) {
  const socket = net.connect({ host, port });
  await once(socket, 'data');
  const request = Buffer.alloc(36);
  request.set([32, 0, 0, 1]);
  request.writeUInt32LE(caps.CLIENT_SSL | caps.CLIENT_PROTOCOL_41, 4);
  socket.write(request);
  const resuming = earlier === undefined ? {} : { session: earlier };
  const secured = tls.connect({ socket, rejectUnauthorized: false, ...resuming });
  const awaited = once(secured, earlier === undefined ? 'session' : 'secureConnect');
  const [session] = (await awaited) as [Buffer];
  const isResumed = secured.isSessionReused();
  secured.destroy();
  return { session, isResumed };
}

async function fingerprintAt(target: servers.Target): Promise<string> {
  // mysql2 resumes by the object of its options, and a resumed connection shows no certificate.
  await using connection = await servers.connect(target, { ssl: { ...IN_TLS.ssl } });
  const { stream } = (connection as unknown as { connection: { stream: TLSSocket } }).connection;
  const { fingerprint256 } = stream.getPeerCertificate();
  return fingerprint256;
}

/**
 * MariaDB's client 11.8 looks at certificates without being told to: it takes one that it trusts,
 * or one that the server proves by the password of the account.
 */
describe('mariadb-11.8 at a proxy with a certificate', () => {
  const { beforeAll, open } = inHooks();
  const server = open(() => {
    const { cert, key } = selfSigned();
    return servers.startServer('mariadb-11.8', [`--ssl-cert=${cert}`, `--ssl-key=${key}`]);
  });
  beforeAll(() => servers.query(server, `CREATE USER app@'%' IDENTIFIED BY '${PASSWORD}'`));

  /** Of nobody but itself. */
  const selfSigned = () => ({ cert: files.otherCa, key: join(files.folder, 'other-ca-key.pem') });

  /** What the client says; at 127.0.0.1 it would take anything. */
  async function say(
    own: { readonly cert: string; readonly key: string },
    options: readonly string[] = [],
  ): Promise<string> {
    const at = { LISTEN: '127.0.0.2:0', TLS_CERT: own.cert, TLS_KEY: own.key };
    await using proxy = await proxyInFront(server, at);
    const args = ['--ssl', ...options, '-N', '-e', 'SELECT 42'];
    const target = { ...proxy, user: 'app', password: PASSWORD };
    const { stdout, stderr } = await runClient('mariadb-11.8', target, args);
    return `${stdout}${stderr}`;
  }

  test('takes that of the server, whose password proves it (wire 28)', async () => {
    expect(await say(selfSigned())).toBe('42\n');
  });

  test('takes one of an authority, known to it or not (wire 28)', async () => {
    const own = { cert: files.renewedCert, key: files.renewedKey };
    expect([await say(own), await say(own, [`--ssl-ca=${files.ca}`])]).toEqual(['42\n', '42\n']);
  });
});

/** Whether TLS with the server was resumed, of sessions one after another. */
async function resumedBy(proxy: servers.Target, sessions: number): Promise<readonly string[]> {
  const values: string[] = [];
  for (let count = 0; count < sessions; count++) {
    await using client = await servers.connect(proxy);
    const shown = await client.rows("SHOW SESSION STATUS LIKE 'Ssl_sessions_reused'");
    values.push(String(shown[0]?.['Value']));
  }
  return values;
}

const [RESUMED, NEVER] = ['011', '000'].map((values) => [...values]);

test.each(WITH_TLS)('TLS with %s', async (name) => {
  await using server = await startKillable(name);
  await using proxy = await proxyInFront(server, { UPSTREAM_TLS: 'required' });
  const isKept = name === 'mysql-9.7';
  expect(await resumedBy(proxy, 3)).toEqual(isKept ? RESUMED : NEVER);
  server.kill();
  await server.restart();
  expect(await resumedBy(proxy, 3)).toEqual(isKept ? ['0', '0', '1'] : NEVER);
});

test.each(WITH_TLS)('a certificate of %s that is checked, with its name', async (name) => {
  await using server = await servers.startServer(name, [
    ...[`--ssl-ca=${files.ca}`, `--ssl-cert=${files.cert}`, `--ssl-key=${files.key}`],
  ]);
  const checked = { UPSTREAM_TLS: 'verify-identity', UPSTREAM_CA: files.ca };
  await using proxy = await proxyInFront(server, checked);
  expect(await resumedBy(proxy, 3)).toEqual(name === 'mysql-9.7' ? RESUMED : NEVER);
  const distrusting = { ...checked, UPSTREAM_CA: files.otherCa };
  await using wary = await proxyInFront(server, distrusting);
  for (let tries = 0; tries < 2; tries++) {
    await expect(resumedBy(wary, 1)).rejects.toThrow(/UNDROP_UPSTREAM_TLS/);
  }
});

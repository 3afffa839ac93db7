/**
 * A proxy that reaches its server in TLS, by a certificate, or by a unix socket, has what accounts
 * and servers may require of a client: REQUIRE SSL, REQUIRE X509, require_secure_transport. Its
 * clients are let in by what they have themselves, as the server would; nor do they become undrop's
 * OS user, which a server lets in by the socket without a password. What MySQL 5.6 answers to SHOW
 * GRANTS is read by the login check itself: that server has no TLS that a proxy can use.
 */
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { newLoginCheck } from '../../src/session/login/login-check.js';
import { parseServerVersion } from '../../src/wire/connection/handshake-v10.js';
import { makeCertificates } from '../support/certificates.js';
import { heldRows } from '../support/client-held.js';
import { SERVERS_WITHOUT_TLS } from '../support/login-plugins.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront, type Variables } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import type { Target } from '../support/servers.js';
import { allTestServers, connect, query, startServer, testServers } from '../support/servers.js';

type Way = 'tcp' | 'tls' | 'socket';

/** What the accounts are made with; each has a name of its own. */
const REQUIREMENTS = {
  ...{ none: 'NONE', ssl: 'SSL', x509: 'X509', issuer: "ISSUER '/CN=authority'" },
} as const;
const ACCOUNTS = Object.keys(REQUIREMENTS) as (keyof typeof REQUIREMENTS)[];

const WITH_TLS = testServers().filter(({ name }) => !SERVERS_WITHOUT_TLS.has(name));

describe.each(WITH_TLS)('in TLS to $name', ({ name }) => {
  const { beforeAll, keep, open } = inHooks();
  const files = open(makeCertificates);
  const server = open(() => {
    const { ca, cert, key } = files;
    return startServer(name, [`--ssl-ca=${ca}`, `--ssl-cert=${cert}`, `--ssl-key=${key}`]);
  });

  beforeAll(async () => {
    await query(
      server,
      ...ACCOUNTS.map(
        (user) => `CREATE USER \`${user}\`@'%' IDENTIFIED BY 'pw' REQUIRE ${REQUIREMENTS[user]}`,
      ),
    );
  });

  const inTls = () => ({ UPSTREAM_TLS: 'required' });
  const byCertificate = () => ({
    ...inTls(),
    UPSTREAM_CERT: files.renewedCert,
    UPSTREAM_KEY: files.renewedKey,
  });

  let sockets = 0;

  /** Logs in by each way that is asked for: `in`, or the number and the words. */
  async function outcomes(variables: Variables, ways: readonly Way[], users = ACCOUNTS) {
    const socketPath = join(files.folder, `${sockets++}.sock`);
    const listen = { LISTEN: `127.0.0.1:0,${socketPath}` };
    const proxy = keep(await proxyInFront(server, { ...listen, ...variables }));
    const told: Record<string, string> = {};
    for (const way of ways) {
      for (const user of users) told[`${user} ${way}`] = await logIn(proxy, socketPath, way, user);
    }
    return { proxy, told };
  }

  async function logIn(to: Target, socketPath: string, way: Way, user: string): Promise<string> {
    const { host, port } = to;
    const at = way === 'socket' ? { socketPath } : { host, port };
    const ssl = way === 'tls' ? { ssl: { rejectUnauthorized: false } } : {};
    try {
      const client = await createConnection({ ...at, ...ssl, user, password: 'pw' });
      const [rows] = await client.query('SELECT CURRENT_USER() AS account, @@warning_count AS w');
      await client.end();
      expect(rows).toEqual([{ account: `${user}@%`, w: 0 }]);
      return 'in';
    } catch (error) {
      const { errno, sqlState, message } = error as Record<string, string>;
      if (errno === undefined) throw error;
      return `${errno} ${sqlState} ${message}`;
    }
  }

  const denied = (what: string) =>
    expect.stringMatching(`^1045 28000 UNDROP_ACCOUNT_REQUIRES: Access denied: .*${what}`);
  /** The server itself, which has seen no certificate. */
  const byServer = expect.stringMatching(/^1045 28000 Access denied for user/);

  test('who has no TLS is refused where the account asks for it, on a socket too', async () => {
    const { told } = await outcomes(inTls(), ['tcp', 'tls', 'socket'], ['none', 'ssl', 'x509']);
    expect(told).toEqual({
      'none tcp': 'in',
      'none tls': 'in',
      'none socket': 'in',
      'ssl tcp': denied('`ssl`@`%` has REQUIRE SSL, but the client has no TLS'),
      'ssl tls': 'in',
      'ssl socket': denied('REQUIRE SSL'),
      'x509 tcp': byServer,
      'x509 tls': byServer,
      'x509 socket': byServer,
    });
  });

  test("nobody comes in by undrop's certificate", async () => {
    const { told } = await outcomes(byCertificate(), ['tcp', 'tls']);
    expect(told).toEqual({
      'none tcp': 'in',
      'none tls': 'in',
      'ssl tcp': denied('REQUIRE SSL'),
      'ssl tls': 'in',
      'x509 tcp': denied('REQUIRE X509'),
      'x509 tls': denied('REQUIRE X509, but the certificate .* of undrop'),
      'issuer tcp': expect.stringMatching(/^1045 28000 .*Access denied/),
      'issuer tls': expect.stringMatching(/^1045 28000 .*Access denied/),
    });
  });

  test('nor by a change of user', async () => {
    for (const [variables, ssl, to] of [
      [inTls(), {}, 'ssl'],
      [byCertificate(), { ssl: { rejectUnauthorized: false } }, 'x509'],
    ] as const) {
      const { proxy } = await outcomes(variables, []);
      const client = await connect({ ...proxy, user: 'none', password: 'pw' }, ssl);
      await client.changeUser({ user: 'none', password: 'pw' });
      const becoming = client.changeUser({ user: to, password: 'pw' });
      await expect(becoming).rejects.toMatchObject({ errno: 1045, sqlState: '28000' });
      client.destroy();
    }
  });

  test('the service account has the certificate of UNDROP_UPSTREAM_CERT', async () => {
    await query(
      server,
      "CREATE USER known@'%' IDENTIFIED BY 'pw' REQUIRE X509",
      "GRANT ALL ON *.* TO known@'%' WITH GRANT OPTION",
    );
    const upstream = { ...server, user: 'known', password: 'pw' };
    const checked = { UPSTREAM_TLS: 'verify-identity', UPSTREAM_CA: files.ca };
    await expect(proxyInFront(upstream, checked)).rejects.toMatchObject({ code: 'UNDROP_ACCOUNT' });
    const lent = { ...byCertificate(), ...checked };
    await using proxy = await proxyInFront(upstream, lent);
    await using client = await connect({ ...proxy, user: server.user, password: server.password });
    await client.run('CREATE DATABASE shop', 'CREATE TABLE shop.t AS SELECT 1 AS a');
    await client.query('DROP TABLE shop.t');
    expect(await heldRows(server, 'shop')).toEqual({ t: 1 });
  });

  test('require_secure_transport is for who comes by TCP without TLS, whatever the way on', async () => {
    const ways: readonly Way[] = ['tcp', 'tls', 'socket'];
    const bySocket = { UPSTREAM: server.socketPath ?? '' };
    const refused = expect.stringMatching(/^3159 HY000 UNDROP_SECURE_TRANSPORT: Connections using/);
    await query(server, 'SET GLOBAL require_secure_transport = ON');
    try {
      for (const variables of [inTls(), bySocket]) {
        const { told } = await outcomes(variables, ways, ['none']);
        expect(told).toEqual({ 'none tcp': refused, 'none tls': 'in', 'none socket': 'in' });
      }
    } finally {
      await using local = await createConnection({
        socketPath: server.socketPath ?? '',
        user: 'root',
      });
      await local.query('SET GLOBAL require_secure_transport = OFF');
    }
  });

  test('where the server does not say, nobody comes in', async () => {
    await query(server, "CREATE USER twice@'%' IDENTIFIED BY 'pw' WITH MAX_QUERIES_PER_HOUR 1");
    const { proxy } = await outcomes(inTls(), []);
    await expect(connect({ ...proxy, user: 'twice', password: 'pw' })).rejects.toMatchObject({
      message: expect.stringMatching(/^UNDROP_.*the server does not report/),
    });
  });
});

/** Its TLS is too old for undrop; its words are not. */
const OLD = allTestServers().filter(({ name }) => name === 'mysql-5.6');

test.each(OLD)(
  '$name has no require_secure_transport, and lets all in',
  async ({ name }) => {
    await using server = await startServer(name);
    await using proxy = await proxyInFront(server, { UPSTREAM: server.socketPath ?? '' });
    await using client = await connect(proxy, { connectTimeout: 5_000 });
    await client.query('SELECT 1');
  },
  20_000,
);

test.each(OLD)('$name says in SHOW GRANTS what an account requires', async (server) => {
  const client = await RawClient.open(server);
  const judged = async (clause: string): Promise<boolean> => {
    const account = "'a b REQUIRE'@'%'";
    await query(server, `GRANT USAGE ON *.* TO ${account} IDENTIFIED BY 'pw' REQUIRE ${clause}`);
    const check = newLoginCheck({
      checks: { osUser: false, tls: true, certificate: false, transport: false },
      server: parseServerVersion('5.6.24'),
      capabilities: client,
    });
    expect(check?.question.toString()).toMatch(/SHOW \/\* undrop login \*\/ GRANTS$/);
    const { packets } = await client.query(`SHOW GRANTS FOR ${account}`);
    await query(server, `DROP USER ${account}`);
    return packets.map(({ payload }) => check?.passes(payload)).includes(true);
  };
  try {
    expect(await judged('NONE')).toBe(true);
    await expect(judged('SSL')).rejects.toThrow(/REQUIRE'@'%' has REQUIRE SSL, but/);
  } finally {
    client.close();
  }
});

const OS_USER = userInfo().username;
const ACCOUNT = `'${OS_USER}'@'localhost'`;
const BY_SOCKET = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA unix_socket`;
const BY_BOTH = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA mysql_native_password USING PASSWORD('its own') OR unix_socket`;

/** A server knows a plugin by its name in any case. */
const IN_CAPITALS = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA UNIX_SOCKET`;
const BY_EITHER = `CREATE OR REPLACE USER ${ACCOUNT} IDENTIFIED VIA mysql_native_password USING PASSWORD('its own') OR Unix_Socket`;

/** The builds of MySQL that the tests have come without auth_socket. */
const MARIADB = testServers().filter(({ flavour }) => flavour === 'mariadb');

/** By what an attacker has: an address of the proxy and a name. */
describe.each(MARIADB)('over the socket of $name', ({ name }) => {
  const { beforeAll, open } = inHooks();
  const server = open(() => startServer(name));
  const proxy = open(() => proxyInFront(server, overSocket()));
  beforeAll(async () => {
    const by = "IDENTIFIED BY 'its own'";
    await query(server, `CREATE USER app@localhost ${by}, other@localhost ${by}`);
  });

  const overSocket = (): Variables => ({ UPSTREAM: server.socketPath ?? '' });

  async function logIn(to: Target, user: string, password: string): Promise<string> {
    try {
      await using connection = await connect({ ...to, user, password });
      return (await connection.column('SELECT CURRENT_USER()'))[0] ?? '';
    } catch (error) {
      const { errno, message } = error as { readonly errno?: number; readonly message: string };
      return `${errno} ${message}`;
    }
  }

  const REFUSED = /^1045 UNDROP_OS_USER: Access denied .* open to the OS user of undrop/;

  test('nobody becomes the account of the OS user of undrop', async () => {
    for (const made of [BY_SOCKET, IN_CAPITALS, BY_EITHER]) {
      await query(server, made);
      expect(await logIn(proxy, OS_USER, '')).toMatch(REFUSED);
      expect(await logIn(proxy, OS_USER, 'a guess')).toMatch(REFUSED);
    }
  });

  test('nor by a change of user', async () => {
    await query(server, BY_SOCKET);
    const client = await connect({ ...proxy, user: 'app', password: 'its own' });
    const becoming = client.changeUser({ user: OS_USER, password: '' });
    await expect(becoming).rejects.toMatchObject({ errno: 1045 });
    client.destroy();
  });

  test('those with a password come in by it, and change to each other', async () => {
    await query(server, BY_BOTH);
    expect(await logIn(proxy, 'app', 'its own')).toBe('app@localhost');
    expect(await logIn(proxy, 'app', 'a guess')).toMatch(/^1045 Access denied for user 'app'/);
    // Which of its ways has let it in, no server says.
    expect(await logIn(proxy, OS_USER, 'its own')).toMatch(REFUSED);
    expect(await logIn(proxy, OS_USER, '')).toMatch(REFUSED);
    await using client = await connect({ ...proxy, user: 'app', password: 'its own' });
    await client.changeUser({ user: 'other', password: 'its own' });
    const [rows] = await client.query('SELECT CURRENT_USER() AS account, @@warning_count AS w');
    expect(rows).toEqual([{ account: 'other@localhost', w: 0 }]);
  });
});

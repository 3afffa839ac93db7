/**
 * TLS of a proxy to which nobody gave a certificate: what command-line clients do with it as they
 * come, by an account that the server's cache doesn't know; what UNDROP_TLS=required and off make
 * of it. All workers show the same certificate, and SIGHUP renews one that was given.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { makeCertificates } from '../support/certificates.js';
import type { CliName } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runClient } from '../support/clients.js';
import { createMariadb } from '../support/mariadb.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, proxyInFront, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, query, type Target } from '../support/servers.js';

const PASSWORD = 'pa$$ word;';
const CLIS: readonly CliName[] = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'];
/** MySQL 9 has left behind the logins of the other servers. */
const clisFor = (name: string) => CLIS.filter((cli) => cli !== 'mysql-9.7' || name === 'mysql-9.7');
const IN_TLS = { ssl: { rejectUnauthorized: false } };

onServers('TLS without a setting on $name', (server, on) => {
  const { test } = on;
  const files = on.open(makeCertificates);
  const schema = on.schema();
  const proxyWith = async (variables: Variables) => on.keep(await proxyInFront(server, variables));

  /** Of an account that nobody has used yet; `options` on top of none at all. */
  async function say(cli: CliName, to: Target, options: readonly string[] = []): Promise<string> {
    const user = `fresh_${randomBytes(4).toString('hex')}`;
    await query(server, `CREATE USER ${user}@'%' IDENTIFIED BY '${PASSWORD}'`);
    const args = [...options, '--batch', '-N', '-e', 'SELECT 42'];
    const { host, port } = to;
    const said = await runClient(cli, { host, port, user, password: PASSWORD }, args);
    await query(server, `DROP USER ${user}@'%'`);
    return `${said.stdout}${said.stderr.replace(/^mysql: \[Warning\] .*\n/, '')}`;
  }

  test.each(clisFor(server.name))('%s logs in as it comes, with a cold cache', async (cli) => {
    expect(await say(cli, await proxyWith({}))).toBe('42\n');
  });

  test('mariadb 11.8 wants to be told at any other host, as nobody vouches for us', async () => {
    const remote = await proxyWith({ LISTEN: '127.0.0.2:0' });
    expect(await say('mariadb-11.8', remote)).toMatch(/^ERROR 2026 .*(NOT trusted|self-signed)/);
    expect(await say('mariadb-11.8', remote, ['--skip-ssl-verify-server-cert'])).toBe('42\n');
  });

  test('required refuses clients without TLS as a server does, and not those on a socket', async () => {
    const path = join(files.folder, 'required.sock');
    const proxy = await proxyWith({ TLS: 'required', LISTEN: `127.0.0.1:0,${path}` });
    const { user, password } = server;
    const refused = { errno: 3159, sqlState: 'HY000' };
    await expect(connect(proxy)).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(/^UNDROP_TLS_REQUIRED: Connections using insecure transport/),
    });
    const inTls = await connect(proxy, IN_TLS);
    await inTls.end();
    const local = await createMariadb({ socketPath: path, user, password });
    await local.end();
  });

  test('off offers none', async () => {
    const proxy = await proxyWith({ TLS: 'off' });
    await expect(connect(proxy, IN_TLS)).rejects.toMatchObject({
      code: 'HANDSHAKE_NO_SSL_SUPPORT',
    });
    await using _plain = await connect(proxy);
  });

  test('all workers show one certificate, also behind a reload', async () => {
    await using proxy = await spawnProxy(server, { WORKERS: '2' });
    const first = await shownBy(proxy);
    expect(first).toHaveLength(1);
    await reload(proxy);
    expect(await shownBy(proxy)).toEqual(first);
  });

  test('SIGHUP renews the certificate, and not by a key of another', async () => {
    const own = { TLS_CERT: join(files.folder, 'own.pem'), TLS_KEY: join(files.folder, 'own-key') };
    const install = (cert: string, key: string) => {
      copyFileSync(cert, own.TLS_CERT);
      copyFileSync(key, own.TLS_KEY);
    };
    install(files.cert, files.key);
    await using proxy = await spawnProxy(server, { ...own, WORKERS: '2' });
    await using live = await connect(proxy, { ...IN_TLS, database: schema.name });
    await live.run('CREATE TABLE t AS SELECT 1 AS a');
    const first = await shownBy(proxy);
    install(files.renewedCert, files.renewedKey);
    expect(await shownBy(proxy)).toEqual(first);
    await reload(proxy);
    const second = await shownBy(proxy);
    expect(second).toHaveLength(1);
    expect(second).not.toEqual(first);
    install(files.cert, files.ecKey);
    expect(await reload(proxy)).toMatchObject({ err: { code: 'UNDROP_CONFIG' } });
    expect(await shownBy(proxy)).toEqual(second);
    // The session that was open all the while goes on.
    await live.run('DROP TABLE t');
    expect(await heldRows(server, schema.name)).toEqual({ t: 1 });
  });
});

/** The line of the log. */
async function reload(proxy: ProxyProcess) {
  const lines = () => proxy.lines.filter(({ event }) => event === 'reload');
  const before = lines().length;
  proxy.kill('SIGHUP');
  await until(() => lines().length > before, 'a reload');
  return lines().at(-1);
}

/** The certificates that new clients are shown; workers take clients in turn. */
async function shownBy(proxy: Target): Promise<readonly string[]> {
  const seen = new Set<string>();
  for (let count = 0; count < 4; count++) seen.add(await fingerprintAt(proxy));
  return [...seen];
}

async function fingerprintAt(target: Target): Promise<string> {
  // mysql2 resumes by the object of its options, and a resumed connection shows no certificate.
  await using connection = await connect(target, { ssl: { ...IN_TLS.ssl } });
  const { stream } = (connection as unknown as { connection: { stream: TLSSocket } }).connection;
  const { fingerprint256 } = stream.getPeerCertificate();
  return fingerprint256;
}

/**
 * TLS with real clients and servers, beyond the logins (tls-logins.test.ts): what command-line
 * clients see of it, accounts that insist on it, certificates that are renewed, clients that ask
 * for it and don't do it, and that no log has a password.
 */
import { type Certificates, makeCertificates } from '../support/certificates.js';
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { heldRows } from '../support/client-held.js';
import { runClient } from '../support/clients.js';
import { SERVERS_WITHOUT_TLS, tlsOptions } from '../support/login-plugins.js';
import { testOnOne } from '../support/on-one-server.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront, runUndrop, type Variables } from '../support/proxy.js';
import {
  connect,
  freshSchema,
  query,
  startServer,
  type Target,
  testServers,
} from '../support/servers.js';

const PASSWORD = 'pa$$ word;';
const CLIS: readonly CliName[] = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'];
/** MySQL 9 has left behind the logins of the other servers. */
const clisFor = (name: string) => CLIS.filter((cli) => cli !== 'mysql-9.7' || name === 'mysql-9.7');

let files: Certificates;

beforeAll(() => {
  files = makeCertificates();
});

afterAll(() => files.remove());

function withCertificate(): Variables {
  return { TLS_CERT: files.cert, TLS_KEY: files.key };
}

describe.each(testServers())('TLS on $name', ({ name }) => {
  const test = testOnOne({ name });
  const hasTls = !SERVERS_WITHOUT_TLS.has(name);
  const account = { user: 'app', password: PASSWORD };
  const insisting = { user: 'insists', password: PASSWORD };
  const { beforeAll, keep, open } = inHooks();
  const server = open(() => startServer(name, hasTls ? tlsOptions(name, files) : []));
  /** With a certificate, and without TLS. */
  const proxy = open(() => proxyInFront(server, withCertificate()));
  const bare = open(() => proxyInFront(server, { TLS: 'off' }));

  beforeAll(async () => {
    const grant = "GRANT ALL ON *.* TO insists@'%'";
    await query(
      server,
      `CREATE USER app@'%' IDENTIFIED BY '${PASSWORD}'`,
      `CREATE USER insists@'%' IDENTIFIED BY '${PASSWORD}'`,
      // 5.6 has it in GRANT alone.
      ...(name === 'mysql-5.6'
        ? [`${grant} REQUIRE SSL`]
        : [grant, "ALTER USER insists@'%' REQUIRE SSL"]),
    );
  });

  async function statusOf(cli: CliName, target: Target, options: readonly string[]) {
    const script = "SHOW STATUS LIKE 'Ssl_cipher';\nstatus\n";
    // `status` is a command of the client, which MySQL 9 has to be asked for.
    const commands = cli === 'mysql-9.7' ? ['--commands'] : [];
    const args = [...options, ...commands, '--batch'];
    const { stdout, stderr } = await runClient(cli, target, args, { input: script });
    return `${stdout}\n${stderr}`;
  }

  test.each(clisFor(name))(
    '%s that asks for TLS has a cipher, and without has none',
    async (cli) => {
      const target = { ...proxy, ...account };
      const inTls = await statusOf(cli, target, connectionOptions(cli, { tls: true }));
      expect(inTls).toMatch(/^SSL:\s+Cipher in use is \S+/m);
      // The server's word on its own leg, which is in TLS where the client's is and it can be.
      expect(inTls).toMatch(hasTls ? /^Ssl_cipher\t\S+$/m : /^Ssl_cipher\t$/m);
      const plain = await statusOf(cli, target, connectionOptions(cli, { tls: false }));
      expect(plain).toMatch(/^SSL:\s+Not in use$/m);
      expect(plain).toMatch(/^Ssl_cipher\t$/m);
    },
  );

  test.each(clisFor(name))('%s that asks for TLS of a proxy without it is told so', async (cli) => {
    const target = { ...bare, ...account };
    const said = await statusOf(cli, target, connectionOptions(cli, { tls: true }));
    // MariaDB's take it for a hint, unless they are to check the certificate as well.
    if (cli === 'mysql-9.7') expect(said).toContain("SSL is required but the server doesn't");
    else expect(said).toMatch(/^SSL:\s+Not in use$/m);
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
    const outcome = async (target: Target, tls: boolean): Promise<unknown> => {
      const ssl = tls ? { ssl: { rejectUnauthorized: false } } : {};
      try {
        const connection = await connect({ ...target, ...insisting }, ssl);
        connection.destroy();
        return 'in';
      } catch (error) {
        const { errno, message } = error as { errno?: number; message: string };
        return [errno, message];
      }
    };
    const refused = await outcome(server, false);
    expect(refused).toEqual([1045, expect.stringContaining('Access denied')]);
    expect(await outcome(proxy, false)).toEqual(refused);
    expect(await outcome(bare, false)).toEqual(refused);
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
      await using schema = await freshSchema(server, 'svc');
      const target = keep(await proxyInFront(service, variables));
      const { user, password } = server;
      await using client = await connect(target, { user, password, database: schema.name });
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

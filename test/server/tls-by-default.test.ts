/**
 * TLS of a proxy to which nobody gave a certificate: what command-line clients do with it as they
 * come, by an account that the server's cache doesn't know; that all workers show the same; and
 * what UNDROP_TLS=required and off make of it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect } from '@jest/globals';
import type { CliName } from '../support/client-cli.js';
import { runClient } from '../support/clients.js';
import { createMariadb } from '../support/mariadb.js';
import { onServers } from '../support/on-servers.js';
import { proxyInFront, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, query, type Target } from '../support/servers.js';

const PASSWORD = 'pa$$ word;';
const CLIS: readonly CliName[] = ['mysql-9.7', 'mariadb-10.11', 'mariadb-11.8'];
/** MySQL 9 has left behind the logins of the other servers. */
const clisFor = (name: string) => CLIS.filter((cli) => cli !== 'mysql-9.7' || name === 'mysql-9.7');
const IN_TLS = { ssl: { rejectUnauthorized: false } };

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'undrop-tls-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

onServers('TLS without a setting on $name', (server, on) => {
  const { test } = on;
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
    const path = join(folder, `${server.name}.sock`);
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
    const seen = new Set<string>();
    const look = async () => {
      // Workers take clients in turn.
      for (let count = 0; count < 4; count++) seen.add(await fingerprintAt(proxy));
    };
    await look();
    const reloaded = new Promise<void>((resolve) => {
      proxy.child.stdout?.on('data', (chunk: Buffer) => {
        if (chunk.includes('"event":"reload"')) resolve();
      });
    });
    proxy.kill('SIGHUP');
    await reloaded;
    await look();
    expect([...seen]).toEqual([expect.any(String)]);
  });
});

async function fingerprintAt(target: Target): Promise<string> {
  await using connection = await connect(target, IN_TLS);
  const { stream } = (connection as unknown as { connection: { stream: TLSSocket } }).connection;
  const { fingerprint256 } = stream.getPeerCertificate();
  return fingerprint256;
}

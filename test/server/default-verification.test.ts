/**
 * MariaDB's client 11.8 looks at certificates without being told to: it takes one that it trusts,
 * or one that the server proves by the password of the account.
 */
import { join } from 'node:path';
import { makeCertificates } from '../support/certificates.js';
import { runClient } from '../support/clients.js';
import { inHooks } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { query, startServer } from '../support/servers.js';

const PASSWORD = 'pa55 word';
const CLIENT = 'mariadb-11.8';

describe('mariadb-11.8 at a proxy with a certificate', () => {
  const { beforeAll, open } = inHooks();
  const files = open(makeCertificates);
  const server = open(() => {
    const { cert, key } = selfSigned();
    return startServer('mariadb-11.8', [`--ssl-cert=${cert}`, `--ssl-key=${key}`]);
  });
  beforeAll(() => query(server, `CREATE USER app@'%' IDENTIFIED BY '${PASSWORD}'`));

  /** Of nobody but themselves: that of the server, and another one. */
  const selfSigned = () => ({ cert: files.otherCa, key: join(files.folder, 'other-ca-key.pem') });
  const another = () => ({ cert: files.ca, key: join(files.folder, 'ca-key.pem') });

  /** What the client says; at 127.0.0.1 it would take anything. */
  async function say(
    own: { readonly cert: string; readonly key: string },
    options: readonly string[] = [],
  ): Promise<string> {
    const at = { LISTEN: '127.0.0.2:0', TLS_CERT: own.cert, TLS_KEY: own.key };
    await using proxy = await proxyInFront(server, at);
    const args = ['--ssl', ...options, '-N', '-e', 'SELECT 42'];
    const target = { ...proxy, user: 'app', password: PASSWORD };
    const { stdout, stderr } = await runClient(CLIENT, target, args);
    return `${stdout}${stderr}`;
  }

  test('does not take one that nobody vouches for (wire 28)', async () => {
    expect(await say(another())).toMatch(/^ERROR 2026 .*The certificate is NOT trusted/);
  });

  test('takes that of the server, whose password proves it (wire 28)', async () => {
    expect(await say(selfSigned())).toBe('42\n');
  });

  test('takes one of an authority, known to it or not (wire 28)', async () => {
    const own = { cert: files.renewedCert, key: files.renewedKey };
    expect(await say(own)).toBe('42\n');
    expect(await say(own, [`--ssl-ca=${files.ca}`])).toBe('42\n');
  });
});

/**
 * Programs in Go and Java that log in with TLS, create and drop: at a server and through the proxy
 * they print the same, with the certificate that undrop makes and with one of an authority. Go
 * refuses a certificate that is not encoded as the standard requires.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { bothWays } from '../support/both-ways.js';
import { makeCertificates } from '../support/certificates.js';
import { runGo, runJava } from '../support/debian-tools.js';
import { SERVERS_WITHOUT_TLS } from '../support/login-plugins.js';
import { onServers } from '../support/on-servers.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { connect, query, startServer, type Target } from '../support/servers.js';

type Proxies = Readonly<Record<'made at the start' | 'of an authority', ProxyTarget>>;
const CERTIFICATES = ['made at the start', 'of an authority'] as const;
const GO_MODES = ['preferred', 'skip-verify', 'true'] as const;
const JAVA_MODES = ['trusts any', 'verifies'] as const;

onServers('programs in TLS on $name', (entry, on) => {
  const { beforeAll, test } = on;
  const hasTls = !SERVERS_WITHOUT_TLS.has(entry.name);
  const prefix = `tls_${randomBytes(4).toString('hex')}`;
  const account = { user: prefix, password: 'pa55 word' };
  const files = on.open(makeCertificates);
  const server = on.open(() => {
    const { ca, cert, key } = files;
    const options = [`--ssl-ca=${ca}`, `--ssl-cert=${cert}`, `--ssl-key=${key}`];
    return startServer(entry.name, hasTls ? options : []);
  });
  let proxies: Proxies;
  /** What verifies the certificate of each proxy. */
  let authorities: Readonly<Record<(typeof CERTIFICATES)[number], string>>;

  beforeAll(async () => {
    const { ca, cert, key } = files;
    await query(
      server,
      `CREATE USER ${account.user}@'%' IDENTIFIED BY '${account.password}'`,
      `GRANT ALL ON \`${prefix.replace('_', '\\_')}%\`.* TO ${account.user}@'%'`,
    );
    const required = { TLS: 'required' };
    proxies = {
      'made at the start': on.keep(await proxyInFront(server, required)),
      'of an authority': on.keep(
        await proxyInFront(server, { ...required, TLS_CERT: cert, TLS_KEY: key }),
      ),
    };
    const own = join(files.folder, 'self-signed.pem');
    writeFileSync(own, await certificateAt(proxies['made at the start']));
    authorities = { 'made at the start': own, 'of an authority': ca };
  });

  const bothServers = (kind: (typeof CERTIFICATES)[number]) => ({
    ...{ server: { ...entry, ...server }, proxy: proxies[kind], account, prefix },
  });
  const isDirect = ({ port }: Target) => port === server.port;

  const CELLS = CERTIFICATES.flatMap((kind) => [
    ...GO_MODES.map((mode) => ({ program: 'Go', mode, kind, rest: '' })),
    ...JAVA_MODES.map((mode) => ({ program: 'Java', mode, kind, rest: ' null' })),
  ]);
  test.each(CELLS)('$program: $mode, a certificate $kind', async (cell) => {
    const { program, mode, kind, rest } = cell;
    const { code, said, held } = await bothWays(bothServers(kind), (target, schema) => {
      const { host, port, user, password } = target;
      const args = [host, String(port), user, password, schema];
      const authority = isDirect(target) ? files.ca : authorities[kind];
      const isPlain = isDirect(target) && !hasTls;
      if (program === 'Go') {
        const asked = isPlain ? 'false' : mode;
        return runGo([...args, asked, ...(asked === 'true' ? [authority] : [])]);
      }
      const verification =
        mode === 'verifies' ? `serverSslCert=${authority}` : 'trustServerCertificate=true';
      return runJava([...args, isPlain ? 'useSsl=false' : `useSsl=true&${verification}`]);
    });
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining(`secure: ${hasTls}`) });
    expect(said).toMatch(new RegExp(`^DROP TABLE books, loans - 0${rest}$`, 'm'));
    expect(held).toEqual({ books: [2, 0], loans: [0] });
  });

  test('both refuse a certificate that their authority did not sign', async () => {
    const { host, port } = proxies['made at the start'];
    const args = [host, String(port), account.user, account.password, 'mysql'];
    expect(await runGo([...args, 'true', files.otherCa])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^failed: .*certificate/),
    });
    expect(await runJava([...args, `useSsl=true&serverSslCert=${files.otherCa}`])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^failed: .*[Cc]ertificat/),
    });
  });
});

/** In PEM. */
async function certificateAt(target: Target): Promise<string> {
  await using connection = await connect(target, { ssl: { rejectUnauthorized: false } });
  const { stream } = (connection as unknown as { connection: { stream: TLSSocket } }).connection;
  const { raw } = stream.getPeerCertificate();
  const lines = raw.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

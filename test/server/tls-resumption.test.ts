/**
 * Sessions resume the TLS that an earlier one had with the server, where that lets them; a server
 * that has forgotten it, or never keeps any, is logged into by a whole handshake.
 */
import { makeCertificates } from '../support/certificates.js';
import { startKillable } from '../support/killable-server.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, startServer, type Target, testServerNames } from '../support/servers.js';

/** Those that have TLS without being told. */
const SAMPLED = testServerNames().filter((name) => ['mysql-9.7', 'mariadb-11.8'].includes(name));
const WITH_TLS = SAMPLED.length === 0 ? (['mysql-9.7'] as const) : SAMPLED;

/** Whether TLS with the server was resumed, of sessions one after another. */
async function resumedBy(proxy: Target, sessions: number): Promise<readonly string[]> {
  const values: string[] = [];
  for (let count = 0; count < sessions; count++) {
    const client = await connect(proxy);
    const shown = await client.rows("SHOW SESSION STATUS LIKE 'Ssl_sessions_reused'");
    values.push(String(shown[0]?.['Value']));
    await client.end();
  }
  return values;
}

test.each(WITH_TLS)('TLS with %s', async (name) => {
  await using server = await startKillable(name);
  await using proxy = await proxyInFront(server, { UPSTREAM_TLS: 'required' });
  const isKept = name === 'mysql-9.7';
  expect(await resumedBy(proxy, 3)).toEqual(isKept ? ['0', '1', '1'] : ['0', '0', '0']);
  server.kill();
  await server.restart();
  expect(await resumedBy(proxy, 3)).toEqual(isKept ? ['0', '0', '1'] : ['0', '0', '0']);
});

test.each(WITH_TLS)('a certificate of %s that is checked, with its name', async (name) => {
  const files = makeCertificates();
  try {
    await using server = await startServer(name, [
      ...[`--ssl-ca=${files.ca}`, `--ssl-cert=${files.cert}`, `--ssl-key=${files.key}`],
    ]);
    const checked = { UPSTREAM_TLS: 'verify-identity', UPSTREAM_CA: files.ca };
    await using proxy = await proxyInFront(server, checked);
    expect(await resumedBy(proxy, 3)).toEqual(
      name === 'mysql-9.7' ? ['0', '1', '1'] : ['0', '0', '0'],
    );
    const distrusting = { ...checked, UPSTREAM_CA: files.otherCa };
    await using wary = await proxyInFront(server, distrusting);
    for (let tries = 0; tries < 2; tries++) {
      await expect(resumedBy(wary, 1)).rejects.toThrow(/UNDROP_UPSTREAM_TLS/);
    }
  } finally {
    files.remove();
  }
});

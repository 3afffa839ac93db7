/**
 * What `undrop init` does without being told: an account of the tier managed, from where the server
 * sees it come, with a password that nobody else has, and what it prints can be run as it is.
 */
import { expect } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { runUndrop, type Variables } from '../support/proxy.js';
import { connect, query } from '../support/servers.js';

onServers('undrop init without settings on $name', (server, on) => {
  const { afterEach, beforeAll, test } = on;
  const user = `d_${process.pid % 100_000}`;
  let seenAs: string;

  const root = on.session();
  beforeAll(async () => {
    const text = "SELECT SUBSTRING_INDEX(USER(), '@', -1) AS host";
    seenAs = (await query<{ readonly host: string }>(server, text))[0]?.host ?? '';
  });

  afterEach(async () => {
    for (const { Host } of await accounts()) await root.query(`DROP USER ${user}@'${Host}'`);
  });

  const accounts = () =>
    query<{ readonly Host: string; readonly ssl_type: string }>(
      server,
      `SELECT Host, ssl_type FROM mysql.user WHERE User = '${user}'`,
    );

  const init = (args: readonly string[], more: Variables = {}) =>
    runUndrop(server, ['init', ...args], { USER: user, PASSWORD: '', ...more });

  async function grantsAt(host: string): Promise<readonly string[]> {
    const grants = await root.column(`SHOW GRANTS FOR ${user}@'${host}'`);
    return grants.map((text) => text.replace(/ IDENTIFIED BY .*/, ''));
  }

  async function runPrinted(stdout: string): Promise<void> {
    for (const line of stdout.split('\n')) {
      const text = line.replace(/-- .*$/, '').trim();
      if (text !== '') await root.query(text.replace(/;$/, ''));
    }
  }

  test('what it prints makes an account with a password of its own, which comes from here', async () => {
    const { code, stdout } = await init([]);
    expect(code).toBe(0);
    expect(stdout).toContain('(tier managed)');
    expect(stdout).toContain('; the tier full restores them: `undrop init --tier full`.');
    expect(stdout).toContain('-- It may log in from this host, 127.0.0.1. Use --account-host if');
    expect(stdout).toContain('-- The password was generated');
    await runPrinted(stdout);
    expect(await accounts()).toEqual([{ Host: '127.0.0.1', ssl_type: '' }]);
    const [, password = ''] = /IDENTIFIED BY '([^']{40,})';/.exec(stdout) ?? [];
    const client = await connect({ ...server, user, password });
    await client.end();
    expect((await init([])).stdout).not.toContain(password);
  });

  test('with --apply it comes from where the server sees the administrator come from', async () => {
    const more = { PASSWORD: 'a secret', ADMIN_USER: server.user, ADMIN_PASSWORD: server.password };
    const { code, stdout, stderr } = await init(['--apply'], more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(
      `The account ${user}@${seenAs} was created; it has the privileges of the tier`,
    );
    expect(await accounts()).toEqual([{ Host: seenAs, ssl_type: '' }]);
    const made = await grantsAt(seenAs);
    await root.query(`DROP USER ${user}@'${seenAs}'`);
    await runPrinted((await init([], { ...more, ACCOUNT_HOST: seenAs, TIER: 'managed' })).stdout);
    expect(made).toEqual(await grantsAt(seenAs));
  });

  test.each(['required', 'verify-identity'])('takes TLS where TLS is %s', async (UPSTREAM_TLS) => {
    await runPrinted((await init([], { UPSTREAM_TLS })).stdout);
    expect(await accounts()).toMatchObject([{ ssl_type: 'ANY' }]);
  });

  test('warns of passwords that everybody on this machine can see', async () => {
    const { code, stderr } = await init(['--password', 'p', '--admin-password=q']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      [
        'undrop: warning: all users of this machine can see --password; use --password-file instead',
        'undrop: warning: all users of this machine can see --admin-password; use --admin-password-file instead',
        '',
      ].join('\n'),
    );
  });
});

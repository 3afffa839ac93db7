/**
 * What `undrop init` does without being told: an account of the tier managed, from where the server
 * sees it come, with a password that nobody else has, and what it prints can be run as it is.
 */
import { expect } from '@jest/globals';
import { runCommandLine } from '../../src/cli/command-line.js';
import { onServers } from '../support/on-servers.js';
import { environment, runUndrop, type Variables } from '../support/proxy.js';
import { runInit } from '../support/run-init.js';
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
    runInit(server, args, { USER: user, PASSWORD: '', ...more });

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
    const more = { PASSWORD: 'a secret' };
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

  test('warns of a password that everybody on this machine can see', async () => {
    const { code, stderr } = await init(['--password', 'p']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'undrop: warning: all users of this machine can see --password; use --password-file instead\n',
    );
  });

  test('asks for the password of the administrator, and does not show it', async () => {
    const asked: unknown[] = [];
    const code = await runCommandLine({
      args: ['init', '--apply', '--admin-user', server.user],
      env: environment(server, { USER: user, PASSWORD: 'a secret' }),
      stdout: { write: () => true },
      stderr: { write: () => true },
      leaveSignals: () => undefined,
      ask: async (...question) => {
        asked.push(question);
        return server.password;
      },
    });
    expect(code).toBe(0);
    expect(asked).toEqual([[`Password of ${server.user}: `, { isSecret: true }]]);
    expect(await accounts()).toMatchObject([{ Host: seenAs }]);
  });

  test('takes the password of the administrator from a file or a terminal alone', async () => {
    const variables = { USER: user, PASSWORD: 'p' };
    const apply = (...args: readonly string[]) =>
      runUndrop(server, ['init', '--apply', ...args], variables);
    for (const [args, text] of [
      [[], /--admin-password-file: expected a file, because there is no terminal, found none\./],
      [['--admin-password-file', '/nowhere'], /--admin-password-file: expected .* found ENOENT/],
      [['--admin-password', 'q'], /--admin-password was removed: use --admin-password-file/],
    ] as const) {
      const { code, stderr } = await apply(...args);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(text) });
      expect(await accounts()).toEqual([]);
    }
    const set = { ...variables, ADMIN_PASSWORD: server.password };
    const { stderr } = await runUndrop(server, ['init'], set);
    expect(stderr).toContain('UNDROP_ADMIN_PASSWORD was removed: use --admin-password-file');
  });
});

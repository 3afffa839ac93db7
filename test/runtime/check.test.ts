/**
 * `undrop serve --check` without a server: what is wrong with settings, files, certificates and
 * addresses, the exit codes, and that nothing is left.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { jest } from '@jest/globals';
import type { Finding } from '../../src/faces/cli/findings.js';
import { runInProcess } from '../support/command-line.js';
import { folderOfEachTest } from '../support/folders.js';

const folder = folderOfEachTest('check');
afterEach(() => void jest.restoreAllMocks());

/** No server answers there. */
const NOWHERE = { upstream: '127.0.0.1:1', user: 'undrop', listen: '127.0.0.1:0', adminListen: '' };

/** With the settings in a file, which is the only one there afterwards. */
async function check(settings: object, ...more: readonly string[]) {
  const config = folder('undrop.conf');
  const few = { maxConnections: 10 };
  writeFileSync(config, `// A comment.\n${JSON.stringify({ ...NOWHERE, ...few, ...settings })}`);
  const before = readdirSync(folder());
  const done = await runInProcess(['serve', '--check', '--config', config, ...more]);
  expect([done.stderr, readdirSync(folder())]).toEqual(['', before]);
  return done;
}

/** The exit code, and each finding in words. */
async function findings(settings: object): Promise<readonly (number | string)[]> {
  const { code, stdout } = await check(settings, '--json');
  const found = JSON.parse(stdout) as { readonly findings: readonly Finding[] };
  return [code, ...found.findings.map((one) => `${one.result} ${one.check}: ${one.text}`)];
}

const UNREACHED = expect.stringMatching(/^warning server: 127\.0\.0\.1:1: .*could not be reached/);

describe('undrop serve --check', () => {
  test('prints a line for each check, and what comes of all', async () => {
    const { code, stdout } = await check({});
    expect([code, stdout.split('\n')]).toEqual([
      1,
      [
        'RESULT   CHECK     FINDING',
        expect.stringMatching(/^warning {2}server {4}127\.0\.0\.1:1: .* Check UNDROP_UPSTREAM and/),
        'ok       settings  tables are held on drop-table, drop-database, create-or-replace, truncate-where-possible',
        'ok       listen    127.0.0.1:0 is free',
        'ok       TLS       without UNDROP_TLS_CERT, undrop creates a certificate at its start',
        'undrop would start, but see the warnings.',
        '',
      ],
    ]);
  });

  test('names each wrong setting, as a start does', async () => {
    expect(await findings({ hold: 'soon', user: '' })).toEqual([
      2,
      expect.stringMatching(
        /^failed settings: user in .*undrop\.conf, line 2, column 27: expected a user name, found/,
      ),
      expect.stringMatching(
        /^failed settings: hold in .*undrop\.conf, line 2, column 97: expected a duration/,
      ),
    ]);
  });

  test.each([
    [{ protect: 'none' }, /leaves out drop-table, drop-database, create-or-replace:/],
    [{ protect: 'drop-database' }, /leaves out drop-table, create-or-replace:/],
    [{ hold: '0s' }, /no time in HOLD/],
    [{ lifecycle: 'drop' }, /no time in HOLD/],
    [{ hold: '59m' }, /UNDROP_HOLD is less than UNDROP_MIN_HOLD \(1h\): .* for 59m only/],
    [{ rules: 'a.*: hold; *.*: now' }, /UNDROP_RULES gives .*, or no time: \*\.\*: now$/],
    [{ rules: '*.*: hold=0s' }, /UNDROP_RULES gives tables less than UNDROP_MIN_HOLD/],
    [{ mode: 'observe', rules: '*.*: now' }, /UNDROP_MODE is observe: nothing is held/],
    [{ maxHold: '1d' }, /UNDROP_MAX_HOLD is 1d, less than UNDROP_HOLD: HOLD/],
  ])('warns of settings by which less can be brought back: %j', async (settings, words) => {
    const [code, ...found] = await findings(settings);
    const warned = found.filter((line) => `${line}`.startsWith('warning settings: '));
    expect([code, warned]).toEqual([1, [expect.stringMatching(words)]]);
  });

  test.each([
    [{ rules: 'a.*: native' }, /^note settings: UNDROP_RULES gives .* or no time: a\.\*: native$/],
    [{ allowDestroy: 'users' }, /^note settings: UNDROP_ALLOW_DESTROY lets users destroy/],
  ])('notes what somebody chose: %j', async (settings, line) => {
    const [, ...found] = await findings(settings);
    expect(found[0]).toMatch(/^ok settings: tables are held on/);
    expect(found[1]).toMatch(line);
  });

  test('starts with fewer open files than UNDROP_MAX_CONNECTIONS needs, and notes it', async () => {
    const [code, ...found] = await findings({ maxConnections: 1_000_000, workers: 1 });
    expect(found).toContainEqual(
      expect.stringMatching(
        /^note open files: open files limit clients to \d+, fewer than UNDROP_MAX.*to \d+ \(/,
      ),
    );
    // The server that does not answer.
    expect([code, found.filter((line) => /^warning/.test(`${line}`))]).toEqual([1, [UNREACHED]]);
  });

  test('refuses a limit that nothing measures', async () => {
    expect(await findings({ minFree: '1G' })).toEqual([
      2,
      expect.stringMatching(
        /^failed settings: minFree in .*, line 2, column \d+: expected UNDROP_DATADIR, .* none\./,
      ),
    ]);
  });

  test('finds files that are missing, and creates none', async () => {
    const here = await findings({ auditFile: folder('audit') });
    expect(here).toContain(`ok audit file: undrop can append lines to ${folder('audit')}`);
    const found = await findings({
      auditFile: folder('no/audit'),
      datadir: folder('data'),
      tlsCert: folder('cert.pem'),
      tlsKey: folder('key.pem'),
    });
    expect(found).toEqual([
      2,
      expect.stringMatching(/^ok settings/),
      expect.stringMatching(/^warning audit file: cannot write UNDROP_AUDIT_FILE: ENOENT/),
      expect.stringMatching(
        /^warning datadir: cannot write to the folder of UNDROP_DATADIR: ENOENT/,
      ),
      expect.stringMatching(/^ok listen/),
      expect.stringMatching(/^failed TLS: UNDROP_TLS_CERT: expected a readable file, found ENOENT/),
      expect.stringMatching(/^failed TLS: UNDROP_TLS_KEY: expected a readable file, found ENOENT/),
    ]);
  });

  test.each([
    ['of today', 0, 'ok'],
    ['that has expired', 3, 'warning'],
    ['of the future', -3, 'warning'],
  ])('says how long a certificate is valid: one %s', async (_what, daysLater, result) => {
    const [tlsCert, tlsKey] = [folder('cert.pem'), folder('key.pem')];
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const files = ['-nodes', '-subj', '/CN=here', '-keyout', tlsKey, '-out', tlsCert];
    execFileSync('openssl', [...made, ...files, '-days', '2'], { stdio: 'ignore' });
    const now = Date.now() + daysLater * 86_400_000;
    jest.spyOn(Date, 'now').mockReturnValue(now);
    expect(await findings({ tlsCert, tlsKey })).toEqual([
      1,
      ...[expect.stringMatching(/^ok settings/), expect.stringMatching(/^ok listen/)],
      expect.stringMatching(`^${result} TLS: the certificate of UNDROP_TLS_CERT is valid from `),
      UNREACHED,
    ]);
  });

  test('tells an address in use from one that cannot be used', async () => {
    await using taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    const [code, , ...found] = await findings({
      listen: `127.0.0.1:${port},192.0.2.1:0`,
      adminListen: folder('no/admin.sock'),
    });
    expect([code, ...found.slice(0, 3)]).toEqual([
      2,
      expect.stringMatching(`^note listen: 127.0.0.1:${port} is in use`),
      expect.stringMatching(/^failed listen: Could not listen on 192\.0\.2\.1:0: .*EADDRNOTAVAIL/),
      expect.stringMatching(/^failed admin listen: Could not listen on .*admin\.sock .*ENOENT/),
    ]);
  });

  test('finds an upstream that is where undrop itself listens', async () => {
    const found = await findings({ upstream: '127.0.0.1:3399', listen: '127.0.0.1:3399' });
    expect(found[0]).toBe(2);
    expect(found).toContainEqual(
      expect.stringMatching(/^failed upstream: .* is where undrop itself listens/),
    );
  });

  test('goes with --json, which goes with nothing else', async () => {
    const { code, stdout } = await check({}, '--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { result: 'warning' }]);
    const alone = await runInProcess(['serve', '--json', '--upstream', 'db', '--user', 'undrop']);
    expect(alone).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('check') });
  });
});

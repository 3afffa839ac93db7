/**
 * `undrop init` and `undrop doctor` as a person types them, on each server: the account is made
 * once, has what its tier says, and what each tier can do is done by a proxy with that account.
 * Without settings it is of the tier managed, from where the server sees it come. Where something
 * is unusual each of them says so.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runInProcess } from '../support/command-line.js';
import { temporaryFolder } from '../support/folders.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { environment, proxyInFront, runUndrop, type Variables } from '../support/proxy.js';
import { initVariables, runInit } from '../support/run-init.js';
import { connect, type FreshSchema, query } from '../support/servers.js';

const PASSWORD = 'it’s \\ a secret';
const TIERS = ['full', 'managed', 'least'] as const;
type Tier = (typeof TIERS)[number];

/** What init has made, and the variables of a proxy with it. */
type Account = { readonly user: string; readonly variables: Readonly<Record<string, string>> };

onServers('undrop init on $name', (server, on) => {
  const { afterAll, test } = on;
  const accounts = new Map<Tier, Account>();

  const schema = on.schema('in_it');
  const other = on.schema('in_it');
  const root = on.session();

  afterAll(async () => {
    for (const tier of accounts.keys()) await forget(tier);
  });

  /** Runs init for an account of that tier. */
  async function init(tier: Tier, more: Variables, ...args: readonly string[]) {
    const user = `i_${tier}_${schema.name.slice(-4)}`;
    const account = { user, password: PASSWORD, tier, schema: schema.name };
    const done = await runInit(server, args, { ...initVariables(account), ...more });
    return { user, variables: { USER: user, PASSWORD }, ...done };
  }

  async function make(tier: Tier): Promise<Account> {
    const account = await init(tier, {}, '--apply');
    expect({ code: account.code, stderr: account.stderr }).toEqual({ code: 0, stderr: '' });
    accounts.set(tier, account);
    return account;
  }

  /** As it was made; once, as it costs a process. */
  const made = async (tier: Tier) => accounts.get(tier) ?? make(tier);

  async function forget(tier: Tier): Promise<void> {
    await root.query(`DROP USER ${accounts.get(tier)?.user}@'%'`);
    accounts.delete(tier);
  }

  async function grantsOf(user: string, host = '%'): Promise<readonly string[]> {
    const grants = await root.column(`SHOW GRANTS FOR ${user}@'${host}'`);
    return grants.map((text) => text.replace(/ IDENTIFIED BY .*/, ''));
  }

  async function runPrinted(stdout: string): Promise<void> {
    for (const line of stdout.split('\n')) {
      const text = line
        .replace(/--( .*)?$/, '')
        .trim()
        .replace('…', 'a password');
      if (text !== '') await root.query(text.replace(/;$/, ''));
    }
  }

  /** Where the newest drop of a table of that name went. */
  async function heldIn(at: FreshSchema, table: string): Promise<string> {
    const held = () => ledgerRows(root, { schema: at.name, table, state: 'HOLD' });
    await until(async () => (await held()).length > 0, 'the table is held');
    return String((await held()).at(-1)?.['hold_schema']);
  }

  /** DROP TABLE t in that schema, by a proxy with that account. */
  async function dropBy(tier: Tier, at: FreshSchema, session: readonly string[] = []) {
    const { variables } = await made(tier);
    await root.query(`CREATE TABLE IF NOT EXISTS ${at.name}.t (a INT)`);
    await using proxy = await proxyInFront(server, variables);
    await using client = await connect(proxy, { database: at.name });
    await client.run(...session, 'DROP TABLE t');
  }

  test('who has no right to it is told so in one line, by init, list and restore', async () => {
    const nobody = `nobody_${schema.name.slice(-4)}`;
    await root.run(`CREATE USER ${nobody}@'%'`, "DELETE FROM mysql.user WHERE user = ''");
    await root.query('FLUSH PRIVILEGES');
    try {
      const variables = { USER: nobody, PASSWORD: '' };
      const said = [
        await init('full', { ADMIN_USER: nobody, ADMIN_PASSWORD: '' }, '--apply'),
        await runUndrop(server, ['list'], variables),
        await runUndrop(server, ['restore', 'shop.orders'], variables),
      ];
      for (const { code, stdout, stderr } of said) {
        expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
        expect(stderr).toMatch(/^undrop: UNDROP_MISSING_RIGHT: .*`undrop init`.*\n$/);
        expect(stderr).toContain(nobody);
      }
    } finally {
      await root.query(`DROP USER ${nobody}@'%'`);
    }
  });

  test.each(TIERS)(
    'the statements that it prints for the tier %s make the same account as --apply does',
    async (tier) => {
      const { user } = await make(tier);
      const applied = await grantsOf(user);
      const printed = await init(tier, {});
      expect(printed.code).toBe(0);
      await root.query(`DROP USER ${user}@'%'`);
      await runPrinted(printed.stdout);
      expect(await grantsOf(user)).toEqual(applied);
      await forget(tier);
    },
  );

  test('a password that the account does not have is said, with what was done', async () => {
    const { user } = await made('managed');
    await root.query(`REVOKE TRIGGER ON *.* FROM ${user}@'%'`);
    const { code, stderr } = await init('managed', { PASSWORD: 'another one' }, '--apply');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /UNDROP_OTHER_PASSWORD: .* existed already: .*its password was not changed.*ALTER USER/,
      ),
    });
    expect((await grantsOf(user)).join()).toContain('TRIGGER');
  });

  test('an administrator who is refused is said to be that', async () => {
    const { code, stderr } = await init('managed', { ADMIN_PASSWORD: 'wrong' }, '--apply');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/UNDROP_ADMIN_ACCOUNT: .*Check --admin-user, its password/),
    });
  });

  test('a password file that is missing is made, for its owner alone', async () => {
    await using folder = await temporaryFolder('init');
    const file = join(folder.path, 'etc/password');
    const variables = { PASSWORD: '', PASSWORD_FILE: file };
    const user = `i_managed_${schema.name.slice(-4)}`;
    if (accounts.has('managed')) await forget('managed');
    try {
      const { code, stdout, stderr } = await init('managed', variables);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: `Wrote a new password to ${file}, which only this OS account may read.\n`,
      });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const password = readFileSync(file, 'utf8');
      expect(stdout).toContain(`'${password.trim()}'`);
      expect(await init('managed', variables, '--apply')).toMatchObject({ code: 0, stderr: '' });
      expect(await runUndrop(server, ['doctor'], { USER: user, ...variables })).toMatchObject({
        code: 0,
      });
      const again = await init('managed', variables, '--apply');
      expect(again.stdout).toContain('existed, and keeps its password');
      expect(readFileSync(file, 'utf8')).toBe(password);
    } finally {
      await root.query(`DROP USER ${user}@'%'`).catch(() => undefined);
    }
  });

  test('without a password no account is made', async () => {
    const user = 'nobody_made_it';
    const { code, stderr } = await runInit(server, ['--apply'], { USER: user, PASSWORD: '' });
    expect([code, stderr]).toEqual([2, expect.stringContaining('UNDROP_PASSWORD')]);
    expect(await query(server, `SELECT 1 FROM mysql.user WHERE User = '${user}'`)).toEqual([]);
  });

  describe('a proxy with the tier', () => {
    test.each([
      ...TIERS.map((tier) => [tier, [], '_undrop'] as const),
      // What replicas don't see.
      ['full', ['SET sql_log_bin = 0'], '_undrop_local'],
      ['managed', ['SET sql_log_bin = 0'], null],
    ] as const)('%s holds a table after %j in %s (null: its own)', async (tier, session, where) => {
      await dropBy(tier, schema, session);
      expect(await heldIn(schema, 't')).toBe(where ?? schema.name);
    });

    // There information_schema shows a table that is named to whoever asks.
    const isShown = server.name === 'mysql-5.6';
    const what = isShown ? 'holds in its own schema' : 'refuses';
    test(`least ${what} what it has no rights on`, async () => {
      if (isShown) {
        await dropBy('least', other);
        return expect(await heldIn(other, 't')).toBe(other.name);
      }
      await expect(dropBy('least', other)).rejects.toMatchObject({
        message: expect.stringMatching(
          /^UNDROP_NOT_SEEN: .*Check that its grants cover the schema/,
        ),
      });
      expect(await query(server, `SELECT * FROM ${other.name}.t`)).toEqual([]);
    });
  });

  describe('the doctor', () => {
    async function doctor(tier: Tier) {
      const { variables } = await made(tier);
      const { code, stdout } = await runUndrop(server, ['doctor', '--json'], variables);
      const { findings } = JSON.parse(stdout) as {
        readonly findings: readonly { readonly check: string; readonly text: string }[];
      };
      const textsOf = (subject: string) =>
        findings.filter(({ check }) => check === subject).map(({ text }) => text);
      return { code, textsOf };
    }

    test.each(TIERS)('knows the tier %s', async (tier) => {
      const { code, textsOf } = await doctor(tier);
      expect([code, textsOf('account')[0]]).toEqual([0, expect.stringMatching(`: tier ${tier}$`)]);
      expect(textsOf('server')).toEqual([expect.stringMatching(/: a tested version$/)]);
    });

    test.each([
      ['TRIGGER', true],
      ['CREATE', true],
      ['PROCESS', false],
    ])('without %s says so, and that tables are held where they are: %s', async (right, isHeld) => {
      const { user, variables } = await made('managed');
      await root.query(`REVOKE ${right} ON *.* FROM ${user}@'%'`);
      try {
        const { code, stdout } = await runUndrop(server, ['doctor'], variables);
        const missing = new RegExp(`missing ${right}( on .*)?: undrop cannot `);
        expect([code, stdout]).toEqual([1, expect.stringMatching(missing)]);
        const isSaid = !(await doctor('managed')).textsOf('schemas').includes('held: none');
        const done = await dropBy('managed', schema).then(
          () => 'held',
          () => 'refused',
        );
        expect({ done, isSaid }).toEqual({ done: isHeld ? 'held' : 'refused', isSaid: isHeld });
      } finally {
        await make('managed');
      }
    });

    test('names the stored programs that drop tables, and those that may', async () => {
      const at = schema.name;
      const bodies = {
        cleans: 'BEGIN DROP /* */ TABLE IF EXISTS a, b; END',
        runs: "BEGIN SET @s = 'SELECT 1'; PREPARE s FROM @s; EXECUTE s; END",
        speaks: "BEGIN SELECT 'DROP TABLE a' /* DROP TABLE b */; DROP TEMPORARY TABLE c; END",
      };
      for (const [name, body] of Object.entries(bodies)) {
        await root.query(`CREATE PROCEDURE ${at}.${name}() ${body}`);
      }
      await root.query(
        `CREATE EVENT ${at}.nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DROP TABLE IF EXISTS ${at}.x`,
      );
      const programs = (await doctor('full')).textsOf('programs');
      for (const [does, which] of [
        ['drop tables inside the server', `${at}.cleans (procedure), ${at}.nightly (event)`],
        ['run dynamic SQL that may drop', `${at}.runs (procedure)`],
      ] as const) {
        const [line] = programs.filter((text) => text.startsWith(does));
        expect(line).toContain(which);
      }
      expect(programs.join()).not.toMatch(/\bspeaks\b|may not see all/);
    });

    test('says where the account may not see all programs', async () => {
      const programs = (await doctor('least')).textsOf('programs').join();
      expect(programs).toContain('may not see all procedures');
      expect(programs).not.toContain('none of them drops tables');
    });
  });

  describe('without settings', () => {
    const user = `d_${process.pid % 100_000}`;
    const accountsOf = () =>
      query<{ readonly Host: string; readonly ssl_type: string }>(
        server,
        `SELECT Host, ssl_type FROM mysql.user WHERE User = '${user}'`,
      );
    on.afterEach(async () => {
      for (const { Host } of await accountsOf()) await root.query(`DROP USER ${user}@'${Host}'`);
    });
    const initBare = (args: readonly string[], more: Variables = {}) =>
      runInit(server, args, { USER: user, PASSWORD: '', ...more });

    test('what it prints makes an account with a password of its own, which comes from here', async () => {
      const { code, stdout } = await initBare([]);
      expect(code).toBe(0);
      for (const text of [
        '(tier managed)',
        '; the tier full restores them: `undrop init --tier full`.',
        '-- It may log in from this host, 127.0.0.1. Use --account-host if',
        '-- The password was generated',
      ]) {
        expect(stdout).toContain(text);
      }
      await runPrinted(stdout);
      expect(await accountsOf()).toEqual([{ Host: '127.0.0.1', ssl_type: '' }]);
      const [, password = ''] = /IDENTIFIED BY '([^']{40,})';/.exec(stdout) ?? [];
      await using _client = await connect({ ...server, user, password });
      expect((await initBare([])).stdout).not.toContain(password);
    });

    test('with --apply it comes from where the server sees the administrator come from', async () => {
      const more = { PASSWORD: 'a secret' };
      const [seenAs = ''] = await root.column("SELECT SUBSTRING_INDEX(USER(), '@', -1)");
      const { code, stdout, stderr } = await initBare(['--apply'], more);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(
        `The account ${user}@${seenAs} was created; it has the privileges of the tier`,
      );
      expect(await accountsOf()).toEqual([{ Host: seenAs, ssl_type: '' }]);
      const applied = await grantsOf(user, seenAs);
      await root.query(`DROP USER ${user}@'${seenAs}'`);
      const printed = await initBare([], { ...more, ACCOUNT_HOST: seenAs, TIER: 'managed' });
      await runPrinted(printed.stdout);
      expect(await grantsOf(user, seenAs)).toEqual(applied);
    });

    test('takes TLS where TLS is required', async () => {
      await runPrinted((await initBare([], { UPSTREAM_TLS: 'required' })).stdout);
      expect(await accountsOf()).toMatchObject([{ ssl_type: 'ANY' }]);
    });

    test('warns of a password that everybody on this machine can see', async () => {
      const { code, stderr } = await initBare(['--password', 'p']);
      const warning = 'all users of this machine can see --password; use --password-file instead';
      expect([code, stderr]).toEqual([0, `undrop: warning: ${warning}\n`]);
    });

    test('asks for the password of the administrator, and does not show it', async () => {
      const asked: unknown[] = [];
      const args = ['init', '--apply', '--admin-user', server.user];
      const env = environment(server, { USER: user, PASSWORD: 'a secret' });
      const { code } = await runInProcess(args, env, async (...question) => {
        asked.push(question);
        return server.password;
      });
      expect(code).toBe(0);
      expect(asked).toEqual([[`Password of ${server.user}: `, { isSecret: true }]]);
      expect(await accountsOf()).toHaveLength(1);
    });

    test('takes the password of the administrator from a file or a terminal alone', async () => {
      const variables = { USER: user, PASSWORD: 'p' };
      for (const [args, text] of [
        [[], /--admin-password-file: expected a file, because there is no terminal, found none\./],
        [['--admin-password-file', '/nowhere'], /--admin-password-file: expected .* found ENOENT/],
        [['--admin-password', 'q'], /--admin-password was removed: use --admin-password-file/],
      ] as const) {
        const { code, stderr } = await runUndrop(server, ['init', '--apply', ...args], variables);
        expect([code, stderr]).toEqual([2, expect.stringMatching(text)]);
        expect(await accountsOf()).toEqual([]);
      }
      const set = { ...variables, ADMIN_PASSWORD: server.password };
      const { stderr } = await runUndrop(server, ['init'], set);
      expect(stderr).toContain('UNDROP_ADMIN_PASSWORD was removed: use --admin-password-file');
    });
  });
});

onServers('odd accounts of undrop init on $name', (server, on) => {
  const { afterEach, beforeAll, test } = on;
  const PASSWORD = 'a secret';
  const isMysql8 = !server.name.startsWith('mariadb') && server.name !== 'mysql-5.6';
  let users: string[] = [];
  const schema = on.schema('odd');
  const root = on.session();
  const user = `o_${schema.name.slice(-6)}`;
  beforeAll(() => root.run("DELETE FROM mysql.user WHERE user = ''", 'FLUSH PRIVILEGES'));

  afterEach(async () => {
    for (const account of users) await root.query(`DROP USER ${account}`);
    users = [];
    if (isMysql8) await root.query('SET GLOBAL partial_revokes = OFF');
  });

  /** Of the tier least where nothing else is said, on the schema; `args`: without `init`. */
  function init(args: readonly string[], more: Variables = {}) {
    const tier = more['TIER'] ?? 'least';
    const account = { user, password: PASSWORD, tier, schema: schema.name };
    return runInit(server, args, { ...initVariables(account), ...more });
  }

  /** An account that the test has, and that goes with it. */
  async function make(tier: string, more: Variables = {}) {
    if (users.length === 0) users.push(`${user}@'%'`);
    const made = await init(['--apply'], { TIER: tier, ...more });
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
    return made.stdout;
  }

  async function makeAdmin(...rights: readonly string[]): Promise<Variables> {
    const admin = `a_${user}`;
    users.push(`${admin}@'%'`);
    await root.query(`CREATE USER ${admin}@'%' IDENTIFIED BY 'x'`);
    for (const right of rights) await root.query(`GRANT ${right} TO ${admin}@'%'`);
    return { ADMIN_USER: admin, ADMIN_PASSWORD: 'x' };
  }

  const doctor = (more: Variables = {}) =>
    runUndrop(server, ['doctor'], { USER: user, PASSWORD, ...more });

  const escaped = () => schema.name.replaceAll('_', '\\_');

  /** DROP TABLE t by a proxy with the account; where it is held, or the error. */
  async function drop(): Promise<string> {
    await root.query(`CREATE TABLE IF NOT EXISTS ${schema.name}.t (a INT)`);
    const dropping = async () => {
      await using proxy = await proxyInFront(server, { USER: user, PASSWORD });
      await using client = await connect(proxy, { database: schema.name });
      return await client.errorOf('DROP TABLE t');
    };
    const error = await dropping();
    if (error !== null) return `Error: ${error.message}`;
    return (await ledgerRows(root, { schema: schema.name })).at(-1)?.['hold_schema'] ?? '';
  }

  if (isMysql8) {
    test('with partial_revokes least holds at home, and the doctor finds nothing', async () => {
      await root.query('SET GLOBAL partial_revokes = ON');
      const said = await make('least');
      expect(said).toContain('on performance_schema: ');
      expect(await drop()).toBe('_undrop');
      expect(await doctor()).toMatchObject({ code: 0, stderr: '' });
      expect((await init([])).stdout).toMatch(/^-- Where partial_revokes is ON/m);
    });

    test('the doctor misses SELECT on performance_schema, without which no drop is held', async () => {
      await make('least');
      await root.query(`REVOKE SELECT ON \`performance\\_schema\`.* FROM ${user}@'%'`);
      expect(await drop()).toContain('UNDROP_');
      const { code, stdout } = await doctor();
      expect(code).toBe(1);
      expect(stdout).toMatch(/missing SELECT on performance_schema: .*every drop is refused/);
      expect(stdout).toMatch(/^ok +schemas +held: none$/m);
    });
  }

  test.each([
    // Not missed.
    ['UPDATE, DELETE', null],
    ['INSERT', 'held tables cannot be restored into it'],
    ['CREATE', 'held tables cannot be restored into it'],
    ['SELECT', 'DROP DATABASE is refused, and TRUNCATE where'],
  ])(
    '%s that is missing on a schema of users costs what it costs there',
    async (right, without) => {
      await make('least');
      await root.query(`REVOKE ${right} ON \`${escaped()}\`.* FROM ${user}@'%'`);
      expect(await drop()).toBe('_undrop');
      const { code, stdout } = await doctor();
      expect(code).toBe(without === null ? 0 : 1);
      if (without !== null) {
        expect(stdout).toContain(`missing ${right} on ${schema.name}: ${without}`);
        expect(stdout).not.toContain('ledger');
      }
      const name = `${schema.name}.t`;
      const restored = await runUndrop(server, ['restore', name], { USER: user, PASSWORD });
      expect(restored.code === 0).toBe(!['INSERT', 'CREATE'].includes(right));
    },
  );

  test('schemas are for the tier least, and of users', async () => {
    const wrong: readonly [Variables, RegExp][] = [
      [{ TIER: 'managed', SCHEMAS: schema.name }, /UNDROP_SCHEMAS is for the tier least.*managed/],
      [{ SCHEMAS: 'shop,MySQL,_undrop' }, /expected schemas of users, found MySQL, _undrop\./],
    ];
    for (const [variables, text] of wrong) {
      for (const args of [[], ['--apply']]) {
        const { code, stdout, stderr } = await init(args, variables);
        expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
        expect(stderr).toMatch(text);
      }
    }
    expect(await query(server, `SELECT 1 FROM mysql.user WHERE User = '${user}'`)).toEqual([]);
  });

  test('a schema that is not there yet is said, by init and by the doctor', async () => {
    const SCHEMAS = `${schema.name},odd_shpo`;
    const said = await make('least', { SCHEMAS });
    expect(said).toMatch(/^The schema odd_shpo does not exist yet\.$/m);
    expect(said).not.toContain(`schema ${schema.name} does not exist`);
    const { code, stdout } = await doctor({ TIER: 'least', SCHEMAS });
    expect(code).toBe(1);
    expect(stdout).toMatch(/in UNDROP_SCHEMAS but not protected: .*: odd_shpo$/m);
    expect(await doctor({ SCHEMAS: schema.name })).toMatchObject({ code: 0 });
  });

  test('a lower tier takes nothing away, and says how that is done', async () => {
    await make('full');
    expect(await make('full')).not.toContain('The account keeps the tier');
    const said = await make('least');
    const [, tier, text = ''] =
      /keeps the tier (\w+)\..*\nrefused until the end\): (.*); then run/.exec(said) ?? [];
    expect(tier).toBe('full');
    await root.query(text);
    expect(await make('least')).not.toContain('The account keeps the tier');
    expect((await doctor()).stdout).toContain('tier least');
  });

  test('an account that can’t log in from here is said to be made', async () => {
    users.push(`${user}@'10.9.9.9'`);
    const { code, stdout, stderr } = await init(['--apply'], { ACCOUNT_HOST: '10.9.9.9' });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /UNDROP_ACCOUNT_UNFINISHED: .*@10\.9\.9\.9 was created.*cannot log in from here: .*denied.*--account-host/,
    );
  });

  test.each([
    [
      'grant everything',
      ['CREATE USER ON *.*', 'SELECT ON mysql.*'],
      true,
      /UNDROP_ACCOUNT_UNFINISHED: .* was created, but lacks privileges .*denied.*WITH GRANT OPTION/,
    ],
    [
      'read mysql.user',
      ['CREATE USER ON *.*'],
      false,
      /UNDROP_MISSING_RIGHT: .*GRANT SELECT ON mysql\.user/,
    ],
  ])('an administrator who may not %s is told so', async (_what, rights, isMade, said) => {
    const admin = await makeAdmin(...rights);
    if (isMade) users.push(`${user}@'%'`);
    const { code, stderr } = await init(['--apply'], { TIER: 'managed', ...admin });
    expect([code, stderr]).toEqual([1, expect.stringMatching(said)]);
  });
});

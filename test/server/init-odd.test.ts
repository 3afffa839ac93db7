/** `undrop init` and `undrop doctor` where something is unusual: each says so. */
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { proxyInFront, runUndrop, type Variables } from '../support/proxy.js';
import { initVariables, runInit } from '../support/run-init.js';
import { connect, query } from '../support/servers.js';

const PASSWORD = 'a secret';

onServers('odd accounts of undrop init on $name', (server, on) => {
  const { afterEach, beforeAll, test } = on;
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

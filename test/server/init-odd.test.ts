/** `undrop init` and `undrop doctor` where something is unusual: each says so. */
import { describe, expect } from '@jest/globals';
import type { Tier } from '../../src/account/grants.js';
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
  async function make(tier: Tier, more: Variables = {}) {
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
      return client.errorOf('DROP TABLE t');
    };
    const error = await dropping();
    if (error !== null) return `Error: ${error.message}`;
    return (await ledgerRows(root, { schema: schema.name })).at(-1)?.['hold_schema'] ?? '';
  }

  if (isMysql8) {
    describe('with partial_revokes', () => {
      test('least holds at home, and the doctor finds nothing', async () => {
        await root.query('SET GLOBAL partial_revokes = ON');
        const said = await make('least');
        expect(said).toContain('on performance_schema: ');
        expect(await drop()).toBe('_undrop');
        expect(await doctor()).toMatchObject({ code: 0, stderr: '' });
        expect((await init([])).stdout).toMatch(/^-- Where partial_revokes is ON/m);
      });

      test('a right that is revoked on a schema is missing there', async () => {
        await root.query('SET GLOBAL partial_revokes = ON');
        await make('full');
        await root.query(`REVOKE DROP, SELECT ON ${schema.name}.* FROM ${user}@'%'`);
        expect(await drop()).toBe(schema.name);
        const { code, stdout } = await doctor();
        expect(code).toBe(1);
        for (const text of [
          'privileges are missing',
          `missing SELECT on ${schema.name}: `,
          `missing DROP on ${schema.name}: held tables stay in their own`,
          `tables are held in their own schema, under their hold names: ${schema.name}`,
        ]) {
          expect(stdout).toContain(text);
        }
        expect(/ held: .*/.exec(stdout)?.[0]).not.toContain(schema.name);
      });
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
      expect(code).toBe(1);
      expect(stdout).toContain(`missing ${right} on ${schema.name}: ${without}`);
      expect(stdout).not.toContain('ledger');
      const isRestored = (
        await runUndrop(server, ['restore', `${schema.name}.t`], { USER: user, PASSWORD })
      ).code;
      expect(isRestored === 0).toBe(right === 'SELECT');
    },
  );

  test('what takes no UPDATE and DELETE on a schema of users doesn’t miss them', async () => {
    await make('least');
    await root.query(`REVOKE UPDATE, DELETE ON \`${escaped()}\`.* FROM ${user}@'%'`);
    expect(await drop()).toBe('_undrop');
    expect((await doctor()).code).toBe(0);
  });

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

  test('so is one that the administrator may not grant everything', async () => {
    const admin = await makeAdmin('CREATE USER ON *.*', 'SELECT ON mysql.*');
    users.push(`${user}@'%'`);
    const { code, stderr } = await init(['--apply'], { TIER: 'managed', ...admin });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /UNDROP_ACCOUNT_UNFINISHED: .* was created, but lacks privileges .*denied.*WITH GRANT OPTION/,
    );
  });

  test('an administrator who may not read mysql.user is told so', async () => {
    const admin = await makeAdmin('CREATE USER ON *.*');
    const { code, stderr } = await init(['--apply'], { TIER: 'managed', ...admin });
    expect(code).toBe(1);
    expect(stderr).toMatch(/UNDROP_MISSING_RIGHT: .*GRANT SELECT ON mysql\.user/);
  });

  test('init and doctor call the server the same', async () => {
    await make('managed');
    const [, version = ''] = / on (.+)\.\n/.exec((await init([])).stdout) ?? [];
    expect(version).toMatch(/^(?!5\.5\.5)\d+\./);
    expect((await doctor()).stdout).toContain(` ${version}: `);
  });

  test('without SUPER the doctor says which triggers stay in place, or don’t come back', async () => {
    await make('managed');
    const lineOf = async () => /without SUPER: .*/.exec((await doctor()).stdout)?.[0];
    // To drop one takes no SUPER there.
    const isNew = server.name === 'mysql-9.7';
    expect(await lineOf()).toContain(
      isNew ? 'triggers come back only by' : 'tables with triggers stay in',
    );
    await root.query('SET GLOBAL log_bin_trust_function_creators = ON');
    try {
      expect(await lineOf()).toContain('of other definers');
    } finally {
      await root.query('SET GLOBAL log_bin_trust_function_creators = OFF');
    }
  });
});

/** `undrop init` and `undrop doctor` where something is unusual: each says so. */
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import type { Tier } from '../../src/account/grants.js';
import { proxyInFront, runUndrop, type Variables } from '../support/proxy.js';
import { connect, type FreshSchema, freshSchema, query, testServers } from '../support/servers.js';

jest.setTimeout(120_000);

const PASSWORD = 'a secret';

describe.each(testServers())('on $name', (server) => {
  const isMysql8 = !server.name.startsWith('mariadb') && server.name !== 'mysql-5.6';
  let schema: FreshSchema;
  let root: Connection;
  let user = '';
  let users: string[] = [];

  beforeAll(async () => {
    schema = await freshSchema(server, 'odd');
    root = await connect(server);
    await root.query("DELETE FROM mysql.user WHERE user = ''");
    await root.query('FLUSH PRIVILEGES');
    user = `o_${schema.name.slice(-6)}`;
  });

  afterEach(async () => {
    for (const account of users) await root.query(`DROP USER ${account}`);
    users = [];
    if (isMysql8) await root.query('SET GLOBAL partial_revokes = OFF');
  });

  afterAll(async () => {
    await schema.drop();
    await root.end();
  });

  /** Of the tier least where nothing else is said, on the schema; `args`: without `init`. */
  function init(args: readonly string[], more: Variables = {}) {
    const tier = more['TIER'] ?? 'least';
    return runUndrop(server, ['init', ...args], {
      USER: user,
      PASSWORD,
      TIER: tier,
      ADMIN_USER: server.user,
      ADMIN_PASSWORD: server.password,
      ...(tier === 'least' ? { SCHEMAS: schema.name } : {}),
      ...more,
    });
  }

  /** An account that the test has, and that goes with it. */
  async function make(tier: Tier, more: Variables = {}) {
    if (users.length === 0) users.push(`${user}@'%'`);
    const made = await init(['--apply'], { TIER: tier, ...more });
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
    return made.stdout;
  }

  function doctor(more: Variables = {}, ...args: readonly string[]) {
    return runUndrop(server, ['doctor', ...args], { USER: user, PASSWORD, ...more });
  }

  const escaped = () => schema.name.replaceAll('_', '\\_');

  /** DROP TABLE t by a proxy with the account; where it is held, or the error. */
  async function drop(): Promise<string> {
    await root.query(`CREATE TABLE IF NOT EXISTS ${schema.name}.t (a INT)`);
    const proxy = await proxyInFront(server, { USER: user, PASSWORD });
    const client = await connect(proxy, { database: schema.name });
    try {
      await client.query('DROP TABLE t');
    } catch (error) {
      return String(error);
    } finally {
      await client.end();
      await proxy.stop();
    }
    const [row] = await query<{ readonly s: string }>(
      server,
      `SELECT hold_schema AS s FROM _undrop.ledger WHERE schema_name = '${schema.name}'
       ORDER BY id DESC LIMIT 1`,
    );
    return row?.s ?? '';
  }

  if (isMysql8) {
    describe('with partial_revokes', () => {
      test('least holds at home, and the doctor finds nothing', async () => {
        await root.query('SET GLOBAL partial_revokes = ON');
        const said = await make('least');
        expect(said).toContain('on performance_schema: ');
        expect(await drop()).toBe('_undrop');
        expect(await doctor()).toMatchObject({ code: 0, stderr: '' });
      });

      test('a right that is revoked on a schema is missing there', async () => {
        await root.query('SET GLOBAL partial_revokes = ON');
        await make('full');
        await root.query(`REVOKE DROP, SELECT ON ${schema.name}.* FROM ${user}@'%'`);
        expect(await drop()).toBe(schema.name);
        const { code, stdout } = await doctor({}, '--json');
        const found = JSON.parse(stdout) as Record<string, string[]>;
        expect({ code, found }).toMatchObject({
          code: 1,
          found: { tier: null, heldInPlace: [schema.name] },
        });
        expect(found['held']).not.toContain(schema.name);
        expect(found['missing']).toMatchObject([
          { right: 'SELECT', schemas: [schema.name] },
          { right: 'DROP', schemas: [schema.name] },
        ]);
        const text = (await doctor()).stdout;
        expect(text).toContain(`missing DROP on ${schema.name}: held tables stay in their own`);
        expect(text).toContain(`held where they are, under their hold names: ${schema.name}`);
      });
    });

    test('the doctor misses SELECT on performance_schema, without which no drop is held', async () => {
      await make('least');
      await root.query(`REVOKE SELECT ON \`performance\\_schema\`.* FROM ${user}@'%'`);
      expect(await drop()).toContain('UNDROP_');
      const { code, stdout } = await doctor();
      expect(code).toBe(1);
      expect(stdout).toMatch(/missing SELECT on performance_schema: .*every drop is refused/);
      expect(stdout).toMatch(/^schemas {3}held: none$/m);
    });
  }

  test.each([
    ['INSERT', 'held tables can’t be given back to it'],
    ['CREATE', 'held tables can’t be given back to it'],
    ['SELECT', 'DROP DATABASE is refused, and TRUNCATE, DROP PARTITION and DROP VIEW'],
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
      const isBack = (
        await runUndrop(server, ['restore', `${schema.name}.t`], { USER: user, PASSWORD })
      ).code;
      expect(isBack === 0).toBe(right === 'SELECT');
    },
  );

  test('what takes no UPDATE and DELETE on a schema of users doesn’t miss them', async () => {
    await make('least');
    await root.query(`REVOKE UPDATE, DELETE ON \`${escaped()}\`.* FROM ${user}@'%'`);
    expect(await drop()).toBe('_undrop');
    expect((await doctor()).code).toBe(0);
  });

  test('without SUPER the doctor says which triggers stay in place', async () => {
    await make('managed');
    const lineOf = async () => /without SUPER: .*/.exec((await doctor()).stdout)?.[0];
    expect(await lineOf()).toContain('every table with triggers stays');
    await root.query('SET GLOBAL log_bin_trust_function_creators = ON');
    try {
      expect(await lineOf()).toContain('of other definers');
    } finally {
      await root.query('SET GLOBAL log_bin_trust_function_creators = OFF');
    }
  });
});

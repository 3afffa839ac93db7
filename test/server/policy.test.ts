/**
 * UNDROP_RULES, UNDROP_MODE and hints, on live servers: test/golden/live_policy_cases.json. What
 * becomes of each table is read from the server: live, gone, or held under a name that says for how
 * long.
 */
import { readFileSync } from 'node:fs';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, type Session, type TestServer } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { intentsSettled } from '../support/settled.js';

const RULES = `
  *.now_*: now; *.native_*: native; *.short_*: hold=1h; *.refuse_*: refuse;
  *.user_* user=nobody: refuse; *.user_* user=root@*: hold=2h;
  *.size_* size>1T: refuse; *.size_* size<1T: hold=3h;
  *.void_* empty: now; *.age_* age>1d: refuse; *.age_* age<1d: hold=4h; *.\`a;b\`: hold=5h`;

/** A number is the hours in HOLD; a week is what a table without rule and hint is held. */
type Fate = 'live' | 'gone' | 'pinned' | number;

interface Case {
  readonly name: string;
  /** `{ t: 1 }`: a table t with one row; by default those of `fates`, with a row each. */
  readonly tables?: Readonly<Record<string, number>>;
  /** Said before, one by one. */
  readonly before?: readonly string[];
  readonly sql: string;
  readonly via?: 'execute';
  /** A table that another session goes on writing to for more than a second. */
  readonly waitsFor?: string;
  /** Changed in the proxy, with RULES. */
  readonly settings?: object;
  /** UNDROP_RULES of a proxy of its own. */
  readonly rules?: string;
  /** A regular expression. */
  readonly error?: string;
  /** What becomes of each table: `t week, u 2, v gone`. */
  readonly fates: string;
  /** Fields of a line of the log; `{ "matching": … }` is a regular expression. */
  readonly logs?: object;
  /** An event that no line of the log has. */
  readonly logsNo?: string;
  readonly on?: 'mariadb' | 'mysql-9.7';
  /** What is left in `@undrop`; default: nothing. */
  readonly hint?: string;
}

const CASES: readonly Case[] = JSON.parse(
  readFileSync('test/golden/live_policy_cases.json', 'utf8'),
);

function fatesOf({ fates }: Case): Readonly<Record<string, Fate>> {
  const each = fates.split(', ').filter((one) => one !== '');
  const known = each.map((one): [string, Fate] => {
    const at = one.lastIndexOf(' ');
    const fate = one.slice(at + 1).replace('week', '168');
    return [one.slice(0, at), /^\d/.test(fate) ? Number(fate) : (fate as Fate)];
  });
  return Object.fromEntries(known);
}

onServersAtOnce('rules and hints on $name', (server, on) => {
  const { test } = on;
  const lines: object[] = [];
  const note = (fields: object, msg: string) => lines.push({ ...fields, msg });
  const log = { debug: () => undefined, info: note, warn: note, error: note };
  const root = on.session({ multipleStatements: true });
  const proxy = on.proxy({ RULES }, { log });

  const run = async (one: Case) => {
    const { name: schema, drop } = await freshSchema(server, 'policy');
    const say = (text: string) => text.replaceAll('$schema', schema);
    const fates = fatesOf(one);
    const ofFates = Object.fromEntries(Object.keys(fates).map((table) => [table, 1]));
    for (const [table, rows] of Object.entries(one.tables ?? ofFates)) {
      await root.query(`CREATE TABLE ${schema}.\`${table}\` (a INT) ENGINE=InnoDB`);
      if (rows > 0) await root.query(`INSERT INTO ${schema}.\`${table}\` VALUES (1)`);
    }
    proxy.running.change({ ...proxy.settings, ...one.settings });
    const { rules: RULES } = one;
    const own = RULES === undefined ? null : on.each.keep(await proxyInFront(server, { RULES }));
    const client = await connect(own ?? proxy, { database: schema, multipleStatements: true });
    lines.length = 0;
    await client.run(...(one.before ?? []));
    const other = await connect(server, { database: schema });
    if (one.waitsFor !== undefined) {
      await other.run('START TRANSACTION', `INSERT INTO ${one.waitsFor} VALUES (2)`);
    }
    const said = one.via === 'execute' ? client.execute(say(one.sql)) : client.query(say(one.sql));
    if (one.waitsFor !== undefined) {
      const isOf = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${schema}'`;
      await until(async () => (await root.rows(isOf)).length > 0, 'its intent is there');
      const sinceMs = performance.now();
      await until(() => performance.now() - sinceMs > 1_500, 'the drop has waited');
    }
    await other.query('COMMIT');
    await other.end();
    if (one.error === undefined) await said;
    else await expect(said).rejects.toThrow(new RegExp(one.error));
    expect(await client.rows('SELECT @undrop AS hint')).toEqual([{ hint: one.hint ?? null }]);
    await client.end();
    await intentsSettled(root, [schema]);
    for (const [table, fate] of Object.entries(fates)) {
      expect({ table, fate: await fateOf(root, schema, table) }).toEqual({ table, fate });
    }
    if (one.logs !== undefined) {
      const logs = JSON.parse(say(JSON.stringify(one.logs)), (_key, value) =>
        value?.matching === undefined ? value : expect.stringMatching(value.matching),
      );
      expect(lines).toContainEqual(expect.objectContaining(logs));
    }
    if (one.logsNo !== undefined) {
      expect(lines).not.toContainEqual(expect.objectContaining({ event: one.logsNo }));
    }
    await drop();
  };

  for (const one of CASES.filter(({ on }) => isFor(server, on))) test(one.name, () => run(one));

  test('a name that the bearer of an anonymous account chooses is none of an account', async () => {
    const { name: schema, drop } = await freshSchema(server, 'policy');
    const anonymous = "''@'%'";
    await root.run(`CREATE USER ${anonymous}`, `GRANT ALL ON ${schema}.* TO ${anonymous}`);
    proxy.running.change(proxy.settings);
    for (const user of ['nobody', 'somebody']) {
      await using client = await connect({ ...proxy, user, password: '' }, { database: schema });
      await client.run('CREATE TABLE user_a (a INT)', 'DROP TABLE user_a');
    }
    await intentsSettled(root, [schema]);
    const rows = await root.rows(`SELECT user_name AS user, account_name AS account
      FROM _undrop.ledger WHERE schema_name = '${schema}' ORDER BY id`);
    expect(rows).toEqual([
      { user: 'nobody', account: '' },
      { user: 'somebody', account: '' },
    ]);
    await root.query(`DROP USER ${anonymous}`);
    await drop();
  });

  test('hint destroy of tables that the service account does not see', async () => {
    const { name: schema, drop } = await freshSchema(server, 'policy');
    const { password } = SERVICE_ACCOUNT;
    // 5.6 has 16 letters for it.
    const blind = schema.slice(-16);
    const account = `${blind}@'%'`;
    await root.query(`CREATE USER ${account} IDENTIFIED BY '${password}'`);
    await root.query(`GRANT PROCESS ON *.* TO ${account}`);
    await root.query(`GRANT ALL ON \`\\_undrop%\`.* TO ${account}`);
    await using few = await proxyInFront(
      { ...server, user: blind, password },
      { RULES, ALLOW_DESTROY: 'users' },
    );
    const { user } = server;
    await using client = await connect({ ...few, user, password: '' }, { database: schema });
    const tables = ['size_a', 'age_a', 'void_a', 't'];
    await root.run(...tables.map((table) => `CREATE TABLE ${schema}.${table} (a INT)`));
    const destroy = (table: string) => client.query(`DROP TABLE ${table} /*undrop:destroy*/`);
    const refusal = (by: string) => new RegExp(`UNDROP_RULE_NOT_EVALUATED: .*${by}: refuse`);
    // On 5.6 it was seen to know the size all the same.
    if (server.name !== 'mysql-5.6') {
      await expect(destroy('size_a')).rejects.toThrow(refusal('size>1T'));
    }
    await expect(destroy('t, age_a')).rejects.toThrow(refusal('age>1d'));
    await destroy('void_a');
    await destroy('t');
    const fates = tables.map((table) => fateOf(root, schema, table));
    expect(await Promise.all(fates)).toEqual(['live', 'live', 'gone', 'gone']);
    await root.query(`DROP USER ${account}`);
    await drop();
  });
});

function isFor({ name, flavour }: TestServer, on: Case['on']): boolean {
  return on === undefined || on === flavour || on === name;
}

async function fateOf(root: Session, schema: string, table: string): Promise<Fate> {
  if ((await root.tables(schema)).includes(table)) return 'live';
  const [row] = await root.rows<{ hours: string; year: number; there: number }>(
    `SELECT TIMESTAMPDIFF(SECOND, dropped_at, hold_until) / 3600 AS hours,
       YEAR(hold_until) AS year,
       (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '_undrop'
        AND TABLE_NAME = CONCAT('_vt_HOLD_', id, DATE_FORMAT(hold_until, '_%Y%m%d%H%i%s'))) AS there
     FROM _undrop.ledger WHERE schema_name = ? AND table_name = ?`,
    [schema, table],
  );
  if (row === undefined) return 'gone';
  expect(row.there).toBe(1);
  return row.year === 9999 ? 'pinned' : Math.round(Number(row.hours));
}

/**
 * UNDROP_RULES, UNDROP_MODE and hints, on live servers: a table of cases. What becomes of each
 * table is read from the server: live, gone, or held under a name that says for how long.
 */
import { expect } from '@jest/globals';
import type { ProxySettings } from '../../src/cli/settings.js';
import { parseRules } from '../../src/policy/rules.js';
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

/** Hours in HOLD of a table without rule and hint. */
const WEEK = 168;

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
  readonly settings?: Partial<ProxySettings>;
  readonly error?: RegExp;
  readonly fates: Readonly<Record<string, Fate>>;
  /** Fields of a line of the log. */
  readonly logs?: object;
  /** An event that no line of the log has. */
  readonly logsNo?: string;
  readonly on?: 'mariadb' | 'mysql-9.7';
  /** What is left in `@undrop`; default: nothing. */
  readonly hint?: string;
}

const DESTROY = { settings: { allowDestroy: 'users' } } as const;

/** `fates`: what becomes of each table, `t week, u 2, v gone`; numbers are hours of HOLD. */
function row(name: string, sql: string, fates: string, more: Partial<Case> = {}): Case {
  const each = fates.split(', ').filter((one) => one !== '');
  const known = each.map((one): [string, Fate] => {
    const at = one.lastIndexOf(' ');
    const fate = one.slice(at + 1).replace('week', `${WEEK}`);
    return [one.slice(0, at), /^\d/.test(fate) ? Number(fate) : (fate as Fate)];
  });
  return { name, sql, fates: Object.fromEntries(known), ...more };
}

const CASES: readonly Case[] = [
  row('no rule, no hint', 'DROP TABLE t', 't week'),
  row('rule now', 'DROP TABLE now_a', 'now_a 0', {
    logs: { event: 'held', table: 'now_a', because: 'rule *.now_*: now' },
  }),
  row('rule native', 'DROP TABLE native_a, native_b', 'native_a gone, native_b gone', {
    logs: { event: 'native', by: ['rule *.native_*: native', 'rule *.native_*: native'] },
  }),
  row('rule native beside a table that is held', 'DROP TABLE native_a, t', 'native_a 0, t week', {
    logs: { event: 'held', table: 'native_a', because: 'rule *.native_*: native' },
  }),
  row('rule hold', 'DROP TABLE t, short_a', 't week, short_a 1'),
  row('rule refuse', 'DROP TABLE t, refuse_a', 'refuse_a live, t live', {
    error: /UNDROP_RULE: Tables t, refuse_a were not dropped.*\*\.refuse_\*: refuse\./,
    logs: { code: 'UNDROP_RULE' },
  }),
  row('rule refuse, of what is not there', 'DROP TABLE IF EXISTS refuse_a', ''),
  row('rules by user', 'DROP TABLE user_a', 'user_a 2'),
  row('rules by size', 'DROP TABLE size_a', 'size_a 3'),
  row(
    'a rule by size, of a table that somebody fills while its drop waits',
    'DROP TABLE size_a',
    'size_a week',
    { waitsFor: 'size_a' },
  ),
  row(
    'a rule by size, of a table that somebody fills while its DROP DATABASE waits',
    'DROP DATABASE $schema',
    'size_a week, short_a 1',
    { tables: { size_a: 1, size_b: 1, short_a: 1 }, waitsFor: 'size_a' },
  ),
  row('rules by age, where the server knows it', 'DROP TABLE age_a', 'age_a 4', {
    on: 'mysql-9.7',
  }),
  row('rules by age, where it does not', 'DROP TABLE age_a', 'age_a week', { on: 'mariadb' }),
  row('rule for empty tables', 'DROP TABLE void_a, void_b', 'void_a 0, void_b week', {
    tables: { void_a: 0, void_b: 1 },
  }),
  row(
    'rule for empty tables, and a row that is not committed yet',
    'DROP TABLE void_a',
    'void_a week',
    { tables: { void_a: 0 }, before: ['START TRANSACTION', 'INSERT INTO void_a VALUES (1)'] },
  ),
  row('a name in backticks, with what ends a rule', 'DROP TABLE `a;b`', 'a;b 5'),
  row(
    'hint hold, in a comment',
    '/* a */ DROP /*undrop: hold=2d */ TABLE t, now_a -- b',
    't 48, now_a 48',
    { logs: { event: 'held', because: 'hint hold=2d' } },
  ),
  row('hint pin, over a rule native', 'DROP TABLE native_a /* Undrop: PIN */', 'native_a pinned'),
  row('hint now, where users may destroy', 'DROP TABLE t /*undrop:now*/', 't 0', DESTROY),
  row('hint now, where they may not', 'DROP TABLE t /*undrop:now*/', 't live', {
    error: /UNDROP_HINT_TOO_SHORT: Table t was not dropped.*the hint now .*is shorter than 1h/,
    logs: { code: 'UNDROP_HINT_TOO_SHORT' },
  }),
  row('a hint below the minimum in @undrop, which it uses up', 'DROP TABLE t', 't live', {
    before: ["SET @undrop = 'hold=59m'"],
    error: /UNDROP_HINT_TOO_SHORT: Table t .*the hint hold=59m /,
  }),
  row(
    'a hint below the minimum, by a prepared statement',
    'DROP TABLE t /* undrop: now */',
    't live',
    { via: 'execute', error: /UNDROP_HINT_TOO_SHORT/ },
  ),
  row('a hint below the minimum, by PREPARE', 'EXECUTE s', 't live', {
    before: ["PREPARE s FROM 'DROP TABLE t /* undrop: now */'"],
    error: /UNDROP_HINT_TOO_SHORT/,
  }),
  row(
    'a hint below the minimum, of a DROP DATABASE',
    'DROP DATABASE $schema /* undrop: now */',
    't live',
    { error: /UNDROP_HINT_TOO_SHORT: Schema .* and its tables were not dropped/ },
  ),
  row('a shorter UNDROP_HOLD is its own minimum', 'DROP TABLE t /* undrop: hold=30m */', 't 1', {
    settings: { hold: 1_800_000 },
  }),
  row('no hint, but a name', 'DROP TABLE `t/* undrop: now */`', 't/* undrop: now */ week'),
  row('a hint that is none', 'DROP TABLE t /* undrop: keep */', 't live', {
    error: /UNDROP_HINT: Table t was not dropped: expected the hint hold=7d .*found "keep"/,
  }),
  row('a hint that lacks its colon', 'DROP TABLE t /* undrop pin */', 't live', {
    error:
      /UNDROP_HINT.*expected the hint hold=7d .*, in \/\* undrop: … \*\/ or in @undrop, found "undrop pin"/,
  }),
  row('a comment that begins like one', 'DROP TABLE t /* undrop now holds this */', 't week'),
  row('a hint in the comment of a line', 'DROP TABLE t -- undrop: pin', 't live', {
    error: /UNDROP_HINT.*found "-- undrop: pin"/,
  }),
  row(
    'a hint of a table under a rule refuse',
    'DROP TABLE refuse_a /* undrop: pin */',
    'refuse_a live',
    { error: /UNDROP_RULE/ },
  ),
  row('hint in @undrop, for one drop', 'DROP TABLE u', 't pinned, u week', {
    before: ["SET @undrop = 'pin'", 'DROP TABLE t'],
  }),
  row('hint in @undrop, over a rule native', 'DROP TABLE native_a', 'native_a 72', {
    before: ["SET @undrop = 'hold=3d'"],
  }),
  row('a hint in @undrop that is none', 'DROP TABLE t', 't live', {
    before: ["SET @undrop = 'for ever'"],
    error: /UNDROP_HINT/,
  }),
  row('two hints that differ', 'DROP TABLE t /* undrop: now */', 't live', {
    before: ["SET @undrop = 'pin'"],
    error: /UNDROP_HINT.*now and pin/,
  }),
  row('hint destroy, where nobody may', 'DROP TABLE t /* undrop: destroy */', 't live', {
    error: /UNDROP_DESTROY: Table t was not dropped, still there/,
  }),
  row('hint destroy in @undrop, where nobody may', 'DROP TABLE t', 't live', {
    before: ["SET @undrop = 'destroy'"],
    error: /UNDROP_DESTROY/,
  }),
  row('hint destroy, where users may', 'DROP TABLE t, u /* undrop: destroy */', 't gone, u gone', {
    ...DESTROY,
    logs: { event: 'destroyed', user: 'root', statement: expect.stringMatching(/DROP TABLE t, u/) },
  }),
  row('hint destroy in @undrop, where users may', 'DROP TABLE u', 't gone, u week', {
    ...DESTROY,
    before: ["SET @undrop = 'destroy'", 'DROP TABLE t'],
  }),
  row(
    'hint destroy, under a rule refuse',
    'DROP TABLE t, refuse_a /* undrop: destroy */',
    't live, refuse_a live',
    { ...DESTROY, error: /UNDROP_RULE/ },
  ),
  row(
    'hint destroy, under a rule refuse by size that does not fit',
    'DROP TABLE size_a /* undrop: destroy */',
    'size_a gone',
    DESTROY,
  ),
  row(
    'hint destroy, under a rule refuse by age, where the server does not know it',
    'DROP TABLE age_a /* undrop: destroy */',
    'age_a live',
    {
      ...DESTROY,
      error: /UNDROP_RULE_NOT_EVALUATED: Table age_a was not dropped.*age>1d: refuse\./,
      on: 'mariadb',
    },
  ),
  row(
    'hint now, under a rule refuse by age, where the server does not know it',
    'DROP TABLE age_a /* undrop: now */',
    'age_a week',
    { ...DESTROY, on: 'mariadb' },
  ),
  row(
    'hints by prepared statements',
    'DROP TABLE t, native_a /* undrop: hold=1h */',
    't 1, native_a 1',
    { via: 'execute' },
  ),
  row('hint destroy by a prepared statement', 'DROP TABLE t /* undrop: destroy */', 't live', {
    ...DESTROY,
    via: 'execute',
    error: /UNDROP_DESTROY/,
  }),
  row('rules by a prepared statement', 'DROP TABLE short_a, native_a', 'short_a 1, native_a 0', {
    via: 'execute',
  }),
  row('hints by PREPARE', 'EXECUTE s', 't pinned', {
    before: ["PREPARE s FROM 'DROP TABLE t /* undrop: pin */'"],
  }),
  row(
    'hints in a query of several statements',
    'SELECT 1; /* undrop: pin */ DROP TABLE t; DROP TABLE native_a; DROP TABLE u',
    't pinned, u week, native_a gone',
  ),
  row(
    'rules in a DROP DATABASE',
    'DROP DATABASE $schema',
    'now_a 0, native_a 0, short_a 1, t week',
    { logs: { event: 'held', because: 'rule *.short_*: hold=1h' } },
  ),
  row('rule refuse in a DROP DATABASE', 'DROP DATABASE $schema', 't live, refuse_a live', {
    error: /UNDROP_RULE: Schema .* and its tables were not dropped/,
  }),
  row(
    'hint pin for a DROP DATABASE',
    'DROP DATABASE $schema /* undrop: pin */',
    't pinned, now_a pinned',
  ),
  row('an empty @undrop', 'DROP TABLE t', 't week', { before: ["SET @undrop = ' '"], hint: ' ' }),
  row('a temporary table under a rule native', 'DROP TABLE native_a', 'native_a live', {
    before: ['CREATE TEMPORARY TABLE native_a (b INT)'],
  }),
  row('no rule for the ledger', 'DROP TABLE _undrop.ledger', '', {
    settings: { rules: parseRules('*.*: native').rules },
    error: /UNDROP_RECYCLE_SCHEMA/,
  }),
  row('no hint for the ledger', 'DROP TABLE _undrop.ledger /* undrop: destroy */', '', {
    ...DESTROY,
    error: /UNDROP_RECYCLE_SCHEMA/,
  }),
  row('EXECUTE IMMEDIATE', "EXECUTE IMMEDIATE 'DROP TABLE t /* undrop: hold=1h */'", 't live', {
    error: /UNDROP_NOT_DONE_YET/,
    on: 'mariadb',
  }),
  row('a hint by @undrop is used up by a DROP DATABASE of no schema', 'DROP TABLE t', 't week', {
    ...DESTROY,
    before: ["SET @undrop = 'destroy'", 'DROP DATABASE IF EXISTS undrop_no_such_schema'],
  }),
  row(
    'a hint by @undrop is used up by a DROP DATABASE of no schema that fails',
    'DROP DATABASE undrop_no_such_schema',
    't live',
    { ...DESTROY, before: ["SET @undrop = 'destroy'"], error: /1008|doesn't exist/ },
  ),
  row(
    'mode observe',
    'DROP TABLE IF EXISTS t, $schema.refuse_a /* undrop: pin */',
    't gone, refuse_a gone',
    {
      settings: { mode: 'observe' },
      logs: { event: 'observed', tables: ['t', '$schema.refuse_a'] },
    },
  ),
  row('mode observe, a schema', 'DROP DATABASE $schema', 't gone', {
    settings: { mode: 'observe' },
    logs: { event: 'observed', tables: ['$schema.*'] },
  }),
  row('mode observe, by a prepared statement', 'DROP TABLE t', 't gone', {
    settings: { mode: 'observe' },
    via: 'execute',
    logs: { event: 'observed', tables: ['t'] },
  }),
  row('mode observe, what is undrop’s own', 'DROP TABLE _undrop.ledger', 't live', {
    settings: { mode: 'observe' },
    error: /UNDROP_RECYCLE_SCHEMA/,
    logsNo: 'observed',
  }),
  row('mode off', 'SELECT 1; DROP TABLE t', 't gone', { settings: { mode: 'off' } }),
];

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
    const ofFates = Object.fromEntries(Object.keys(one.fates).map((table) => [table, 1]));
    for (const [table, rows] of Object.entries(one.tables ?? ofFates)) {
      await root.query(`CREATE TABLE ${schema}.\`${table}\` (a INT) ENGINE=InnoDB`);
      if (rows > 0) await root.query(`INSERT INTO ${schema}.\`${table}\` VALUES (1)`);
    }
    await proxy.running.change({ ...proxy.settings, ...one.settings });
    const client = await connect(proxy, { database: schema, multipleStatements: true });
    lines.length = 0;
    await client.run(...(one.before ?? []));
    const other = await connect(server, { database: schema });
    if (one.waitsFor !== undefined) {
      await other.run('START TRANSACTION', `INSERT INTO ${one.waitsFor} VALUES (2)`);
    }
    const said = one.via === 'execute' ? client.execute(say(one.sql)) : client.query(say(one.sql));
    const saidAtMs = performance.now();
    if (one.waitsFor !== undefined) {
      await until(() => performance.now() - saidAtMs > 1_500, 'the drop has waited');
    }
    await other.query('COMMIT');
    await other.end();
    if (one.error === undefined) await said;
    else await expect(said).rejects.toThrow(one.error);
    const [[hint]] = (await client.query('SELECT @undrop AS hint')) as unknown as [[object]];
    expect(hint).toEqual({ hint: one.hint ?? null });
    await client.end();
    await intentsSettled(root, [schema]);
    for (const [table, fate] of Object.entries(one.fates)) {
      expect({ table, fate: await fateOf(root, schema, table) }).toEqual({ table, fate });
    }
    if (one.logs !== undefined) {
      const logs = JSON.parse(say(JSON.stringify(one.logs))) as object;
      const asked = JSON.stringify(one.logs).includes('$schema') ? logs : one.logs;
      expect(lines).toContainEqual(expect.objectContaining(asked));
    }
    if (one.logsNo !== undefined) {
      expect(lines).not.toContainEqual(expect.objectContaining({ event: one.logsNo }));
    }
    await drop();
  };

  for (const one of CASES.filter(({ on }) => isFor(server, on))) test(one.name, () => run(one));

  test('hint destroy of tables that the service account does not see', async () => {
    const { name: schema, drop } = await freshSchema(server, 'policy');
    const { password } = SERVICE_ACCOUNT;
    // 5.6 has 16 letters for it.
    const blind = schema.slice(-16);
    const account = `${blind}@'%'`;
    await root.query(`CREATE USER ${account} IDENTIFIED BY '${password}'`);
    await root.query(`GRANT PROCESS ON *.* TO ${account}`);
    await root.query(`GRANT ALL ON \`\\_undrop%\`.* TO ${account}`);
    const few = await proxyInFront(
      { ...server, user: blind, password },
      { RULES, ALLOW_DESTROY: 'users' },
    );
    const { user } = server;
    const client = await connect({ ...few, user, password: '' }, { database: schema });
    for (const table of ['size_a', 'age_a', 'void_a', 't']) {
      await root.query(`CREATE TABLE ${schema}.${table} (a INT)`);
    }
    const destroy = (table: string) => client.query(`DROP TABLE ${table} /*undrop:destroy*/`);
    // On 5.6 it was seen to know the size all the same.
    if (server.name !== 'mysql-5.6') {
      await expect(destroy('size_a')).rejects.toThrow(
        /UNDROP_RULE_NOT_EVALUATED: .*size>1T: refuse/,
      );
    }
    await expect(destroy('t, age_a')).rejects.toThrow(
      /UNDROP_RULE_NOT_EVALUATED: .*age>1d: refuse/,
    );
    await destroy('void_a');
    await destroy('t');
    const fates = ['size_a', 'age_a', 'void_a', 't'].map((table) => fateOf(root, schema, table));
    expect(await Promise.all(fates)).toEqual(['live', 'live', 'gone', 'gone']);
    await client.end();
    await few.stop();
    await root.query(`DROP USER ${account}`);
    await drop();
  });
});

function isFor({ name, flavour }: TestServer, on: Case['on']): boolean {
  return on === undefined || on === flavour || on === name;
}

async function fateOf(root: Session, schema: string, table: string): Promise<Fate> {
  const [live] = (await root.query(
    'SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [schema, table],
  )) as unknown as [unknown[]];
  if (live.length > 0) return 'live';
  const [held] = (await root.query(
    `SELECT TIMESTAMPDIFF(SECOND, dropped_at, hold_until) / 3600 AS hours,
       YEAR(hold_until) AS year,
       (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '_undrop'
        AND TABLE_NAME = CONCAT('_vt_HOLD_', id, DATE_FORMAT(hold_until, '_%Y%m%d%H%i%s'))) AS there
     FROM _undrop.ledger WHERE schema_name = ? AND table_name = ?`,
    [schema, table],
  )) as unknown as [{ hours: string; year: number; there: number }[]];
  const [row] = held;
  if (row === undefined) return 'gone';
  expect(row.there).toBe(1);
  return row.year === 9999 ? 'pinned' : Math.round(Number(row.hours));
}

/**
 * UNDROP_RULES, UNDROP_MODE and hints, on live servers: a table of cases. What becomes of each
 * table is read from the server: live, gone, or held under a name that says for how long.
 */
import { expect, jest } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import type { ProxySettings } from '../../src/cli/settings.js';
import { parseRules } from '../../src/policy/rules.js';
import { inLanes } from '../support/lanes.js';
import { testOnOne } from '../support/on-one-server.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, type TestServer, testServers } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { intentsSettled } from '../support/settled.js';

jest.setTimeout(240_000);

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
  /** `{ t: 1 }`: a table t with one row. */
  readonly tables: Readonly<Record<string, number>>;
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

const CASES: readonly Case[] = [
  { name: 'no rule, no hint', tables: { t: 1 }, sql: 'DROP TABLE t', fates: { t: WEEK } },
  {
    name: 'rule now',
    tables: { now_a: 1 },
    sql: 'DROP TABLE now_a',
    fates: { now_a: 0 },
    logs: { event: 'held', table: 'now_a', because: 'rule *.now_*: now' },
  },
  {
    name: 'rule native',
    tables: { native_a: 1, native_b: 1 },
    sql: 'DROP TABLE native_a, native_b',
    fates: { native_a: 'gone', native_b: 'gone' },
    logs: { event: 'native', by: ['rule *.native_*: native', 'rule *.native_*: native'] },
  },
  {
    name: 'rule native beside a table that is held',
    tables: { native_a: 1, t: 1 },
    sql: 'DROP TABLE native_a, t',
    fates: { native_a: 0, t: WEEK },
    logs: { event: 'held', table: 'native_a', because: 'rule *.native_*: native' },
  },
  {
    name: 'rule hold',
    tables: { short_a: 1, t: 1 },
    sql: 'DROP TABLE t, short_a',
    fates: { t: WEEK, short_a: 1 },
  },
  {
    name: 'rule refuse',
    tables: { refuse_a: 1, t: 1 },
    sql: 'DROP TABLE t, refuse_a',
    error: /UNDROP_RULE: Tables t, refuse_a were not dropped.*\*\.refuse_\*: refuse\./,
    fates: { refuse_a: 'live', t: 'live' },
    logs: { code: 'UNDROP_RULE' },
  },
  {
    name: 'rule refuse, of what is not there',
    tables: {},
    sql: 'DROP TABLE IF EXISTS refuse_a',
    fates: {},
  },
  {
    name: 'rules by user',
    tables: { user_a: 1 },
    sql: 'DROP TABLE user_a',
    fates: { user_a: 2 },
  },
  {
    name: 'rules by size',
    tables: { size_a: 1 },
    sql: 'DROP TABLE size_a',
    fates: { size_a: 3 },
  },
  {
    name: 'a rule by size, of a table that somebody fills while its drop waits',
    tables: { size_a: 1 },
    sql: 'DROP TABLE size_a',
    waitsFor: 'size_a',
    fates: { size_a: WEEK },
  },
  {
    name: 'a rule by size, of a table that somebody fills while its DROP DATABASE waits',
    tables: { size_a: 1, size_b: 1, short_a: 1 },
    sql: 'DROP DATABASE $schema',
    waitsFor: 'size_a',
    fates: { size_a: WEEK, short_a: 1 },
  },
  {
    name: 'rules by age, where the server knows it',
    tables: { age_a: 1 },
    sql: 'DROP TABLE age_a',
    fates: { age_a: 4 },
    on: 'mysql-9.7',
  },
  {
    name: 'rules by age, where it does not',
    tables: { age_a: 1 },
    sql: 'DROP TABLE age_a',
    fates: { age_a: WEEK },
    on: 'mariadb',
  },
  {
    name: 'rule for empty tables',
    tables: { void_a: 0, void_b: 1 },
    sql: 'DROP TABLE void_a, void_b',
    fates: { void_a: 0, void_b: WEEK },
  },
  {
    name: 'rule for empty tables, and a row that is not committed yet',
    tables: { void_a: 0 },
    before: ['START TRANSACTION', 'INSERT INTO void_a VALUES (1)'],
    sql: 'DROP TABLE void_a',
    fates: { void_a: WEEK },
  },
  {
    name: 'a name in backticks, with what ends a rule',
    tables: { 'a;b': 1 },
    sql: 'DROP TABLE `a;b`',
    fates: { 'a;b': 5 },
  },
  {
    name: 'hint hold, in a comment',
    tables: { t: 1, now_a: 1 },
    sql: '/* a */ DROP /*undrop: hold=2d */ TABLE t, now_a -- b',
    fates: { t: 48, now_a: 48 },
    logs: { event: 'held', because: 'hint hold=2d' },
  },
  {
    name: 'hint pin, over a rule native',
    tables: { native_a: 1 },
    sql: 'DROP TABLE native_a /* Undrop: PIN */',
    fates: { native_a: 'pinned' },
  },
  {
    name: 'hint now, where users may destroy',
    ...DESTROY,
    tables: { t: 1 },
    sql: 'DROP TABLE t /*undrop:now*/',
    fates: { t: 0 },
  },
  {
    name: 'hint now, where they may not',
    tables: { t: 1 },
    sql: 'DROP TABLE t /*undrop:now*/',
    error: /UNDROP_HINT_TOO_SHORT: Table t was not dropped.*the hint now .*is shorter than 1h/,
    fates: { t: 'live' },
    logs: { code: 'UNDROP_HINT_TOO_SHORT' },
  },
  {
    name: 'a hint below the minimum in @undrop, which it uses up',
    tables: { t: 1 },
    before: ["SET @undrop = 'hold=59m'"],
    sql: 'DROP TABLE t',
    error: /UNDROP_HINT_TOO_SHORT: Table t .*the hint hold=59m /,
    fates: { t: 'live' },
  },
  {
    name: 'a hint below the minimum, by a prepared statement',
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop: now */',
    via: 'execute',
    error: /UNDROP_HINT_TOO_SHORT/,
    fates: { t: 'live' },
  },
  {
    name: 'a hint below the minimum, by PREPARE',
    tables: { t: 1 },
    before: ["PREPARE s FROM 'DROP TABLE t /* undrop: now */'"],
    sql: 'EXECUTE s',
    error: /UNDROP_HINT_TOO_SHORT/,
    fates: { t: 'live' },
  },
  {
    name: 'a hint below the minimum, of a DROP DATABASE',
    tables: { t: 1 },
    sql: 'DROP DATABASE $schema /* undrop: now */',
    error: /UNDROP_HINT_TOO_SHORT: Schema .* and its tables were not dropped/,
    fates: { t: 'live' },
  },
  {
    name: 'a shorter UNDROP_HOLD is its own minimum',
    settings: { hold: 1_800_000 },
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop: hold=30m */',
    fates: { t: 1 },
  },
  {
    name: 'no hint, but a name',
    tables: { 't/* undrop: now */': 1 },
    sql: 'DROP TABLE `t/* undrop: now */`',
    fates: { 't/* undrop: now */': WEEK },
  },
  {
    name: 'a hint that is none',
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop: keep */',
    error: /UNDROP_HINT: Table t was not dropped: expected the hint hold=7d .*found "keep"/,
    fates: { t: 'live' },
  },
  {
    name: 'a hint that lacks its colon',
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop pin */',
    error:
      /UNDROP_HINT.*expected the hint hold=7d .*, in \/\* undrop: … \*\/ or in @undrop, found "undrop pin"/,
    fates: { t: 'live' },
  },
  {
    name: 'a comment that begins like one',
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop now holds this */',
    fates: { t: WEEK },
  },
  {
    name: 'a hint in the comment of a line',
    tables: { t: 1 },
    sql: 'DROP TABLE t -- undrop: pin',
    error: /UNDROP_HINT.*found "-- undrop: pin"/,
    fates: { t: 'live' },
  },
  {
    name: 'a hint of a table under a rule refuse',
    tables: { refuse_a: 1 },
    sql: 'DROP TABLE refuse_a /* undrop: pin */',
    error: /UNDROP_RULE/,
    fates: { refuse_a: 'live' },
  },
  {
    name: 'hint in @undrop, for one drop',
    tables: { t: 1, u: 1 },
    before: ["SET @undrop = 'pin'", 'DROP TABLE t'],
    sql: 'DROP TABLE u',
    fates: { t: 'pinned', u: WEEK },
  },
  {
    name: 'hint in @undrop, over a rule native',
    tables: { native_a: 1 },
    before: ["SET @undrop = 'hold=3d'"],
    sql: 'DROP TABLE native_a',
    fates: { native_a: 72 },
  },
  {
    name: 'a hint in @undrop that is none',
    tables: { t: 1 },
    before: ["SET @undrop = 'for ever'"],
    sql: 'DROP TABLE t',
    error: /UNDROP_HINT/,
    fates: { t: 'live' },
  },
  {
    name: 'two hints that differ',
    tables: { t: 1 },
    before: ["SET @undrop = 'pin'"],
    sql: 'DROP TABLE t /* undrop: now */',
    error: /UNDROP_HINT.*now and pin/,
    fates: { t: 'live' },
  },
  {
    name: 'hint destroy, where nobody may',
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop: destroy */',
    error: /UNDROP_DESTROY: Table t was not dropped, still there/,
    fates: { t: 'live' },
  },
  {
    name: 'hint destroy in @undrop, where nobody may',
    tables: { t: 1 },
    before: ["SET @undrop = 'destroy'"],
    sql: 'DROP TABLE t',
    error: /UNDROP_DESTROY/,
    fates: { t: 'live' },
  },
  {
    name: 'hint destroy, where users may',
    ...DESTROY,
    tables: { t: 1, u: 1 },
    sql: 'DROP TABLE t, u /* undrop: destroy */',
    fates: { t: 'gone', u: 'gone' },
    logs: { event: 'destroyed', user: 'root', statement: expect.stringMatching(/DROP TABLE t, u/) },
  },
  {
    name: 'hint destroy in @undrop, where users may',
    ...DESTROY,
    tables: { t: 1, u: 1 },
    before: ["SET @undrop = 'destroy'", 'DROP TABLE t'],
    sql: 'DROP TABLE u',
    fates: { t: 'gone', u: WEEK },
  },
  {
    name: 'hint destroy, under a rule refuse',
    ...DESTROY,
    tables: { t: 1, refuse_a: 1 },
    sql: 'DROP TABLE t, refuse_a /* undrop: destroy */',
    error: /UNDROP_RULE/,
    fates: { t: 'live', refuse_a: 'live' },
  },
  {
    name: 'hint destroy, under a rule refuse by size that does not fit',
    ...DESTROY,
    tables: { size_a: 1 },
    sql: 'DROP TABLE size_a /* undrop: destroy */',
    fates: { size_a: 'gone' },
  },
  {
    name: 'hint destroy, under a rule refuse by age, where the server does not know it',
    ...DESTROY,
    tables: { age_a: 1 },
    sql: 'DROP TABLE age_a /* undrop: destroy */',
    error: /UNDROP_RULE_NOT_EVALUATED: Table age_a was not dropped.*age>1d: refuse\./,
    fates: { age_a: 'live' },
    on: 'mariadb',
  },
  {
    name: 'hint now, under a rule refuse by age, where the server does not know it',
    ...DESTROY,
    tables: { age_a: 1 },
    sql: 'DROP TABLE age_a /* undrop: now */',
    fates: { age_a: WEEK },
    on: 'mariadb',
  },
  {
    name: 'hints by prepared statements',
    tables: { t: 1, native_a: 1 },
    sql: 'DROP TABLE t, native_a /* undrop: hold=1h */',
    via: 'execute',
    fates: { t: 1, native_a: 1 },
  },
  {
    name: 'hint destroy by a prepared statement',
    ...DESTROY,
    tables: { t: 1 },
    sql: 'DROP TABLE t /* undrop: destroy */',
    via: 'execute',
    error: /UNDROP_DESTROY/,
    fates: { t: 'live' },
  },
  {
    name: 'rules by a prepared statement',
    tables: { short_a: 1, native_a: 1 },
    sql: 'DROP TABLE short_a, native_a',
    via: 'execute',
    fates: { short_a: 1, native_a: 0 },
  },
  {
    name: 'hints by PREPARE',
    tables: { t: 1 },
    before: ["PREPARE s FROM 'DROP TABLE t /* undrop: pin */'"],
    sql: 'EXECUTE s',
    fates: { t: 'pinned' },
  },
  {
    name: 'hints in a query of several statements',
    tables: { t: 1, u: 1, native_a: 1 },
    sql: 'SELECT 1; /* undrop: pin */ DROP TABLE t; DROP TABLE native_a; DROP TABLE u',
    fates: { t: 'pinned', u: WEEK, native_a: 'gone' },
  },
  {
    name: 'rules in a DROP DATABASE',
    tables: { now_a: 1, native_a: 1, short_a: 1, t: 1 },
    sql: 'DROP DATABASE $schema',
    fates: { now_a: 0, native_a: 0, short_a: 1, t: WEEK },
    logs: { event: 'held', because: 'rule *.short_*: hold=1h' },
  },
  {
    name: 'rule refuse in a DROP DATABASE',
    tables: { t: 1, refuse_a: 1 },
    sql: 'DROP DATABASE $schema',
    error: /UNDROP_RULE: Schema .* and its tables were not dropped/,
    fates: { t: 'live', refuse_a: 'live' },
  },
  {
    name: 'hint pin for a DROP DATABASE',
    tables: { t: 1, now_a: 1 },
    sql: 'DROP DATABASE $schema /* undrop: pin */',
    fates: { t: 'pinned', now_a: 'pinned' },
  },
  {
    name: 'an empty @undrop',
    tables: { t: 1 },
    before: ["SET @undrop = ' '"],
    sql: 'DROP TABLE t',
    fates: { t: WEEK },
    hint: ' ',
  },
  {
    name: 'a temporary table under a rule native',
    tables: { native_a: 1 },
    before: ['CREATE TEMPORARY TABLE native_a (b INT)'],
    sql: 'DROP TABLE native_a',
    fates: { native_a: 'live' },
  },
  {
    name: 'no rule for the ledger',
    settings: { rules: parseRules('*.*: native').rules },
    tables: {},
    sql: 'DROP TABLE _undrop.ledger',
    error: /UNDROP_RECYCLE_SCHEMA/,
    fates: {},
  },
  {
    name: 'no hint for the ledger',
    ...DESTROY,
    tables: {},
    sql: 'DROP TABLE _undrop.ledger /* undrop: destroy */',
    error: /UNDROP_RECYCLE_SCHEMA/,
    fates: {},
  },
  {
    name: 'EXECUTE IMMEDIATE',
    tables: { t: 1 },
    sql: "EXECUTE IMMEDIATE 'DROP TABLE t /* undrop: hold=1h */'",
    error: /UNDROP_NOT_DONE_YET/,
    fates: { t: 'live' },
    on: 'mariadb',
  },
  {
    name: 'a hint by @undrop is used up by a DROP DATABASE of no schema',
    ...DESTROY,
    tables: { t: 1 },
    before: ["SET @undrop = 'destroy'", 'DROP DATABASE IF EXISTS undrop_no_such_schema'],
    sql: 'DROP TABLE t',
    fates: { t: WEEK },
  },
  {
    name: 'a hint by @undrop is used up by a DROP DATABASE of no schema that fails',
    ...DESTROY,
    tables: { t: 1 },
    before: ["SET @undrop = 'destroy'"],
    sql: 'DROP DATABASE undrop_no_such_schema',
    error: /1008|doesn't exist/,
    fates: { t: 'live' },
  },
  {
    name: 'mode observe',
    settings: { mode: 'observe' },
    tables: { t: 1, refuse_a: 1 },
    sql: 'DROP TABLE IF EXISTS t, $schema.refuse_a /* undrop: pin */',
    fates: { t: 'gone', refuse_a: 'gone' },
    logs: { event: 'observed', tables: ['t', '$schema.refuse_a'] },
  },
  {
    name: 'mode observe, a schema',
    settings: { mode: 'observe' },
    tables: { t: 1 },
    sql: 'DROP DATABASE $schema',
    fates: { t: 'gone' },
    logs: { event: 'observed', tables: ['$schema.*'] },
  },
  {
    name: 'mode observe, by a prepared statement',
    settings: { mode: 'observe' },
    tables: { t: 1 },
    sql: 'DROP TABLE t',
    via: 'execute',
    fates: { t: 'gone' },
    logs: { event: 'observed', tables: ['t'] },
  },
  {
    name: 'mode observe, what is undrop’s own',
    settings: { mode: 'observe' },
    tables: { t: 1 },
    sql: 'DROP TABLE _undrop.ledger',
    error: /UNDROP_RECYCLE_SCHEMA/,
    fates: { t: 'live' },
    logsNo: 'observed',
  },
  {
    name: 'mode off',
    settings: { mode: 'off' },
    tables: { t: 1 },
    sql: 'SELECT 1; DROP TABLE t',
    fates: { t: 'gone' },
  },
];

inLanes(testServers(), 'on $name', (server, lane) => {
  const { afterAll, beforeAll } = lane;
  const test = testOnOne(server, lane);
  const lines: object[] = [];
  const note = (fields: object, msg: string) => lines.push({ ...fields, msg });
  let proxy: Awaited<ReturnType<typeof proxyInFront>>;
  let root: Connection;

  beforeAll(async () => {
    const log = { debug: () => undefined, info: note, warn: note, error: note };
    proxy = await proxyInFront(server, { RULES }, log);
    root = await connect(server, { multipleStatements: true });
  });

  afterAll(async () => {
    await proxy.stop();
    await root.end();
  });

  const run = async (one: Case) => {
    const { name: schema, drop } = await freshSchema(server, 'policy');
    const say = (text: string) => text.replaceAll('$schema', schema);
    for (const [table, rows] of Object.entries(one.tables)) {
      await root.query(`CREATE TABLE ${schema}.\`${table}\` (a INT) ENGINE=InnoDB`);
      if (rows > 0) await root.query(`INSERT INTO ${schema}.\`${table}\` VALUES (1)`);
    }
    await proxy.running.change({ ...proxy.settings, ...one.settings });
    const client = await connect(proxy, { database: schema, multipleStatements: true });
    lines.length = 0;
    for (const text of one.before ?? []) await client.query(text);
    const other = await connect(server, { database: schema });
    if (one.waitsFor !== undefined) {
      await other.query('START TRANSACTION');
      await other.query(`INSERT INTO ${one.waitsFor} VALUES (2)`);
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

  for (const one of CASES.filter(({ on }) => isFor(server, on))) {
    test(one.name, () => run(one));
  }

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

async function fateOf(root: Connection, schema: string, table: string): Promise<Fate> {
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

/**
 * Triggers that a service account of the tier managed may not make again, on real servers: their
 * tables move as any other, a schema with them can be dropped, and they come back by the session of
 * a user who may make them, or by the statements that undrop keeps; until then the status says so.
 */
import { inspect } from 'node:util';
import { expect } from '@jest/globals';
import type { ResultSetHeader } from 'mysql2/promise';
import { restore } from '../../src/restore/restore.js';
import { restoreSchema } from '../../src/restore/schema/restore-schema.js';
import { definitionsOfSchema } from '../../src/steps/definitions-to-make.js';
import type { UserFacts } from '../../src/steps/world.js';
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop } from '../support/proxy.js';
import { connect, generalLog, query, type Session, type Target } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { relocationsSettled } from '../support/settled.js';
import { tappedPool } from '../support/tapped-pool.js';
import { wireTap } from '../support/wire-tap.js';
import { ledgerRowOf } from './service-fixture.js';

const USER = 'undrop_managed';
/** Two of one event, in an order that isn't that of their names; one of a definer who is gone. */
const OTHERS = ['first', 'gone', 'second'];

onServers('triggers of a managed account on $name', (server, on) => {
  const { afterAll, beforeAll, beforeEach, test } = on;
  const isOld = server.name === 'mysql-5.6';
  /** In the order in which they are made: each event's in its own, as the server sorts events. */
  const inOrder: string =
    { 'mysql-9.7': 'second, gone, first', 'mysql-5.6': 'gone, first, second' }[server.name] ??
    'gone, second, first';
  const managed: Target = { ...server, user: USER, password: SERVICE_ACCOUNT.password };
  let name = '';
  const run = (...texts: readonly string[]) => root.run(...texts);
  const trust = (isTrusted: boolean) =>
    run(`SET GLOBAL log_bin_trust_function_creators = ${isTrusted ? 1 : 0}`);

  const root = on.session();
  afterAll(async () => {
    await trust(false);
    await run(`DROP USER ${USER}@'%'`);
    await freshLedger(server);
  });
  beforeAll(async () => {
    await makeServiceAccount(server, { user: USER, tier: 'managed' });
    await trust(true);
  });
  on.account('mt_plain', { password: 'plain', grants: ['ALL ON `mt\\_%`.*'] });
  const proxy = on.proxy({}, { upstream: managed });
  const pool = on.open(() => poolOn(managed));
  beforeEach(() => freshLedger(server));
  const schema = on.each.schema('mt');
  beforeEach(async () => {
    ({ name } = schema);
    const events = isOld ? ['BEFORE UPDATE', 'BEFORE INSERT'] : ['BEFORE INSERT', 'BEFORE INSERT'];
    await run(
      `USE ${name}`,
      "SET sql_mode = 'ANSI_QUOTES'",
      'CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))',
      "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
      `CREATE TRIGGER "second" ${events[0]} ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '1')`,
      `CREATE TRIGGER ${name}.first ${events[1]} ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '2')`,
      'CREATE DEFINER=gone@nowhere TRIGGER gone AFTER DELETE ON t FOR EACH ROW SET @x = OLD.id',
      'CREATE TABLE plain (id INT)',
      // The server writes the table's name anew when it renames one.
      'RENAME TABLE t TO t0',
      'RENAME TABLE t0 TO t',
      "SET sql_mode = ''",
    );
  });

  const select = (text: string, on = root) => on.rows(text);
  /** All that the server says of the triggers, but the time. */
  const shown = async (): Promise<readonly unknown[]> => {
    const rows = await select(`SHOW TRIGGERS FROM ${name}`);
    const created: unknown[] = [];
    for (const { Trigger: trigger } of rows) {
      const [row = {}] = await select(`SHOW CREATE TRIGGER ${name}.\`${trigger}\``);
      created.push({ ...row, Created: null });
    }
    return [...rows.map((row) => ({ ...row, Created: null })), ...created];
  };
  const names = async () => (await root.column(`SHOW TRIGGERS FROM ${name}`)).sort();
  const client = (user = server.user, password = server.password, database?: string) =>
    connect({ ...proxy, user, password }, database === undefined ? {} : { database });
  const say = async (texts: readonly string[], session?: Session) => {
    const talker = session ?? (await client(server.user, server.password, name));
    for (const text of texts) await talker.query(text);
    const warnings = await select('SHOW WARNINGS', talker);
    if (session === undefined) await talker.end();
    return warnings.map(({ Message: message }) => String(message)).join(' ');
  };
  const outcome = async () => {
    const read = () => ledgerRowOf(root, { schema: name, table: 't' });
    await until(async () => (await read())?.['restore_script'] != null, 'the outcome');
    return read();
  };
  const status = () => runUndrop(server, ['status']);
  /** The end of a DROP DATABASE is written after its answer. */
  const schemaDropEnded = async () => {
    const ended = "SELECT 1 FROM _undrop.ledger WHERE kind = 'schema' AND state = 'removed'";
    return (await query(server, ended)).length > 0;
  };

  test('a table with them is held as any other, and nothing tries to make them', async () => {
    await using log = await generalLog(server);
    const session = await client(server.user, server.password, name);
    const [row] = await select('EXPLAIN DROP TABLE t', session);
    const [ok] = await session.query<ResultSetHeader>('DROP TABLE t');
    await session.end();
    for (const said of [String(row?.['What']), ok.info]) {
      expect(said).toContain('its triggers come back by UNDROP of a user who may create them');
    }
    await relocationsSettled(root, [name]);
    expect(await outcome()).toMatchObject({ relocated: 1, hold_schema: '_undrop', todo: null });
    expect(await names()).toEqual([]);
    expect(await select(`SHOW TABLES FROM ${name} LIKE '%hold%'`)).toEqual([]);
    const sent = (await log.read()).map(({ text }) => text);
    expect(sent.filter((text) => /^CREATE .*TRIGGER/is.test(text))).toEqual([]);
  });

  test('a session whose user may makes them as they were, and keeps its settings', async () => {
    const before = await shown();
    const session = await client(server.user, server.password, name);
    const settings = `SELECT @@sql_mode, @@character_set_client, @@collation_connection,
      @@character_set_results, @@lock_wait_timeout, DATABASE()`;
    await session.query("SET NAMES latin1 COLLATE latin1_bin, sql_mode = 'ANSI_QUOTES'");
    const own = await select(settings, session);
    await session.query('DROP TABLE t');
    const [ok] = await session.query('UNDROP TABLE t');
    expect(ok).toMatchObject({ warningStatus: 0 });
    expect(await select(settings, session)).toEqual(own);
    await session.end();
    expect(await shown()).toEqual(before);
    expect(await ledgerRowOf(root, { schema: name, table: 't' })).toMatchObject({ todo: null });
    await run(`INSERT INTO ${name}.t VALUES (3, 'x')`);
    const [row] = await select(`SELECT v FROM ${name}.t WHERE id = 3`);
    expect(row).toEqual({ v: isOld ? 'x2' : 'x12' });
    expect((await status()).code).toBe(0);
  });

  test('so does one without a default schema', async () => {
    const session = await client();
    await say([`DROP TABLE ${name}.t`, `UNDROP TABLE ${name}.t TO ${name}.u`], session);
    const [{ db } = { db: '' }] = await select('SELECT DATABASE() AS db', session);
    await session.end();
    expect(db).toBe(null);
    expect(await names()).toEqual(OTHERS);
    await run(`INSERT INTO ${name}.u VALUES (3, 'x')`);
    const [row] = await select(`SELECT v FROM ${name}.u WHERE id = 3`);
    expect(row).toEqual({ v: isOld ? 'x2' : 'x12' });
    // And they are taken off again.
    await say([`DROP TABLE ${name}.u`]);
    await relocationsSettled(root, [name]);
    expect(await names()).toEqual([]);
  });

  test('where the user may not, a warning and the status name them until they are back', async () => {
    const session = await client('mt_plain', 'plain', name);
    const warning = await say(['DROP TABLE t', 'UNDROP TABLE t'], session);
    await session.end();
    expect(warning).toContain(`${name}.t: without its triggers ${inOrder}`);
    const id = String((await outcome())?.['id']);
    expect(warning).toContain(`undrop show --sql ${id}`);
    expect(await select(`SELECT COUNT(*) AS n FROM ${name}.t`)).toEqual([{ n: 2 }]);
    const { code, stdout } = await status();
    expect(code).toBe(1);
    expect(stdout).toContain(`${name}.t lacks ${inOrder};`);
    const script = await runUndrop(server, ['show', '--sql', id]);
    expect(script).toMatchObject({ code: 0, stderr: '' });
    const plain = dumpTools(server).client as CliName;
    const how = connectionOptions(plain);
    const made = await runClient(plain, server, how, { input: script.stdout });
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect(await names()).toEqual(OTHERS);
    expect((await status()).code).toBe(0);
  });

  test('a restore by an account that may not prints them; one that may finishes it', async () => {
    const before = await shown();
    await say(['DROP TABLE t']);
    const report = await restore(pool, { target: `${name}.t` });
    expect(report.triggers.map(({ isMissing }) => isMissing)).toEqual([true, true, true]);
    for (const trigger of OTHERS) expect(report.triggersToMake).toContain(trigger);
    expect((await status()).code).toBe(1);
    const full = poolOn({ ...server, ...SERVICE_ACCOUNT });
    const again = await restore(full, { target: `${name}.t` });
    await full.dispose();
    expect(again).toMatchObject({ wasBack: true, triggersToMake: null });
    expect(await shown()).toEqual(before);
    expect((await status()).code).toBe(0);
  });

  test('a restore without them exits with 1, and the UNDROP that it names adds them', async () => {
    const before = await shown();
    // An older table of that name stays held.
    await run('RENAME TABLE t TO t0', 'CREATE TABLE t (id INT)');
    await say(['DROP TABLE t']);
    await run('RENAME TABLE t0 TO t');
    await say(['DROP TABLE t']);
    const variables = { USER, PASSWORD: SERVICE_ACCOUNT.password };
    const { code, stderr } = await runUndrop(server, ['restore', `${name}.t`], variables);
    const lacks = inOrder.replaceAll(/\w+/g, 'trigger $&');
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`  ${name}.t: ${lacks}; UNDROP TABLE ${name}.t adds them: `),
    ]);
    expect(stderr).toContain('with the tier full (`undrop init --tier full`)');
    expect(await say([`UNDROP TABLE ${name}.t`])).toBe('');
    expect(await shown()).toEqual(before);
    expect((await status()).code).toBe(0);
    const doctor = await runUndrop(server, ['doctor'], variables);
    expect(doctor.stdout).toContain('the tier full restores them: `undrop init --tier full`');
  });

  test('a restore beside the outcome of its drop is marked, and so is what it lacks', async () => {
    const todos: unknown[] = [];
    let isMarking = false;
    const row = () => ledgerRowOf(root, { schema: name, table: 't' });
    await using tap = await wireTap(managed, async ({ moment, command }) => {
      if (moment !== 'before statement') return true;
      const text = command.toString('latin1');
      if (text.includes('UPDATE /* undrop outcome ')) {
        await until(() => isMarking, 'the restore has read the intent');
      }
      if (text.includes('UPDATE /* undrop restore ') && !isMarking) {
        isMarking = true;
        await until(async () => (await row())?.['state'] === 'HOLD', 'the outcome is written');
      }
      if (text.includes('RENAME /* undrop put-back ')) todos.push((await row())?.['todo']);
      return true;
    });
    await using tapped = await proxyInFront({ ...managed, ...tap });
    const session = await connect(
      { ...tapped, user: 'mt_plain', password: 'plain' },
      { database: name },
    );
    const warning = await say(['DROP TABLE t', 'UNDROP TABLE t'], session);
    await session.end();
    expect(warning).toContain(`${name}.t: without its triggers ${inOrder}`);
    expect(todos).toEqual(['restoring']);
    expect(await row()).toMatchObject({ state: 'restored', todo: 'triggers' });
    expect(await say([`UNDROP TABLE ${name}.t`])).toBe('');
    expect(await names()).toEqual(OTHERS);
  });

  test('a table that was created after such a restore gets none of them', async () => {
    await say(['DROP TABLE t']);
    await outcome();
    await restore(pool, { target: `${name}.t` });
    for (const made of [[], ['CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))']]) {
      await say([...made, 'DROP TABLE t']);
      await outcome();
    }
    expect((await status()).stdout).not.toContain('lacks');
    expect(await say(['UNDROP TABLE t'])).toBe('');
    expect(await names()).toEqual([]);
  });

  test('one whose name another has taken is not asked of the server, and not waited for', async () => {
    await say(['DROP TABLE t']);
    await outcome();
    await run(
      `CREATE TRIGGER ${name}.first BEFORE INSERT ON ${name}.plain FOR EACH ROW SET @x = 1`,
    );
    const log = await generalLog(server);
    const full = poolOn({ ...server, ...SERVICE_ACCOUNT });
    const { triggers } = await restore(full, { target: `${name}.t` });
    await full.dispose();
    const sent = (await log.read()).map(({ text }) => text);
    await log.stop();
    const problems = triggers.flatMap(({ name: trigger, problem }) => (problem ? [trigger] : []));
    expect(problems).toEqual(['first']);
    expect(sent.filter((text) => /^CREATE .*TRIGGER.*first/im.test(text))).toEqual([]);
    expect((await status()).code).toBe(0);
  });

  test('a schema with them is dropped, and comes back whole', async () => {
    const before = await shown();
    const session = await client(server.user, server.password, name);
    await session.query(`DROP DATABASE ${name}`);
    expect(await select(`SHOW DATABASES LIKE '${name}'`)).toEqual([]);
    const [ok] = await session.query(`UNDROP DATABASE ${name}`);
    expect(ok).toMatchObject({ warningStatus: 0 });
    await session.end();
    // The session has no default schema by then, so the names have theirs.
    const plain = (row: unknown) =>
      JSON.stringify(row).replaceAll(`\`${name}\`.`, '').replaceAll(`${name}.`, '');
    expect((await shown()).map(plain)).toEqual(before.map(plain));
    expect((await status()).code).toBe(0);
  });

  test('a schema that comes back without them says so', async () => {
    await say([`DROP DATABASE ${name}`]);
    await until(schemaDropEnded, 'its end');
    const report = await restoreSchema(pool, { schema: name });
    expect(report.isComplete).toBe(false);
    const problems = report.tables.flatMap((table) => table.problems).join(' ');
    expect(problems).toContain(`without its triggers ${inOrder}`);
    expect(problems).toContain('undrop show --sql');
    expect((await status()).code).toBe(1);
    const warning = await say([`UNDROP DATABASE ${name}`]);
    expect(warning).toBe('');
    expect(await names()).toEqual(OTHERS);
    expect((await status()).code).toBe(0);
  });

  const other = on.each.schema('mt');

  test('restores read nothing of other tables that lack some, and ask nothing about them', async () => {
    await run(
      `CREATE TABLE ${name}.p (id INT PRIMARY KEY)`,
      `CREATE TABLE ${name}.c (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES ${name}.p (id))`,
      `CREATE TRIGGER ${name}.of_c BEFORE INSERT ON ${name}.c FOR EACH ROW SET @x = 1`,
      `CREATE TABLE ${other.name}.u (id INT)`,
      `CREATE TRIGGER ${other.name}.of_u BEFORE INSERT ON ${other.name}.u FOR EACH ROW SET @x = 1`,
    );
    await say(['DROP TABLE t', 'DROP TABLE c']);
    for (const table of ['t', 'c']) await restore(pool, { target: `${name}.${table}` });
    const lacking = "SELECT id FROM _undrop.ledger WHERE todo = 'triggers' ORDER BY id";
    const [t = '', c = '', ...none] = (await root.column(lacking)).map(String);
    expect([t.length, c.length, none]).toEqual([32, 32, []]);
    await say(['DROP TABLE plain', 'SET foreign_key_checks = 0', 'DROP TABLE p']);
    await say([`DROP DATABASE ${other.name}`]);
    await until(schemaDropEnded, 'its end');
    /** All that is sent, and all that comes. */
    const seen: string[] = [];
    const tapped = tappedPool(pool, async (send, texts) => {
      const answers = await send();
      const whole = { depth: null, maxArrayLength: null, maxStringLength: null };
      seen.push(...texts, inspect(answers, whole));
      return answers;
    });
    const seenOf = (id: string) => {
      return seen.flatMap((text) => (text.includes(id) ? [text.slice(0, 200)] : []));
    };
    await restore(tapped, { target: `${name}.plain` });
    const report = await restoreSchema(tapped, { schema: other.name });
    const facts = { schema: other.name, logged: true } as UserFacts;
    const made = await definitionsOfSchema(tapped, report, facts);
    expect(made.map(({ create }) => create.toString())).toEqual([expect.stringContaining('of_u')]);
    expect([seenOf(t), seenOf(c)]).toEqual([[], []]);
    // A key may wait for this one.
    await restore(tapped, { target: `${name}.p` });
    expect([seenOf(t).length, seenOf(c).length > 0]).toEqual([0, true]);
  });

  test('a DROP DATABASE that fails at its end puts them back by its own session', async () => {
    const before = await shown();
    const reader = await connect(server, { database: name });
    await run(`CREATE VIEW ${name}.seen AS SELECT 1 AS one`);
    await reader.run('BEGIN', 'SELECT * FROM seen');
    const session = await client(server.user, server.password, name);
    await session.query('SET lock_wait_timeout = 1');
    const failed = await session.query(`DROP DATABASE ${name}`).then(
      () => null,
      ({ errno }: { errno: number }) => errno,
    );
    await reader.end();
    await session.end();
    expect(failed).toBe(1205);
    expect(await shown()).toEqual(before);
    expect((await status()).code).toBe(0);
  });

  test('with the binary log they stay where DROP TRIGGER takes SUPER, and the drop says what to do', async () => {
    await trust(false);
    try {
      const isNew = server.name === 'mysql-9.7';
      await say(['DROP TABLE t']);
      if (isNew) await relocationsSettled(root, [name]);
      const held = await outcome();
      expect(held?.['relocated']).toBe(isNew ? 1 : 0);
      expect(held?.['todo']).toBe(isNew ? null : 'blocked_by_triggers');
      await restore(pool, { target: `${name}.t` });
      const session = await client();
      const [explained] = await select(`EXPLAIN DROP DATABASE ${name}`, session);
      await session.end();
      const dropped = await say([`DROP DATABASE ${name}`]).catch(({ message }: Error) => message);
      if (isNew) return;
      expect(explained?.['What']).toMatch(
        /^not dropped: its table t cannot be moved out of it .*SUPER/,
      );
      expect(dropped).toMatch(/SUPER.*drop those triggers; then drop the schema/s);
      expect(await names()).toEqual(OTHERS);
    } finally {
      await trust(true);
    }
  });

  test('a proxy that dies before its session has made them leaves the status to say so', async () => {
    await say(['DROP TABLE t']);
    await restore(pool, { target: `${name}.t` });
    await query(server, `DROP TRIGGER IF EXISTS ${name}.none`);
    const { code, stdout } = await status();
    expect([code, stdout.includes('lacks')]).toEqual([1, true]);
    // A table that is gone lacks nothing.
    await say(['DROP TABLE t']);
    expect((await status()).code).toBe(0);
  });
});

/**
 * The program behind a drop, and the rules for agents, on live servers: who it was, drops that an
 * operator has to allow, and holds that nobody ends before their time.
 */
import * as rig from '../collector/collecting.js';
import { askConsole, OPERATOR, PASSWORD } from '../support/console.js';
import { inLanes } from '../support/lanes.js';
import { inHooks, onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { reloadBySignal, runUndrop, spawnProxy, type Variables } from '../support/proxy.js';
import { openRelay } from '../support/relay.js';
import { PAIRS, startPair } from '../support/replica-pair.js';
import { sample } from '../support/sample.js';
import { connect, type Session, type Target } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

const RULES = `*.kept_*: lock=90d; *.* program=robot*: ask; *.* tag=agent=cl*: ask;
  *.* tag=careful: hold=20d; *.gone_*: now; *.big_* size>1T: lock=90d; *.void_* empty: ask`;

onServers('rules for agents on $name', (server, on) => {
  const { test } = on;
  on.freshLedger();
  const schema = on.each.schema('agents');
  const account = on.each.accounts(PASSWORD);
  const variables: Variables = {
    ...{ RULES, MIN_HOLD: '0s', ALLOW_DESTROY: 'users', CHECK_INTERVAL: '1h' },
    ...{ CONSOLE: 'on', ADMIN_LISTEN: '127.0.0.1:0' },
    PROTECT: 'drop-table,drop-database,create-or-replace,truncate-where-possible,drop-partition',
  };
  const proxy = on.open(() => spawnProxy(server, variables));
  const root = on.session();

  const undrop = (...args: readonly string[]) => runUndrop(server, args);
  const from = (program: string, to: Target = proxy): Promise<Session> => {
    const connectAttributes = { program_name: program, _pid: '7' };
    return connect(to, { database: schema.name, connectAttributes });
  };
  const make = async (...tables: readonly string[]) => {
    for (const table of tables) {
      const name = `${schema.name}.${table}`;
      await root.run(`CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
    }
  };
  const requestIn = (message = '') => /`undrop allow ([0-9a-f]{32})`/.exec(message)?.[1] ?? '';
  const row = async (table: string) => {
    await intentsSettled(root, [schema.name]);
    const [found] = await root.rows(`SELECT id, state, program, client_details AS said,
      TIMESTAMPDIFF(DAY, dropped_at, locked_until) AS locked, hold_name AS name,
      TIMESTAMPDIFF(DAY, dropped_at, hold_until) AS days FROM _undrop.ledger
      WHERE schema_name = '${schema.name}' AND table_name = '${table}' ORDER BY id DESC LIMIT 1`);
    return found as unknown as Readonly<Record<'id' | 'name' | 'said', string>>;
  };

  test('the program of a drop is in ledger, lists and history, and selects', async () => {
    await make('a', 'b', 'c');
    await using one = await from('one');
    await using other = await connect(proxy, { database: schema.name });
    await one.run("DROP TABLE a /* controller='x',agent='me' */", 'DROP VIEW IF EXISTS v');
    await other.run('DROP TABLE b');
    expect(await row('a')).toMatchObject({ program: 'one' });
    const { said } = await row('a');
    expect(JSON.parse(said)).toEqual({
      attributes: expect.objectContaining({ program_name: 'one', _pid: '7' }),
      tags: { controller: 'x', agent: 'me' },
    });
    expect(await row('b')).toMatchObject({ program: 'Node-MySQL-2' });
    const shown = await one.rows("SHOW FULL DROPPED TABLES BY PROGRAM 'ONE' BY 'root'");
    expect(shown.map((line) => [line['Table'], line['Program']])).toEqual([['a', 'one']]);
    const { stdout } = await undrop('list', '--program', 'one', '--json');
    expect(JSON.parse(stdout)).toEqual([expect.objectContaining({ table: 'a', program: 'one' })]);
    expect((await undrop('show', `${schema.name}.a`)).stdout).toMatch(/by +root from .* \(one\)/);
    await root.run(`DROP TABLE IF EXISTS ${schema.name}.nothing`);
    const since = "SINCE '1 hour ago' BY PROGRAM 'one'";
    await one.run(`UNDROP ALL FROM ${schema.name} ${since}`);
    expect(await root.tables(schema.name)).toEqual(['a', 'c']);
    const who = "SELECT who FROM _undrop.history WHERE event = 'restored'";
    await until(async () => (await root.column(who)).join().endsWith('(one)'), 'it is recorded');
  });

  test('a rule asks an operator, and one answer is for one statement of one account', async () => {
    await make('a', 'b', 'gone_a');
    await account('somebody', `ALL ON ${schema.name}.*`);
    await using robot = await from('robot 2');
    await using somebody = await from('robot', { ...proxy, user: 'somebody', password: PASSWORD });
    await using plain = await from('people');
    const refused = await robot.errorOf('DROP TABLE a');
    expect(refused).toMatchObject({ errno: 1142, sqlState: '42000' });
    expect(refused?.message).toMatch(/asks an operator first: .*still there|still there: .* asks/);
    const request = requestIn(refused?.message);
    expect(requestIn((await robot.errorOf('DROP TABLE a'))?.message)).toBe(request);
    expect((await undrop('allow')).stdout).toContain(request);
    expect(await undrop('allow', request)).toMatchObject({ code: 0, stderr: '' });
    // Neither another text, nor another account, nor another schema, nor a hint.
    for (const [who, text] of [
      [robot, 'DROP TABLE b'],
      [robot, 'DROP TABLE  a'],
      [robot, 'DROP TABLE a -- agent\n'],
      [robot, 'DROP TABLE a /* undrop: destroy */'],
      [somebody, 'DROP TABLE a'],
    ] as const) {
      expect(requestIn((await who.errorOf(text))?.message)).not.toMatch(
        new RegExp(`^$|${request}`),
      );
    }
    await robot.run("SET @undrop = 'now'");
    expect((await robot.errorOf('DROP TABLE a'))?.message).toMatch(/UNDROP_ASK/);
    // A name that there is not, and a table of its own, are no operator's matter.
    await robot.run('DROP TABLE IF EXISTS missing', 'CREATE TEMPORARY TABLE own (a INT)');
    await robot.run('DROP TABLE own', 'DROP TABLE a');
    expect(await row('a')).toMatchObject({ state: 'HOLD', program: 'robot 2' });
    const held = "SELECT details FROM _undrop.history WHERE event = 'held'";
    const isSaid = (text: string) => /program=robot\*: ask, allowed by .* as /.test(text);
    await until(async () => (await root.column(held)).some(isSaid), 'the history says who');
    await make('a');
    expect((await robot.errorOf('DROP TABLE a'))?.message).toMatch(/UNDROP_ASK/);
    expect((await robot.errorOf('DROP TABLE gone_a'))?.message).toMatch(/UNDROP_ASK/);
    // Who gives no such name is not asked.
    await plain.run('DROP TABLE gone_a');
    expect((await plain.errorOf("DROP TABLE b /*agent='claude'*/"))?.message).toMatch(/UNDROP_ASK/);
    await plain.run("DROP TABLE b /*careful='1'*/");
    expect(await row('b')).toMatchObject({ days: 20, locked: null });
  });

  test('it asks before each way to drop, also for what can not be held', async () => {
    await make('a', 'b');
    await root.query(`CREATE TABLE ${schema.name}.parts (id INT) PARTITION BY RANGE (id)
      (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))`);
    await using robot = await from('robot');
    const isMaria = server.name.startsWith('mariadb');
    for (const text of [
      'TRUNCATE TABLE a',
      'DROP TABLE b, a',
      `DROP DATABASE ${schema.name}`,
      'ALTER TABLE parts DROP PARTITION p0',
      'DROP TABLE a /* undrop: destroy */',
      ...(isMaria ? ['CREATE OR REPLACE TABLE a (b INT)'] : []),
    ]) {
      expect({ text, ...(await robot.errorOf(text)) }).toMatchObject({
        ...{ text, errno: 1142, message: expect.stringMatching(/undrop allow [0-9a-f]{32}`/) },
      });
    }
    const prepared = robot.execute('DROP TABLE a');
    await expect(prepared).rejects.toThrow(/UNDROP_ASK/);
    // Its table is that of its PREPARE.
    await root.run(`CREATE DATABASE ${schema.name}_2`, `CREATE TABLE ${schema.name}_2.a (id INT)`);
    await robot.run(`USE ${schema.name}_2`);
    const asked = requestIn((await robot.errorOf('DROP TABLE a'))?.message);
    await robot.run(`USE ${schema.name}`);
    const elsewhere = await robot.prepare('DROP TABLE a');
    await robot.run(`USE ${schema.name}_2`);
    expect(await undrop('allow', asked)).toMatchObject({ code: 0 });
    await expect(elsewhere.execute([])).rejects.toThrow(/UNDROP_ASK/);
    await robot.run(
      'DROP TABLE a',
      `USE ${schema.name}`,
      `DROP DATABASE IF EXISTS ${schema.name}_2`,
    );
    const plan = await robot.rows('EXPLAIN DROP TABLE a');
    expect(plan[0]?.['What']).toMatch(/^refused: .* asks an operator first/);
    expect(await root.count(`${schema.name}.a`)).toBe(2);
    for (const text of ['ALTER TABLE parts DROP PARTITION p0', 'TRUNCATE TABLE a']) {
      const asked = requestIn((await robot.errorOf(text))?.message);
      expect(await undrop('allow', asked.slice(0, 8))).toMatchObject({ code: 0 });
      await robot.run(text);
    }
    expect(await root.count(`${schema.name}.a`)).toBe(0);
    expect(await row('a')).toMatchObject({ state: 'HOLD' });
    const left = `SELECT COUNT(*) AS n FROM information_schema.PARTITIONS
      WHERE TABLE_SCHEMA = '${schema.name}' AND TABLE_NAME = 'parts'`;
    expect(Number((await root.column(left))[0])).toBe(1);
  });

  test('no form of a TRUNCATE gets past it, and no long list of names', async () => {
    await make('a', 'kept_a');
    await using robot = await from('robot');
    const isMaria = server.name.startsWith('mariadb');
    const forms = (table: string) => [
      `EXECUTE IMMEDIATE 'TRUNCATE ${table}'`,
      `SET STATEMENT lock_wait_timeout=3 FOR TRUNCATE ${table}`,
      `BEGIN NOT ATOMIC TRUNCATE ${table}; END`,
      `TRUNCATE TABLE ${table} WAIT 3`,
    ];
    for (const table of isMaria ? ['a', 'kept_a'] : []) {
      for (const text of forms(table)) {
        const error = await robot.errorOf(text);
        expect({ text, error }).toMatchObject({
          error: { message: expect.stringMatching(/UNDROP_/) },
        });
      }
      expect(await root.count(`${schema.name}.${table}`)).toBe(2);
    }
    const many = Array.from({ length: 990 }, (_, index) => `${'n'.repeat(60)}${index}`);
    const refused = await robot.errorOf(`DROP TABLE IF EXISTS a, ${many.join(', ')}`);
    const request = requestIn(refused?.message);
    expect(await undrop('allow', request)).toMatchObject({ code: 0 });
    expect((await undrop('allow')).stdout).toContain(request);
  });

  test('who approves is told if it is for good, and a stranger learns nothing', async () => {
    await make('a', 'void_a');
    await root.query(`DELETE FROM ${schema.name}.void_a`);
    await account('stranger', `SELECT ON mysql.user`);
    await using robot = await from('robot');
    await robot.run("SET @undrop = 'destroy'");
    const request = requestIn((await robot.errorOf('DROP TABLE a'))?.message);
    expect((await undrop('allow', request)).stdout).toMatch(/DROP TABLE a \(for good: /);
    await using stranger = await connect({ ...proxy, user: 'stranger', password: PASSWORD });
    for (const table of ['void_a', 'a', 'missing']) {
      for (const text of [
        `DROP TABLE ${schema.name}.${table} /* undrop: destroy */`,
        `ALTER TABLE ${schema.name}.${table} DROP PARTITION p`,
      ]) {
        const { errno, message = '' } = (await stranger.errorOf(text)) ?? {};
        expect({ text, errno }).toEqual({ text, errno: 1142 });
        expect(message).not.toContain('UNDROP_');
      }
    }
  });

  test('one allowance is taken once, by whichever session is first, and the console gives it', async () => {
    await make('a');
    await account(OPERATOR, `ALL ON ${schema.name}.*`, 'ALL ON _undrop.*');
    await account('nobody', `SELECT ON ${schema.name}.*`);
    await using robot = await from('robot');
    await using second = await from('robot');
    const request = requestIn((await robot.errorOf('DROP TABLE a'))?.message);
    const signIn = async (user: string) => {
      const form = new URLSearchParams({ user, password: PASSWORD }).toString();
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await askConsole(proxy, '/console/sign-in', { headers, body: form });
      const cookie = String(answer.headers['set-cookie']).split(';')[0] ?? '';
      const page = await askConsole(proxy, '/console', { headers: { cookie } });
      const [, token = ''] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
      const allow = () => {
        const body = new URLSearchParams({ token }).toString();
        const how = { headers: { ...headers, cookie }, body };
        return askConsole(proxy, `/console/requests/${request}/allow`, how);
      };
      return { page, allow };
    };
    const nobody = await signIn('nobody');
    expect(nobody.page.text).not.toContain('DROP TABLE');
    await nobody.allow();
    expect((await robot.errorOf('DROP TABLE a'))?.message).toMatch(/UNDROP_ASK/);
    const operator = await signIn(OPERATOR);
    expect(operator.page.text).toMatch(/Waits for an operator.*DROP TABLE a.*Allow once/s);
    expect(await operator.allow()).toMatchObject({ status: 303 });
    const both = await Promise.all([robot.errorOf('DROP TABLE a'), second.errorOf('DROP TABLE a')]);
    expect(both.filter((error) => error === null)).toHaveLength(1);
    await make('a');
    expect((await robot.errorOf('DROP TABLE a'))?.message).toMatch(/UNDROP_ASK/);
    await operator.allow();
    await root.query(`UPDATE _undrop.history SET at = at - INTERVAL 11 MINUTE
      WHERE event = 'allowed' AND uses = 0`);
    expect((await robot.errorOf('DROP TABLE a'))?.message).toMatch(/UNDROP_ASK/);
  });

  test('nobody ends a locked hold: no hint, no statement, no command, no limit', async () => {
    await make('kept_a', 'kept_b', 'kept_c', 'c');
    await using client = await from('people');
    expect((await client.errorOf('DROP TABLE kept_a /* undrop: destroy */'))?.message).toMatch(
      /UNDROP_RULE/,
    );
    await client.run('DROP TABLE kept_a /* undrop: now */', 'DROP TABLE c');
    expect(await row('kept_a')).toMatchObject({ days: 90, locked: 90 });
    const name = `${schema.name}.kept_a`;
    expect((await client.errorOf(`PURGE TABLE ${name}`))?.message).toMatch(/it is locked/);
    for (const args of [
      ['remove', name, '--yes'],
      ['hold', name, '--for', '1d'],
      ['hold', `${schema.name}.c`, '--pin', '--lock'],
    ]) {
      expect({ args, ...(await undrop(...args)) }).toMatchObject({
        args,
        code: expect.any(Number),
      });
    }
    expect((await undrop('remove', name, '--yes')).stderr).toMatch(/it is locked until/);
    expect((await undrop('hold', name, '--for', '1d')).stderr).toMatch(/it is locked until/);
    expect((await undrop('uninstall', '--remove', '--yes')).stderr).toMatch(
      /are locked|proxies run/,
    );
    // A command locks it, too, and then it can only be lengthened.
    const locked = await undrop('hold', `${schema.name}.c`, '--for', '30d', '--lock');
    expect(locked.stdout).toMatch(/; locked until /);
    expect((await undrop('remove', `${schema.name}.c`, '--yes')).stderr).toMatch(/it is locked/);
    expect(await undrop('hold', `${schema.name}.c`, '--for', '60d')).toMatchObject({ code: 0 });
    expect((await undrop('show', `${schema.name}.c`)).stdout).toMatch(/locked until/);
    // Whatever its name says, and the lifecycle and the limits: the collector leaves it.
    const { id, name: holdName } = await row('kept_a');
    const due = `_vt_HOLD_${id}_20200101000000`;
    await root.query(`RENAME TABLE _undrop.\`${holdName}\` TO _undrop.\`${due}\``);
    const strict = {
      lifecycle: [],
      limits: { ...rig.fastSettings.limits, tablesMax: 0, minHoldMs: 0 },
    };
    const collecting = on.each.keep(rig.startCollecting(server, strict));
    await collecting.looked();
    await collecting.looked();
    expect(await rig.whereIs(server, id)).toEqual([`_undrop.${due}`]);
    // It can be brought back.
    await client.run(`UNDROP TABLE '${id}'`);
    expect(await root.count(name)).toBe(2);
  });
});

inLanes(sample(PAIRS, { name: 'locks', count: 1 }), 'a lock on $title', ({ name }, lane) => {
  const pair = inHooks(lane).open(() => startPair({ name, gtid: true }));

  lane.test('outlives a reload, and a failover', async () => {
    const relay = await openRelay(pair.source);
    const UPSTREAM = `${relay.host}:${relay.port}`;
    const how = { RULES: '*.*: lock=90d', MIN_HOLD: '0s', ALLOW_DESTROY: 'users', UPSTREAM };
    await using proxy = await spawnProxy(pair.source, { ...how, CHECK_INTERVAL: '1h' });
    await using client = await connect(proxy);
    await client.run('CREATE DATABASE d', 'CREATE TABLE d.t (a INT)', 'DROP TABLE d.t');
    await intentsSettled(await connect(pair.source), ['d']);
    await reloadBySignal(proxy);
    const remove = () => runUndrop(pair.source, ['remove', 'd.t', '--yes']);
    expect((await remove()).stderr).toMatch(/it is locked until/);
    await pair.failOver(() => relay.pointTo(pair.source, { cut: true }));
    expect((await remove()).stderr).toMatch(/it is locked until/);
    await using next = await connect(proxy);
    expect((await next.errorOf('PURGE TABLE d.t'))?.message).toMatch(/it is locked/);
    await next.run('UNDROP TABLE d.t');
    await relay.close();
  });
});

/**
 * Tables with triggers, dropped through the proxy and brought back, on real servers: the names are
 * free as behind a native drop, nothing fires while a table is held or purged, and what comes back
 * is what was there, byte for byte, by the server's own words. Of several tables in one drop all
 * come back, or none is gone: MariaDB, where a killed RENAME could damage one that it has renamed
 * already, gets one RENAME after the other (what is heard of such drops: native_cases.json, z06).
 */
import { type CliName, connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyTarget, proxyInFront, type Variables } from '../support/proxy.js';
import { connect, freshSchema, type Target } from '../support/servers.js';
import { relocationsSettled } from '../support/settled.js';
import { restored } from '../support/undrop-cli.js';
import { binlogEnd, binlogSince, ledgerRowOf, sayTo } from './service-fixture.js';

/** What the documented account has, less what triggers need. */
const BASE = 'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, REFERENCES, PROCESS';
const MODES = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';
const LATIN1 = { charset: 'latin1_swedish_ci' };

onServersAtOnce('triggers on $name', (server, on) => {
  const { test } = on;
  const isOld = server.name === 'mysql-5.6';

  const proxy = on.proxy();
  const schema = on.schema('trg');
  const direct = on.session({ schema });
  on.account('tr_other', { password: 'other', grants: ['ALL ON *.*'] });
  const account = on.each.accounts('narrow');

  const run = (...texts: readonly string[]) => direct.run(...texts);
  const select = (text: string) => direct.rows(text);
  const drop = async (text: string, before: readonly string[] = [], through: Target = proxy) => {
    const { user, password } = server;
    await sayTo({ ...through, user, password }, { schema: schema.name, texts: [...before, text] });
  };
  const back = (table: string, to?: string) => restored(server, `${schema.name}.${table}`, to);
  const ledgerRow = (table: string) => ledgerRowOf(direct, { schema: schema.name, table });
  const outcome = async (table: string) => {
    const isThere = async () => (await ledgerRow(table))?.['restore_script'] != null;
    await until(isThere, 'the outcome');
    return await ledgerRow(table);
  };
  const moved = async (table: string) => {
    await relocationsSettled(direct, [schema.name]);
    return await ledgerRow(table);
  };
  const names = () => direct.column('SHOW TRIGGERS');
  /** All that the server says of the triggers of a table, but the time. */
  const shown = async (table: string): Promise<readonly unknown[]> => {
    const order = isOld ? '' : ', ACTION_ORDER';
    const rows = await select(
      `SELECT TRIGGER_NAME AS name, DEFINER, SQL_MODE, ACTION_TIMING, EVENT_MANIPULATION${order}
       FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = '${schema.name}'
       AND EVENT_OBJECT_TABLE = '${table}' ORDER BY name`,
    );
    await run('SET character_set_results = binary');
    const texts: unknown[] = [];
    for (const { name } of rows) {
      const [row] = await select(`SHOW CREATE TRIGGER \`${String(name).replaceAll('`', '``')}\``);
      const known = Object.entries(row ?? {}).filter(([column]) => column !== 'Created');
      texts.push(known.map(([, value]) => (value as Buffer).toString('hex')));
    }
    await run('SET NAMES utf8mb4');
    return [...rows, ...texts];
  };
  const clear = async () => {
    for (const found of await select('SHOW TABLES')) {
      await run(`DROP TABLE \`${Object.values(found)[0]}\``);
    }
  };
  const insert = async (table = 't', value = 'x'): Promise<readonly string[]> => {
    await run('DELETE FROM audit', `INSERT INTO \`${table}\` (v) VALUES ('${value}')`);
    const [row] = await select(`SELECT v FROM \`${table}\` ORDER BY id DESC LIMIT 1`);
    const audit = await select('SELECT what FROM audit ORDER BY what');
    return [String(row?.['v']), ...audit.map(({ what }) => String(what))];
  };
  const table = (name: string) => [
    `CREATE TABLE ${name} (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40)) CHARSET utf8mb4`,
    `INSERT INTO ${name} (v) VALUES ('a'), ('b'), ('c')`,
  ];
  /** Of every kind: what tells them apart is in what `shown` shows. */
  const makeTriggers = async () => {
    await clear();
    await run(...table('t'), 'CREATE TABLE audit (what VARCHAR(200)) CHARSET utf8mb4');
    await run('CREATE TRIGGER `tr one` BEFORE INSERT ON t FOR EACH ROW SET NEW.v=CONCAT(NEW.v, 1)');
    if (!isOld) {
      await run(
        `CREATE TRIGGER \`tr\`\`two\` BEFORE INSERT ON t FOR EACH ROW
         SET NEW.v = CONCAT(NEW.v, '2') -- behind it`,
        `CREATE TRIGGER zero BEFORE INSERT ON t FOR EACH ROW PRECEDES \`tr one\`
         SET NEW.v = CONCAT(NEW.v, '0')`,
      );
    }
    await using latin1 = await connect(server, { database: schema.name, ...LATIN1 });
    // MySQL 9.7 takes none in a comment: it keeps the text in UTF-8 as well, without converting it.
    const comment = server.name === 'mysql-9.7' ? '' : '/* ä */';
    await latin1.query(`CREATE DEFINER=tr_other@'%' TRIGGER umlauts AFTER INSERT ON t
      FOR EACH ROW ${comment} INSERT INTO audit VALUES ('größe')`);
    await run(
      `SET sql_mode = '${MODES}'`,
      `CREATE TRIGGER "modes" AFTER DELETE ON t FOR EACH ROW
       INSERT INTO "audit" VALUES (CONCAT('a\\', "OLD"."v"))`,
      "SET sql_mode = ''",
      `CREATE DEFINER=gone@nowhere TRIGGER orphan BEFORE UPDATE ON t FOR EACH ROW
       SET NEW.v = OLD.v`,
      `CREATE TRIGGER ${schema.name}.body BEFORE DELETE ON ${schema.name}.t FOR EACH ROW BEGIN
         DECLARE x CHAR(10);
         SET x = 'deleted';
         INSERT INTO audit VALUES (x);
       END`,
      // The server writes the table's name anew when it renames one.
      'RENAME TABLE t TO t0',
      'RENAME TABLE t0 TO t',
    );
  };
  const EXPECTED = isOld ? ['x1', 'größe'] : ['x012', 'größe'];

  test('come back as they were, in their order, with definer, sql_mode and charsets', async () => {
    await makeTriggers();
    const before = await shown('t');
    expect(before.length).toBe(isOld ? 10 : 14);
    expect(await insert()).toEqual(EXPECTED);
    await drop('DROP TABLE t');
    expect(await moved('t')).toMatchObject({ relocated: 1, failure: null });
    expect(await names()).toEqual([]);
    const report = await back('t');
    expect(report.triggers.map(({ problem }) => problem)).toEqual(report.triggers.map(() => null));
    expect(report.triggers).toHaveLength(before.length / 2);
    expect([await shown('t'), await insert()]).toEqual([before, EXPECTED]);
    await run('DELETE FROM audit', "DELETE FROM t WHERE v = 'a'");
    expect(await select('SELECT what FROM audit ORDER BY what')).toEqual([
      { what: 'a\\a' },
      { what: 'deleted' },
    ]);
  });

  test('leave their names to others at once, and one whose name is taken stays away', async () => {
    await makeTriggers();
    await drop('DROP TABLE t');
    await run(
      ...table('t2'),
      'CREATE TRIGGER `tr one` BEFORE INSERT ON t2 FOR EACH ROW SET NEW.v = CONCAT(NEW.v, 9)',
    );
    const report = await back('t');
    const problems = report.triggers.filter(({ problem }) => problem !== null);
    expect(problems.map(({ name }) => name)).toEqual(['tr one']);
    expect(problems[0]).toMatchObject({ problem: 'another trigger has its name' });
    expect(await insert()).toEqual(isOld ? ['x', 'größe'] : ['x02', 'größe']);
    expect((await insert('t2'))[0]).toBe('x9');
  });

  test('come back by hand, by the script in the ledger', async () => {
    await makeTriggers();
    await drop('DROP TABLE t');
    const input = String((await outcome('t'))?.['restore_script']);
    const client = dumpTools(server).client as CliName;
    const { code, stderr } = await runClient(client, server, connectionOptions(client), { input });
    expect([[code, stderr], await insert()]).toEqual([[0, ''], EXPECTED]);
    await run('DELETE FROM audit', "DELETE FROM t WHERE v = 'a'");
    const rows = await select('SELECT what FROM audit ORDER BY what');
    expect(rows.map(({ what }) => what)).toEqual(['a\\a', 'deleted']);
  });

  test('come back under another name of their schema, and in no other schema', async () => {
    await makeTriggers();
    await drop('DROP TABLE t');
    expect((await back('t', `${schema.name}.other`)).triggers[0]?.problem).toBe(null);
    expect(await insert('other')).toEqual(EXPECTED);
    await drop('DROP TABLE other');
    await using far = await freshSchema(server, 'far');
    const report = await back('other', `${far.name}.t`);
    expect(new Set(report.triggers.map(({ problem }) => problem))).toEqual(
      new Set([`it belongs to the schema ${schema.name}`]),
    );
    expect(await select(`SELECT COUNT(*) AS n FROM ${far.name}.t`)).toEqual([{ n: 4 }]);
  });

  test('of a table whose name is in their own charset come back', async () => {
    await clear();
    await run(...table('`maß`'), 'CREATE TABLE audit (what VARCHAR(200)) CHARSET utf8mb4');
    await using latin1 = await connect(server, { database: schema.name, ...LATIN1 });
    await latin1.query(
      "CREATE TRIGGER m AFTER INSERT ON `maß` FOR EACH ROW INSERT INTO audit VALUES ('ß')",
    );
    await drop('DROP TABLE `maß`');
    expect(await moved('maß')).toMatchObject({ relocated: 1, failure: null });
    const report = await back('maß');
    expect(report.triggers).toEqual([{ name: 'm', table: `${schema.name}.maß`, problem: null }]);
    expect(await insert('maß')).toEqual(['x', 'ß']);
  });

  test('are taken off and made again without the binary log where the drop was', async () => {
    await makeTriggers();
    const before = await shown('t');
    await drop('DROP TABLE t', ['SET sql_log_bin = 0']);
    expect(await moved('t')).toMatchObject({ hold_schema: '_undrop_local', relocated: 1 });
    await back('t');
    expect(await shown('t')).toEqual(before);
  });

  const narrowly = async (variables: Variables, work: (narrow: ProxyTarget) => Promise<void>) => {
    const user = `tr_${server.flavour}`;
    await account(user, `${BASE} ON *.*`);
    await using narrow = await proxyInFront({ ...server, user, password: 'narrow' }, variables);
    // So that it is not the binary log for which rights are missing.
    await run('SET GLOBAL log_bin_trust_function_creators = 1');
    try {
      await work(narrow);
    } finally {
      await run('SET GLOBAL log_bin_trust_function_creators = 0');
    }
  };

  test('stay on their table where the account may not see them, and go once it may', async () => {
    await makeTriggers();
    const before = await shown('t');
    await narrowly({}, async (narrow) => {
      await drop('DROP TABLE t', [], narrow);
      expect(await select("SHOW TABLES LIKE 't'")).toEqual([]);
      expect(await outcome('t')).toMatchObject({ relocated: 0, hold_schema: schema.name });
      expect(await names()).toHaveLength(before.length / 2);
      await back('t');
      expect([await shown('t'), await insert()]).toEqual([before, EXPECTED]);
      await drop('DROP TABLE t', [], narrow);
      expect(await outcome('t')).toMatchObject({ relocated: 0 });
    });
    await using _wider = await proxyInFront(server);
    expect(await moved('t')).toMatchObject({ relocated: 1, failure: null });
    expect(await names()).toEqual([]);
    await back('t');
    expect(await shown('t')).toEqual(before);
  });

  test('don’t fire when a table is removed that has kept them as nobody may see them', async () => {
    await makeTriggers();
    const times = { HOLD: '1s', EVAC: '1s', CHECK_INTERVAL: '1s' };
    await narrowly({ COLLECT: 'on', FAST_DROP: 'never', ...times }, async (narrow) => {
      await drop('DROP TABLE t', [], narrow);
      const isRemoved = async () => (await ledgerRow('t'))?.['state'] === 'removed';
      await until(isRemoved, 'it is removed');
      expect([await select('SELECT * FROM audit'), await names()]).toEqual([[], []]);
    });
  });

  test('made by CREATE OR REPLACE or IF NOT EXISTS come back, and replace nobody’s', async () => {
    if (isOld) return;
    await clear();
    await run(...table('t'), ...table('t2'));
    const verb = server.flavour === 'mariadb' ? 'OR REPLACE TRIGGER' : 'TRIGGER IF NOT EXISTS';
    await run(`CREATE ${verb} again BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'made'`);
    await drop('DROP TABLE t');
    expect([await names(), (await back('t')).triggers[0]?.problem]).toEqual([[], null]);
    await drop('DROP TABLE t');
    await run("CREATE TRIGGER again BEFORE INSERT ON t2 FOR EACH ROW SET NEW.v = 'theirs'");
    expect((await back('t')).triggers[0]?.problem).not.toBe(null);
    await run("INSERT INTO t2 (v) VALUES ('x')");
    const [row] = await select('SELECT v FROM t2 ORDER BY id DESC LIMIT 1');
    expect(row?.['v']).toBe('theirs');
  });

  const makeSeveral = async () => {
    await clear();
    for (const name of ['a', 'plain', 'b']) {
      await run(`CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2), (3)`);
    }
    await run(
      'CREATE TRIGGER of_a BEFORE INSERT ON a FOR EACH ROW SET @x = 1',
      'CREATE TRIGGER of_b BEFORE INSERT ON b FOR EACH ROW SET @x = 2',
    );
  };
  const SEVERAL = 'DROP TABLE a, plain, b';
  const open = (login = {}) => connect({ ...proxy, ...login }, { database: schema.name });
  const backAll = async () => {
    await moved('b');
    expect(await direct.tables()).toEqual([]);
    for (const name of ['a', 'plain', 'b']) {
      const problems = (await back(name)).triggers.map(({ problem }) => problem);
      expect([problems, await direct.count(name)]).toEqual([name === 'plain' ? [] : [null], 3]);
    }
    expect((await names()).sort()).toEqual(['of_a', 'of_b']);
  };

  test('of several come back if they were dropped by a user with DROP alone', async () => {
    await makeSeveral();
    await account('ts_drops', `DROP ON ${schema.name}.*`);
    await using client = await open({ user: 'ts_drops', password: 'narrow' });
    await client.query(SEVERAL);
    await backAll();
  });

  test('of several stay where another session has the last of the tables locked', async () => {
    await makeSeveral();
    await using reader = await connect(server, { database: schema.name });
    await reader.run('BEGIN', 'SELECT * FROM b');
    await using client = await open();
    await client.query('SET lock_wait_timeout = 1');
    expect(await client.errnoOf(SEVERAL)).toBe(1205);
    expect(await direct.tables()).toEqual(['a', 'b', 'plain']);
    expect((await names()).sort()).toEqual(['of_a', 'of_b']);
  });

  test('of several are in no RENAME of MariaDB together, as a kill could damage one', async () => {
    await makeSeveral();
    const end = await binlogEnd(direct);
    await drop(SEVERAL);
    if (server.flavour === 'mariadb') {
      const renames = (await binlogSince(direct, end))
        .map((event) => String(event['Info']))
        .filter((info) => /undrop hold(-by-service)? /.test(info))
        .map((info) => [...info.matchAll(/`(a|plain|b)` TO/g)].map(([, name]) => name));
      expect(renames).toEqual([['a'], ['plain'], ['b']]);
    }
    await backAll();
  });

  test('of several stay where a kill comes while a child of the next is written to', async () => {
    await makeSeveral();
    await run(
      'CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB',
      'CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id)) ENGINE=InnoDB',
      'INSERT INTO parent VALUES (1)',
    );
    await using writer = await connect(server, { database: schema.name });
    await writer.run('BEGIN', 'INSERT INTO child VALUES (1)');
    await using client = await open();
    await client.query(`SET foreign_key_checks = 0, lock_wait_timeout = 1,
      innodb_lock_wait_timeout = 1`);
    let isDone = false;
    const dropping = client.errorOf('DROP TABLE a, parent').finally(() => {
      isDone = true;
    });
    await until(async () => {
      const ids = await direct.column(`SELECT id FROM information_schema.processlist
        WHERE db = '${schema.name}' AND info LIKE 'RENAME%'`);
      for (const id of ids) await direct.errorOf(`KILL QUERY ${id}`);
      return isDone || ids.length > 0;
    }, 'the drop waits or is over');
    await dropping;
    await writer.query('ROLLBACK');
    if (!(await direct.tables()).includes('a')) await back('a');
    await direct.query('FLUSH TABLES');
    expect((await names()).sort()).toEqual(['of_a', 'of_b']);
    await direct.query('INSERT INTO a VALUES (4)');
  });
});

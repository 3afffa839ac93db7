/**
 * DROP DATABASE through the proxy: every table of the schema is held and can be brought back,
 * whatever others do meanwhile; where it fails all of it is as before. Answers as such are
 * compared in drop-answers.
 */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { parseSchemaDetails } from '../../src/ledger/schema-details.js';
import { silentLog } from '../../src/log.js';
import { BARRIER_TABLE_COMMENT, barrierTableName, newHoldId } from '../../src/names/names.js';
import { recoverSchemas } from '../../src/recovery/recover-drop-database.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient, resultText } from '../support/raw-client.js';
import { schemaState } from '../support/schema-state.js';
import { connect, freshSchema, query } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { Survival } from '../support/survival.js';
import { restored } from '../support/undrop-cli.js';
import { wireTap } from '../support/wire-tap.js';

onServers('a DROP DATABASE on $name', (server, on) => {
  const { beforeEach, test } = on;
  let client: RawClient;
  let name = '';
  const root = on.session();
  const proxy = on.proxy();
  /** Where what isn't dropped stands. */
  const beside = on.schema('beside').name;

  beforeEach(async () => {
    name = (await freshSchema(server, 'dropped')).name;
    client = on.each.keep(await RawClient.open(proxy, { schema: name }));
  });

  const count = (table: string) => root.count(table);
  const tablesOf = (schema: string) => root.tables(schema);
  const isThere = async (schema: string) =>
    (await root.rows(`SHOW DATABASES LIKE '${schema}'`)).length > 0;
  const say = (text: string, session = client) => session.words(text);
  const untilItWaits = (session: RawClient) =>
    until(async () => (await idOfWaiting(session)) > 0, 'the session waits');

  /** Or 0, if it doesn't wait. */
  async function idOfWaiting({ threadId }: RawClient): Promise<number> {
    const waiting = `ID = ${threadId} AND STATE LIKE 'Waiting for %'`;
    return (await root.hasProcess(waiting)) ? threadId : 0;
  }

  /** Two tables with keys, a trigger, a view, a function; 3 and 2 rows. */
  async function fill(schema: string): Promise<void> {
    await using at = await connect(server, { database: schema });
    await at.run(
      'CREATE TABLE parent (id INT PRIMARY KEY)',
      'CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT ck FOREIGN KEY (p) REFERENCES parent (id))',
      'INSERT INTO parent VALUES (1), (2), (3)',
      'INSERT INTO child VALUES (1, 1), (2, 2)',
      'CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.id = NEW.id + 100',
      'CREATE VIEW seen AS SELECT * FROM parent',
      'CREATE FUNCTION one() RETURNS INT DETERMINISTIC NO SQL RETURN 1',
    );
  }

  async function expectWhole(schema: string): Promise<void> {
    expect(await tablesOf(schema)).toEqual(['child', 'parent', 'seen']);
    expect(await count(`${schema}.parent`)).toBe(3);
    expect(await count(`${schema}.child`)).toBe(2);
    expect(await root.show(`${schema}.child`)).toMatch(
      /CONSTRAINT `ck` FOREIGN KEY \(`p`\) REFERENCES `parent`/,
    );
    const triggers = await root.rows(`SHOW TRIGGERS FROM ${schema}`);
    expect(triggers.map((row) => row['Trigger'])).toEqual(['tr']);
    expect(await open(schema)).toBe(0);
  }

  /** Rows of the ledger that somebody would have to go on with. */
  const open = (schema: string) =>
    root.count(`_undrop.ledger WHERE schema_name = '${schema}'
      AND state IN ('intent', 'emptying', 'emptied', 'HOLD')`);

  test('tables with keys and triggers are held and come back whole', async () => {
    await fill(name);
    const survival = new Survival(root, [name]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 3');
    expect(await isThere(name)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
    expect(await client.rows('SELECT DATABASE()')).toEqual([[null]]);
    expect(await client.rows('SHOW WARNINGS')).toEqual([]);
    await until(async () => {
      const rows = await root.rows(
        'SELECT state FROM _undrop.ledger WHERE schema_name = ? ORDER BY table_name',
        [name],
      );
      return rows.map((row) => row['state']).join() === 'removed,HOLD,HOLD';
    }, 'the outcome is in the ledger');
    await root.query(`CREATE DATABASE ${name}`);
    for (const table of ['parent', 'child']) await restored(server, `${name}.${table}`);
    await root.query(`CREATE VIEW ${name}.seen AS SELECT 1 AS one`);
    await expectWhole(name);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('of a schema of many tables all are held', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `t${index}`);
    const at = await connect(server, { database: name });
    for (const table of names) await at.query(`CREATE TABLE ${table} (id INT)`);
    await at.query('INSERT INTO t7 VALUES (1), (2)');
    await at.end();
    const survival = new Survival(root, [name]);
    await survival.remember();
    expect(await say(`DROP SCHEMA IF EXISTS ${name}`)).toBe('OK 100');
    expect(await isThere(name)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
  });

  test('of a schema of views only nothing is held, and its views are counted', async () => {
    await root.query(`CREATE VIEW ${name}.v AS SELECT 1 AS one`);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
    expect(await isThere(name)).toBe(false);
  });

  test.each(['dröp ` "x"', 'select', '名前'])('a schema called %s', async (called) => {
    const odd = `${called}_${name.slice(-4)}`;
    const quoted = `\`${odd.replaceAll('`', '``')}\``;
    await client.run(['SET NAMES utf8', `CREATE DATABASE ${quoted}`]);
    await client.run([`CREATE TABLE ${quoted}.\`tä\` (id INT)`]);
    await client.run([`INSERT INTO ${quoted}.\`tä\` VALUES (1)`]);
    const survival = new Survival(root, [odd]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${quoted}`)).toBe('OK 1');
    expect(await isThere(odd)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('what another session creates meanwhile is held or there', async () => {
    await root.query(`CREATE TABLE ${name}.first (id INT)`);
    const other = await connect(server, { database: name });
    const created: string[] = [];
    let isOver = false;
    const creating = (async () => {
      for (let index = 0; !isOver && index < 80; index++) {
        try {
          await other.query(`CREATE TABLE ${name}.c${index} (id INT)`);
          await other.query(`INSERT INTO ${name}.c${index} VALUES (1)`);
          created.push(`c${index}`);
        } catch {
          // The schema is gone, or the table is held between the two.
        }
      }
    })();
    await until(() => created.length > 3, 'tables come');
    const said = await say(`DROP DATABASE ${name}`);
    isOver = true;
    await creating;
    await other.end();
    expect(said).toMatch(/^OK \d+$|^1205 UNDROP_CHANGED_MEANWHILE/);
    const live = await tablesOf(name);
    const lost: string[] = [];
    for (const table of created) {
      if (!live.includes(table) && (await heldRows(name, table)) < 1) lost.push(table);
    }
    expect(lost).toEqual([]);
    await root.query(`DROP DATABASE IF EXISTS ${name}`);
  });

  test('a KILL of a connection that holds it up: what came in the last moment is held', async () => {
    await fill(name);
    let step: 'to create' | 'to kill' | 'busy' | 'done' = 'to create';
    await using tap = await wireTap(server, async ({ moment, command }) => {
      const text = command.toString('latin1');
      if (moment !== 'before statement' || !text.includes('/* undrop schema ')) return true;
      if (step === 'to create') {
        step = 'busy';
        // Behind the last look before the DROP.
        await root.run(`CREATE TABLE ${name}.late (id INT)`, `INSERT INTO ${name}.late VALUES (1)`);
        step = 'to kill';
      } else if (step === 'to kill' && text.includes('INFO LIKE')) {
        step = 'busy';
        await untilItWaits(session);
        await killOne('%/* undrop schema-barrier %');
        step = 'done';
      }
      return true;
    });
    await using tapped = await proxyInFront(tap);
    await using session = await RawClient.open({ ...tapped, user: server.user });
    expect(await say(`DROP DATABASE ${name}`, session)).toBe('OK 4');
    expect(step).toBe('done');
    expect(await isThere(name)).toBe(false);
    expect(await heldRows(name, 'late')).toBe(1);
  });

  /** The connection, not its statement. */
  async function killOne(info: string): Promise<void> {
    const [found] = await root.rows(
      `SELECT ID AS id FROM information_schema.PROCESSLIST
       WHERE INFO LIKE ? AND ID <> CONNECTION_ID() LIMIT 1`,
      [info],
    );
    await root.query(`KILL ${found?.['id']}`);
    await until(async () => !(await root.hasProcess(`ID = ${found?.['id']}`)), 'it is gone');
  }

  async function heldRows(schema: string, table: string): Promise<number> {
    const rows = await root.rows(
      'SELECT id FROM _undrop.ledger WHERE schema_name = ? AND table_name = ?',
      [schema, table],
    );
    let most = -1;
    for (const row of rows) {
      const held = await root.rows(
        `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.TABLES
         WHERE TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE ?`,
        [`%${row['id']}%`],
      );
      for (const one of held) most = Math.max(most, await count(`\`${one['s']}\`.\`${one['t']}\``));
    }
    return most;
  }

  test('sequences and tables with history are held as well', async () => {
    const texts =
      server.flavour === 'mariadb'
        ? ['CREATE SEQUENCE s', 'CREATE TABLE h (id INT) WITH SYSTEM VERSIONING']
        : ['CREATE TABLE s (id INT)', 'CREATE TABLE h (id INT) PARTITION BY KEY (id) PARTITIONS 2'];
    const at = await connect(server, { database: name });
    await at.run(...texts);
    await at.end();
    const survival = new Survival(root, [name]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 2');
    expect(await isThere(name)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
  });

  test('a client that goes away meanwhile: recovery puts all of it back', async () => {
    await fill(name);
    const other = await connect(server);
    await other.run('BEGIN', `SELECT * FROM ${name}.child`);
    const leaving = await RawClient.open({ ...proxy, user: server.user });
    const { threadId } = leaving;
    const saying = say(`DROP DATABASE ${name}`, leaving).catch(() => null);
    await untilItWaits(leaving);
    leaving.close();
    await saying;
    await root.query(`KILL ${threadId}`).catch(() => undefined);
    await other.end();
    const pool = poolOn(server);
    await until(async () => {
      await recoverSchemas(pool, silentLog);
      return (await open(name)) === 0;
    }, 'the drop was brought to an end');
    await pool.dispose();
    await expectWhole(name);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('a parent of a table elsewhere: nothing is dropped', async () => {
    await fill(name);
    await root.query(
      `CREATE TABLE ${beside}.kid_${name} (p INT, FOREIGN KEY (p) REFERENCES ${name}.parent (id))`,
    );
    const said = await say(`DROP DATABASE ${name}`);
    expect(said).toMatch(/^(3730|1217|1451) /);
    await expectWhole(name);
    await client.run(['SET foreign_key_checks=0']);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 3');
    expect(await isThere(name)).toBe(false);
    await root.query(`DROP TABLE ${beside}.kid_${name}`);
  });

  test('a child that comes behind the list of tables is no child of a table elsewhere', async () => {
    await root.query(`CREATE TABLE ${name}.par (id INT PRIMARY KEY)`);
    await root.query(`INSERT INTO ${name}.par VALUES (1)`);
    let isMade = false;
    const tap = await wireTap(server, async ({ moment, command }) => {
      const isIntent = command.includes('/* undrop intent ') && command.includes(name);
      if (moment !== 'before statement' || !isIntent || isMade) return true;
      isMade = true;
      await root.query(
        `CREATE TABLE ${name}.ch (p INT, CONSTRAINT ck FOREIGN KEY (p) REFERENCES ${name}.par (id))`,
      );
      await root.query(`INSERT INTO ${name}.ch VALUES (1)`);
      return true;
    });
    const tapped = await proxyInFront(tap);
    const session = await RawClient.open({ ...tapped, user: server.user });
    try {
      expect(await say(`DROP DATABASE ${name}`, session)).toBe('OK 2');
      expect(isMade).toBe(true);
      expect(await isThere(name)).toBe(false);
    } finally {
      await session.quit();
      await tapped.stop();
      await tap.close();
    }
    await root.query(`CREATE DATABASE ${name}`);
    for (const table of ['par', 'ch']) await restored(server, `${name}.${table}`);
    expect([await count(`${name}.par`), await count(`${name}.ch`)]).toEqual([1, 1]);
    const shown = await root.rows(`SHOW CREATE TABLE ${name}.ch`);
    expect(String(shown[0]?.['Create Table'])).toContain('REFERENCES `par` (`id`)');
    await root.query(`DROP DATABASE ${name}`);
  });

  test('a child of a table elsewhere goes, its parent stays', async () => {
    await root.query(`CREATE TABLE ${beside}.mum_${name} (id INT PRIMARY KEY)`);
    await root.query(
      `CREATE TABLE ${name}.kid (p INT, FOREIGN KEY (p) REFERENCES ${beside}.mum_${name} (id))`,
    );
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
    expect(await isThere(name)).toBe(false);
    await root.query(`DROP TABLE ${beside}.mum_${name}`);
  });

  test('who may drop the schema and nothing else drops it; DROP on its tables is not enough', async () => {
    await fill(name);
    const user = `u_${name.slice(-8)}`;
    await root.query(`CREATE USER ${user}@'%' IDENTIFIED BY ''`);
    await root.query(`GRANT DROP ON ${name}.parent TO ${user}@'%'`);
    await root.run("DELETE FROM mysql.user WHERE user = ''", 'FLUSH PRIVILEGES');
    const few = await RawClient.open({ ...proxy, user });
    expect(await say(`DROP DATABASE ${name}`, few)).toBe(
      `1044 Access denied for user '${user}'@'%' to database '${name}'`,
    );
    await few.quit();
    await expectWhole(name);
    await root.query(`GRANT DROP ON ${name}.* TO ${user}@'%'`);
    const more = await RawClient.open({ ...proxy, user });
    expect(await say(`DROP DATABASE ${name}`, more)).toBe('OK 3');
    await more.quit();
    expect(await isThere(name)).toBe(false);
    await root.query(`DROP USER ${user}@'%'`);
  });

  test('a table in use: 1205 after the session’s own time, and all is as before', async () => {
    await fill(name);
    const other = await connect(server);
    await other.run('BEGIN', `SELECT * FROM ${name}.child`);
    await client.run(['SET lock_wait_timeout=1']);
    expect(await say(`DROP DATABASE ${name}`)).toMatch(/^1205 /);
    await expectWhole(name);
    expect(await client.rows('SELECT @@lock_wait_timeout')).toEqual([['1']]);
    await other.query('COMMIT');
    await other.end();
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 3');
    expect(await client.rows('SELECT @@lock_wait_timeout')).toEqual([['1']]);
  });

  test('of a parent whose child InnoDB has locked: 1205 after the session’s own time', async () => {
    // Of MySQL that is a metadata lock.
    if (server.flavour !== 'mariadb') return;
    const isOld = server.name === 'mariadb-10.5';
    await root.query(`CREATE TABLE ${name}.up (id INT PRIMARY KEY) ENGINE=InnoDB`);
    await root.query(`CREATE TABLE ${beside}.down (id INT PRIMARY KEY,
      CONSTRAINT led_up FOREIGN KEY (id) REFERENCES ${name}.up (id)) ENGINE=InnoDB`);
    const other = await connect(server);
    await other.run('SET foreign_key_checks=0', 'BEGIN', `INSERT INTO ${beside}.down VALUES (1)`);
    try {
      await client.run(['SET foreign_key_checks=0, innodb_lock_wait_timeout=1']);
      expect(await say(`DROP DATABASE ${name}`)).toMatch(
        isOld ? /^1235 UNDROP_SCHEMA_NOT_DROPPED: / : /^1205 Lock wait timeout exceeded/,
      );
    } finally {
      await other.end();
    }
    expect(await tablesOf(name)).toEqual(['up']);
    expect(await open(name)).toBe(0);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
    await root.query(`DROP TABLE ${beside}.down`);
  });

  test.each([
    ['latin1', 'tä'],
    ['sjis', '表`'],
    ['swe7', 'a[b'],
  ])(
    'in %s, a table %s in use, which isn’t a word of ASCII: refused, and all is as before',
    async (charset, table) => {
      const quoted = `${name}.\`${table.replaceAll('`', '``')}\``;
      await root.query(`CREATE TABLE ${quoted} (a INT) ENGINE=InnoDB`);
      const other = await connect(server);
      try {
        await other.run('BEGIN', `SELECT * FROM ${quoted}`);
        await client.query(`SET NAMES ${charset}`);
        expect(await say(`DROP DATABASE ${name}`)).toMatch(
          new RegExp(`^1235 UNDROP_NAME_CHARSET: .* character set ${charset}\\.`),
        );
      } finally {
        await other.end();
      }
      expect(await tablesOf(name)).toEqual([table]);
      expect(await open(name)).toBe(0);
      expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
      expect(await heldRows(name, table)).toBe(0);
    },
  );

  test('in utf8mb4, a table tä in use: the DROP waits and is done', async () => {
    await root.query(`CREATE TABLE ${name}.tä (a INT) ENGINE=InnoDB`);
    await root.query(`INSERT INTO ${name}.tä VALUES (1), (2)`);
    await using other = await connect(server);
    await other.run('BEGIN', `SELECT * FROM ${name}.tä`);
    await client.query('SET NAMES utf8mb4');
    const said = say(`DROP DATABASE ${name}`);
    await Promise.race([untilItWaits(client), said]);
    await other.query('COMMIT');
    expect(await said).toBe('OK 1');
    expect(await heldRows(name, 'tä')).toBe(2);
  });

  test('in a session that waits for no lock: it is dropped, as directly', async () => {
    // MySQL makes 1 of it.
    await client.query('SET lock_wait_timeout = 0');
    await root.query(`CREATE TABLE ${name}.t (a INT) ENGINE=InnoDB`);
    const { results } = await client.query(`DROP DATABASE ${name}`);
    expect(results).toMatchObject([{ kind: 'ok', affectedRows: 1 }]);
    expect(await tablesOf(name)).toEqual([]);
  });

  test('another one of the proxy is waited for, as locks are: a KILL and the end of lockWaitBudget', async () => {
    await fill(name);
    const { name: next } = await freshSchema(server, 'next');
    await root.query(`CREATE TABLE ${next}.t (id INT)`);
    await using session = await RawClient.open({ ...proxy, user: server.user });
    await using other = await connect(server);
    const drop = `DROP DATABASE ${next}`;

    await other.run('BEGIN', `SELECT * FROM ${name}.parent`);
    const first = say(`DROP DATABASE ${name}`);
    await untilItWaits(client);
    let isOver = false;
    const killed = say(drop, session).finally(() => {
      isOver = true;
    });
    await until(async () => {
      if (await isQueued(session)) await root.query(`KILL QUERY ${session.threadId}`);
      return isOver;
    }, 'the KILL has hit it');
    expect(await killed).toMatch(/^1317 /);
    await session.query('SET lock_wait_timeout = 1');
    expect(await say(drop, session)).toMatch(/UNDROP_SCHEMA_NOT_DROPPED/);
    expect(await tablesOf(next)).toEqual(['t']);
    await session.query('SET lock_wait_timeout = 60');
    const last = say(drop, session);
    await until(() => isQueued(session), 'it waits');
    await other.query('COMMIT');
    expect(await first).toBe('OK 3');
    expect(await last).toBe('OK 1');
    expect(await heldRows(next, 't')).toBe(0);
  });

  const isQueued = ({ threadId }: RawClient) =>
    root.hasProcess(`ID = ${threadId} AND INFO LIKE '%undrop queue%'`);

  test('a view in use: the DROP waits, is killed, and all is as before', async () => {
    await fill(name);
    const other = await connect(server);
    await other.run('BEGIN', `SELECT * FROM ${name}.seen`);
    await root.query(`CREATE TABLE ${name}.more (id INT)`);
    await root.query(`CREATE VIEW ${name}.only AS SELECT 1 AS one`);
    await other.query(`SELECT * FROM ${name}.only`);
    const saying = say(`DROP DATABASE ${name}`);
    await untilItWaits(client);
    await root.query(`KILL QUERY ${client.threadId}`);
    expect(await saying).toMatch(/^1317 /);
    await other.end();
    await root.run(`DROP TABLE ${name}.more`, `DROP VIEW ${name}.only`);
    await expectWhole(name);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('that waits for longer than the hold: nothing is collected before it has ended', async () => {
    await fill(name);
    await using collecting = await proxyInFront(server, {
      ...{ COLLECT: 'on', HOLD: '2s', CHECK_INTERVAL: '1s', LIFECYCLE: 'hold,drop' },
    });
    await using session = await RawClient.open({ ...collecting, user: server.user });
    await using canary = await RawClient.open({ ...collecting, user: server.user });
    await using other = await connect(server);
    await root.query(`CREATE TABLE ${beside}.canary (id INT)`);
    await root.query(`CREATE VIEW ${name}.only AS SELECT 1 AS one`);
    await other.run('BEGIN', `SELECT * FROM ${name}.only`);
    const saying = say(`DROP DATABASE ${name}`, session);
    await untilItWaits(session);
    // It is held later than the others, and the collector goes by due times.
    expect(await say(`DROP TABLE ${beside}.canary`, canary)).toBe('OK 0');
    const removed = `SELECT 1 FROM _undrop.ledger
      WHERE schema_name = '${beside}' AND table_name = 'canary' AND state = 'removed'`;
    await until(async () => (await rowsOf(removed)).length > 0, 'the canary is removed');
    // Every two seconds it begins to wait anew, and a KILL between the two is lost.
    let isOver = false;
    const said = saying.finally(() => {
      isOver = true;
    });
    await until(async () => {
      if (isOver) return true;
      const id = await idOfWaiting(session);
      if (id !== 0) await root.query(`KILL QUERY ${id}`);
      return isOver;
    }, 'the KILL has hit it');
    expect(await said).toMatch(/^1317 /);
    await other.query('COMMIT');
    await root.query(`DROP VIEW ${name}.only`);
    await expectWhole(name);
  });

  test('that waits and succeeds: the hold is counted from its end', async () => {
    await fill(name);
    await using holding = await proxyInFront(server, { HOLD: '1m' });
    await using session = await RawClient.open({ ...holding, user: server.user });
    await using other = await connect(server);
    const survival = new Survival(root, [name]);
    await survival.remember();

    await root.query(`CREATE VIEW ${name}.only AS SELECT 1 AS one`);
    await other.run('BEGIN', `SELECT * FROM ${name}.only`);
    const saying = say(`DROP DATABASE ${name}`, session);
    await untilItWaits(session);
    const away = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${name}'
        AND table_name = 'child' AND dropped_at < UTC_TIMESTAMP() - INTERVAL 2 SECOND`;
    await until(async () => (await rowsOf(away)).length > 0, 'two seconds are lost');
    const [before] = await root.rows('SELECT UTC_TIMESTAMP() AS at');
    await other.query('COMMIT');
    expect(await saying).toBe('OK 4');
    await until(async () => (await open(name)) === 2, 'the outcome is in the ledger');
    const rows = await root.rows(
      `SELECT hold_until >= ? + INTERVAL 1 MINUTE AS isComplete, hold_name FROM _undrop.ledger
         WHERE schema_name = ? AND state = 'HOLD'`,
      [before?.['at'], name],
    );
    expect(rows.map((row) => Number(row['isComplete']))).toEqual([1, 1]);
    const held = await tablesOf('_undrop');
    for (const row of rows) expect(held).toContain(row['hold_name']);
    expect(await survival.findLost()).toEqual([]);
  });

  const rowsOf = (text: string) => root.rows(text);

  test('a barrier table of another DROP DATABASE, or of somebody’s own: refused until it is gone', async () => {
    await fill(name);
    const groupId = newHoldId(Date.now(), randomBytes);
    const barrier = `\`${name}\`.\`${barrierTableName({ groupId, logged: true })}\``;
    await root.query(
      `CREATE TABLE ${barrier} (id INT NOT NULL PRIMARY KEY) COMMENT='${BARRIER_TABLE_COMMENT}'`,
    );
    await root.query(`INSERT INTO ${barrier} VALUES (1)`);
    expect(await say(`DROP DATABASE ${name}`)).toMatch(
      /^1235 UNDROP_SCHEMA_NOT_DROPPED: .* it has the table !undrop_/,
    );
    expect(await count(barrier)).toBe(1);
    await root.query(`DROP TABLE ${barrier}`);
    await expectWhole(name);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 3');
    expect(await isThere(name)).toBe(false);
  });

  test('prepared, by the protocol and as a text: its tables are held', async () => {
    const schemas = [name, `${name}_2`];
    for (const schema of schemas) {
      await root.query(`CREATE DATABASE IF NOT EXISTS ${schema}`);
      await fill(schema);
    }
    const survival = new Survival(root, schemas);
    await survival.remember();
    const { id } = await client.prepare(`DROP DATABASE ${name}`);
    await client.run([`PREPARE p FROM 'DROP SCHEMA IF EXISTS ${name}_2'`]);
    expect(await isThere(name)).toBe(true);
    const { results } = await client.execute(id ?? 0);
    expect(results.map(resultText)).toEqual(['OK 3']);
    expect(await say('EXECUTE p')).toBe('OK 3');
    expect(await say('EXECUTE p')).toBe('OK 0');
    for (const schema of schemas) expect(await isThere(schema)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
    if (server.flavour !== 'mariadb') return;
    await root.query(`CREATE DATABASE ${name}`);
    await fill(name);
    expect(await say(`EXECUTE IMMEDIATE 'DROP DATABASE ${name}'`)).toMatch(/^1235 /);
    expect(await isThere(name)).toBe(true);
  });

  test('a stray file: the server’s error, and all is back, views, programs and events too', async () => {
    const said = (texts: readonly string[]) => client.run([`USE ${name}`, ...texts]);
    // An older drop of that name, whose texts are none of the newer one's.
    await root.query(`CREATE TABLE ${name}.old (id INT)`);
    await root.query(`CREATE VIEW ${name}.older AS SELECT 1 AS one`);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 2');
    await root.query(`CREATE DATABASE ${name}`);
    await fill(name);
    await said([
      'CREATE VIEW strayed AS SELECT 1 AS one',
      'CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1',
      'CREATE PROCEDURE p() SELECT f()',
      "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DO SELECT 1",
    ]);
    // A RENAME puts the name of its table into the trigger's text.
    const state = async () =>
      (await schemaState(server, name)).map((line) => line.replace(/ON `?child`? /, 'ON child '));
    const before = await state();
    const [variable] = await root.rows('SELECT @@datadir AS folder');
    const file = join(String(variable?.['folder']), name, 'stray.txt');
    await writeFile(file, 'x');
    expect(await say(`DROP DATABASE ${name}`)).toMatch(/^1010 /);
    await rm(file);
    // The older table.
    expect(await open(name)).toBe(1);
    expect(await state()).toEqual(before);
    const undone = await RawClient.open({ ...proxy, user: server.user });
    expect(await say(`UNDROP DATABASE ${name}`, undone)).toMatch(/^OK /);
    await undone.quit();
    expect(await state()).toEqual(before);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('with sql_log_bin=0 its tables are held out of the binary log', async () => {
    await fill(name);
    await client.run(['SET sql_log_bin=0']);
    const survival = new Survival(root, [name]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 3');
    expect(await survival.findLost()).toEqual([]);
    expect((await tablesOf('_undrop_local')).length).toBeGreaterThan(0);
  });

  test('two at once: one drops it, for the other it is gone, and nothing is lost', async () => {
    await fill(name);
    const survival = new Survival(root, [name]);
    await survival.remember();
    const second = await RawClient.open({ ...proxy, user: server.user });
    const said = await Promise.all([
      say(`DROP DATABASE ${name}`),
      say(`DROP DATABASE ${name}`, second),
    ]);
    await second.quit();
    const gone = `1008 Can't drop database '${name}'; database doesn't exist`;
    expect([...said].sort()).toEqual([gone, 'OK 3']);
    expect(await isThere(name)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
  });

  test('of a schema with megabytes of programs: it goes, and all of them are named', async () => {
    const at = await connect(server, { database: name });
    await at.run('CREATE TABLE t (id INT)', 'INSERT INTO t VALUES (1)');
    const procedures = Array.from({ length: 12 }, (_, index) => `p${10 + index}`);
    for (const procedure of procedures) {
      await at.query(`CREATE PROCEDURE ${procedure}() SELECT '${'x'.repeat(400_000)}'`);
    }
    await at.end();
    const survival = new Survival(root, [name]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
    expect(await survival.findLost()).toEqual([]);
    const [row] = await rowsOf(
      `SELECT definition FROM _undrop.ledger WHERE kind = 'schema' AND schema_name = '${name}'`,
    );
    const details = parseSchemaDetails(String(row?.['definition']));
    expect(details?.parts.map((part) => part.name).sort()).toEqual(procedures);
    const kept = details?.parts.map((part) => part.statement !== null) ?? [];
    expect([kept[0], kept[11]]).toEqual([true, false]);
  });

  test('who has no right at all is told so, as directly', async () => {
    const user = `none_${randomBytes(4).toString('hex')}`;
    await root.query(`CREATE USER ${user}@'%'`);
    try {
      const said = await Promise.all(
        [server, proxy].map(async ({ host, port }) => {
          await using session = await RawClient.open({ host, port, user });
          const result = await say(`DROP DATABASE ${name}`, session);
          return result;
        }),
      );
      expect(said[1]).toBe(said[0]);
      expect(said[0]).toMatch(/^1044 /);
    } finally {
      await root.query(`DROP USER ${user}@'%'`);
    }
  });

  test('a table on its way out of the schema, by another’s drop, is waited for', async () => {
    // With a trigger it is under its hold name there first, on each server.
    await root.query(`CREATE TABLE ${name}.away (id INT)`);
    const body = 'BEFORE INSERT ON away FOR EACH ROW SET @a = 1';
    await root.query(`CREATE TRIGGER ${name}.tr ${body}`);
    let letGo: () => void = () => undefined;
    let isStopped = false;
    const looked = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const others = await wireTap(server, async ({ moment, command }) => {
      if (moment !== 'before statement' || !command.includes('/* undrop relocate ')) return true;
      isStopped = true;
      await looked;
      return true;
    });
    const own = await wireTap(server, async ({ moment, command }) => {
      if (moment !== 'before answer' || !command.includes('/* undrop schema-look ')) return true;
      letGo();
      return true;
    });
    const [first, second] = [await proxyInFront(others), await proxyInFront(own)];
    const session = await RawClient.open({ ...second, user: server.user });
    const other = await RawClient.open({ ...first, user: server.user });
    try {
      const dropping = say(`DROP TABLE ${name}.away`, other);
      await until(async () => isStopped, 'it is under its hold name');
      expect(await say(`DROP DATABASE ${name}`, session)).toBe('OK 0');
      expect(await dropping).toBe('OK 0');
      expect(await heldRows(name, 'away')).toBe(0);
    } finally {
      letGo();
      for (const client of [session, other]) await client.quit();
      for (const proxy of [first, second]) await proxy.stop();
      for (const tap of [others, own]) await tap.close();
    }
  });

  test('a table held there by an earlier drop: refused', async () => {
    const id = '01a1f8313c3171b7af374deee1b3e638';
    const hold = `_vt_HOLD_${id}_29991120091218`;
    await fill(name);
    await root.query(`CREATE TABLE ${name}.${hold} (id INT)`);
    // A table with a DATA DIRECTORY stays in its schema.
    await root.query(`INSERT INTO _undrop.ledger (id, group_id, proxy_id, thread_id, schema_name,
        table_name, kind, dropped_at, user_name, client_address, statement_text, hold_until, state,
        state_since, hold_schema, hold_name, todo, failure)
      VALUES ('${id}', '${id}', 'p', 1, '${name}', 'far', 'base', NOW(), '', '', '', '2999-11-20',
        'HOLD', NOW(), '${name}', '${hold}', 'blocked_by_file', 'its file is elsewhere')`);
    expect(await say(`DROP DATABASE ${name}`)).toMatch(
      /^1235 UNDROP_SCHEMA_NOT_DROPPED: .* is held there by an earlier drop/,
    );
    await root.run(`DROP TABLE ${name}.${hold}`, `DELETE FROM _undrop.ledger WHERE id = '${id}'`);
    await expectWhole(name);
    await root.query(`DROP DATABASE ${name}`);
  });

  test.each(['mysql', '_undrop', '_UNDROP_LOCAL'])('%s stays', async (schema) => {
    const said = await say(`DROP DATABASE ${schema}`);
    expect(said).toMatch(/^(1235 UNDROP_|1008 |3552 )/);
    expect(await isThere('mysql')).toBe(true);
    expect(await isThere('_undrop')).toBe(true);
    await root.query(`DROP DATABASE ${name}`);
  });

  test('amid several statements, its own schema selected', async () => {
    await fill(name);
    const several = await connect(
      { ...proxy, password: server.password },
      { database: name, multipleStatements: true },
    );
    const [results] = await several.query(
      `SELECT 1 AS one; DROP DATABASE ${name}; SELECT DATABASE() AS d`,
    );
    expect((results as { readonly affectedRows?: number }[])[1]?.affectedRows).toBe(3);
    expect(JSON.stringify((results as unknown[])[2])).toBe('[{"d":null}]');
    await several.end();
    expect(await isThere(name)).toBe(false);
  });

  test('a service account without rights on the schema: refused, and all is as before', async () => {
    await fill(name);
    const user = `few_${name.slice(-8)}`;
    await query(
      server,
      `CREATE USER ${user}@'%' IDENTIFIED BY '${SERVICE_ACCOUNT.password}'`,
      `GRANT PROCESS ON *.* TO ${user}@'%'`,
      `GRANT ALL ON \`\\_undrop%\`.* TO ${user}@'%'`,
      `GRANT SELECT, SHOW VIEW ON ${name}.* TO ${user}@'%'`,
    );
    const other = await proxyInFront({ ...server, user, password: SERVICE_ACCOUNT.password });
    const session = await RawClient.open({ ...other, user: server.user });
    expect(await say(`DROP DATABASE ${name}`, session)).toMatch(
      /^(1235 UNDROP_SCHEMA_NOT_DROPPED|1105 UNDROP_NOT_RECORDED): /,
    );
    await session.quit();
    await other.stop();
    await expectWhole(name);
    await query(server, `DROP USER ${user}@'%'`, `DROP DATABASE ${name}`);
  });
});

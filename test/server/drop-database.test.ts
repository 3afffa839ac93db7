/**
 * DROP DATABASE through the proxy: every table of the schema is held and can be brought back,
 * whatever others do meanwhile; where it fails all of it is as before. Answers as such are
 * compared in drop-answers.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { collectNow } from '../collector/collecting.js';
import { heldRows } from '../support/client-held.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront, runUndrop, spawnProxy } from '../support/proxy.js';
import { RawClient, resultText } from '../support/raw-client.js';
import { schemaState } from '../support/schema-state.js';
import { connect } from '../support/servers.js';
import { Survival } from '../support/survival.js';
import { listed, restored } from '../support/undrop-cli.js';
import { wireTap } from '../support/wire-tap.js';

onServers('a DROP DATABASE on $name', (server, on) => {
  const { beforeEach, test } = on;
  let name = '';
  const root = on.session();
  const proxy = on.proxy();
  /** Where what isn't dropped stands. */
  const beside = on.schema('beside').name;

  const schema = on.each.schema('dropped');
  const client = on.each.client({ to: proxy, schema });
  const account = on.each.accounts('');
  beforeEach(() => {
    name = schema.name;
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

  /** It is gone then, so many tables and views are said to have been in it, and none is lost. */
  async function expectHeld(count: number, called = name, quoted = called): Promise<void> {
    const survival = new Survival(root, [called]);
    await survival.remember();
    expect(await say(`DROP DATABASE ${quoted}`)).toBe(`OK ${count}`);
    expect(await isThere(called)).toBe(false);
    expect(await survival.findLost()).toEqual([]);
  }

  test('tables with keys and triggers are held and come back whole', async () => {
    await fill(name);
    await expectHeld(3);
    expect(await client.rows('SELECT DATABASE()')).toEqual([[null]]);
    expect(await client.rows('SHOW WARNINGS')).toEqual([]);
    const states = `SELECT state FROM _undrop.ledger WHERE schema_name = '${name}' ORDER BY table_name`;
    const isWritten = async () => (await root.column(states)).join() === 'removed,HOLD,HOLD';
    await until(isWritten, 'the outcome is in the ledger');
    await root.query(`CREATE DATABASE ${name}`);
    for (const table of ['parent', 'child']) await restored(server, `${name}.${table}`);
    await root.query(`CREATE VIEW ${name}.seen AS SELECT 1 AS one`);
    await expectWhole(name);
  });

  test('views are counted and not held; sequences and tables with history are', async () => {
    await root.query(`CREATE VIEW ${name}.v AS SELECT 1 AS one`);
    expect(await say(`DROP DATABASE ${name}`)).toBe('OK 1');
    expect(await isThere(name)).toBe(false);
    const texts =
      server.flavour === 'mariadb'
        ? ['CREATE SEQUENCE s', 'CREATE TABLE h (id INT) WITH SYSTEM VERSIONING']
        : ['CREATE TABLE s (id INT)', 'CREATE TABLE h (id INT) PARTITION BY KEY (id) PARTITIONS 2'];
    await root.run(`CREATE DATABASE ${name}`, `USE ${name}`, ...texts, 'USE mysql');
    await expectHeld(2);
  });

  test.each(['dröp ` "x"', 'select', '名前'])('a schema called %s', async (called) => {
    const odd = `${called}_${name.slice(-4)}`;
    const quoted = `\`${odd.replaceAll('`', '``')}\``;
    await client.run(['SET NAMES utf8', `CREATE DATABASE ${quoted}`]);
    await client.run([`CREATE TABLE ${quoted}.\`tä\` (id INT)`]);
    await client.run([`INSERT INTO ${quoted}.\`tä\` VALUES (1)`]);
    await expectHeld(1, odd, quoted);
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
    expect(await heldRows(server, name)).toMatchObject({ late: 1 });
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
    await until(async () => {
      await collectNow(server);
      return (await open(name)) === 0;
    }, 'the drop was brought to an end');
    await expectWhole(name);
  });

  test('who may drop the schema and nothing else drops it; DROP on its tables is not enough', async () => {
    await fill(name);
    const user = `u_${name.slice(-8)}`;
    await account(user, `DROP ON ${name}.parent`);
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
    expect(await heldRows(server, name)).toMatchObject({ tä: 2 });
  });

  test('in a session that waits for no lock: it is dropped, as directly', async () => {
    // MySQL makes 1 of it.
    await client.query('SET lock_wait_timeout = 0');
    await root.query(`CREATE TABLE ${name}.t (a INT) ENGINE=InnoDB`);
    const { results } = await client.query(`DROP DATABASE ${name}`);
    expect(results).toMatchObject([{ kind: 'ok', affectedRows: 1 }]);
    expect(await tablesOf(name)).toEqual([]);
  });

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
    const removed = { schema: beside, table: 'canary', state: 'removed' };
    const isRemoved = async () => (await ledgerRows(root, removed)).length > 0;
    await until(isRemoved, 'the canary is removed');
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

  test('a barrier table of another DROP DATABASE, or of somebody’s own: refused until it is gone', async () => {
    await fill(name);
    const barrier = `${name}.\`!undrop_01a1f8313c3171b7af374deee1b3e638_logged\``;
    const comment = "COMMENT='undrop: a DROP DATABASE is under way'";
    await root.query(`CREATE TABLE ${barrier} (id INT NOT NULL PRIMARY KEY) ${comment}`);
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
    const unknown = async () =>
      (await listed(server, '--all')).filter(({ schema }) => schema === null);
    const [before, unknownBefore] = [await state(), await unknown()];
    const [variable] = await root.rows('SELECT @@datadir AS folder');
    const file = join(String(variable?.['folder']), name, 'stray.txt');
    await writeFile(file, 'x');
    expect(await say(`DROP DATABASE ${name}`)).toMatch(/^1010 /);
    await rm(file);
    // The older table.
    expect(await open(name)).toBe(1);
    expect(await state()).toEqual(before);
    // Its barrier, which is on its way out, is no table of anybody's.
    expect(await unknown()).toEqual(unknownBefore);
    const undone = await RawClient.open({ ...proxy, user: server.user });
    expect(await say(`UNDROP DATABASE ${name}`, undone)).toMatch(/^OK /);
    await undone.quit();
    expect(await state()).toEqual(before);
  });

  test('of 150 tables all comes back from the answer on, also if the proxy is killed then', async () => {
    const count = 150;
    for (let nr = 0; nr < count; nr++) {
      await root.query(`CREATE TABLE ${name}.t${nr} (id INT PRIMARY KEY) ENGINE=InnoDB`);
    }
    const drop = `DROP DATABASE ${name}`;
    const sayAndKill = async (...texts: readonly string[]) => {
      await using doomed = await spawnProxy(server);
      const session = await connect(doomed);
      session.on('error', () => undefined);
      await session.run(...texts);
      // Its worker ends a moment later.
      doomed.child.kill('SIGKILL');
      session.destroy();
    };
    await sayAndKill(drop, `UNDROP DATABASE ${name}`);
    expect(await tablesOf(name)).toHaveLength(count);
    await sayAndKill(drop);
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', name]);
    expect([code, stderr]).toEqual([0, '']);
    expect(await tablesOf(name)).toHaveLength(count);
    await sayAndKill(drop);
    // As if the last of them had not been written, a minute ago; recovery does so.
    const ago = 'state_since = state_since - INTERVAL 4 MINUTE';
    await root.query(
      `UPDATE _undrop.ledger SET restore_script = NULL, definition = NULL, ${ago}
       WHERE schema_name = '${name}' AND table_name IN ('t7', 't8', 't9') AND state = 'HOLD'`,
    );
    const { stdout } = await runUndrop(server, ['status']);
    expect(stdout).toMatch(new RegExp(`settling \\d+ of ${count} tables of ${name}`));
    await root.query(`UPDATE _undrop.ledger SET ${ago} WHERE schema_name = '${name}'`);
    await until(async () => {
      await collectNow(server);
      const [row] = await root.rows(
        `SELECT COUNT(*) AS n, COUNT(definition) AS defined, COUNT(restore_script) AS scripts
         FROM _undrop.ledger WHERE schema_name = '${name}' AND kind = 'base' AND state = 'HOLD'`,
      );
      return Object.values(row ?? {}).join() === [count, count, count].join();
    }, 'all of them are described');
  });

  test('with sql_log_bin=0 its tables are held out of the binary log', async () => {
    await fill(name);
    await client.run(['SET sql_log_bin=0']);
    await expectHeld(3);
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
  });

  test.each(['mysql', '_undrop', '_UNDROP_LOCAL'])('%s stays', async (schema) => {
    const said = await say(`DROP DATABASE ${schema}`);
    expect(said).toMatch(/^(1235 UNDROP_|1008 |3552 )/);
    expect(await isThere('mysql')).toBe(true);
    expect(await isThere('_undrop')).toBe(true);
  });

  test.each(['MYSQL', 'Sys'])(
    '%s is a user’s, as only its case is of the server',
    async (schema) => {
      await root.run(`DROP DATABASE IF EXISTS ${schema}`, `CREATE DATABASE ${schema}`);
      await root.query(`CREATE TABLE ${schema}.t (id INT PRIMARY KEY)`);
      expect(await say(`DROP DATABASE ${schema}`)).toBe('OK 1');
      expect(await root.column('SHOW DATABASES')).not.toContain(schema);
    },
  );
});

/**
 * A dropped schema that is brought back: a dump of it is the one from before the drop, byte for
 * byte, also if what brings it back was killed, had company, or found names taken.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, jest, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { restoreSchema } from '../../src/restore/schema/restore-schema.js';
import { connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { Dice, seededRandom } from '../support/dice.js';
import { startKillable } from '../support/killable-server.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { environment, MAIN, proxyInFront, runUndrop, spawnProxy } from '../support/proxy.js';
import { dumpOf, fillRentalShop } from '../support/rental-shop.js';
import { isLong, rounds, sample, seedFor } from '../support/sample.js';
import { connect, freshSchema, query, type Target, testServerNames } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { callsToKill, FaultyPool } from './service-fixture.js';

jest.setTimeout(600_000);

/** What is killed while many tables come back; a short run has one of the two. */
const KILLED = sample(['the command', 'the proxy'] as const, { name: 'killed', count: 1 });

onServers('a dropped schema on $name', (server, on) => {
  const { afterEach, beforeAll, test } = on;
  const made: string[] = [];

  const proxy = on.proxy();
  const pool = on.pool();
  const root = on.session();
  const other = on.schema('other').name;
  beforeAll(async () => {
    const isThere = await rowsOf("SELECT 1 FROM mysql.user WHERE user = 'shop_owner'");
    if (isThere.length === 0)
      await root.query("CREATE USER 'shop_owner'@'%' IDENTIFIED BY 'x y z'");
    await root.query(`CREATE TABLE ${other}.owner (id INT PRIMARY KEY)`);
    await root.run(`INSERT INTO ${other}.owner VALUES (1)`, "GRANT ALL ON *.* TO 'shop_owner'@'%'");
  });
  afterEach(async () => {
    await root.query('SET foreign_key_checks = 0');
    for (const name of made.splice(0)) await root.query(`DROP DATABASE IF EXISTS ${name}`);
  });

  const rowsOf = async (text: string) => (await root.query<RowDataPacket[]>(text))[0];

  async function fresh(): Promise<string> {
    const { name } = await freshSchema(server, 'shop');
    made.push(name);
    return name;
  }

  async function shop(): Promise<string> {
    const name = await fresh();
    await fillRentalShop(server, name, other);
    return name;
  }

  /** Through the proxy, and its outcome is in the ledger. */
  async function drop(schema: string): Promise<void> {
    const client = await connect(proxy);
    await client.query(`DROP DATABASE ${schema}`);
    await client.end();
    const isOpen = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${schema}'
      AND state IN ('intent', 'emptying', 'emptied')`;
    await until(async () => (await rowsOf(isOpen)).length === 0, 'the drop is recorded');
  }

  /** By the server's own tool. */
  async function dumpByTool(schema: string): Promise<string> {
    const { dump, options } = dumpTools(server);
    const args = [
      '--routines',
      '--events',
      '--triggers',
      '--skip-dump-date',
      '--databases',
      schema,
    ];
    const login = [...connectionOptions(dump), ...options];
    const { code, stdout, stderr } = await runClient(dump, server, [...login, ...args]);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    return stdout;
  }

  /** The process that restored it has died, and the server knows. */
  const ownerIsGone = (schema: string) =>
    until(async () => {
      const owned = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${schema}'
        AND kind = 'schema' AND IS_FREE_LOCK(CONCAT('undrop:restore:', group_id)) = 0`;
      return (await rowsOf(owned)).length === 0;
    }, 'its owner is gone');

  const heldOf = (schema: string) =>
    rowsOf(`SELECT id FROM _undrop.ledger WHERE schema_name = '${schema}' AND state = 'HOLD'`);

  test('comes back as it was, in one command', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    // No tool of today dumps MySQL 5.6.
    const dumps = isLong && server.name !== 'mysql-5.6';
    const file = dumps ? await dumpByTool(schema) : '';
    await drop(schema);
    const { code, stdout, stderr } = await runUndrop(server, ['restore', '--schema', schema]);
    expect(await dumpOf(server, schema)).toEqual(before);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('Restored shop_')]);
    if (dumps) expect(await dumpByTool(schema)).toBe(file);
    expect(await heldOf(schema)).toEqual([]);
    const again = await runUndrop(server, ['restore', '--schema', schema]);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('is restored already')]);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('goes into another schema, without what names the old one', async () => {
    const [schema, to] = [await shop(), `${await fresh()}_copy`];
    made.push(to);
    const before = await dumpOf(server, schema);
    await drop(schema);
    const report = await restoreSchema(pool, { schema, to });
    expect(report.tables.flatMap(({ problems }) => problems)).toEqual([]);
    const renamed = before.map((line) => line.replaceAll(schema, to));
    const tables = (dump: readonly string[]) =>
      dump.filter((line) => /"Create Table"|"Checksum"/.test(line));
    // The table `audit` has the old name in its comment.
    const now = (await dumpOf(server, to)).map((line) => line.replaceAll(schema, to));
    expect(tables(now)).toEqual(tables(renamed));
    expect(report).toMatchObject({ isComplete: true, restoredAs: to });
    expect(report.parts.map(({ name }) => name)).toContain('a_list');
    expect(report.parts.map(({ kind }) => kind)).toContain('TRIGGER');
    expect(await rowsOf(`SHOW TRIGGERS FROM ${to}`)).toEqual([]);
    const keys = await rowsOf(
      `SELECT DISTINCT REFERENCED_TABLE_SCHEMA AS parent FROM information_schema.KEY_COLUMN_USAGE
       WHERE TABLE_SCHEMA = '${to}' AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY 1`,
    );
    expect(keys.map(({ parent }) => String(parent))).toEqual([other, to].sort());
  });

  test('leaves what is live as it is, and what has no place held', async () => {
    const schema = await shop();
    await drop(schema);
    await query(
      server,
      `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`,
      `CREATE TABLE ${schema}.staff (id INT PRIMARY KEY, mine INT)`,
      `INSERT INTO ${schema}.staff VALUES (9, 9)`,
      `CREATE VIEW ${schema}.m_films AS SELECT 1 AS id, 2 AS price`,
    );
    const { code, stdout } = await runUndrop(server, ['restore', '--schema', schema]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/which exists: its objects stay/);
    expect(stdout).toMatch(/Table staff was not restored: .*\.staff exists/);
    expect(stdout).toMatch(/VIEW m_films: it exists, but differs/);
    expect(await rowsOf(`SELECT * FROM ${schema}.staff`)).toEqual([{ id: 9, mine: 9 }]);
    expect(await heldOf(schema)).toHaveLength(1);
    await query(
      server,
      `DROP VIEW ${schema}.m_films`,
      'SET foreign_key_checks = 0',
      `DROP TABLE ${schema}.staff`,
    );
    const again = await runUndrop(server, ['restore', '--schema', schema]);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('Restored shop_')]);
    expect(await rowsOf(`SELECT id FROM ${schema}.staff ORDER BY id`)).toEqual([
      { id: 1 },
      { id: 2 },
    ]);
    expect(await heldOf(schema)).toEqual([]);
  });

  test('that was dropped twice: the older one is named, and comes back by its id', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    await drop(schema);
    const tables = (await heldOf(schema)).length;
    await query(server, `CREATE DATABASE ${schema}`, `CREATE TABLE ${schema}.small (id INT)`);
    await drop(schema);
    const client = await connect(proxy);
    await client.run(`UNDROP DATABASE ${schema}`, `UNDROP DATABASE ${schema}`);
    const [warning] = await client.rows('SHOW WARNINGS');
    expect(warning?.['Message']).toMatch(
      new RegExp(`is restored already.*${tables} tables are held`),
    );
    await client.end();
    const again = await runUndrop(server, ['restore', '--schema', schema]);
    expect(again.stdout).toContain(`${tables} tables are held: \`undrop restore --schema `);
    const [, older = ''] = /restore --schema ([0-9a-f]{32})/.exec(again.stdout) ?? [];

    const look = await runUndrop(server, ['restore', '--schema', older.slice(0, 28), '--dry-run']);
    expect([look.code, look.stderr]).toEqual([0, '']);
    expect(look.stdout).toMatch(/^ {2}TABLE staff$/m);
    expect(look.stdout).toMatch(/^ {2}VIEW m_films$/m);
    expect(look.stdout).toContain('Nothing was done (--dry-run)');
    expect(await heldOf(schema)).toHaveLength(tables);

    await query(server, `DROP DATABASE ${schema}`);
    const { code, stdout, stderr } = await runUndrop(server, ['restore', '--drop', older]);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('Restored shop_')]);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  async function parentAndChild(): Promise<{ schema: string; stranger: string }> {
    const schema = await fresh();
    await query(
      server,
      `CREATE TABLE ${schema}.p (id INT PRIMARY KEY) ENGINE=InnoDB`,
      `CREATE TABLE ${schema}.c (id INT PRIMARY KEY, pid INT,
         CONSTRAINT fkc FOREIGN KEY (pid) REFERENCES ${schema}.p (id)) ENGINE=InnoDB`,
    );
    return { schema, stranger: `CREATE TABLE ${schema}.p (id INT PRIMARY KEY, other INT)` };
  }

  test('leads no key to a table that only has the name of its parent', async () => {
    const { schema, stranger } = await parentAndChild();
    const before = await dumpOf(server, schema);
    await drop(schema);
    await query(server, `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`, stranger);
    const part = await runUndrop(server, ['restore', '--schema', schema]);
    expect([part.code, part.stdout]).toEqual([
      1,
      expect.stringContaining('its parent was replaced; '),
    ]);
    await query(server, `RENAME TABLE ${schema}.p TO ${schema}.p_new`);
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', schema]);
    expect([code, stderr]).toEqual([0, '']);
    await query(server, `DROP TABLE ${schema}.p_new`);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('of which a part is held is named for as long as it is', async () => {
    const { schema, stranger } = await parentAndChild();
    await drop(schema);
    await query(server, `CREATE DATABASE ${schema}`, stranger);
    await drop(schema);
    await using client = await connect(proxy);
    const said = async () => {
      await client.query(`UNDROP DATABASE ${schema}`);
      const [warning] = await client.rows('SHOW WARNINGS');
      return String(warning?.['Message']);
    };
    expect(await said()).toContain('2 tables are held');
    const [first] = await rowsOf(
      `SELECT group_id AS groupId FROM _undrop.ledger WHERE schema_name = '${schema}' ORDER BY id LIMIT 1`,
    );
    const { code } = await runUndrop(server, ['restore', '--schema', String(first?.['groupId'])]);
    expect(code).toBe(1);
    expect(await said()).toContain('1 tables are held');
  });

  test('of which the newest drop is elsewhere: the older one comes back', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    await drop(schema);
    await query(server, `CREATE DATABASE ${schema}`, `CREATE TABLE ${schema}.small (id INT)`);
    await drop(schema);
    const to = `${schema}_small`;
    made.push(to);
    for (const args of [
      ['--schema', schema, '--to', to],
      ['--schema', schema],
    ]) {
      const { code, stderr } = await runUndrop(server, ['restore', ...args]);
      expect([code, stderr]).toEqual([0, '']);
    }
    expect(await dumpOf(server, schema)).toEqual(before);
    expect(await rowsOf(`SHOW TABLES FROM ${to}`)).toHaveLength(1);
  });

  test('is brought back once by two at once', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    await drop(schema);
    const restored = await Promise.allSettled([
      restoreSchema(pool, { schema }),
      restoreSchema(pool, { schema }),
    ]);
    const codes = restored.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []));
    expect(new Set([...codes, 'UNDROP_SCHEMA_BUSY'])).toEqual(new Set(['UNDROP_SCHEMA_BUSY']));
    expect(codes.length).toBeLessThan(2);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('makes no routine, and the server no account, if rights are missing', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    await drop(schema);
    const account = { user: `lean_${schema.slice(-8)}`, password: 'pa$$ word' };
    await query(
      server,
      `CREATE USER '${account.user}'@'%' IDENTIFIED BY '${account.password}'`,
      `GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, REFERENCES, TRIGGER, SHOW VIEW,
         CREATE VIEW, CREATE ROUTINE, EVENT, SUPER, PROCESS ON *.* TO '${account.user}'@'%'`,
    );
    const lean = poolOn({ ...server, ...account });
    const { parts, isComplete } = await restoreSchema(lean, { schema }).finally(() =>
      lean.dispose(),
    );
    const problemOf = (name: string) => parts.find((part) => part.name === name)?.problem;
    expect([isComplete, problemOf('slashes')]).toEqual([false, expect.stringContaining('EXECUTE')]);
    const accounts = `SELECT 1 FROM mysql.user WHERE user = '${account.user}'`;
    expect(await rowsOf(accounts)).toHaveLength(1);
    await query(server, `DROP USER '${account.user}'@'%'`);
    expect(await restoreSchema(pool, { schema })).toMatchObject({ isComplete: true });
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('is said not to be there', async () => {
    const { code, stderr } = await runUndrop(server, ['restore', '--schema', 'never_there']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('UNDROP_NO_SUCH_SCHEMA')]);
    const both = await runUndrop(server, ['restore', 't', '--schema', 'd']);
    expect(both.code).toBe(2);
  });

  test.each(['before', 'after'] as const)(
    'is finished after a death %s any call',
    async (moment) => {
      const schema = await shop();
      const before = await dumpOf(server, schema);
      const diesAt = async (call: number) => {
        await drop(schema);
        const faulty = new FaultyPool(pool, { call, moment });
        await restoreSchema(faulty, { schema }).catch(() => undefined);
        await ownerIsGone(schema);
        const report = await restoreSchema(pool, { schema });
        expect([
          call,
          report.isComplete,
          report.tables.flatMap(({ problems }) => problems),
        ]).toEqual([...[call, true, []]]);
        expect([call, ...(await dumpOf(server, schema))]).toEqual([call, ...before]);
        return faulty.calls;
      };
      const calls = await diesAt(Number.POSITIVE_INFINITY);
      const all = callsToKill(calls, `${server.name} ${moment}`);
      for (const call of isLong ? all.filter((_call, at) => at % 20 === 7) : all.slice(0, 1)) {
        await diesAt(call);
      }
    },
  );

  const undrop = (through: Target, schema: string) => query(through, `UNDROP DATABASE ${schema}`);

  /** The proxy that brings it back; if it hasn't answered by then, it is killed. */
  async function undropThroughOneThatDies(schema: string, afterMs: number): Promise<void> {
    const doomed = await spawnProxy(server);
    const timer = setTimeout(() => doomed.kill('SIGKILL'), afterMs);
    const said = await undrop(doomed, schema).then(
      () => 'done',
      (error: Error) => error.message,
    );
    clearTimeout(timer);
    expect(said).toMatch(/^(done|Connection lost|(connect|read|write) E)/);
    doomed.kill('SIGKILL');
    await doomed.ended;
  }

  async function restoreByCommand(schema: string): Promise<void> {
    const { code, stdout, stderr } = await runUndrop(server, ['restore', '--schema', schema]);
    expect([code, stderr, stdout]).toEqual([0, '', expect.anything()]);
  }

  const ways = {
    'the command': {
      whole: (schema: string) => restored(server, schema),
      killed: (schema: string, afterMs: number) =>
        restored(server, schema, { afterMs, kill: (child) => child.kill('SIGKILL') }),
      finish: restoreByCommand,
    },
    'the proxy': {
      whole: (schema: string) => undrop(proxy, schema),
      killed: undropThroughOneThatDies,
      finish: (schema: string) => undrop(proxy, schema),
    },
  };

  test.each(KILLED)('of many tables is finished after each of many kills of %s', async (what) => {
    const { whole, killed, finish } = ways[what];
    const schema = await fresh();
    await manyTables(server, schema, { count: rounds(300, 30), keys: rounds(200, 20) });
    const before = await dumpOf(server, schema);
    const dice = new Dice(seededRandom(seedFor(`${server.name} ${what}`)));
    await drop(schema);
    const startMs = performance.now();
    await whole(schema);
    const tookMs = performance.now() - startMs;
    for (let kill = 0; kill < rounds(10, 1); kill++) {
      await drop(schema);
      const afterMs = tookMs * (0.1 + 0.9 * dice.roll());
      await killed(schema, afterMs);
      await ownerIsGone(schema);
      await finish(schema);
      expect([afterMs, ...(await dumpOf(server, schema))]).toEqual([afterMs, ...before]);
      expect(await heldOf(schema)).toEqual([]);
    }
  });
});

describe.each(testServerNames().filter((name) => name !== 'mysql-5.6'))(
  'a schema that comes back as %s is killed',
  // MySQL before 8 would come out of it with other tables damaged, too.
  (name) => {
    test('is finished when it is there again', async () => {
      await using server = await startKillable(name);
      await using proxy = await proxyInFront(server);

      const dice = new Dice(seededRandom(seedFor(name)));
      const schema = 'killed_schema';
      await query(server, `CREATE DATABASE ${schema}`);
      await manyTables(server, schema, { count: 30, keys: 20 });
      await query(server, `CREATE VIEW ${schema}.v AS SELECT id FROM ${schema}.t1`);
      const before = await dumpOf(server, schema);
      let tookMs = 0;
      for (let kill = 0; kill <= rounds(5, 1); kill++) {
        await query(proxy, `DROP DATABASE ${schema}`);
        const open = `SELECT 1 FROM _undrop.ledger WHERE state IN ('intent', 'emptying', 'emptied')`;
        await until(async () => (await query(server, open)).length === 0, 'it is recorded');
        if (kill === 0) {
          tookMs = (await restored(server, schema)).ms;
          continue;
        }
        const afterMs = tookMs * (0.3 + 0.7 * dice.roll());
        await restored(server, schema, { afterMs, kill: () => server.kill() });
        server.kill();
        await server.restart();
        const { code, stdout, stderr } = await runUndrop(server, ['restore', '--schema', schema]);
        expect([afterMs, code, stderr, stdout]).toEqual([afterMs, 0, '', expect.anything()]);
        expect(await dumpOf(server, schema)).toEqual(before);
      }
    });
  },
);

/** Tables with a tree of keys among them. */
async function manyTables(
  server: Target,
  schema: string,
  { count, keys }: { readonly count: number; readonly keys: number },
): Promise<void> {
  await using session = await connect(server, { database: schema });
  for (let nr = 0; nr < count; nr++) {
    const key = `, KEY k (p), CONSTRAINT c${nr} FOREIGN KEY (p) REFERENCES t${nr >> 1} (id)`;
    const isChild = nr > 0 && nr <= keys;
    await session.query(`CREATE TABLE t${nr} (id INT PRIMARY KEY, p INT${isChild ? key : ''})`);
    await session.query(`INSERT INTO t${nr} VALUES (1, 1), (2, NULL)`);
  }
}

/** The command in a process; if it has not ended by then, something is killed. */
async function restored(
  server: Target,
  schema: string,
  at: { readonly afterMs: number; kill(child: ChildProcess): void } | null = null,
): Promise<{ readonly ms: number }> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [MAIN, 'restore', '--schema', schema], {
    env: { ...process.env, ...environment(server, {}) },
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  const timer = at === null ? null : setTimeout(() => at.kill(child), at.afterMs);
  await ended;
  if (timer !== null) clearTimeout(timer);
  return { ms: performance.now() - startMs };
}

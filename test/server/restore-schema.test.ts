/**
 * A dropped schema that is brought back: a dump of it is the one from before the drop, byte for
 * byte, also if the server was killed, or if what brings it back had company or found names taken.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { jest } from '@jest/globals';
import type { ResultSetHeader } from 'mysql2/promise';
import { connectionOptions } from '../support/client-cli.js';
import { dumpTools, runClient } from '../support/clients.js';
import { Dice, seededRandom } from '../support/dice.js';
import { startKillable } from '../support/killable-server.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { environment, MAIN, proxyInFront, runUndrop } from '../support/proxy.js';
import { dumpOf, fillRentalShop } from '../support/rental-shop.js';
import { isLong, rounds, seedFor } from '../support/sample.js';
import { connect, freshSchema, query, type Target, testServerNames } from '../support/servers.js';

jest.setTimeout(600_000);

/** What `undrop restore --schema --json` prints. */
interface SchemaReport {
  readonly failed: readonly unknown[];
  readonly restored: readonly { readonly triggers: readonly unknown[] }[];
  readonly schemas: readonly {
    readonly restoredAs: string;
    readonly isComplete: boolean;
    readonly parts: readonly { readonly kind: string; readonly name: string }[];
  }[];
}

onServers('a dropped schema on $name', (server, on) => {
  const { afterEach, beforeAll, test } = on;
  const made: string[] = [];

  const proxy = on.proxy();
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

  const rowsOf = (text: string) => root.rows(text);

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
    await using client = await connect(proxy);
    await client.query(`DROP DATABASE ${schema}`);
    const isOpen = `SELECT 1 FROM _undrop.ledger WHERE schema_name = '${schema}'
      AND state IN ('intent', 'emptying', 'emptied')`;
    await until(async () => (await rowsOf(isOpen)).length === 0, 'the drop is recorded');
  }

  /** By the server's own tool. */
  async function dumpByTool(schema: string): Promise<string> {
    const { dump, options } = dumpTools(server);
    const what = ['--routines', '--events', '--triggers', '--skip-dump-date'];
    const args = [...what, '--databases', schema];
    const login = [...connectionOptions(dump), ...options];
    const { code, stdout, stderr } = await runClient(dump, server, [...login, ...args]);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    return stdout;
  }

  const restoring = (schema: string) => ['restore', '--schema', schema];
  const heldOf = (schema: string) =>
    rowsOf(`SELECT id FROM _undrop.ledger WHERE schema_name = '${schema}' AND state = 'HOLD'`);

  test('comes back as it was, in one command', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    // No tool of today dumps MySQL 5.6.
    const dumps = isLong && server.name !== 'mysql-5.6';
    const file = dumps ? await dumpByTool(schema) : '';
    await drop(schema);
    const { code, stdout, stderr } = await runUndrop(server, restoring(schema));
    expect(await dumpOf(server, schema)).toEqual(before);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('\nRestored: ')]);
    if (dumps) expect(await dumpByTool(schema)).toBe(file);
    expect(await heldOf(schema)).toEqual([]);
    const again = await runUndrop(server, restoring(schema));
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('is restored already')]);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('goes into another schema, without what names the old one', async () => {
    const [schema, to] = [await shop(), `${await fresh()}_copy`];
    made.push(to);
    const before = await dumpOf(server, schema);
    await drop(schema);
    const { code, stdout } = await runUndrop(server, [...restoring(schema), '--to', to, '--json']);
    const report = JSON.parse(stdout) as SchemaReport;
    expect([code, report.failed]).toEqual([0, []]);
    const renamed = before.map((line) => line.replaceAll(schema, to));
    const tables = (dump: readonly string[]) =>
      dump.filter((line) => /"Create Table"|"Checksum"/.test(line));
    // The table `audit` has the old name in its comment.
    const now = (await dumpOf(server, to)).map((line) => line.replaceAll(schema, to));
    expect(tables(now)).toEqual(tables(renamed));
    const [{ isComplete, restoredAs, parts } = { parts: [] }] = report.schemas;
    expect([isComplete, restoredAs]).toEqual([true, to]);
    expect(parts.map(({ name }) => name)).toContain('a_list');
    expect(report.restored.flatMap(({ triggers }) => triggers)).not.toEqual([]);
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
    const { code, stderr } = await runUndrop(server, restoring(schema));
    expect(code).toBe(1);
    expect(stderr).toMatch(/\.staff.* exists/);
    expect(stderr).toMatch(/VIEW \S+\.m_films: it exists, but differs/);
    expect(await rowsOf(`SELECT * FROM ${schema}.staff`)).toEqual([{ id: 9, mine: 9 }]);
    expect(await heldOf(schema)).toHaveLength(1);
    await query(
      server,
      `DROP VIEW ${schema}.m_films`,
      'SET foreign_key_checks = 0',
      `DROP TABLE ${schema}.staff`,
    );
    const again = await runUndrop(server, restoring(schema));
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('\nRestored: ')]);
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
    await using client = await connect(proxy);
    await client.query(`UNDROP DATABASE ${schema}`);
    const [ok] = await client.query<ResultSetHeader>(`UNDROP DATABASE ${schema}`);
    expect(ok.info).toContain('is restored already');
    const [said] = await client.rows('SHOW WARNINGS');
    expect(said?.['Message']).toContain(`${tables} other dropped tables`);
    const again = await runUndrop(server, restoring(schema));
    expect(again.stdout).toContain(`${tables} other dropped tables of ${schema} are held: `);
    const [older = ''] = await root.column(
      `SELECT MIN(group_id) FROM _undrop.ledger WHERE schema_name = '${schema}'`,
    );

    const look = await runUndrop(server, ['restore', '--schema', older.slice(0, 28), '--dry-run']);
    expect([look.code, look.stderr]).toEqual([0, '']);
    expect(look.stdout).toMatch(/^Would restore \S+\.staff /m);
    expect(look.stdout).toMatch(/^Would create VIEW \S+\.m_films\.$/m);
    expect(look.stdout).toContain('Nothing was done (--dry-run)');
    expect(await heldOf(schema)).toHaveLength(tables);

    await query(server, `DROP DATABASE ${schema}`);
    const { code, stdout, stderr } = await runUndrop(server, ['restore', '--drop', older]);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('\nRestored: ')]);
    expect(await dumpOf(server, schema)).toEqual(before);
  });

  test('is brought back once by two at once', async () => {
    const schema = await shop();
    const before = await dumpOf(server, schema);
    await drop(schema);
    const both = [runUndrop(server, restoring(schema)), runUndrop(server, restoring(schema))];
    const refused = (await Promise.all(both)).filter(({ code }) => code !== 0);
    // The other may have been done between the plan and the first table.
    const late = /UNDROP_SCHEMA_BUSY|UNDROP_NO_SUCH_HELD/;
    for (const { stderr } of refused) expect(stderr).toMatch(late);
    expect(refused.length).toBeLessThan(2);
    expect(await dumpOf(server, schema)).toEqual(before);
  });
});

/** MySQL before 8 would come out of it with other tables damaged, too. */
const KILLABLE = testServerNames().filter((name) => name !== 'mysql-5.6');
describe.each(KILLABLE)('a schema that comes back as %s is killed', (name) => {
  test('is finished when it is there again', async () => {
    await using server = await startKillable(name);
    await using proxy = await proxyInFront(server);

    const dice = new Dice(seededRandom(seedFor(name)));
    const schema = 'killed_schema';
    await query(server, `CREATE DATABASE ${schema}`);
    await makeTables(server, schema);
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
});

/** Thirty tables, with a tree of keys among them. */
async function makeTables(server: Target, schema: string): Promise<void> {
  await using session = await connect(server, { database: schema });
  for (let nr = 0; nr < 30; nr++) {
    const key = `, KEY k (p), CONSTRAINT c${nr} FOREIGN KEY (p) REFERENCES t${nr >> 1} (id)`;
    const isChild = nr > 0 && nr <= 20;
    await session.query(`CREATE TABLE t${nr} (id INT PRIMARY KEY, p INT${isChild ? key : ''})`);
    await session.query(`INSERT INTO t${nr} VALUES (1, 1), (2, NULL)`);
  }
}

/** The command in a process; if it has not ended by then, the server is killed. */
async function restored(
  server: Target,
  schema: string,
  at: { readonly afterMs: number; kill(): void } | null = null,
): Promise<{ readonly ms: number }> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [MAIN, 'restore', '--schema', schema], {
    env: { ...process.env, ...environment(server, {}) },
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  const timer = at === null ? null : setTimeout(() => at.kill(), at.afterMs);
  await ended;
  if (timer !== null) clearTimeout(timer);
  return { ms: performance.now() - startMs };
}

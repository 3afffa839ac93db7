/**
 * Tables with a CHECK that the user has named. On MySQL 8.0.16 and later that name is unique in its
 * schema, so the next table with it can't be held beside the first: it goes to a spare schema, from
 * where it is listed, restored and collected like any other. Elsewhere all are in `_undrop`.
 */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { findRows } from '../../src/ledger/read.js';
import { silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import type { ServicePool } from '../../src/service/pools.js';
import { type HeldTable, listHeld } from '../../src/undo/list.js';
import { restore } from '../../src/undo/run-restore.js';
import { type Collecting, countRows, startCollecting, until } from '../lifecycle/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { connect, type FreshSchema, freshSchema, query, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { endSession, intend, PROXY_ID, renameAway } from './service-fixture.js';

// A busy machine is slow, not wrong.
jest.setTimeout(120_000);

const TIMES = 5;

describe.each(testServers())('named CHECKs on $name', (server) => {
  const collides = server.name === 'mysql-9.7';
  const checks = server.name !== 'mysql-5.6';
  let pool: ServicePool;
  let schema: FreshSchema;
  let proxy: ProxyTarget;
  let client: RawClient;
  let root: Connection;
  let collecting: Collecting | null = null;

  beforeEach(async () => {
    pool = poolOn(server);
    await dropSpareSchemas();
    await freshLedger(server);
    schema = await freshSchema(server, 'checks');
    root = await connect(server, { database: schema.name });
    proxy = await proxyInFront(server, { HOLD: '1h' });
    client = await RawClient.open(proxy, { schema: schema.name });
  });

  afterEach(async () => {
    await collecting?.stop();
    collecting = null;
    await client.quit();
    await proxy.stop();
    await root.end();
    await schema.drop();
    await dropSpareSchemas();
    await pool.dispose();
  });

  async function dropSpareSchemas(): Promise<void> {
    const rows = await query<{ name: string }>(
      server,
      `SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA
       WHERE SCHEMA_NAME LIKE '\\_undrop\\_%'`,
    );
    await query(server, 'DO 0', ...rows.map(({ name }) => `DROP DATABASE ${name}`));
  }

  /** As a dump is loaded again and again; the n-th table has n rows. */
  async function make(rows: number): Promise<void> {
    await root.query('CREATE TABLE t (id INT PRIMARY KEY, CONSTRAINT positive CHECK (id > 0))');
    const values = Array.from({ length: rows }, (_, index) => `(${index + 1})`);
    await root.query(`INSERT INTO t VALUES ${values.join(', ')}`);
  }

  async function drop(sql = 'DROP TABLE t'): Promise<string> {
    const { results } = await client.query(sql);
    const [result] = results;
    return result?.kind === 'err' ? result.message.toString() : String(result?.kind);
  }

  async function makeAndDrop(times: number): Promise<void> {
    for (let rows = 1; rows <= times; rows += 1) {
      await make(rows);
      expect(await drop()).toBe('ok');
    }
    await outcomesAreWritten(times);
  }

  async function outcomesAreWritten(count: number): Promise<void> {
    await until('the outcomes are written', async () => {
      const rows = await findRows(pool, { by: 'live' });
      return rows.length === count && rows.every(({ state }) => state === 'HOLD');
    });
  }

  /** Oldest first. */
  async function held(): Promise<readonly HeldTable[]> {
    return [...(await listHeld(pool))].reverse();
  }

  /** Where so many tables are, oldest first, if `passedOver` is none of ours. */
  function homes(count: number, first = '_undrop', passedOver = ''): readonly string[] {
    if (!collides) return Array.from({ length: count }, () => first);
    return [first, ...Array.from({ length: count }, (_, index) => `${first}_${index + 2}`)]
      .filter((name) => name !== passedOver)
      .slice(0, count);
  }

  async function rowsHeld(): Promise<readonly number[]> {
    const tables = await held();
    return Promise.all(
      tables.map(({ holdSchema, holdName }) => countRows(server, `${holdSchema}.${holdName}`)),
    );
  }

  test('one after the other is held, listed, restored with its CHECK, and collected', async () => {
    await makeAndDrop(TIMES);
    const tables = await held();
    expect(tables.map(({ holdSchema }) => holdSchema)).toEqual(homes(TIMES));
    expect(await rowsHeld()).toEqual([1, 2, 3, 4, 5]);
    const rows = await findRows(pool, { by: 'live' });
    expect(rows.map(({ relocated, failure }) => [relocated, failure])).toEqual(
      rows.map(() => [true, null]),
    );
    for (const [index, { id, origin }] of tables.entries()) {
      expect(origin).toEqual({ schema: schema.name, table: 't' });
      expect((await restore(pool, { target: id })).recorded).toBe(true);
      expect(await countRows(server, `${schema.name}.t`)).toBe(index + 1);
      const [shown] = await query(server, `SHOW CREATE TABLE ${schema.name}.t`);
      if (checks) expect(shown?.['Create Table']).toContain('CONSTRAINT `positive` CHECK');
      expect(await drop()).toBe('ok');
    }
    await until('all are held again', async () => (await rowsHeld()).length === TIMES);
    collecting = startCollecting(server, { lifecycle: ['PURGE', 'EVAC', 'DROP'] });
    await until('all are gone', async () => (await held()).length === 0);
    await until(
      'the ledger says so',
      async () => (await findRows(pool, { by: 'live' })).length === 0,
    );
  });

  test('made and dropped forty times, its name is free each time', async () => {
    if (!collides) return;
    await makeAndDrop(40);
    expect((await held()).map(({ holdSchema }) => holdSchema)).toEqual(homes(40));
  });

  test('what is dropped without a binary log goes to a local schema that is not in it', async () => {
    await query(server, 'FLUSH LOGS');
    await root.query('SET sql_log_bin = 0');
    await client.run(['SET sql_log_bin = 0']);
    await makeAndDrop(2);
    const tables = await held();
    const expected = homes(2, '_undrop_local');
    expect(tables.map(({ holdSchema, logged }) => [holdSchema, logged])).toEqual(
      expected.map((home) => [home, false]),
    );
    const logs = await query<{ Log_name: string }>(server, 'SHOW BINARY LOGS');
    const events = await query<{ Info: string }>(
      server,
      `SHOW BINLOG EVENTS IN '${logs.at(-1)?.Log_name ?? ''}'`,
    );
    expect(events.filter(({ Info }) => Info.includes('_undrop_local'))).toEqual([]);
    collecting = startCollecting(server, { lifecycle: ['DROP'] });
    await until('all are gone', async () => (await held()).length === 0);
  });

  test('a schema of somebody that has the name of a spare one is passed over, its tables stay', async () => {
    await query(
      server,
      'CREATE DATABASE _undrop_2',
      'CREATE TABLE _undrop_2.orders (id INT)',
      'INSERT INTO _undrop_2.orders VALUES (1), (2)',
      'CREATE TABLE _undrop_2._vt_DROP_1 (id INT)',
      'INSERT INTO _undrop_2._vt_DROP_1 VALUES (1)',
    );
    await makeAndDrop(3);
    const tables = await held();
    expect(tables.map(({ holdSchema }) => holdSchema)).toEqual(homes(3, '_undrop', '_undrop_2'));
    collecting = startCollecting(server, { lifecycle: ['DROP'] });
    await until('all are gone', async () => (await held()).length === 0);
    expect(await countRows(server, '_undrop_2.orders')).toBe(2);
    expect(await countRows(server, '_undrop_2._vt_DROP_1')).toBe(1);
  });

  test('what a killed proxy left is found in a spare schema, and completed into one', async () => {
    const names: string[] = [];
    for (const rows of [1, 2, 3]) {
      await make(rows);
      const session = await connect(server, { database: schema.name });
      const options = { schema: schema.name, tables: ['t'] };
      const { holdNames, ...rest } = await intend(pool, session, options);
      await renameAway(session, { holdNames, ...rest });
      names.push(...holdNames);
      // The name of the CHECK is free for the next; the third is left in its own schema.
      await query(server, `CREATE DATABASE IF NOT EXISTS _undrop_${rows + 1}`);
      if (rows < 3) {
        const home = `_undrop_${rows + 1}.${holdNames[0]}`;
        await query(server, `RENAME TABLE ${schema.name}.${holdNames[0]} TO ${home}`);
      }
      await endSession(server, session);
    }
    const options = { proxyId: PROXY_ID, activeIds: new Set<string>(), log: silentLog };
    const report = await reconcile(pool, options);
    expect(report.completed).toHaveLength(3);
    const places = new Map((await held()).map((table) => [table.holdName, table.holdSchema]));
    expect(names.map((name) => places.get(name))).toEqual(['_undrop_2', '_undrop_3', '_undrop']);
    await outcomesAreWritten(3);
    expect((await rowsHeld()).toSorted()).toEqual([1, 2, 3]);
    const [first = ''] = names;
    await query(server, `DROP TABLE _undrop_2.${first}`);
    expect((await reconcile(pool, options)).gone).toHaveLength(1);
    expect(await rowsHeld()).toHaveLength(2);
  });

  test('a debt that the name of a CHECK has kept is paid by recovery', async () => {
    await makeAndDrop(1);
    await make(2);
    const session = await connect(server, { database: schema.name });
    const drop = await intend(pool, session, { schema: schema.name, tables: ['t'] });
    await renameAway(session, drop);
    await endSession(server, session);
    const options = { proxyId: PROXY_ID, activeIds: new Set<string>(), log: silentLog };
    expect((await reconcile(pool, options)).completed).toHaveLength(1);
    expect((await held()).map(({ holdSchema }) => holdSchema)).toEqual(homes(2));
    expect(await rowsHeld()).toEqual([1, 2]);
  });

  test('the rights that the documentation asks for are enough', async () => {
    const account = "narrow_svc@'%'";
    const some = 'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, TRIGGER';
    await query(
      server,
      `CREATE USER ${account} IDENTIFIED BY 'narrow'`,
      `GRANT PROCESS ON *.* TO ${account}`,
      `GRANT ${some} ON \`\\_undrop%\`.* TO ${account}`,
      `GRANT SELECT, INSERT, DELETE, CREATE, DROP, ALTER, TRIGGER ON ${schema.name}.* TO ${account}`,
      ...(collides ? [`GRANT SELECT ON performance_schema.* TO ${account}`] : []),
    );
    await client.quit();
    await proxy.stop();
    proxy = await proxyInFront(
      { ...server, user: 'narrow_svc', password: 'narrow' },
      { HOLD: '1h' },
    );
    client = await RawClient.open({ ...proxy, user: server.user }, { schema: schema.name });
    try {
      await makeAndDrop(2);
      expect((await held()).map(({ holdSchema }) => holdSchema)).toEqual(homes(2));
    } finally {
      await query(server, `DROP USER ${account}`);
    }
  });

  test('a held table in a spare schema is not dropped by a client', async () => {
    await query(server, 'CREATE DATABASE _undrop_2', 'CREATE TABLE _undrop_2.t (id INT)');
    expect(await drop('DROP TABLE _undrop_2.t')).toMatch(/^UNDROP_RECYCLE_SCHEMA: /);
    expect(await countRows(server, '_undrop_2.t')).toBe(0);
  });
});

/**
 * Intents that a service connection has taken over, to rename in a user's stead: recovery leaves
 * them alone while that connection is there, whatever became of the user's session, and what it has
 * forgotten can't be taken over any more.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { renameInStead } from '../../src/drop/rename-in-stead.js';
import { giveBack, takeOver } from '../../src/ledger/take-over.js';
import { forgetIntents } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { settleIntents } from '../../src/recovery/settle-intents.js';
import type { ServicePool } from '../../src/service/pools.js';
import { connect, type FreshSchema, freshSchema, testServers } from '../support/servers.js';
import { endSession, freshLedger, intend, poolOn, rowCounts, until } from './service-fixture.js';

describe.each(testServers())('intents that are taken over on $name', (server) => {
  let pool: ServicePool;
  let schema: FreshSchema;
  let session: Connection;

  beforeAll(() => {
    pool = poolOn(server);
  });

  beforeEach(async () => {
    await freshLedger(server, pool);
    schema = await freshSchema(server);
    session = await connect(server, { database: schema.name });
    await session.query('CREATE TABLE t (a INT PRIMARY KEY)');
    await session.query('INSERT INTO t VALUES (1), (2)');
  });

  afterEach(async () => {
    await session.end();
    await schema.drop();
  });

  afterAll(() => pool.dispose());

  const intended = () => intend(pool, session, { schema: schema.name, tables: ['t'] });

  async function die(): Promise<void> {
    await endSession(server, session);
    session = await connect(server, { database: schema.name });
  }

  const settle = () => settleIntents(pool, { activeIds: new Set(), log: silentLog });

  test('stay as long as the connection does, though the session is gone', async () => {
    const { intent } = await intended();
    const ids = intent.tables.map(({ id }) => id);
    const taken = pool.task(async (connection) => {
      connection.discard();
      expect(await takeOver(connection, { ids, rowLogged: true })).toMatchObject({
        threadId: intent.threadId,
      });
      await die();
      return settle();
    });
    expect(await taken).toMatchObject({ untouched: ids, forgotten: [] });
    await until(async () => (await settle()).forgotten.length > 0);
    expect(await rowCounts(server, schema.name)).toEqual({ t: 2 });
  });

  test('are the session’s again when they are given back', async () => {
    const { intent } = await intended();
    const intents = { ids: intent.tables.map(({ id }) => id), rowLogged: true };
    const owner = await pool.task(async (connection) => {
      connection.discard();
      return takeOver(connection, intents);
    });
    if (owner === null) throw new Error('there is an intent');
    await giveBack(pool, intents, owner);
    expect(await settle()).toMatchObject({ untouched: intents.ids });
    await die();
    expect(await settle()).toMatchObject({ forgotten: intents.ids });
  });

  test('are not forgotten by whoever has seen another owner', async () => {
    const { intent } = await intended();
    const ids = intent.tables.map(({ id }) => id);
    await pool.task(async (connection) => {
      connection.discard();
      await takeOver(connection, { ids, rowLogged: true });
    });
    expect(await forgetIntents(pool, ids, { ownedBy: intent.threadId })).toBe(0);
    expect(await forgetIntents(pool, ids)).toBe(1);
  });

  test('can’t be any more when they are forgotten, and then nothing is renamed', async () => {
    const { intent, facts, holdNames } = await intended();
    await forgetIntents(
      pool,
      intent.tables.map(({ id }) => id),
    );
    const tables = facts.tables.map(({ id, schema: from, table }, index) => {
      return { id, schema: from, table, holdName: holdNames[index] ?? '' };
    });
    const how = { logged: true, checksForeignKeys: true, killAfterMs: 200 };
    expect(await renameInStead(pool, { tables, ...how })).toEqual({ kind: 'gone' });
    expect(await rowCounts(server, schema.name)).toEqual({ t: 2 });
  });
});

/**
 * Intents that a service connection has taken over, to rename in a user's stead: recovery leaves
 * them alone while that connection is there, whatever became of the user's session, and what it has
 * forgotten can't be taken over any more.
 */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { renameInStead } from '../../src/drop/rename-in-stead.js';
import { giveBack, takeOver } from '../../src/ledger/take-over.js';
import { forgetIntents } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { settleIntents } from '../../src/recovery/settle-intents.js';
import { until } from '../support/poll.js';
import { testServers } from '../support/servers.js';
import { ownSession } from './own-session.js';
import { intend, rowCounts } from './service-fixture.js';

describe.each(testServers())('intents that are taken over on $name', (server) => {
  const own = ownSession(server);

  beforeEach(async () => {
    await own.session.query('CREATE TABLE t (a INT PRIMARY KEY)');
    await own.session.query('INSERT INTO t VALUES (1), (2)');
  });

  const intended = () => intend(own.pool, own.session, { schema: own.schema.name, tables: ['t'] });

  const settle = () => settleIntents(own.pool, { activeIds: new Set(), log: silentLog });

  test('stay as long as the connection does, though the session is gone', async () => {
    const { intent } = await intended();
    const ids = intent.tables.map(({ id }) => id);
    const taken = own.pool.task(async (connection) => {
      connection.discard();
      expect(await takeOver(connection, { ids, rowLogged: true })).toMatchObject({
        threadId: intent.threadId,
      });
      await own.die();
      return settle();
    });
    expect(await taken).toMatchObject({ untouched: ids, forgotten: [] });
    await until(async () => (await settle()).forgotten.length > 0, 'they are forgotten');
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });

  test('are the session’s again when they are given back', async () => {
    const { intent } = await intended();
    const intents = { ids: intent.tables.map(({ id }) => id), rowLogged: true };
    const owner = await own.pool.task(async (connection) => {
      connection.discard();
      return takeOver(connection, intents);
    });
    if (owner === null) throw new Error('there is an intent');
    await giveBack(own.pool, intents, owner);
    expect(await settle()).toMatchObject({ untouched: intents.ids });
    await own.die();
    expect(await settle()).toMatchObject({ forgotten: intents.ids });
  });

  test('are not forgotten by whoever has seen another owner', async () => {
    const { intent } = await intended();
    const ids = intent.tables.map(({ id }) => id);
    await own.pool.task(async (connection) => {
      connection.discard();
      await takeOver(connection, { ids, rowLogged: true });
    });
    expect(await forgetIntents(own.pool, ids, { ownedBy: intent.threadId })).toBe(0);
    expect(await forgetIntents(own.pool, ids)).toBe(1);
  });

  test('can’t be any more when they are forgotten, and then nothing is renamed', async () => {
    const { intent, facts, holdNames } = await intended();
    await forgetIntents(
      own.pool,
      intent.tables.map(({ id }) => id),
    );
    const tables = facts.tables.map(({ id, schema: from, table }, index) => {
      return { id, schema: from, table, holdName: holdNames[index] ?? '' };
    });
    const how = { logged: true, checksForeignKeys: true, killAfterMs: 200 };
    expect(await renameInStead(own.pool, { tables, ...how })).toEqual({ kind: 'gone' });
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });
});

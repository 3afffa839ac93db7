/**
 * Tables on their way out of a schema and back. Intents that a service connection has taken over,
 * to rename for a user, are left alone by recovery while that connection is there, and can't be
 * taken over once they are forgotten; where they change hands while somebody looks on, nobody
 * touches what they hold. It imports the inside of src, as no client can stop between two of its
 * statements.
 */

import { listCollectable } from '../../src/collector/collectable.js';
import { isServerError } from '../../src/connections/errors.js';
import type { ServicePool, TaskConnection } from '../../src/connections/sql.js';
import { renameByService } from '../../src/drop/steps/rename/rename-by-service.js';
import { type Relocation, relocate } from '../../src/held/relocate/relocate.js';
import { releaseText, takeOverText } from '../../src/ledger/intents/record-intent.js';
import { forgetIntents, shapeOf } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { resolveIntents } from '../../src/recycle/recovery/resolve-intents.js';
import { renameBack } from '../../src/recycle/rename-back.js';
import * as ER from '../../src/wire/server-errors.js';
import { heldRows } from '../support/client-held.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { hasProcess, query } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';
import { type WireTap, wireTap } from '../support/wire-tap.js';
import { ownSession } from './own-session.js';
import { intend, renameAway, rowCounts, type UserDrop } from './service-fixture.js';

onServers('tables on their way on $name', (server, on) => {
  const { beforeEach, test } = on;
  const own = ownSession(server, on);

  beforeEach(async () => {
    await own.session.run('CREATE TABLE t (a INT PRIMARY KEY)', 'INSERT INTO t VALUES (1), (2)');
  });

  /** False: one of them is no longer there. */
  const takeOver = async (connection: TaskConnection, ids: readonly string[]) => {
    const text = takeOverText(ids, connection.threadId, await shapeOf(own.pool));
    try {
      await connection.run(text);
      return true;
    } catch (error) {
      if (isServerError(error, ER.SUBQUERY_NO_1_ROW)) return false;
      throw error;
    }
  };

  const release = async (ids: readonly string[], ownerId: number) => {
    await own.pool.run(releaseText(ids, ownerId, await shapeOf(own.pool)));
  };

  const intended = () => intend(own.pool, own.session, { schema: own.schema.name, tables: ['t'] });

  const settle = (through: ServicePool = own.pool) =>
    resolveIntents(through, { activeIds: new Set(), log: silentLog, cursor: { after: null } });

  /** By a connection that has left the pool since; until then `meanwhile`. */
  async function takenOver(meanwhile: (ids: readonly string[]) => unknown = () => undefined) {
    const { intent } = await intended();
    const ids = intent.tables.map(({ id }) => id);
    await own.pool.task(async (connection) => {
      connection.discard();
      expect(await takeOver(connection, ids)).toBe(true);
      await meanwhile(ids);
    });
    return { ids, threadId: intent.threadId };
  }

  test('intents that are taken over stay as long as the connection does, though the session is gone', async () => {
    await takenOver(async (ids) => {
      await own.die();
      expect(await settle()).toMatchObject({ untouched: ids, forgotten: [] });
    });
    await until(async () => (await settle()).forgotten.length > 0, 'they are forgotten');
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });

  test('intents are the session’s again when they are given back', async () => {
    const { ids, threadId } = await takenOver();
    await release(ids, threadId);
    expect(await settle()).toMatchObject({ untouched: ids });
    await own.die();
    expect(await settle()).toMatchObject({ forgotten: ids });
  });

  test('intents are not forgotten by whoever has seen another owner', async () => {
    const { ids, threadId } = await takenOver();
    expect(await forgetIntents(own.pool, ids, threadId)).toBe(0);
    expect(await forgetIntents(own.pool, ids)).toBe(1);
  });

  test('intents that are forgotten can’t be taken over, and nothing is renamed', async () => {
    const { intent, facts, holdNames } = await intended();
    await forgetIntents(
      own.pool,
      intent.tables.map(({ id }) => id),
    );
    const tables = facts.tables.map(({ id, schema: from, table }, index) => {
      return { id, schema: from, table, holdName: holdNames[index] ?? '', holdSchema: from };
    });
    const { threadId: sessionId } = intent;
    const how = { logged: true, checksForeignKeys: true, killAfterMs: 200, sessionId };
    expect(await renameByService(own.pool, { tables, ...how })).toEqual({ kind: 'gone' });
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });

  const MOMENTS = ['before statement', 'before answer'] as const;
  test.each(MOMENTS)('intents come to one end if their connection breaks %s', async (moment) => {
    let breaks = 0;
    await using tap = await wireTap(server, (event) => {
      const isTakeOver = event.moment === moment && event.command.includes('undrop take-over ');
      return isTakeOver && breaks++ === 0 ? 'cut' : true;
    });
    await using proxy = await proxyInFront(tap);
    await using client = await RawClient.open(proxy, { schema: own.schema.name });
    const { results } = await client.query('DROP TABLE t');
    expect({ breaks, results }).toMatchObject({ breaks: 1, results: [{ kind: 'ok' }] });
    await until(async () => (await heldRows(server, own.schema.name))['t'] === 2, 'it is held');
    expect(await rowCounts(server, own.schema.name)).toEqual({});
  });

  test('intents end with the drop if the session breaks before its outcome', async () => {
    let [isSevered, isReleased] = [false, false];
    await using tap: WireTap = await wireTap(server, ({ moment, command }) => {
      if (moment === 'before answer' && command.includes('undrop take-over ') && !isSevered) {
        isSevered = true;
        tap.sever((user) => user === server.user);
      }
      isReleased ||= moment === 'after answer' && /undrop (release|outcome) /.test(`${command}`);
      return true;
    });
    await using proxy = await proxyInFront(tap);
    await using client = await RawClient.open(proxy, { schema: own.schema.name });
    await expect(client.query('DROP TABLE t')).rejects.toThrow();
    await until(async () => isReleased, 'no service connection owns it');
    expect(await heldRows(server, own.schema.name)).toEqual({ t: 2 });
  });

  /** A table in the recycle schema whose statement isn't over, as its intent says. */
  async function away() {
    const { intent, holdNames } = await intended();
    await own.session.query(`RENAME TABLE t TO _undrop.${holdNames[0]}`);
    return intent.tables.map(({ id }) => id);
  }

  const shiftPort = (by: number) =>
    query(server, `UPDATE _undrop.ledger SET upstream_port = upstream_port + ${by}`);

  const take = (pool: ServicePool, ids: readonly string[]) =>
    pool.task(async (connection) => {
      expect(await takeOver(connection, ids)).toBe(true);
      return connection.threadId;
    });

  /** What is done before any look, and what between that at the ledger and that at the sessions. */
  const WAYS = {
    'taken over': async (ids: readonly string[], pool: ServicePool) => async () => {
      await take(pool, ids);
      await own.die();
    },
    'given back': async (ids: readonly string[], pool: ServicePool) => {
      const threadId = await take(pool, ids);
      return async () => {
        await release(ids, own.session.threadId);
        await pool.dispose();
        await until(async () => !(await hasProcess(server, `ID = ${threadId}`)), 'it is gone');
      };
    },
    'passed on to the same id at another port': async () => {
      await shiftPort(-1);
      return () => shiftPort(1);
    },
  };

  const TOUCHED = {
    recovery: async (pool: ServicePool) => (await settle(pool)).completed,
    'the collector': async (pool: ServicePool) =>
      (await listCollectable(pool, new Set())).tables.map(({ id }) => id),
  };

  type Pair = readonly [way: keyof typeof WAYS, who: keyof typeof TOUCHED];
  const pairs = Object.keys(WAYS).flatMap((way) =>
    Object.keys(TOUCHED).map((who) => [way, who] as unknown as Pair),
  );
  test.each(pairs)('%s between two looks: what they hold is left alone by %s', async (way, who) => {
    const ids = await away();
    const pool = poolOn(server, 2);
    try {
      const letThrough = await WAYS[way](ids, pool);
      let isPassedOn = false;
      const between = tappedPool(own.pool, async (send, texts) => {
        if (!isPassedOn && texts.some((text) => text.includes('/* undrop owners */'))) {
          isPassedOn = true;
          await letThrough();
        }
        return send();
      });
      const touched = await TOUCHED[who](between);
      expect({ isPassedOn, touched }).toEqual({ isPassedOn: true, touched: [] });
    } finally {
      await pool.dispose();
    }
    // When that owner is gone as well, it is.
    await own.die();
    await until(async () => (await TOUCHED[who](own.pool)).length > 0, `${who} has it`);
  });

  function move(drop: UserDrop): Promise<readonly Relocation[]> {
    const tables = drop.facts.tables.map(({ id, table }, index) => {
      return { id, fromSchema: own.schema.name, holdName: drop.holdNames[index] ?? '', table };
    });
    return relocate(own.pool, tables);
  }

  test('only a hold name of that very id is ever moved', async () => {
    const { intent } = await intended();
    const [id = ''] = intent.tables.map((table) => table.id);
    const live = { id, fromSchema: own.schema.name, holdName: 't', table: 't' };
    await expect(relocate(own.pool, [live])).rejects.toThrow('Invariant');
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });

  test('a table that was relocated since it was found comes back', async () => {
    const drop = await intended();
    await renameAway(own.session, drop);
    // The second time somebody else has moved it.
    for (let times = 0; times < 2; times++) {
      expect((await move(drop)).map(({ outcome }) => outcome)).toEqual(['moved']);
    }
    const [id = ''] = drop.facts.tables.map((table) => table.id);
    const [holdName = ''] = drop.holdNames;
    const to = { schema: own.schema.name, table: 't' };
    await renameBack(own.pool, { id, holdSchema: to.schema, holdName, to });
    expect(await rowCounts(server, own.schema.name)).toEqual({ t: 2 });
  });
});

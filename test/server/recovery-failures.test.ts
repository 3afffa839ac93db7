/**
 * Recovery on real servers where one thing fails again and again, or where it must not act: what
 * else there is to do is done, and the ledger of a read-only server is left alone.
 */
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { Home } from '../../src/cli/home.js';
import { findRows } from '../../src/ledger/read.js';
import { type Log, silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import type { ServicePool } from '../../src/service/pools.js';
import { ServerError } from '../../src/service/server-error.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { query, testServers } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import { ownSession } from './own-session.js';
import { intend, PROXY_ID, recordOwed, renameAway, type UserDrop } from './service-fixture.js';

// A busy machine is slow, not wrong.
jest.setTimeout(120_000);

describe.each(testServers())('recovery on $name', (server) => {
  const own = ownSession(server);
  let proxy: Awaited<ReturnType<typeof proxyInFront>> | null = null;

  afterEach(async () => {
    await query(server, 'SET GLOBAL read_only = OFF');
    await proxy?.stop();
    proxy = null;
  });

  async function renamed(table: string): Promise<UserDrop> {
    await query(server, `CREATE TABLE ${own.schema.name}.${table} (a INT PRIMARY KEY)`);
    const tables = [table];
    const drop = await intend(own.pool, own.session, { schema: own.schema.name, tables });
    await renameAway(own.session, drop);
    return drop;
  }

  const idOf = ({ facts }: UserDrop): string => facts.tables[0]?.id ?? '';
  const stateOf = async (drop: UserDrop) => {
    const [row] = await findRows(own.pool, { by: 'id', prefix: idOf(drop) });
    return row === undefined ? undefined : [row.state, row.relocated];
  };

  test('a table that always fails keeps no other from being settled', async () => {
    const [bad, good] = [await renamed('bad'), await renamed('good')];
    const [badDebt, debt] = [await renamed('bad_debt'), await renamed('debt')];
    for (const drop of [badDebt, debt]) await recordOwed(own.pool, drop);
    await own.die();
    const failing = failingPool(own.pool, [bad, badDebt].map(idOf));
    const log = { ...silentLog, warn: jest.fn() };
    const options = { proxyId: PROXY_ID, activeIds: new Set<string>(), log };
    const report = await reconcile(failing, options);
    expect(report.untouched).toEqual([idOf(bad)]);
    expect(report.debtsLeft).toEqual([idOf(badDebt)]);
    expect(await stateOf(good)).toEqual(['HOLD', true]);
    expect(await stateOf(debt)).toEqual(['HOLD', true]);
    expect(await stateOf(bad)).toEqual(['intent', false]);
    await reconcile(own.pool, options);
    expect(await stateOf(bad)).toEqual(['HOLD', true]);
    expect(await stateOf(badDebt)).toEqual(['HOLD', true]);
  });

  test('a kind of rows that always fails keeps no other kind from being settled', async () => {
    const drop = await renamed('good');
    await recordOwed(own.pool, drop);
    await own.die();
    const failing = failingPool(own.pool, ["WHERE state = 'intent' ORDER"]);
    const options = { proxyId: PROXY_ID, activeIds: new Set<string>(), log: silentLog };
    await expect(reconcile(failing, options)).rejects.toThrow('Got error 1 (1030)');
    expect(await stateOf(drop)).toEqual(['HOLD', true]);
  });

  test('a recovery that has no end keeps no proxy from its own', async () => {
    await renamed('a');
    await own.die();
    proxy = await proxyInFront(server, { MODE: 'observe' });
    const { settings } = proxy;
    let isStuck = false;
    const stuck = tappedPool(own.pool, (send, texts) => {
      if (!texts.some((text) => text.includes("state = 'intent'"))) return send();
      isStuck = true;
      return new Promise(() => undefined);
    });
    const options = { proxyId: PROXY_ID, activeIds: new Set<string>(), log: silentLog };
    const home = await Home.open({ ...options, pool: stuck }, settings);
    await until(() => Promise.resolve(isStuck), 'it recovers');
    expect(await home.stop()).toBe(undefined);
  });

  test('a proxy that starts on a read-only server leaves its ledger alone until it is not', async () => {
    const drop = await renamed('a');
    await own.die();
    const said: string[] = [];
    const say = (_fields: object, message: string) => void said.push(message);
    const log: Log = { debug: () => undefined, info: say, warn: say, error: say };
    await query(server, 'SET GLOBAL read_only = ON');
    proxy = await proxyInFront(server, {}, log);
    const isSaid = async () => said.some((line) => line.startsWith('the server is read-only'));
    await until(isSaid, 'it says so', 20_000);
    expect(await stateOf(drop)).toEqual(['intent', false]);
    await query(server, 'SET GLOBAL read_only = OFF');
    await until(async () => (await stateOf(drop))?.[0] === 'HOLD', 'it is recovered', 30_000);
  });
});

/** A pool on which every text with one of those in it is answered with an error. */
function failingPool(pool: ServicePool, words: readonly string[]): ServicePool {
  return tappedPool(pool, (send, texts) => {
    if (!texts.some((text) => words.some((word) => text.includes(word)))) return send();
    const answer = { errno: 1030, sqlState: 'HY000', sqlMessage: 'Got error 1' };
    return Promise.reject(new ServerError(answer));
  });
}

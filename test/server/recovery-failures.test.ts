/**
 * Recovery on real servers where one thing fails again and again, or where it must not act: what
 * else there is to do is done, and the ledger of a read-only server is left alone. It calls
 * `reconcile` on a pool that fails, as no server does when a test wants it to.
 */
import { jest } from '@jest/globals';
import { listCollectable } from '../../src/collector/collectable.js';
import { newRecoveryCursors, reconcile } from '../../src/collector/reconcile.js';
import { ServerError } from '../../src/connections/errors.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { findRows } from '../../src/ledger/read.js';
import { silentLog } from '../../src/log.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { query } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import { ownSession } from './own-session.js';
import * as fixture from './service-fixture.js';

/** More than is looked at in one go. */
const CROWD = 1_010;
/** Each takes its time, so that a short run has one of them. */
const CROWDS = sample(['under way', 'out of sight', 'held elsewhere'], {
  name: 'crowds',
  count: 1,
});

onServers('recovery on $name', (server, on) => {
  const { afterAll, afterEach, test } = on;
  const own = ownSession(server, on);
  afterEach(() => query(server, 'SET GLOBAL read_only = OFF'));
  // A crowd would slow down the proxies of all test files that come after.
  afterAll(() => freshLedger(server));

  function testCrowd(crowd: string, name: string, run: () => Promise<void>): void {
    if (CROWDS.includes(crowd)) test(name, run);
  }

  async function renamed(table: string): Promise<fixture.UserDrop> {
    await query(server, `CREATE TABLE ${own.schema.name}.${table} (a INT PRIMARY KEY)`);
    const tables = [table];
    const drop = await fixture.intend(own.pool, own.session, { schema: own.schema.name, tables });
    await fixture.renameAway(own.session, drop);
    return drop;
  }

  const idOf = ({ facts }: fixture.UserDrop): string => facts.tables[0]?.id ?? '';
  const stateOf = async (drop: fixture.UserDrop) => {
    const [row] = await findRows(own.pool, { by: 'id', prefix: idOf(drop) });
    return row === undefined ? undefined : [row.state, row.relocated];
  };

  test('a table that always fails keeps no other from being settled', async () => {
    const [bad, good] = [await renamed('bad'), await renamed('good')];
    const [badDebt, debt] = [await renamed('bad_debt'), await renamed('debt')];
    for (const drop of [badDebt, debt]) await fixture.recordOwed(own.pool, drop);
    await own.die();
    const failing = failingPool(own.pool, [bad, badDebt].map(idOf));
    const log = { ...silentLog, warn: jest.fn() };
    const options = { proxyId: fixture.PROXY_ID, activeIds: new Set<string>(), log };
    const report = await reconcile(failing, options);
    expect(failing.hits()).toBeGreaterThan(0);
    expect([report.untouched, report.pending]).toEqual([[idOf(bad)], [idOf(badDebt)]]);
    expect(await stateOf(good)).toEqual(['HOLD', true]);
    expect(await stateOf(debt)).toEqual(['HOLD', true]);
    expect(await stateOf(bad)).toEqual(['intent', false]);
    await reconcile(own.pool, options);
    expect(await stateOf(bad)).toEqual(['HOLD', true]);
    expect(await stateOf(badDebt)).toEqual(['HOLD', true]);
  });

  test('a kind of rows that always fails keeps no other kind from being settled', async () => {
    const drop = await renamed('good');
    await fixture.recordOwed(own.pool, drop);
    await own.die();
    const failing = failingPool(own.pool, ["WHERE state = 'intent' ORDER"]);
    const options = { proxyId: fixture.PROXY_ID, activeIds: new Set<string>(), log: silentLog };
    await expect(reconcile(failing, options)).rejects.toThrow('Got error 1 (1030)');
    expect(failing.hits()).toBeGreaterThan(0);
    expect(await stateOf(drop)).toEqual(['HOLD', true]);
  });

  testCrowd(
    'under way',
    'a crowd of drops that are under way keeps no older one from being settled',
    async () => {
      const drop = await renamed('old');
      await own.die();
      await crowd('f', { state: 'intent' });
      await recoverTimes(1);
      expect(await stateOf(drop)).toEqual(['HOLD', true]);
    },
  );

  test('a table of a DROP DATABASE whose session is there is left to that', async () => {
    const drop = await renamed('late');
    const definition = JSON.stringify({ charset: 'utf8mb4', collation: 'utf8mb4_bin', parts: [] });
    await crowd('0', { kind: 'schema', table_name: '', state: 'emptying', definition }, 1);
    await change('0'.repeat(32), { group_id: drop.intent.dropId });
    // The connection that renamed it is gone.
    await change(idOf(drop), { thread_id: 0 });
    await recoverTimes(1);
    expect(await stateById('0'.repeat(32))).toBe('emptying');
    expect(await stateOf(drop)).toEqual(['intent', false]);
  });

  testCrowd(
    'out of sight',
    'a crowd of held tables that nobody can see or move keeps no older one from its turn',
    async () => {
      const [debt, gone] = [await renamed('debt'), await renamed('gone')];
      for (const drop of [debt, gone]) await fixture.recordOwed(own.pool, drop);
      await query(server, `DROP TABLE ${own.schema.name}.${gone.holdNames[0]}`);
      await crowd('f', { state: 'HOLD', hold_schema: 'nowhere', hold_name: 'crowd' });
      const failing = failingPool(own.pool, ['absent */ `nowhere`']);
      await recoverTimes(3, failing);
      expect(failing.hits()).toBeGreaterThan(0);
      expect([await stateOf(debt), await stateById(idOf(gone))]).toEqual([['HOLD', true], 'gone']);
    },
  );

  testCrowd(
    'held elsewhere',
    'a crowd of tables that are held elsewhere keeps none from being collected',
    async () => {
      const drop = await renamed('late');
      await fixture.recordOwed(own.pool, drop);
      const crowded = { state: 'HOLD', hold_schema: 'nowhere', hold_name: 'crowd' };
      await crowd('0', crowded, 10 * CROWD);
      const names = (await listCollectable(own.pool, new Set())).tables.map(({ name }) => name);
      expect(names).toEqual(drop.holdNames);
    },
  );

  /** More rows than are looked at in one go, of a session that lives; ids begin with that digit. */
  async function crowd(digit: '0' | 'f', what: Readonly<Record<string, unknown>>, count = CROWD) {
    const now = new Date();
    const row: Readonly<Record<string, unknown>> = {
      ...{ proxy_id: fixture.PROXY_ID, user_name: 'root', client_address: '', statement_text: '' },
      ...{ thread_id: own.session.threadId, upstream_port: fixture.localPortOf(own.session) },
      ...{ schema_name: 'nowhere', table_name: 'crowd', kind: 'base' },
      ...{ dropped_at: now, hold_until: now, state_since: now },
      ...what,
    };
    const rows = Array.from({ length: count }, (_, index) => {
      const id = `${digit}${index.toString(16).padStart(31, '0')}`;
      return [id, id, ...Object.values(row)];
    });
    const columns = ['id', 'group_id', ...Object.keys(row)].join(', ');
    for (let at = 0; at < count; at += 1_000) {
      const some = [rows.slice(at, at + 1_000)];
      await own.session.query(`INSERT INTO _undrop.ledger (${columns}) VALUES ?`, some);
    }
  }

  async function change(id: string, to: Readonly<Record<string, unknown>>): Promise<void> {
    await own.session.query('UPDATE _undrop.ledger SET ? WHERE id = ?', [to, id]);
  }

  const stateById = async (id: string) => (await ledgerRows(own.session, { id }))[0]?.['state'];

  /** As one proxy does, time and again. */
  async function recoverTimes(times: number, pool = own.pool): Promise<void> {
    const cursors = newRecoveryCursors();
    const activeIds = new Set<string>();
    const options = { proxyId: fixture.PROXY_ID, activeIds, log: silentLog, cursors };
    for (let round = 0; round < times; round++) await reconcile(pool, options);
  }

  test('a proxy that starts on a read-only server leaves its ledger alone until it is not', async () => {
    const drop = await renamed('a');
    await own.die();
    const said: string[] = [];
    const say = (_fields: object, message: string) => void said.push(message);
    const log = { ...silentLog, info: say, warn: say, error: say };
    await query(server, 'SET GLOBAL read_only = ON');
    await using _proxy = await proxyInFront(server, {}, log);
    const isSaid = async () => said.some((line) => line.startsWith('left the ledger alone'));
    await until(isSaid, 'it says so');
    expect(await stateOf(drop)).toEqual(['intent', false]);
    await query(server, 'SET GLOBAL read_only = OFF');
    await until(async () => (await stateOf(drop))?.[0] === 'HOLD', 'it is recovered');
  });
});

/** A pool on which every text with one of those in it is answered with an error, `hits` so far. */
function failingPool(pool: ServicePool, words: readonly string[]) {
  let hits = 0;
  const broken = tappedPool(pool, (send, texts) => {
    if (!texts.some((text) => words.some((word) => text.includes(word)))) return send();
    hits++;
    const answer = { errno: 1030, sqlState: 'HY000', sqlMessage: 'Got error 1' };
    return Promise.reject(new ServerError(answer));
  });
  return { ...broken, hits: () => hits };
}

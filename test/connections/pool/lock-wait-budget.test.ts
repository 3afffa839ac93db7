/**
 * How long a client waits for the sake of others: one budget over all tries, spent by what is seen
 * waiting and not by what works; and then nothing more is begun.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { jest } from '@jest/globals';
import { isKilled, ServerError } from '../../../src/connections/errors.js';
import { PoolSet } from '../../../src/connections/pool/pool-set.js';
import * as timeouts from '../../../src/connections/pool/statement-timeout.js';
import type { Rows, ServicePool, SQLQuery, TaskConnection } from '../../../src/connections/sql.js';
import { renderQuery, sql } from '../../../src/connections/sql.js';
import { silentLog } from '../../../src/log.js';
import * as ER from '../../../src/wire/server-errors.js';
import { until } from '../../support/poll.js';
import { fakePool } from '../../support/tapped-pool.js';

const LOOKS = timeouts.WAIT_MS / timeouts.CHECK_MS;
const NO_ROWS: readonly Rows[] = [];

/** One text runs there, until it is killed or, of its own, at a look. */
class OneText implements ServicePool {
  looks = 0;
  kills = 0;
  readonly #isWaiting: boolean;
  readonly #endsAtLook: number;
  #end: (error: Error | null) => void = () => undefined;

  constructor({ isWaiting, endsAtLook = 0 }: { isWaiting: boolean; endsAtLook?: number }) {
    this.#isWaiting = isWaiting;
    this.#endsAtLook = endsAtLook;
  }

  run(): Promise<readonly Rows[]> {
    return new Promise((resolve, reject) => {
      this.#end = (error) => (error === null ? resolve(NO_ROWS) : reject(error));
    });
  }

  readonly isLogged = true;
  logging = () => this;
  task = fakePool(() => this.run()).task;

  async isWaiting(): Promise<boolean> {
    this.looks++;
    if (this.looks === this.#endsAtLook) this.#end(null);
    return this.#isWaiting;
  }

  async killQuery(): Promise<void> {
    this.kills++;
    this.#end(new ServerError({ errno: 1317, sqlState: '70100', sqlMessage: 'interrupted' }));
  }

  async dispose(): Promise<void> {
    throw new Error('nobody disposes of it');
  }
}

const TEXT = sql`ALTER TABLE t DROP FOREIGN KEY k`;

describe('lockWaitBudget', () => {
  test('is used up by waiting, and stays so', () => {
    const lockWaitBudget = new timeouts.LockWaitBudget();
    for (let look = 1; look < LOOKS; look++) expect(lockWaitBudget.seenWaiting()).toBe(false);
    expect([lockWaitBudget.seenWaiting(), lockWaitBudget.seenWaiting()]).toEqual([true, true]);
  });

  test('lets work go on for longer where nobody was waited for', () => {
    const now = jest.spyOn(performance, 'now').mockReturnValue(0);
    const [free, heldUp] = [new timeouts.LockWaitBudget(), new timeouts.LockWaitBudget()];
    for (let look = 0; look < LOOKS; look++) heldUp.seenWaiting();
    expect([free.isOver, heldUp.isOver]).toEqual([false, false]);
    now.mockReturnValue(150);
    expect([free.isOver, heldUp.isOver]).toEqual([false, true]);
    now.mockReturnValue(600);
    expect(free.isOver).toBe(false);
    now.mockReturnValue(3_001);
    expect(free.isOver).toBe(true);
    now.mockRestore();
  });

  test('is one for all tries: those behind the first that waits in vain wait no more', async () => {
    const lockWaitBudget = new timeouts.LockWaitBudget();
    const looks: number[] = [];
    for (let tries = 0; tries < 3; tries++) {
      const pool = new OneText({ isWaiting: true });
      const error = await timeouts
        .runWithTimeout(pool, TEXT, { lockWaitBudget })
        .catch((reason: unknown) => reason);
      expect([isKilled(error), pool.kills]).toEqual([true, 1]);
      looks.push(pool.looks);
    }
    expect(looks).toEqual([LOOKS, 1, 1]);
  });

  test('is not spent by what is slow and waits for nobody', async () => {
    const lockWaitBudget = new timeouts.LockWaitBudget();
    const endsAtLook = LOOKS + 1;
    const pool = new OneText({ isWaiting: false, endsAtLook });
    await timeouts.runWithTimeout(pool, TEXT, { lockWaitBudget, killAfterMs: 60_000 });
    expect([pool.looks, pool.kills]).toEqual([endsAtLook, 0]);
    expect(lockWaitBudget.seenWaiting()).toBe(false);
  });

  test('is nobody’s where no client waits: such a try is looked at when its time is over', async () => {
    const pool = new OneText({ isWaiting: true });
    const error = await timeouts
      .runWithTimeout(pool, TEXT, { killAfterMs: 1 })
      .catch((reason: unknown) => reason);
    // A timer may be early by a millisecond.
    expect([isKilled(error), pool.looks <= 2, pool.kills]).toEqual([true, true, 1]);
  });

  test('has no part in what waits for nobody: that is never killed, and no listeners pile up', async () => {
    const added = jest.spyOn(EventTarget.prototype, 'addEventListener');
    const removed = jest.spyOn(EventTarget.prototype, 'removeEventListener');
    // More than Node lets one event target have listeners without a warning.
    const pool = new OneText({ isWaiting: false, endsAtLook: 15 });
    await timeouts.runWithTimeout(pool, TEXT, { killAfterMs: 1 });
    expect([pool.looks, pool.kills]).toEqual([15, 0]);
    expect(added.mock.calls.length - removed.mock.calls.length).toBeLessThan(15);
    jest.restoreAllMocks();
  });
});

test('a connection whose settings were loosened for a text is not used again', async () => {
  const answers = [Object.assign([], { affectedRows: 0 })];
  const sent: string[] = [];
  const discard = jest.fn();
  const isLoose = (text: string) => text.includes('sql_require_primary_key = 0');
  const connection: TaskConnection = {
    threadId: 7,
    run: async (texts): Promise<readonly Rows[]> => {
      const all = ([texts].flat() as readonly SQLQuery[]).map(renderQuery);
      sent.push(...all);
      if (all.some((text) => text === 'RENAME' && !all.some(isLoose))) {
        const strict = { errno: ER.TABLE_WITHOUT_PK, sqlState: 'HY000' };
        throw new ServerError({ ...strict, sqlMessage: 'no key' });
      }
      return all.flatMap(() => answers);
    },
    discard,
    logging: () => connection,
  };
  const pool = {} as ServicePool;
  await timeouts.runWithTimeoutOn({ connection, pool }, sql`DO 1`);
  expect(discard).not.toHaveBeenCalled();
  await timeouts.runWithTimeoutOn({ connection, pool }, sql`RENAME`);
  expect(sent.map((text) => isLoose(text))).toEqual([false, false, true, false]);
  expect(discard).toHaveBeenCalledTimes(1);
});

// ── pool set ─────────────────────────────────────────────────────────────────────────────────────
// A name whose addresses change for ever: those that nobody uses any more are forgotten.

const ADDRESSES = 500;

test('pools that nobody uses are forgotten, and those that somebody has are not', async () => {
  const account = { user: 'undrop', password: '' };
  const pools = new PoolSet({ ...account, upstream: [], connectionsMax: 2, log: silentLog });
  const addressOf = (index: number) => ({ host: `192.0.2.${index % 250}`, port: 3306 + index });
  const kept = pools.at(addressOf(0));
  for (let index = 1; index < ADDRESSES; index++) pools.at(addressOf(index));
  expect(pools.at(addressOf(0))).toBe(kept);
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  await until(() => {
    collectGarbage();
    return pools.size < ADDRESSES / 10;
  }, 'most are forgotten');
  expect(pools.at(addressOf(0))).toBe(kept);
});

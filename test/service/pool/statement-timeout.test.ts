/** What watches a statement of ours, and ends its wait. */
import { afterEach, expect, jest, test } from '@jest/globals';
import { serverErrorOf } from '../../../src/service/errors.js';
import type { Rows, ServicePool, TaskConnection } from '../../../src/service/pool/pools.js';
import { runWithTimeoutOn } from '../../../src/service/pool/statement-timeout.js';
import { renderQuery, type SQLQuery, sql } from '../../../src/service/sql.js';
import { ER_TABLE_WITHOUT_PK } from '../../../src/wire/server-errors.js';

/** More than Node lets one event target have listeners without a warning. */
const LOOKS = 15;

afterEach(() => {
  jest.restoreAllMocks();
});

test('a statement that is slow and waits for nobody is left alone, and listeners don’t pile up', async () => {
  const added = jest.spyOn(EventTarget.prototype, 'addEventListener');
  const removed = jest.spyOn(EventTarget.prototype, 'removeEventListener');
  let looks = 0;
  const ends: (() => void)[] = [];
  const over = new Promise<void>((resolve) => ends.push(resolve));
  const kills: number[] = [];
  const pool = {
    isWaiting: async () => {
      looks++;
      if (looks === LOOKS) for (const end of ends) end();
      return false;
    },
    killQuery: async (threadId: number) => {
      kills.push(threadId);
    },
  } as unknown as ServicePool;
  const connection = {
    threadId: 7,
    run: async () => {
      await over;
      return [];
    },
    discard: () => undefined,
  } as TaskConnection;
  await runWithTimeoutOn(connection, pool, sql`DO 1`, { killAfterMs: 0 });
  expect([looks, kills]).toEqual([LOOKS, []]);
  expect(added.mock.calls.length - removed.mock.calls.length).toBeLessThan(LOOKS);
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
        const strict = {
          errno: ER_TABLE_WITHOUT_PK,
          code: 'ER_TABLE_WITHOUT_PK',
          sqlState: 'HY000',
        };
        throw serverErrorOf(
          Object.assign(new Error('no key'), { ...strict, sqlMessage: 'no key' }),
        );
      }
      return all.flatMap(() => answers);
    },
    discard,
  };
  const pool = {} as ServicePool;
  await runWithTimeoutOn(connection, pool, sql`DO 1`);
  expect(discard).not.toHaveBeenCalled();
  await runWithTimeoutOn(connection, pool, sql`RENAME`);
  expect(sent.map((text) => isLoose(text))).toEqual([false, false, true, false]);
  expect(discard).toHaveBeenCalledTimes(1);
});

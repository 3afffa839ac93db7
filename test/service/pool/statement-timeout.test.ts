/** What watches a statement of ours, and ends its wait. */
import { afterEach, expect, jest, test } from '@jest/globals';
import type { ServicePool, TaskConnection } from '../../../src/service/pool/pools.js';
import { runWithTimeoutOn } from '../../../src/service/pool/statement-timeout.js';
import { sql } from '../../../src/service/sql.js';

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

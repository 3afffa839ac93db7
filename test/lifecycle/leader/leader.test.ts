/** How a collector comes by its lock again: which pauses it makes, on a clock of the test's. */
import { describe, expect, test } from '@jest/globals';
import { leadWhenever } from '../../../src/lifecycle/leader/leader.js';
import { silentLog } from '../../../src/log.js';
import type { ServicePool } from '../../../src/service/pool/pools.js';

/** The pauses until there have been `count`; each try takes `tryMs`, and ends with `error`. */
async function pausesOf(
  count: number,
  { tryMs, error }: { readonly tryMs: readonly number[]; readonly error: Error | null },
): Promise<readonly number[]> {
  const stopping = new AbortController();
  const pauses: number[] = [];
  let nowMs = 0;
  let tries = 0;
  const pool: ServicePool = {
    run: () => Promise.reject(new Error('nobody asks for that')),
    killQuery: async () => undefined,
    isWaiting: async () => false,
    dispose: async () => undefined,
    task: async <T>() => {
      nowMs += tryMs[tries++ % tryMs.length] ?? 0;
      if (error !== null) throw error;
      return { what: 'another proxy collects' } as T;
    },
  };
  const clock = {
    nowMs: () => nowMs,
    sleep: async (delayMs: number) => {
      pauses.push(delayMs);
      if (pauses.length === count) stopping.abort();
    },
  };
  const options = { pool, clock, log: silentLog, signal: stopping.signal };
  await leadWhenever(options, async () => undefined);
  return pauses;
}

describe('a collector', () => {
  test('whose connection broke tries again soon, and less often from try to try', async () => {
    const error = new Error('the connection is gone');
    const pauses = await pausesOf(7, { tryMs: [0], error });
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  test('that had the lock for a while tries again soon once more', async () => {
    const error = new Error('the connection is gone');
    const pauses = await pausesOf(4, { tryMs: [0, 0, 60_000, 0], error });
    expect(pauses).toEqual([250, 500, 250, 500]);
  });

  test('that finds the lock taken does not hurry', async () => {
    expect(await pausesOf(3, { tryMs: [0], error: null })).toEqual([5_000, 5_000, 5_000]);
  });
});

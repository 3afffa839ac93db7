/** When the collector waits before its first look, and until when. */
import type { GraceFacts, LastRound } from '../../../src/collector/leader/grace.js';
import { decideGrace } from '../../../src/collector/leader/grace.js';
import { leadWhenever } from '../../../src/collector/leader/leader.js';
import { silentLog } from '../../../src/log.js';
import { fakePool } from '../../support/tapped-pool.js';

const now = new Date('2026-03-01T12:00:00Z');
const JUMPED = "the server's clock jumped";
const hours = (count: number) => new Date(now.getTime() + count * 3_600_000);
const settings = { holdMs: 7 * 86_400_000, graceMs: 3_600_000 };
const last = (round: Partial<LastRound>): Partial<GraceFacts> => ({
  last: { at: hours(-1), graceUntil: null, aheadMs: 500, ...round },
});
const usual: GraceFacts = {
  ...{ last: { at: hours(-1), graceUntil: null, aheadMs: 500 }, aheadNowMs: 500, heldCount: 3 },
  ...{ now, clockDriftMs: 0, continuing: false },
};

describe('the wait of a collector that may be looking at a restored backup', () => {
  const rounds = { continuing: true, ...last({ at: hours(-1000) }) };
  test.each<[string, Partial<GraceFacts>, Partial<typeof settings>?]>([
    ['this server was looked at lately', {}],
    ['nothing is held, as nothing can be lost', { last: null, heldCount: 0 }],
    ['UNDROP_GRACE is 0', { last: null }, { graceMs: 0 }],
    ['its time is over', last({ graceUntil: now })],
    ['a collector has done rounds all the while, although the last one is old', rounds],
  ])('there is none where %s', (_where, facts, some = {}) => {
    const grace = decideGrace({ ...usual, ...facts }, { ...settings, ...some });
    expect(grace).toEqual({ until: null });
  });

  test.each<[string, Partial<GraceFacts>, string]>([
    ['the server is new to the ledger', { last: null }, 'this server is new to the ledger'],
    [
      'the last round is older than the hold',
      last({ at: hours(-7 * 24 - 1) }),
      'the last round is older than UNDROP_HOLD',
    ],
    [
      'the last round is in the future',
      last({ at: hours(1) }),
      "the server's clock went back since the last round",
    ],
    [
      'the clock has jumped ahead while nobody looked',
      { aheadNowMs: 61_000 },
      "the server's clock, or the proxy's, jumped since the last round",
    ],
    ['the clock jumps ahead while we look', { continuing: true, clockDriftMs: 61_000 }, JUMPED],
    ['the clock jumps back while we look', { continuing: true, clockDriftMs: -61_000 }, JUMPED],
  ])('it begins where %s', (_name, facts, because) => {
    const grace = decideGrace({ ...usual, ...facts }, settings);
    expect(grace).toEqual({ until: hours(1), because, isNew: true });
  });

  test('a restart neither shortens it nor begins it anew', () => {
    const graceUntil = new Date(now.getTime() + 60_000);
    const grace = decideGrace({ ...usual, ...last({ at: hours(-300), graceUntil }) }, settings);
    expect(grace).toMatchObject({ until: graceUntil, isNew: false });
  });

  test('it never lasts longer than it may, also where the clock went back meanwhile', () => {
    const facts = { ...usual, ...last({ graceUntil: hours(500) }) };
    expect(decideGrace(facts, settings)).toMatchObject({ until: hours(1) });
  });
});

// ── leader ───────────────────────────────────────────────────────────────────────────────────────
// How a collector comes by its lock again: which pauses it makes, on a clock of the test's.

/** The pauses until there have been `count`; each try takes `tryMs`, and ends with `error`. */
async function pausesOf(
  count: number,
  { tryMs, error }: { readonly tryMs: readonly number[]; readonly error: Error | null },
): Promise<readonly number[]> {
  const stopping = new AbortController();
  const pauses: number[] = [];
  let nowMs = 0;
  let tries = 0;
  const pool = fakePool(() => Promise.reject(new Error('nobody asks for that')), {
    task: async <T>() => {
      nowMs += tryMs[tries++ % tryMs.length] ?? 0;
      if (error !== null) throw error;
      return { what: 'another proxy collects' } as T;
    },
  });
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

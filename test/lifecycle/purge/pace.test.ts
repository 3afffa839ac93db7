/**
 * The pace of a purge, simulated: chunks come to the time that they should take, whatever a row
 * costs, and pauses follow the pressure.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CHUNK_ROWS_MAX, Pace, type Pressure } from '../../../src/lifecycle/purge/pace.js';
import { isSlower, pressureOf } from '../../../src/lifecycle/purge/pressure.js';

const SETTINGS = { chunkRows: 50, chunkMs: 20, rowsMin: 1 };

/** Chunks as the purge does them: the end of each was looked up with the one before. */
function run(pace: Pace, chunks: number, rowMs: number, pressure: Pressure = 'none'): number[] {
  const took: number[] = [];
  let rows = pace.chunkRows;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const next = pace.chunkRows;
    took.push(rows * rowMs);
    pace.note(rows, rows * rowMs, pressure);
    rows = next;
  }
  return took;
}

describe('the size of chunks', () => {
  test.each([0.002, 0.01, 0.1, 1, 10])('comes to 20 ms where a row takes %d ms', (rowMs) => {
    const took = run(new Pace(SETTINGS), 60, rowMs).slice(-10);
    for (const ms of took) {
      expect(ms).toBeLessThanOrEqual(30);
      expect(ms).toBeGreaterThanOrEqual(Math.min(13, CHUNK_ROWS_MAX * rowMs));
    }
  });

  test('has bounds, and changes by a factor of two at most', () => {
    const costs = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { maxLength: 200 });
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: CHUNK_ROWS_MAX }), (tookMs, chunkRows) => {
        const pace = new Pace({ ...SETTINGS, chunkRows });
        for (const ms of tookMs) {
          const before = pace.chunkRows;
          pace.note(before, ms, 'none');
          expect(pace.chunkRows).toBeGreaterThanOrEqual(Math.max(1, Math.floor(before / 2)));
          expect(pace.chunkRows).toBeLessThanOrEqual(Math.min(2 * before, CHUNK_ROWS_MAX));
        }
      }),
    );
  });

  test('is never below that of the first, where smaller ones help nobody', () => {
    const pace = new Pace({ ...SETTINGS, rowsMin: 50 });
    run(pace, 20, 10);
    expect(pace.chunkRows).toBe(50);
  });
});

describe('the length of pauses', () => {
  test('comes to a tenth of a chunk on a quiet server', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 200, 0.4);
    expect(pace.pauseMs).toBeCloseTo(2, 0);
  });

  test('grows with each chunk beside which others had to wait, and comes back slowly', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 200, 0.4);
    const pauses = Array.from({ length: 12 }, () => {
      run(pace, 1, 0.4, 'some');
      return pace.pauseMs;
    });
    expect(pauses).toEqual([...pauses].sort((one, other) => one - other));
    const slow = pace.pauseMs;
    expect(slow).toBeGreaterThan(100);
    run(pace, 12, 0.4);
    expect(pace.pauseMs).toBeLessThan(slow);
    expect(pace.pauseMs).toBeGreaterThan(slow / 2);
  });

  test('is a second where the purge has to stop, and never more', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 1, 0.4, 'high');
    expect(pace.pauseMs).toBe(1_000);
    run(pace, 50, 5, 'some');
    expect(pace.pauseMs).toBe(1_000);
  });
});

describe('what is pressure', () => {
  const of = (gauges: Readonly<Record<string, number>>) =>
    pressureOf(new Map(Object.entries(gauges)));

  test.each([
    ['none', {}],
    ['none', { Threads_running: 24 }],
    ['some', { Threads_running: 25 }],
    ['high', { Threads_running: 50 }],
    ['none', { Innodb_buffer_pool_pages_dirty: 74, Innodb_buffer_pool_pages_total: 100 }],
    ['some', { Innodb_buffer_pool_pages_dirty: 76, Innodb_buffer_pool_pages_total: 100 }],
    ['some', { Innodb_checkpoint_age: 80, Innodb_checkpoint_max_age: 100 }],
    ['some', { Innodb_history_list_length: 1_000_001 }],
  ] as const)('%s: %j', (expected, gauges) => {
    expect(of(gauges)).toBe(expected);
  });

  test('reads beside chunks that take clearly longer than usual', () => {
    const usual = [0.4, 0.5, 0.4, 0.6, 0.5, 0.5];
    expect(isSlower([0.5, 0.6], usual)).toBe(false);
    expect(isSlower([0.7, 0.7], usual)).toBe(false);
    expect(isSlower([1, 1], usual)).toBe(true);
    expect(isSlower([9, 9], usual.slice(0, 4))).toBe(false);
    expect(isSlower([], usual)).toBe(false);
    expect(
      isSlower(
        [13, 13],
        usual.map((ms) => 20 * ms),
      ),
    ).toBe(false);
  });
});

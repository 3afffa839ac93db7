/**
 * The pace of a purge, simulated: chunks come to the time that they should take, whatever a row
 * costs, and pauses follow the pressure.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CHUNK_ROWS_MAX,
  COMMIT_SAMPLE,
  DELETES_MAX,
  type Load,
  Pace,
} from '../../../src/lifecycle/purge/pace.js';
import { isSlower, pressureOf } from '../../../src/lifecycle/purge/pressure.js';

const SETTINGS = { chunkRows: 50, chunkMs: 20, rowsMin: 1 };
const ALONE: Load = { pressure: 'none', isShared: false };
const SHARED: Load = { pressure: 'none', isShared: true };
const PRESSED: Load = { pressure: 'some', isShared: true };

/** Chunks in a row; `costMs` of one DELETE. Returns what each DELETE took, but for samples. */
function run(pace: Pace, chunks: number, costMs: (rows: number) => number, load: Load): number[] {
  return Array.from({ length: chunks }, () => {
    while (pace.chunk === COMMIT_SAMPLE) note(pace, costMs, load);
    return note(pace, costMs, load);
  });
}

function note(pace: Pace, costMs: (rows: number) => number, load: Load): number {
  const { deletes, rows, restMs } = pace.chunk;
  pace.note(deletes * (costMs(rows) + restMs), load);
  return costMs(rows);
}

function each(rowMs: number): (rows: number) => number {
  return (rows) => rows * rowMs;
}

describe('the size of a chunk', () => {
  test.each([0.002, 0.01, 0.1, 1, 10])('comes to 20 ms where a row takes %d ms', (rowMs) => {
    const pace = new Pace(SETTINGS);
    const took = run(pace, 60, each(rowMs), ALONE).slice(-10);
    for (const ms of took) {
      expect(ms).toBeLessThanOrEqual(30);
      expect(ms).toBeGreaterThanOrEqual(Math.min(13, CHUNK_ROWS_MAX * rowMs));
    }
    expect(pace.chunk.deletes).toBe(1);
  });

  test('beside others it is as long, but of short DELETEs with rests', () => {
    const pace = new Pace(SETTINGS);
    for (const ms of run(pace, 60, each(0.002), SHARED).slice(-10)) {
      expect(ms).toBeGreaterThan(0.55);
      expect(ms).toBeLessThan(0.85);
    }
    const { deletes, restMs } = pace.chunk;
    expect(restMs).toBeGreaterThanOrEqual(0.9);
    expect(restMs).toBeLessThan(1.25);
    expect(deletes * (0.7 + restMs)).toBeGreaterThan(15);
    expect(deletes * (0.7 + restMs)).toBeLessThanOrEqual(25);
  });

  test('a commit that waits for the disk makes them no smaller, and is a rest, too', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 200, (rows) => 3 + rows * 0.006, SHARED);
    const { deletes, rows, restMs } = pace.chunk;
    expect(rows).toBeGreaterThan(80);
    expect(rows).toBeLessThan(140);
    expect(restMs).toBeLessThan(0.4);
    expect(deletes).toBeGreaterThanOrEqual(4);
  });

  test('a row that takes long is not taken for a commit', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 200, (rows) => 1 + rows * 5, SHARED);
    expect(pace.chunk.rows).toBeLessThanOrEqual(2);
    expect(pace.chunk.restMs + pace.pauseMs).toBeGreaterThan(5);
  });

  test('nor does a commit that took long once make them larger for long', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 100, each(0.006), SHARED);
    while (pace.chunk !== COMMIT_SAMPLE) note(pace, each(0.006), SHARED);
    note(pace, () => 500, SHARED);
    const took = run(pace, 60, each(0.006), SHARED);
    expect(Math.max(...took)).toBeLessThan(2.5);
  });

  test('what is nearly right stays as it is', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 60, each(0.002), SHARED);
    const { chunk } = pace;
    run(pace, 1, each(0.0021), SHARED);
    run(pace, 1, each(0.0019), SHARED);
    expect(pace.chunk).toBe(chunk);
  });

  test('has never fewer rows than the first where there is no key', () => {
    const pace = new Pace({ ...SETTINGS, rowsMin: 50 });
    run(pace, 20, each(10), SHARED);
    expect(pace.chunk.rows).toBe(50);
  });

  test('comes back after a stall, also where a commit is slow', () => {
    const pace = new Pace(SETTINGS);
    const commits = (rows: number) => 3 + rows * 0.002;
    run(pace, 20, each(100), SHARED);
    expect(pace.chunk.rows).toBe(1);
    run(pace, 40, commits, SHARED);
    expect(pace.chunk.rows).toBeGreaterThanOrEqual(50);
    // Where rows are what takes long, there are only as many as a chunk has time for.
    run(pace, 40, each(2), SHARED);
    expect(pace.chunk.rows).toBeLessThanOrEqual(10);
    expect(pace.chunk.rows).toBeGreaterThanOrEqual(5);
  });

  test('has bounds, and changes by a factor of two at most', () => {
    const costs = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { maxLength: 200 });
    const load = fc.constantFrom(ALONE, SHARED, PRESSED);
    const rows = fc.integer({ min: 1, max: CHUNK_ROWS_MAX });
    fc.assert(
      fc.property(costs, rows, load, (tookMs, chunkRows, felt) => {
        const pace = new Pace({ ...SETTINGS, chunkRows });
        for (const ms of tookMs) {
          if (pace.chunk === COMMIT_SAMPLE) pace.note(ms, felt);
          const before = pace.chunk.rows;
          pace.note(ms, felt);
          if (pace.chunk === COMMIT_SAMPLE) pace.note(ms, felt);
          const { deletes, rows: after, restMs } = pace.chunk;
          expect(after).toBeGreaterThanOrEqual(Math.max(1, Math.floor(before / 2)));
          expect(after).toBeLessThanOrEqual(Math.min(2 * before, CHUNK_ROWS_MAX));
          expect(deletes).toBeGreaterThanOrEqual(1);
          expect(deletes).toBeLessThanOrEqual(DELETES_MAX);
          expect(restMs).toBeLessThanOrEqual(SETTINGS.chunkMs);
          expect(pace.pauseMs).toBeLessThanOrEqual(1_000);
        }
      }),
    );
  });
});

describe('rests and pauses', () => {
  test('a pause is a tenth of a chunk where nobody else is', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 60, each(0.4), ALONE);
    expect(pace.pauseMs).toBeCloseTo(2, 0);
  });

  test('they grow with each chunk beside which others had to wait, and come back slowly', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 60, each(0.1), SHARED);
    const idle = () => pace.chunk.restMs + pace.pauseMs;
    const rests = Array.from({ length: 10 }, () => {
      run(pace, 1, each(0.1), PRESSED);
      return idle();
    });
    expect(rests).toEqual([...rests].sort((one, other) => one - other));
    const slow = idle();
    expect(slow).toBeGreaterThan(100);
    run(pace, 5, each(0.1), SHARED);
    expect(idle()).toBeLessThan(slow);
    expect(idle()).toBeGreaterThan(slow / 2);
  });

  test('under pressure that lasts, a purge still has a share of the time', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 60, each(0.014), PRESSED);
    const { deletes, rows, restMs } = pace.chunk;
    const [busyMs, idleMs] = [deletes * rows * 0.014, deletes * restMs + pace.pauseMs];
    expect(busyMs / (busyMs + idleMs)).toBeGreaterThan(0.03);
  });

  test('a pause is a second where the purge has to stop, and never more', () => {
    const pace = new Pace(SETTINGS);
    run(pace, 1, each(0.4), { pressure: 'high', isShared: false });
    expect(pace.pauseMs).toBe(1_000);
    run(pace, 50, each(50), PRESSED);
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
    const each = (ms: number) => Array.from({ length: 5 }, () => ms);
    expect(isSlower(each(0.6), usual)).toBe(false);
    expect(isSlower(each(1.1), usual)).toBe(true);
    // Two of five may be anything: a busy machine has such.
    expect(isSlower([0.5, 90, 0.4, 90, 0.5], usual)).toBe(false);
    expect(isSlower(each(9), usual.slice(0, 4))).toBe(false);
    expect(isSlower([9, 9], usual)).toBe(false);
    const slow = usual.map((ms) => 20 * ms);
    expect(isSlower(each(13), slow)).toBe(false);
  });
});

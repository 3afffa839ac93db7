/**
 * The pace of a purge, simulated: chunks come to the time that they should take, whatever a row
 * costs, and pauses follow the pressure.
 */
import fc from 'fast-check';
import * as paces from '../../../src/collector/purge/pace.js';
import { isFelt, loadOf } from '../../../src/collector/purge/pressure.js';

const SETTINGS = { chunkRows: 50, chunkMs: 20, impactMs: 1, rowsMin: 1 };
const ALONE: paces.Load = { effect: 'unfelt', isShared: false };
const SHARED: paces.Load = { effect: 'unknown', isShared: true };
const UNFELT: paces.Load = { effect: 'unfelt', isShared: true };
const FELT: paces.Load = { effect: 'felt', isShared: true };

type Cost = (rows: number) => number;

/** Chunks in a row; `costMs` of one DELETE. Returns what each DELETE took, but for samples. */
function run(pace: paces.Pace, chunks: number, costMs: Cost, load: paces.Load): number[] {
  return Array.from({ length: chunks }, () => {
    while (pace.chunk === paces.COMMIT_SAMPLE) note(pace, costMs, load);
    return note(pace, costMs, load);
  });
}

function note(pace: paces.Pace, costMs: Cost, load: paces.Load): number {
  const { deletes, rows, restMs } = pace.chunk;
  pace.note(deletes * (costMs(rows) + restMs), load);
  return costMs(rows);
}

function each(rowMs: number): Cost {
  return (rows) => rows * rowMs;
}

describe('the size of a chunk', () => {
  test.each([0.002, 0.01, 0.1, 1, 10])('comes to 20 ms where a row takes %d ms', (rowMs) => {
    const pace = new paces.Pace(SETTINGS);
    const took = run(pace, 60, each(rowMs), ALONE).slice(-10);
    for (const ms of took) {
      expect(ms).toBeLessThanOrEqual(30);
      expect(ms).toBeGreaterThanOrEqual(Math.min(13, paces.CHUNK_ROWS_MAX * rowMs));
    }
    expect(pace.chunk.deletes).toBe(1);
  });

  test('beside others it is as long, but of short DELETEs with rests', () => {
    const pace = new paces.Pace(SETTINGS);
    for (const ms of run(pace, 60, each(0.002), SHARED).slice(-10)) {
      expect(ms).toBeGreaterThan(0.4);
      expect(ms).toBeLessThan(0.6);
    }
    const { deletes, restMs } = pace.chunk;
    expect(restMs).toBeGreaterThanOrEqual(0.6);
    expect(restMs).toBeLessThan(0.9);
    expect(deletes * (0.5 + restMs)).toBeGreaterThan(15);
    expect(deletes * (0.5 + restMs)).toBeLessThanOrEqual(25);
  });

  test('a commit that waits for the disk makes them no smaller, and is a rest, too', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 200, (rows) => 3 + rows * 0.006, SHARED);
    const { deletes, rows, restMs } = pace.chunk;
    expect(rows).toBeGreaterThan(60);
    expect(rows).toBeLessThan(110);
    expect(restMs).toBe(0);
    expect(deletes).toBeGreaterThanOrEqual(4);
  });

  test('a row that takes long is not taken for a commit', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 200, (rows) => 1 + rows * 5, SHARED);
    expect(pace.chunk.rows).toBeLessThanOrEqual(2);
    expect(pace.chunk.restMs + pace.pauseMs).toBeGreaterThan(5);
  });

  test('has never fewer rows than the first where there is no key', () => {
    const pace = new paces.Pace({ ...SETTINGS, rowsMin: 50 });
    run(pace, 20, each(10), SHARED);
    expect(pace.chunk.rows).toBe(50);
  });

  test('comes back after a stall, also where a commit is slow', () => {
    const pace = new paces.Pace(SETTINGS);
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
    const load = fc.constantFrom(ALONE, SHARED, UNFELT, FELT);
    const rows = fc.integer({ min: 1, max: paces.CHUNK_ROWS_MAX });
    fc.assert(
      fc.property(costs, rows, load, (tookMs, chunkRows, felt) => {
        const pace = new paces.Pace({ ...SETTINGS, chunkRows });
        for (const ms of tookMs) {
          if (pace.chunk === paces.COMMIT_SAMPLE) pace.note(ms, felt);
          const before = pace.chunk.rows;
          pace.note(ms, felt);
          if (pace.chunk === paces.COMMIT_SAMPLE) pace.note(ms, felt);
          const { deletes, rows: after, restMs } = pace.chunk;
          expect(after).toBeGreaterThanOrEqual(Math.max(1, Math.floor(before / 2)));
          expect(after).toBeLessThanOrEqual(Math.min(2 * before, paces.CHUNK_ROWS_MAX));
          expect(deletes).toBeGreaterThanOrEqual(1);
          expect(deletes).toBeLessThanOrEqual(paces.DELETES_MAX);
          expect(restMs).toBeLessThanOrEqual(SETTINGS.chunkMs);
          expect(pace.pauseMs).toBeLessThanOrEqual(1_000);
        }
      }),
    );
  });
});

describe('rests and pauses', () => {
  test('a pause is a tenth of a chunk where nobody else is', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 60, each(0.4), ALONE);
    expect(pace.pauseMs).toBeCloseTo(2, 0);
  });

  test('where nobody feels it, rests shrink to nothing', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 60, each(0.006), UNFELT);
    expect(pace.chunk.restMs + pace.pauseMs).toBe(0);
    expect(pace.chunk.rows * 0.006).toBeGreaterThan(0.4);
    expect(pace.chunk.rows * 0.006).toBeLessThan(0.6);
  });

  test('they grow where others feel it, and come back within a few verdicts', () => {
    const pace = new paces.Pace(SETTINGS);
    const busy = () => {
      const { deletes, rows, restMs } = pace.chunk;
      const [busyMs, idleMs] = [deletes * rows * 0.01, deletes * restMs + pace.pauseMs];
      return busyMs / (busyMs + idleMs);
    };
    run(pace, 60, each(0.01), UNFELT);
    run(pace, 1, each(0.01), FELT);
    expect(busy()).toBeCloseTo(0.7, 1);
    run(pace, 60, each(0.01), FELT);
    expect(busy()).toBeGreaterThan(0.03);
    expect(busy()).toBeLessThan(0.05);
    run(pace, 20, each(0.01), UNFELT);
    expect(busy()).toBeGreaterThan(0.85);
  });

  test('the chunk after a stall is as the one before it', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 60, each(0.01), FELT);
    const { chunk, pauseMs } = pace;
    run(pace, 1, () => 60_000, SHARED);
    expect(pace.pauseMs).toBe(1_000);
    run(pace, 15, each(0.01), SHARED);
    expect(pace.pauseMs).toBe(pauseMs);
    expect(pace.chunk.restMs).toBeLessThan(2 * chunk.restMs);
  });

  test('a pause is a second where the purge has to stop, and never more', () => {
    const pace = new paces.Pace(SETTINGS);
    run(pace, 1, each(0.4), { effect: 'overload', isShared: false });
    expect(pace.pauseMs).toBe(1_000);
    run(pace, 50, each(50), FELT);
    expect(pace.pauseMs).toBe(1_000);
  });
});

test('many removals pause for others, unless tables are dropped faster than they go', () => {
  const pace = new paces.RemovalPace();
  const pauses = [1_000, 900, 950, 800].map((due) => {
    pace.begin(due);
    for (let batch = 0; batch < 5; batch++) pace.note(200, FELT);
    return Math.round(pace.pauseMs);
  });
  expect(pauses).toEqual([200, 200, 20, 200]);
});

describe('what others feel', () => {
  const of = (gauges: Readonly<Record<string, number>>) => loadOf(new Map(Object.entries(gauges)));

  test.each([
    ['unfelt', {}],
    ['unfelt', { Threads_running: 24 }],
    ['felt', { Threads_running: 25 }],
    ['overload', { Threads_running: 50 }],
    ['unfelt', { Innodb_buffer_pool_pages_dirty: 89, Innodb_buffer_pool_pages_total: 100 }],
    ['felt', { Innodb_buffer_pool_pages_dirty: 91, Innodb_buffer_pool_pages_total: 100 }],
    ['felt', { Innodb_checkpoint_age: 95, Innodb_checkpoint_max_age: 100 }],
    ['unfelt', { Innodb_checkpoint_age: 88, Innodb_checkpoint_max_age: 100 }],
    ['felt', { Innodb_history_list_length: 1_000_001 }],
  ] as const)('%s: %j', (expected, gauges) => {
    expect(of(gauges)).toBe(expected);
  });

  test('of ten reads beside chunks one may come later, by more than the impact', () => {
    const usual = Array.from({ length: 20 }, (_, index) => 0.4 + index / 100);
    const beside = (late: number, ms: number) =>
      Array.from({ length: 30 }, (_, index) => (index < late ? ms : 0.5));
    expect(isFelt(beside(30, 1.5), usual, 1)).toBe(false);
    expect(isFelt(beside(30, 1.7), usual, 1)).toBe(true);
    expect(isFelt(beside(30, 1.7), usual, 2)).toBe(false);
    expect(isFelt(beside(3, 90), usual, 1)).toBe(true);
    expect(isFelt(beside(2, 90), usual, 1)).toBe(false);
    // Too little is known of what is usual.
    expect(isFelt(beside(30, 90), usual.slice(0, 9), 1)).toBe(false);
  });
});

/** The figures of the last day, by the minute. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { MinuteSeries } from '../../src/console/series.js';
import { newCollectorFigures } from '../../src/lifecycle/figures.js';

const MINUTE_MS = 60_000;

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('a minute has what is held then, and what was purged since the one before', () => {
  const figures = newCollectorFigures();
  const series = new MinuteSeries(figures);
  expect(series.minutes).toEqual([]);
  const held = { HOLD: 2, PURGE: 1, EVAC: 0, DROP: 0 };
  const ledger = { bytes: { HOLD: 700, PURGE: 300 }, intents: 0, relocations: 0 };
  Object.assign(figures, { held, ledger, rowsPurged: 40, restsFor: 'pause' });
  jest.advanceTimersByTime(MINUTE_MS);
  Object.assign(figures, { rowsPurged: 100, restsFor: null });
  jest.advanceTimersByTime(MINUTE_MS);
  expect(series.minutes).toMatchObject([
    { tables: 3, bytes: 1_000, rowsPurged: 40, restsFor: 'pause' },
    { tables: 3, bytes: 1_000, rowsPurged: 60, restsFor: null },
  ]);
  series.stop();
  jest.advanceTimersByTime(MINUTE_MS);
  expect(series.minutes).toHaveLength(2);
});

test('the next process goes on with them, for a day at most', () => {
  const before = new MinuteSeries(newCollectorFigures());
  jest.advanceTimersByTime(24 * 60 * MINUTE_MS);
  before.stop();
  expect(before.minutes).toHaveLength(1_440);
  const series = new MinuteSeries(newCollectorFigures());
  jest.advanceTimersByTime(MINUTE_MS);
  series.take(before.minutes);
  expect(series.minutes).toHaveLength(1_440);
  expect(series.minutes[0]).toEqual(before.minutes[1]);
  series.stop();
});

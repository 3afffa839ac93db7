/** Times and hours as people write them. */
import * as times from '../src/duration.js';

const NOW = new Date('2026-11-24T20:30:00Z');

test.each([
  ['2h', '2026-11-24T18:30:00.000Z'],
  ['1h30m', '2026-11-24T19:00:00.000Z'],
  ['0', '2026-11-24T20:30:00.000Z'],
  ['14:00', '2026-11-24T14:00:00.000Z'],
  ['14:00:30', '2026-11-24T14:00:30.000Z'],
  ['23:59', '2026-11-24T23:59:00.000Z'],
  ['2026-11-20', '2026-11-20T00:00:00.000Z'],
  ['2026-11-20T09:11', '2026-11-20T09:11:00.000Z'],
  ['2026-11-20 09:11:49', '2026-11-20T09:11:49.000Z'],
  ['2026-11-20T09:11:49.5Z', '2026-11-20T09:11:49.500Z'],
  ['2026-11-20T09:11+02:00', '2026-11-20T07:11:00.000Z'],
])('%s is %s', (text, expected) => {
  expect(times.parseTime(text, NOW)?.toISOString()).toBe(expected);
});

test.each([
  ['20:30', '2026-11-24T20:30:00.000Z'],
  ['20:31', '2026-11-23T20:31:00.000Z'],
  ['2h', '2026-11-24T18:30:00.000Z'],
  ['2026-11-25T01:00', '2026-11-25T01:00:00.000Z'],
])('since %s is since %s', (text, expected) => {
  expect(times.parseSince(text, NOW)?.toISOString()).toBe(expected);
});

test.each([
  ...['', '14', 'yesterday', '25:00', '2026-02-30', '2026-13-01', '2026-11-20T', 'T14:00'],
  ...['14:00Z', '2026-11-20T9:11', '-2h', '2026-11-20T09:11+0200'],
  ...['99999999999w', '9999-12-31T23:59-12:00'],
])('%j is no time', (text) => {
  expect(times.parseTime(text, NOW)).toBeNull();
});

const HOUR_MS = 3_600_000;

test.each([
  ['22:00-06:00 UTC', '2026-11-24T21:59:00Z', 60_000],
  ['22:00-06:00 UTC', '2026-11-24T22:00:00Z', 0],
  ['22:00-06:00 UTC', '2026-11-25T00:00:00Z', 0],
  ['22:00-06:00 UTC', '2026-11-25T05:59:59Z', 0],
  ['22:00-06:00 UTC', '2026-11-25T06:00:00Z', 16 * HOUR_MS],
  ['01:30-02:00', '2026-11-25T01:30:00Z', 0],
  ['01:30-02:00', '2026-11-25T02:00:00Z', 23.5 * HOUR_MS],
  ['01:30-02:00', '2026-11-25T00:30:00Z', HOUR_MS],
  ['00:00-23:59', '2026-11-25T23:59:30Z', 30_000],
])('the window %s opens, seen at %s, in %i ms', (text, now, expected) => {
  const window = times.parseWindow(text);
  expect(window && times.untilWindowMs(window, new Date(now))).toBe(expected);
});

test.each([
  ['22:00-06:00 UTC', '22:00-06:00 UTC'],
  ['9:00-10:00', null],
  ['09:00 – 10:30 utc', '09:00-10:30 UTC'],
  ['10:00-10:00', null],
  ['22:00-06:00 CET', null],
])('%s is the window %s', (text, expected) => {
  const window = times.parseWindow(text);
  expect(window && times.formatWindow(window)).toBe(expected);
});

/** Durations and addresses as people write them. */
import { parseAddress } from '../../src/config/setting-kinds.js';
import { formatDuration, parseDuration } from '../../src/duration.js';
import fc from '../support/properties.js';

describe('a duration', () => {
  test.each([
    ['0', 0],
    ['500ms', 500],
    ['20s', 20_000],
    ['1m', 60_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['0s', 0],
    ['1d1h1m1s1ms', 90_061_001],
  ])('%s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    ...['', '5', '5 s', 's', '-1s', '1h 30m', '1y', '1.s', '.5s', '1S', '1e3s', '0x1s', 'forever'],
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test('is written by whole units, and read again as what it was', () => {
    expect([0, 3_600_000, 5_400_000, 90_061_001].map(formatDuration)).toEqual([
      ...['0', '1h', '1h30m', '1d1h1m1s1ms'],
    ]);
    fc.assert(fc.property(fc.nat(), (ms) => expect(parseDuration(formatDuration(ms))).toBe(ms)));
  });
});

describe('an address', () => {
  const defaults = { host: '127.0.0.1', port: 3307 };

  test.each([
    ['db:3306', { host: 'db', port: 3306 }],
    ['db', { host: 'db', port: 3307 }],
    [':4000', { host: '127.0.0.1', port: 4000 }],
    ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
    ['[::1]:3307', { host: '::1', port: 3307 }],
    ['[::]', { host: '::', port: 3307 }],
    ['db.example.org:65535', { host: 'db.example.org', port: 65_535 }],
    ['/run/undrop.sock', { socketPath: '/run/undrop.sock' }],
    ['./undrop.sock', { socketPath: './undrop.sock' }],
  ])('%s', (text, address) => {
    expect(parseAddress(text, defaults)).toEqual(address);
  });

  test.each(['', 'db:', 'db:70000', 'db:x', '::1', '[::1', '[x]:1', 'a b', 'mysql://db', 'db:1:2'])(
    '%j is none',
    (text) => {
      expect(parseAddress(text, defaults)).toBeNull();
    },
  );
});

/** Warnings that each client would repeat: one a second, with the number of those left out. */
import { expect, test } from '@jest/globals';
import { silentLog, withSeldom } from '../src/log.js';

test('repeated warnings come once in their time, others always', () => {
  let clockMs = 0;
  const said: object[] = [];
  const log = withSeldom(
    { ...silentLog, warn: (fields) => said.push(fields) },
    (fields) => 'away' in fields,
    { everyMs: 1_000, nowMs: () => clockMs },
  );
  for (clockMs of [0, 1, 999]) log.warn({ away: clockMs }, 'away');
  log.warn({ other: 1 }, 'other');
  for (clockMs of [1_000, 2_000]) log.warn({ away: clockMs }, 'away');
  expect(said).toEqual([{ away: 0 }, { other: 1 }, { away: 1_000, leftOut: 2 }, { away: 2_000 }]);
});

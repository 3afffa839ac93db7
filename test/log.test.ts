/** What a person reads of the log on a terminal, and warnings that each client would repeat. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readableLine, silentLog, withSeldom } from '../src/log.js';

test.each([
  [
    'a drop',
    {
      ...{ level: 30, event: 'held', msg: 'held a dropped table' },
      ...{ client: '127.0.0.1:5', user: 'root' },
      ...{ schema: 'shop', table: 'orders', until: '2026-11-20T09:12:18.000Z' },
    },
    // Jest runs by Adelaide's clock.
    'held shop.orders by root until 2026-11-20 19:42',
  ],
  [
    'counters',
    { event: 'stopped', msg: 'stopped', sessionsTotal: 3, dropsHeld: 0, sessionsOpen: 0 },
    'stopped (sessionsTotal 3)',
  ],
  [
    'an error',
    { event: 'collector', msg: 'will try again', err: { name: 'Error', message: 'no answer' } },
    'will try again (err no answer)',
  ],
  [
    'a refusal',
    {
      ...{ msg: 'Table t was not dropped.', client: '::1', user: 'ann' },
      ...{ code: 'UNDROP_X', statement: '…' },
    },
    'Table t was not dropped. (by ann, code UNDROP_X)',
  ],
])('%s is one sentence', (_what, record, line) => {
  expect(readableLine(record)).toBe(line);
});

test('repeated warnings come once a second, with the number of those left out; others always', () => {
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

// ── clock ────────────────────────────────────────────────────────────────────────────────────────
// How the process's clock sleeps.

const run = promisify(execFile);

test('any number sleeps until one end, without a warning of a leak', async () => {
  // In a process of its own: Node says it on stderr.
  const text = `
    const { systemClock } = await import(${JSON.stringify(new URL('../src/clock.js', import.meta.url))});
    const end = new AbortController();
    const sleeps = Array.from({ length: 50 }, () => systemClock.sleep(1e6, end.signal));
    end.abort();
    await Promise.all(sleeps);
    console.log('awake');`;
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', text]);
  expect({ stdout, stderr }).toEqual({ stdout: 'awake\n', stderr: '' });
});

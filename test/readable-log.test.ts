/** What a person reads of the log on a terminal. */
import { expect, test } from '@jest/globals';
import { readableLine } from '../src/log.js';

test.each([
  [
    'a drop',
    {
      ...{
        level: 30,
        event: 'held',
        msg: 'held a dropped table',
        client: '127.0.0.1:5',
        user: 'root',
      },
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
      msg: 'Table t was not dropped.',
      client: '::1',
      user: 'ann',
      code: 'UNDROP_X',
      statement: '…',
    },
    'Table t was not dropped. (by ann, code UNDROP_X)',
  ],
])('%s is one sentence', (_what, record, line) => {
  expect(readableLine(record)).toBe(line);
});

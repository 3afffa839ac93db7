/** New due times for what is about to be relocated: later ones, or none. */

import type { ServicePool } from '../../../src/connections/sql.js';
import { UndropError } from '../../../src/errors.js';
import { renew } from '../../../src/held/relocate/due-times.js';
import { parseHoldName } from '../../../src/names/names.js';
import { fakePool } from '../../support/tapped-pool.js';

const ID = '0195a1b2c3d4700080000000000000ff';
const HELD = {
  ...{ id: ID, fromSchema: 'shop', holdName: `_vt_HOLD_${ID}_20260308120000`, table: 'orders' },
};

function serverAt(utcNow: string): ServicePool {
  const now = Object.assign([{ utcNow: new Date(utcNow) }], { affectedRows: 0 });
  return fakePool(async () => [now]);
}

test.each([
  ['a table is held from now on, under the same id', '12:30:00', 0, '12:31:00'],
  ['no due time moves into the past, as where a clock was set back', '11:00:00', 0, null],
  ['what is hardly lost is not worth another name', '11:59:59', 60_000, null],
  ['what is lost by more is', '12:00:01', 60_000, '12:01:01'],
])('%s', async (_what, now, lostMsMin, due) => {
  const [table] = await renew(serverAt(`2026-03-08T${now}Z`), [HELD], {
    holdOf: () => 60_000,
    lostMsMin,
  });
  const expected = due === null ? undefined : `2026-03-08T${due}.000Z`;
  expect(parseHoldName(table?.newName ?? '')?.due.toISOString()).toBe(expected);
});

test('only what is in HOLD has another due time', async () => {
  const purged = { ...HELD, holdName: HELD.holdName.replace('HOLD', 'PURGE') };
  const [table] = await renew(serverAt('2026-03-08T12:30:00Z'), [purged], { holdOf: () => 60_000 });
  expect(table).toEqual(purged);
});

test('where the server does not answer, tables keep their names', async () => {
  const params = { step: 'ask', server: 'the server', cause: 'gone' };
  const run = () => Promise.reject(new UndropError('UNDROP_SERVICE_FAILED', params));
  const pool = { ...serverAt('2026-03-08T12:30:00Z'), run };
  expect(await renew(pool, [HELD], { holdOf: () => 60_000 })).toEqual([HELD]);
});

test('each table is held as long as it is to be, and what is pinned for good', async () => {
  const other = { ...HELD, id: HELD.id.replace(/.$/, '0') };
  const second = { ...other, holdName: HELD.holdName.replace(HELD.id, other.id) };
  const renewed = await renew(serverAt('2026-03-08T12:30:00Z'), [HELD, second], {
    holdOf: (id) => (id === HELD.id ? 3_600_000 : 'pinned'),
  });
  expect(renewed.map(({ newName }) => parseHoldName(newName ?? '')?.due.toISOString())).toEqual([
    '2026-03-08T13:30:00.000Z',
    '9999-12-31T23:59:59.000Z',
  ]);
  const pinned = { ...second, holdName: renewed[1]?.newName ?? '' };
  const [kept] = await renew(serverAt('2026-03-08T12:30:00Z'), [pinned], { holdOf: () => 1e15 });
  expect(kept).toEqual(pinned);
});

test('an earlier time is taken of those alone that may go sooner', async () => {
  const options = { holdOf: () => 60_000, maySooner: (id: string) => id === HELD.id };
  const [sooner] = await renew(serverAt('2026-03-08T11:00:00Z'), [HELD], options);
  expect(parseHoldName(sooner?.newName ?? '')?.due.toISOString()).toBe('2026-03-08T11:01:00.000Z');
});

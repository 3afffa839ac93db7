/** Until when a table is held after an operator has changed that, and what is refused. */
import { describe, expect, test } from '@jest/globals';
import { UndropError } from '../../src/errors.js';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { type HoldChange, newestHeld, planHold } from '../../src/restore/change-hold.js';
import type { ListedTable } from '../../src/restore/held-tables.js';
import { held } from './held.js';

const HOUR_MS = 3_600_000;
/** Dropped at 12:00:01, held until the 8th. */
const TABLE = held(1, 'shop.orders');
const NOW = new Date('2026-03-02T12:00:00Z');

function plan(change: HoldChange, table: ListedTable = TABLE, now = NOW): string {
  try {
    return planHold(table, change, { now, holdMsMin: HOUR_MS }).toISOString();
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    return error.code;
  }
}

const inHours = (hours: number): HoldChange => ({ kind: 'for', holdMs: hours * HOUR_MS });
const until = (text: string): HoldChange => ({ kind: 'until', due: new Date(text) });

describe('a hold', () => {
  test.each([
    [inHours(24 * 30), '2026-04-01T12:00:00.000Z'],
    [inHours(2), '2026-03-02T14:00:00.000Z'],
    [until('2026-03-02T12:00:01Z'), '2026-03-02T12:00:01.000Z'],
    [until('2026-03-02T12:00:00Z'), 'UNDROP_HOLD_NOT_CHANGED'],
    [inHours(1e9), PINNED_UNTIL.toISOString()],
    [{ kind: 'pin' } as const, PINNED_UNTIL.toISOString()],
    [{ kind: 'end' } as const, NOW.toISOString()],
  ])('of %j is until %s', (change, expected) => {
    expect(plan(change)).toBe(expected);
  });

  test('is made shorter than the minimum from the drop on by nothing but its end', () => {
    const soon = new Date('2026-03-01T12:10:00Z');
    expect(plan(inHours(0.8), TABLE, soon)).toBe('UNDROP_HOLD_NOT_CHANGED');
    expect(plan(inHours(0.9), TABLE, soon)).toBe('2026-03-01T13:04:00.000Z');
    expect(plan({ kind: 'end' }, TABLE, soon)).toBe(soon.toISOString());
    // It is over sooner anyway, so that is no shorter.
    const short = held(1, 'shop.orders', { due: new Date('2026-03-01T12:20:00Z') });
    expect(plan(inHours(0.5), short, soon)).toBe('2026-03-01T12:40:00.000Z');
  });

  test('of what was dropped nobody knows when is made longer only', () => {
    const lost = held(1, null, { droppedAt: null });
    expect(plan(inHours(24 * 30), lost)).toBe('2026-04-01T12:00:00.000Z');
    expect(plan(inHours(24), lost)).toBe('UNDROP_HOLD_NOT_CHANGED');
  });

  test('that is pinned is unpinned, and not ended', () => {
    const pinned = held(1, 'shop.orders', { due: PINNED_UNTIL });
    expect(plan({ kind: 'end' }, pinned)).toBe('UNDROP_HOLD_NOT_CHANGED');
    expect(plan(inHours(1), pinned)).toBe('2026-03-02T13:00:00.000Z');
  });

  test('that is due already stays so where it is to end', () => {
    const due = held(1, 'shop.orders', { due: new Date('2026-03-02T11:00:00Z') });
    expect(plan({ kind: 'end' }, due)).toBe('2026-03-02T11:00:00.000Z');
  });

  test.each(['PURGE', 'EVAC', 'DROP'] as const)('in state %s is over', (state) => {
    expect(plan(inHours(24), held(1, 'shop.orders', { state }))).toBe('UNDROP_HOLD_NOT_CHANGED');
    expect(plan({ kind: 'end' }, held(1, 'shop.orders', { state }))).toBe(
      'UNDROP_HOLD_NOT_CHANGED',
    );
  });

  test('of a table in pieces is not changed', () => {
    expect(plan(inHours(24), held(1, 'shop.orders', { torn: true }))).toBe('UNDROP_TORN');
  });
});

test('of one name the newest whole one is meant, and the others in HOLD are named', () => {
  const purged = held(1, 'shop.orders', { state: 'PURGE' });
  const second = held(2, 'shop.orders');
  expect(newestHeld([second, purged], 'orders')).toEqual({ table: second, others: [] });
  expect(newestHeld([purged], 'orders')).toEqual({ table: purged, others: [] });
  const third = held(3, 'shop.orders');
  expect(newestHeld([third, second], 'orders')).toEqual({ table: third, others: [second] });
  const torn = held(4, 'shop.orders', { torn: true });
  expect(newestHeld([torn, third], 'orders')).toEqual({ table: third, others: [torn] });
});

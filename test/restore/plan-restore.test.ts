/** Which held table is meant, and where it goes. */
import { describe, expect, test } from '@jest/globals';
import { UndropError } from '../../src/errors.js';
import { findTarget } from '../../src/restore/find-dropped.js';
import type { ListedTable } from '../../src/restore/held-tables.js';
import { type HeldPlan, planRestore } from '../../src/restore/plan-restore.js';
import { held } from './held.js';

const orders = held(1, 'shop.orders');
const older = held(2, 'shop.items');
const newer = held(3, 'shop.items');
const other = held(4, 'crm.notes');
const all = [other, newer, older, orders];

function planOf(tables: readonly ListedTable[], target: string, to?: string): HeldPlan {
  return planRestore(findTarget(tables, target), { target, to });
}

function refusal(tables: readonly ListedTable[], target: string, to?: string): UndropError {
  try {
    planOf(tables, target, to);
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('which held table is meant', () => {
  test.each([
    ['its name', 'orders'],
    ['its qualified name', 'shop.orders'],
    ['its name in backticks', '`shop`.`orders`'],
    ['its name in another case', 'SHOP.Orders'],
    ['its id', orders.id],
    ['its id in capitals', orders.id.toUpperCase()],
    ['its id with dashes', orders.id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')],
    ['a unique beginning of its id', orders.id.slice(0, 12)],
  ])('is found by %s', (_how, target) => {
    const plan = planOf(all, target);
    expect(plan).toEqual({ wasBack: false, table: orders, to: orders.origin, others: [] });
  });

  test('is found by a name with a dot in it, in backticks', () => {
    const dotted = held(5, null, { origin: { schema: 'shop', table: 'we.ird' } });
    expect(planOf([dotted, ...all], 'shop.`we.ird`').table).toBe(dotted);
  });

  test('is the newest of that name; the others are named', () => {
    const plan = planOf(all, 'items');
    expect(plan).toMatchObject({ table: newer, others: [older] });
  });

  test('is the newest that is whole, where the newest is being emptied', () => {
    const purged = held(3, 'shop.items', { state: 'PURGE' });
    const plan = planOf([purged, older], 'items');
    expect(plan).toMatchObject({ table: older, others: [purged] });
  });

  test('is the one whose name looks like an id, before ids that begin so', () => {
    const cafe = held(5, 'shop.0195');
    expect(planOf([cafe, ...all], '0195').table).toBe(cafe);
  });

  test('is not guessed among schemas', () => {
    const error = refusal([held(5, 'crm.orders'), ...all], 'orders');
    expect(error.code).toBe('UNDROP_AMBIGUOUS');
    expect(error.message).toContain('(crm.orders, dropped 2026-03-01 12:00:05 UTC)');
    expect(error.message).toContain('(shop.orders, dropped 2026-');
  });

  test('is not guessed among ids that begin the same', () => {
    expect(refusal(all, '0195a1b2').code).toBe('UNDROP_AMBIGUOUS');
  });

  test('is not looked for by fewer than four digits of an id', () => {
    expect(refusal([orders], '019').code).toBe('UNDROP_NO_SUCH_HELD');
  });

  test.each(['customers', 'a.b.c', ''])('"%s" is not there', (target) => {
    const error = refusal(all, target);
    expect(error.code).toBe('UNDROP_NO_SUCH_HELD');
    expect(error.message).toBe(
      `No held table matches "${target}". ` +
        '`undrop list` and SHOW DROPPED TABLES show what can be restored. Give the first or last ' +
        '4 digits of an id, or more; put a name with a dot in backticks. The ' +
        'id of a drop of several tables goes to `undrop restore --drop`.',
    );
  });

  test.each(['PURGE', 'EVAC', 'DROP'] as const)(
    'is refused in %s: its rows may be gone',
    (state) => {
      const error = refusal([held(1, 'shop.orders', { state })], 'orders');
      expect(error.code).toBe('UNDROP_NOT_RESTORABLE');
      expect(error.message).toContain(`in state ${state}`);
    },
  );
});

describe('where it goes', () => {
  test.each([
    ['old', { schema: 'shop', table: 'old' }],
    ['crm.old', { schema: 'crm', table: 'old' }],
    ['`my.db`.`o``ld`', { schema: 'my.db', table: 'o`ld' }],
    ['日本.表', { schema: '日本', table: '表' }],
  ])('--to %s', (to, expected) => {
    expect(planOf(all, 'orders', to).to).toEqual(expected);
  });

  test.each([
    '',
    '.',
    'a.',
    '.b',
    'a.b.c',
    '`a',
    `${'x'.repeat(65)}`,
    '_undrop.x',
    '_UNDROP_LOCAL.x',
    'crm.o\u{1f600}',
  ])('is refused: --to "%s"', (to) => {
    expect(refusal(all, 'orders', to).code).toBe('UNDROP_BAD_TARGET');
  });

  test('must be said for a table that the ledger does not know', () => {
    const lost = held(6, null);
    expect(refusal([lost], lost.id).code).toBe('UNDROP_NO_ORIGIN');
    expect(refusal([lost], lost.id, 'orders').code).toBe('UNDROP_NO_ORIGIN');
    const plan = planOf([lost], lost.id, 'shop.orders');
    expect(plan.to).toEqual({ schema: 'shop', table: 'orders' });
  });
});

/** Which held table is meant, where it goes, and in which order several come back. */
import { describe, expect, test } from '@jest/globals';
import { UndropError } from '../../src/errors.js';
import { findTarget } from '../../src/restore/find-dropped.js';
import type { ListedTable } from '../../src/restore/held-tables.js';
import { type HeldPlan, parentsFirst, planRestore } from '../../src/restore/plan-restore.js';
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

  const dotted = held(5, null, { origin: { schema: 'shop', table: 'we.ird' } });
  const purged = held(3, 'shop.items', { state: 'PURGE' });
  const cafe = held(5, 'shop.0195');
  test.each([
    ['with a dot in it, in backticks', [dotted, ...all], 'shop.`we.ird`', dotted, []],
    ['that several had; the others are named', all, 'items', newer, [older]],
    ['whose newest is being emptied', [purged, older], 'items', older, [purged]],
    ['that looks like an id, before ids that begin so', [cafe, ...all], '0195', cafe, []],
  ])('is the newest whole one of a name %s', (_what, tables, target, table, others) => {
    expect(planOf(tables, target)).toMatchObject({ table, others });
  });

  test('is not guessed among schemas', () => {
    const error = refusal([held(5, 'crm.orders'), ...all], 'orders');
    expect(error.code).toBe('UNDROP_AMBIGUOUS');
    expect(error.message).toContain('(crm.orders, dropped 2026-03-01 12:00:05 UTC)');
    expect(error.message).toContain('(shop.orders, dropped 2026-');
  });

  test('is not guessed among ids, nor looked for by fewer than four digits of one', () => {
    expect(refusal(all, '0195a1b2').code).toBe('UNDROP_AMBIGUOUS');
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
    ...['mysql.x', 'MYSQL.x', 'sys.x', 'information_schema.x', 'performance_schema.x'],
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

/** `child: parents`, separated by blanks. */
function order(...texts: readonly string[]): string {
  const table = (name: string) => ({ schema: 'shop', table: name });
  const items = texts.map((text) => {
    const [name = '', parents = ''] = text.split(':');
    return { name: table(name), parents: parents.split(' ').filter(Boolean).map(table) };
  });
  return parentsFirst(items)
    .map(({ name }) => name.table)
    .join(' ');
}

test.each([
  [['a', 'b', 'c'], 'a b c'],
  [['grandchild:child', 'child:parent', 'parent'], 'parent child grandchild'],
  [['c:a b', 'b:a', 'a'], 'a b c'],
  // A parent that isn't among them, and one whose name was written in another case.
  [['a:gone', 'b:A'], 'a b'],
  // Itself, and a cycle.
  [['a:a'], 'a'],
  [['a:b', 'b:c', 'c:a', 'd:a'], 'c b a d'],
])('of %s comes %s', (items, expected) => {
  expect(order(...items)).toBe(expected);
});

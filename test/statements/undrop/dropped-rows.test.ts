/** What a row of SHOW DROPPED TABLES says, and which names a LIKE has. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PINNED_UNTIL } from '../../../src/names/names.js';
import {
  type Dropped,
  isLike,
  SHOW_COLUMNS,
  showRow,
} from '../../../src/statements/undrop/dropped-rows.js';
import { rounds } from '../../support/sample.js';

describe('LIKE', () => {
  test.each([
    ['orders', '%', true],
    ['', '%', true],
    ['', '_', false],
    ['orders', 'ord%', true],
    ['orders', '%ers', true],
    ['orders', '%rd%r%', true],
    ['orders', 'o_ders', true],
    ['orders', 'order', false],
    ['orders', 'ORDERS', true],
    ['a_b', 'a\\_b', true],
    ['axb', 'a\\_b', false],
    ['100%', '100\\%', true],
    ['100x', '100\\%', false],
    ['a\\b', 'a\\\\b', true],
    ['a\\', 'a\\', true],
    ['😀', '_', true],
    ['aaa', '%a%a%a%a', false],
  ])('%s LIKE %s: %s', (name, pattern, expected) => {
    expect(isLike(name, pattern)).toBe(expected);
  });

  test('is what a regular expression says', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '%', '_'), maxLength: 8 });
    fc.assert(
      fc.property(letters, letters, (name, pattern) => {
        const regular = pattern.replaceAll('%', '.*').replaceAll('_', '.');
        expect(isLike(name, pattern)).toBe(new RegExp(`^${regular}$`, 's').test(name));
      }),
      { numRuns: rounds(3_000, 300) },
    );
  });

  test('takes no time for a pattern that has many ways', () => {
    expect(isLike('a'.repeat(64), `${'%a'.repeat(200)}b`)).toBe(false);
  });
});

describe('a row', () => {
  const due = new Date('2026-12-01T21:05:36Z');
  const dropped = {
    id: 'f'.repeat(32),
    state: 'HOLD',
    due,
    origin: { schema: 'shop', table: 'orders' },
    droppedAt: new Date('2026-11-24T21:05:36Z'),
    rowEstimate: null,
    byteEstimate: 16_384,
    statement: 'DROP TABLE orders',
    row: {
      groupId: 'e'.repeat(32),
      user: 'app',
      clientAddress: '10.0.0.7:1',
      kind: 'base',
      statementText: 'DROP TABLE orders',
    },
  } as unknown as Dropped;

  const said = (more: Partial<Dropped>) => {
    const row = showRow({ ...dropped, ...more });
    expect(row).toHaveLength(SHOW_COLUMNS.length);
    return Object.fromEntries(SHOW_COLUMNS.map(({ name }, index) => [name, row[index]]));
  };

  test('has a value for each column', () => {
    expect(said({})).toEqual({
      Id: 'f'.repeat(32),
      Drop_id: 'e'.repeat(32),
      Schema: 'shop',
      Table: 'orders',
      How: 'DROP TABLE',
      Dropped_at: '2026-11-24 21:05:36',
      User: 'app',
      Client: '10.0.0.7:1',
      Rows: null,
      Bytes: 16_384,
      State: 'HOLD',
      Expires_at: '2026-12-01 21:05:36',
      Next: 'removed from 2026-12-01 21:05:36 on',
      Statement: 'DROP TABLE orders',
    });
  });

  test.each([
    [{ due: PINNED_UNTIL }, null, 'nothing, it is pinned'],
    [{ state: 'PURGE' as const }, null, 'its rows are being deleted'],
    [{ state: 'EVAC' as const }, null, 'DROP at 2026-12-01 21:05:36'],
    [{ state: 'DROP' as const }, null, 'DROP at the next look'],
  ])('says what comes next: %#', (more, expires, next) => {
    expect(said(more)).toMatchObject({ Expires_at: expires, Next: next });
  });

  test('says that a table is in pieces, or out of sight', () => {
    expect(said({ torn: true })).toMatchObject({ State: 'TORN' });
    expect(said({ unseen: true })['Next']).toContain('undrop doctor');
  });
});

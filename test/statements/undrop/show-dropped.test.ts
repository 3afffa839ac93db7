/** What a row of SHOW FULL DROPPED TABLES says. */
import { describe, expect, test } from '@jest/globals';
import { PINNED_UNTIL } from '../../../src/names/names.js';
import { printResultSet } from '../../../src/printer.js';
import type { ListCondition } from '../../../src/sql/grammar/list-clauses.js';
import { bindList, type Dropped } from '../../../src/statements/undrop/dropped-columns.js';

describe('a row', () => {
  const due = new Date('2026-12-01T21:05:36Z');
  const dropped = {
    id: 'f'.repeat(32),
    state: 'HOLD',
    due,
    origin: { schema: 'shop', table: 'orders' },
    groupId: 'e'.repeat(32),
    how: 'DROP TABLE',
    user: 'app',
    clientAddress: '10.0.0.7:1',
    droppedAt: new Date('2026-11-24T21:05:36Z'),
    rowEstimate: null,
    byteEstimate: 16_384,
    statement: 'DROP TABLE orders',
  } as unknown as Dropped;

  const said = (more: Partial<Dropped>) => {
    const none = { select: null, where: null, orderBy: [], limit: null };
    const list = bindList({ what: 'full-tables', ...none }, { decode: () => '' });
    if (list.what !== 'tables' || 'count' in list.fields) throw new Error('it has columns');
    const { columns, rows } = printResultSet(list.fields, [{ ...dropped, ...more }]);
    return Object.fromEntries(columns.map(({ name }, index) => [name, rows[0]?.[index]]));
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
    [{ state: 'DROP' as const }, null, 'DROP at the next check'],
  ])('says what comes next: %#', (more, expires, next) => {
    expect(said(more)).toMatchObject({ Expires_at: expires, Next: next });
  });

  test('says that a table is in pieces, or out of sight', () => {
    expect(said({ torn: true })).toMatchObject({ State: 'TORN' });
    expect(said({ unseen: true })['Next']).toContain('undrop doctor');
  });
});

test('a page that begins after an id is read from there on, whatever else is asked', () => {
  const id = 'a'.repeat(32);
  const column = (name: string) => ({ kind: 'column', column: name, at: 0 }) as const;
  const text = { kind: 'text', value: Buffer.from(id), at: 0 } as const;
  const isLess = { kind: 'compare', by: '<', left: column('ID'), right: text } as const;
  const isOpen = { kind: 'is-null', operand: column('User') } as const;
  const meantBy = (where: ListCondition) => {
    const none = { select: null, orderBy: [], limit: null };
    const decode = ({ value }: { readonly value: Uint8Array }) => Buffer.from(value).toString();
    const list = bindList({ what: 'full-tables', where, ...none }, { decode });
    return list.what === 'tables' ? list.among : null;
  };
  expect(meantBy(isLess)).toEqual({ before: id });
  expect(meantBy({ ...isLess, by: '=' })).toEqual({ digits: id });
  expect(meantBy({ kind: 'and', all: [isOpen, isLess] })).toEqual({ before: id });
  expect(meantBy({ kind: 'or', all: [isOpen, isLess] })).toEqual({});
  expect(meantBy({ kind: 'not', of: isLess })).toEqual({});
  expect(meantBy({ ...isLess, by: '>' })).toEqual({});
  expect(meantBy({ ...isLess, right: { ...text, value: Buffer.from('xyz') } })).toEqual({});
});

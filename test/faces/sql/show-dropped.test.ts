/** What a row of SHOW FULL DROPPED TABLES says. */

import type { ServicePool } from '../../../src/connections/sql.js';
import { inQueue } from '../../../src/faces/sql/find-dropped.js';
import { PINNED_UNTIL } from '../../../src/names/names.js';
import { printResultSet } from '../../../src/printer.js';
import type { DroppedTable } from '../../../src/recycle/held-tables.js';
import { TABLE_COLUMNS } from '../../../src/recycle/print/print-list.js';

describe('a row', () => {
  const due = new Date('2026-12-01T21:05:36Z');
  const dropped = {
    ...{ id: 'f'.repeat(32), dropId: 'e'.repeat(32), state: 'HOLD', due },
    ...{ origin: { schema: 'shop', table: 'orders' }, how: 'DROP TABLE', user: 'app' },
    ...{ clientAddress: '10.0.0.7:1', droppedAt: new Date('2026-11-24T21:05:36Z') },
    ...{ rowEstimate: null, byteEstimate: 16_384, statement: 'DROP TABLE orders' },
  } as unknown as DroppedTable;

  const said = (more: Partial<DroppedTable>) => {
    const { columns, rows } = printResultSet(TABLE_COLUMNS, [{ ...dropped, ...more }]);
    return Object.fromEntries(columns.map(({ name }, index) => [name, rows[0]?.[index]]));
  };

  test('has a value for each column', () => {
    expect(said({})).toEqual({
      ...{ Id: 'f'.repeat(32), Drop_id: 'e'.repeat(32), Schema: 'shop', Table: 'orders' },
      ...{ How: 'DROP TABLE', Dropped_at: '2026-11-24 21:05:36', User: 'app' },
      ...{ Client: '10.0.0.7:1', Program: null, Rows: null, Bytes: 16_384, State: 'HOLD' },
      ...{ Expires_at: '2026-12-01 21:05:36', Next: 'removed from 2026-12-01 21:05:36 on' },
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

// ── queue ────────────────────────────────────────────────────────────────────────────────────────
// Who waits for whom.

const pool = {} as ServicePool;

test('a user waits for himself, and for nobody else, whatever became of it', async () => {
  const done: string[] = [];
  let end: () => void = () => undefined;
  const never = new Promise<void>((_resolve, reject) => {
    end = () => reject(new Error('over'));
  });
  const work = (what: string) => async () => void done.push(what);
  const first = inQueue(pool, 'read hostile', () => never);
  const second = inQueue(pool, 'read hostile', work('hostile'));
  await inQueue(pool, 'read other', work('other'));
  await inQueue(pool, 'restore hostile', work('restore'));
  expect(done).toEqual(['other', 'restore']);
  end();
  await expect(first).rejects.toThrow('over');
  await second;
  expect(done).toEqual(['other', 'restore', 'hostile']);
});

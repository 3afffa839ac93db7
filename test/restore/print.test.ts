/** What `undrop list` and `undrop restore` print. */
import { describe, expect, test } from '@jest/globals';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { NOTHING_REATTACHED } from '../../src/restore/make-whole.js';
import { formatHeldList, heldListJson } from '../../src/restore/print-held.js';
import { formatRestoreReport, restoreReportJson } from '../../src/restore/print-report.js';
import type { RestoreReport } from '../../src/restore/restore-table.js';
import { held } from './held.js';

const NOT_KNOWN = { rowEstimate: null, byteEstimate: null };

describe('the list of held tables', () => {
  const rows = [
    held(2, 'shop.表', { rowEstimate: 100_000, byteEstimate: 999_999_999, user: 'deploy' }),
    held(1, 'shop.orders', { state: 'PURGE', byteEstimate: 16_384 }),
    held(3, null, { ...NOT_KNOWN, user: null, how: null, droppedAt: null }),
  ];

  test('is aligned, and its ids can be typed', () => {
    expect(formatHeldList(rows)).toBe(
      [
        'ID             TABLE                HOW         DROPPED (UTC)        BY         STATE  UNTIL (UTC)               ROWS       SIZE',
        '0195a1b2c3d27  shop.表               DROP TABLE  2026-03-01 12:00:02  deploy     HOLD   2026-03-08 12:00:00    100,000     1.0 GB',
        '0195a1b2c3d17  shop.orders          DROP TABLE  2026-03-01 12:00:01  app        PURGE  -                        1,000      16 kB',
        '0195a1b2c3d37  (not in the ledger)  not known   not known            not known  HOLD   2026-03-08 12:00:00  not known  not known',
        'Total: 3 tables, 1.0 GB without 1 of unknown size.',
        '  HOLD: 2 tables, 1.0 GB without 1 of unknown size',
        '  PURGE: 1 table, 16 kB',
        '',
      ].join('\n'),
    );
  });

  test('shows as many digits of the ids as tell them apart', () => {
    const one = held(1, 'shop.a', { id: '0195a1b2c3d170008000000000000001' });
    const two = held(1, 'shop.b', { id: '0195a1b2c3d170008000000000000002' });
    expect(formatHeldList([one, two])).toContain('0195a1b2c3d170008000000000000002  ');
  });

  test('prints no name as a command to the terminal', () => {
    expect(formatHeldList([held(1, 'shop.\u001b[2J\u202e')])).toContain('shop.?[2J?');
  });

  test('says of what is pinned that it is', () => {
    const [, line] = formatHeldList([held(1, 'shop.a', { due: PINNED_UNTIL })]).split('\n');
    expect(line).toMatch(/ HOLD +pinned /);
  });

  test('says of what the account can’t see where it is', () => {
    const unseen = held(1, 'shop.orders', { holdSchema: 'shop', unseen: true });
    const [, line, , said] = formatHeldList([unseen]).split('\n');
    expect(line).toContain('shop.orders');
    expect(said).toBe(
      `shop.orders is held as shop.${unseen.holdName}, which this account cannot see.`,
    );
    expect(heldListJson([unseen])[0]).toMatchObject({ seen: false });
  });

  test('says of what is held no more what has become of it, and when', () => {
    const { state: _state, due: _due, ...known } = held(1, 'shop.a', NOT_KNOWN);
    const endedAt = new Date('2026-03-02T12:00:00Z');
    const ended = { ...known, state: 'restored', endedAt, restoredAs: 'shop.b' } as const;
    const [, line, total] = formatHeldList([ended]).split('\n');
    expect(line).toMatch(/ restored +2026-03-02 12:00:00 +not known +not known$/);
    expect(total).toBe('Total: 1 table of unknown size, in state restored.');
    expect(heldListJson([ended])[0]).toMatchObject({ restoredAs: 'shop.b', state: 'restored' });
  });

  test('says of what is still used how often, and by whom last', () => {
    const used = {
      count: 12,
      lastAt: new Date('2026-03-02T12:00:00Z'),
      who: 'app from 10.0.0.1:5',
    };
    const row = held(1, 'shop.a');
    expect(formatHeldList([row], new Map([[row.id, used]])).split('\n')[3]).toBe(
      'shop.a is still used: 12 statements have failed, the last at 2026-03-02 12:00:00 UTC by app from 10.0.0.1:5.',
    );
  });

  test('says so when nothing is held', () => {
    expect(formatHeldList([])).toBe('No table is held.\n');
  });

  test('is plain records as JSON', () => {
    expect(heldListJson(rows)[1]).toEqual({
      id: held(1, 'x.y').id,
      state: 'PURGE',
      schema: 'shop',
      table: 'orders',
      how: 'DROP TABLE',
      usedWhileHeld: 0,
      droppedAt: '2026-03-01T12:00:01.000Z',
      user: 'app',
      clientAddress: '10.0.0.1:50000',
      groupId: null,
      until: '2026-03-08T12:00:00.000Z',
      rowEstimate: 1000,
      byteEstimate: 16_384,
      holdSchema: '_undrop',
      holdName: held(1, 'x.y').holdName,
      seen: true,
    });
  });
});

describe('the report of a restore', () => {
  const report: RestoreReport = {
    id: held(1, 'shop.orders').id,
    origin: { schema: 'shop', table: 'orders' },
    restoredAs: { schema: 'shop', table: 'orders' },
    droppedAt: new Date('2026-03-01T12:00:01Z'),
    user: 'app',
    how: 'DROP TABLE',
    rowEstimate: 100_000,
    count: { rows: 100_000, precision: 'about' },
    ...NOTHING_REATTACHED,
    brokenKeys: [],
    others: [],
    larger: null,
    recorded: true,
    wasBack: false,
  };

  test('is one line', () => {
    expect(formatRestoreReport(report)).toBe(
      'Restored shop.orders (dropped 2026-03-01 12:00:01 UTC by app, DROP TABLE, about 100,000 rows).\n',
    );
  });

  test('of one that was begun before says so', () => {
    expect(formatRestoreReport({ ...report, wasBack: true })).toBe(
      'Finished an earlier restore: restored shop.orders (dropped 2026-03-01 12:00:01 UTC by app, DROP TABLE, about 100,000 rows).\n',
    );
  });

  test('says the new name, the others of that name, and a silent ledger', () => {
    const restoredAs = { schema: 'crm', table: 'old' };
    const others = [held(2, 'shop.orders')];
    const text = formatRestoreReport({ ...report, restoredAs, others, recorded: false });
    expect(text.split('\n')).toEqual([
      'Restored shop.orders as crm.old (dropped 2026-03-01 12:00:01 UTC by app, DROP TABLE, about 100,000 rows).',
      'The ledger could not be updated; recovery will do that.',
      'Also held under that name; restore them by id:',
      `  ${held(2, 'x.y').id}  HOLD  dropped 2026-03-01 12:00:02`,
      '',
    ]);
  });

  test('does without what the ledger does not know', () => {
    const nothing = { origin: null, droppedAt: null, how: null, user: null, count: null };
    const text = formatRestoreReport({ ...report, ...nothing, recorded: null });
    expect(text).toBe(`Restored ${report.id} as shop.orders.\n`);
  });

  test('says one row as one, and no number where none is known', () => {
    const of = (count: RestoreReport['count']) => formatRestoreReport({ ...report, count });
    expect(of({ rows: 1, precision: 'exact' })).toContain(', 1 row)');
    expect(of({ rows: 1000, precision: 'at least' })).toContain(', at least 1,000 rows)');
    expect(of(null)).toContain(', rows not counted)');
  });

  test('names another of that name that has far more rows', () => {
    const table = held(2, 'shop.orders');
    const larger = { table, count: { rows: 7_000, precision: 'about' } } as const;
    const [, line] = formatRestoreReport({ ...report, larger }).split('\n');
    expect(line).toBe(
      `The one dropped 2026-03-01 12:00:02 UTC has about 7,000 rows: undrop restore ${table.id} --swap`,
    );
  });

  test('says which triggers did not come back, and nothing of those that did', () => {
    const table = 'shop.orders';
    const triggers = [
      { name: 'a', table, problem: null },
      { name: 'b', table, problem: 'Trigger already exists (1359)' },
    ];
    expect(
      formatRestoreReport({ ...report, triggers })
        .split('\n')
        .slice(1),
    ).toEqual([
      'Trigger b of shop.orders was not restored as it was: Trigger already exists (1359)',
      '',
    ]);
  });

  test('is a plain record as JSON', () => {
    expect(restoreReportJson(report)).toEqual({
      id: report.id,
      schema: 'shop',
      table: 'orders',
      restoredSchema: 'shop',
      restoredTable: 'orders',
      droppedAt: '2026-03-01T12:00:01.000Z',
      user: 'app',
      how: 'DROP TABLE',
      rowEstimate: 100_000,
      count: { rows: 100_000, precision: 'about' },
      recorded: true,
      wasBack: false,
      checks: [],
      foreignKeys: [],
      foreignKeysProblem: null,
      triggers: [],
      triggersProblem: null,
      triggersToMake: null,
      brokenKeys: [],
      others: [],
      larger: null,
    });
  });
});

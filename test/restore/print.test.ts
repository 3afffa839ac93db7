/** What `undrop list` and `undrop restore` print. */
import { describe, expect, test } from '@jest/globals';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { NOTHING_REATTACHED } from '../../src/restore/make-whole.js';
import { heldListJson } from '../../src/restore/print-held.js';
import { formatList, formatSize, type ListView, sizeOf } from '../../src/restore/print-list.js';
import { formatRestoreReport, restoreReportJson } from '../../src/restore/print-report.js';
import type { RestoreReport } from '../../src/restore/restore-table.js';
import { readText } from '../support/source-file.js';
import { held } from './held.js';

const NOT_KNOWN = { rowEstimate: null, byteEstimate: null };

const NOW = new Date('2026-03-01T14:30:00Z');
const screen = (columns: number | null, more: Partial<ListView> = {}): ListView => {
  return { now: NOW, columns, ...more };
};

describe('the list of held tables', () => {
  const rows = [
    held(2, 'shop.表', { rowEstimate: 100_000, byteEstimate: 999_999_999, user: 'deploy' }),
    held(1, 'shop.orders', { state: 'PURGE', byteEstimate: 16_384 }),
    held(3, null, { ...NOT_KNOWN, user: null, how: null, droppedAt: null }),
  ];
  const big = {
    ...{ groupId: '0195a1b2c3d4700080000000005000ab', id: held(9, 'x.y').id, schema: 'big' },
    ...{
      tables: 5_000,
      bytes: 102_000_000,
      unknown: 0,
      how: 'DROP DATABASE' as const,
      user: 'deploy',
    },
    ...{ until: new Date('2026-03-02T13:02:00Z'), droppedAt: new Date('2026-03-01T13:02:00Z') },
    ...{ pinned: 0, inPlace: 0, ending: 0, unsettled: 0 },
  } as const;

  test('is aligned, in UTC where it is not a terminal, and its ids can be typed', () => {
    expect(formatList(rows, screen(null))).toBe(
      [
        'ID      DROPPED (UTC)        BY         WHAT                         SIZE  UNTIL (UTC)          NOTE',
        '000002  2026-03-01 12:00:02  deploy     DROP TABLE shop.表          1.0 GB  2026-03-08 12:00:00',
        '000001  2026-03-01 12:00:01  app        DROP TABLE shop.orders      16 kB  -                    PURGE',
        '000003  not known            not known  (not in the ledger)     not known  2026-03-08 12:00:00',
        '',
      ].join('\n'),
    );
    expect(formatSize(sizeOf(rows))).toBe('3 tables, 1.0 GB without 1 of unknown size');
  });

  test('has one line of 80 columns for a statement with 5,000 tables, in times from now on', () => {
    expect(formatList([big, ...rows], screen(80))).toBe(
      [
        'ID      DROPPED  BY      WHAT                          SIZE  UNTIL      NOTE',
        '5000ab  1 h ago  deploy  DATABASE big, 5,000 tables  102 MB  in 22 h    soon',
        '000002  2 h ago  deploy  TABLE shop.表                1.0 GB  in 6 days',
        '000001  2 h ago  app     TABLE shop.orders            16 kB  -          PURGE',
        '000003  ?        ?       (not in the ledger)              ?  in 6 days',
        '',
      ].join('\n'),
    );
  });

  test.each([80, 140])('fits a terminal of %i columns', (columns) => {
    const long = held(4, `shop.${'orders_'.repeat(8)}`, { user: 'a_service_account_of_a_batch' });
    const lines = formatList([big, long], screen(columns)).split('\n');
    expect(lines.filter((line) => line.length > columns)).toEqual([]);
    expect(lines[2]).toContain('a_service_a…');
    expect(lines[1]).toContain(columns === 80 ? 'DATABASE …, 5,000 tables' : 'DATABASE big, 5,000');
  });

  test('shows as many digits of the ids as tell them apart', () => {
    const one = held(1, 'shop.a', { id: '0195a1b2c3d170008000000100000001' });
    const two = held(1, 'shop.b', { id: '0195a1b2c3d170008000000200000001' });
    expect(formatList([one, two], screen(null))).toContain('\n100000001  ');
  });

  test('prints no name as a command to the terminal', () => {
    const text = formatList([held(1, 'shop.\u001b[2J\u202e')], screen(null));
    expect(text).toContain('shop.?[2J?');
  });

  test('marks what is pinned, in its own schema, or expires within a day', () => {
    const due = new Date('2026-03-02T14:29:00Z');
    const lines = [
      held(1, 'shop.a', { due: PINNED_UNTIL }),
      held(2, 'shop.b', { holdSchema: 'shop' }),
      held(3, 'shop.c', { due }),
    ];
    const [, pinned, inPlace, soon] = formatList(lines, screen(80)).split('\n');
    expect(pinned).toMatch(/ {2}pinned$/);
    expect(inPlace).toMatch(/ {2}in 6 days {2}in place$/);
    expect(soon).toMatch(/ {2}in 23 h {4}soon$/);
    expect(formatList([{ ...big, pinned: 2 }], screen(80))).toMatch(
      / {2}in 22 h {2}soon, 2 pinned\n$/,
    );
  });

  test('says of what the account can’t see where it is', () => {
    const unseen = held(1, 'shop.orders', { holdSchema: 'shop', unseen: true });
    const [, line, said] = formatList([unseen], screen(null)).split('\n');
    expect(line).toContain('shop.orders');
    expect(said).toBe(
      `shop.orders is held as shop.${unseen.holdName}, which this account cannot see.`,
    );
    expect(heldListJson([unseen])[0]).toMatchObject({ seen: false });
  });

  test('says of a PURGE how many rows are left, and when it will be over', () => {
    const purgedBy = new Date('2026-03-01T14:00:00Z');
    const noteOf = (rowEstimate: number) => {
      const row = held(1, 'shop.a', { state: 'PURGE', rowEstimate, purgedBy });
      return formatList([row], screen(null)).split('\n')[1]?.slice(-40);
    };
    expect(noteOf(1_234)).toMatch(/ 2026-03-01 14:00:00 +PURGE, 1,234 left$/);
    expect(noteOf(640_100)).toMatch(/ PURGE, 640k left$/);
    expect(noteOf(12_340_000)).toMatch(/ PURGE, 12\.3M left$/);
  });

  test('says of what is held no more what has become of it, and when', () => {
    const { state: _state, due: _due, holdName: _name, ...known } = held(1, 'shop.a', NOT_KNOWN);
    const endedAt = new Date('2026-03-02T12:00:00Z');
    const ended = { ...known, state: 'restored', endedAt, restoredAs: 'shop.b' } as const;
    const [, line] = formatList([ended], screen(null)).split('\n');
    expect(line).toMatch(/ not known +2026-03-02 12:00:00 +restored$/);
    expect(formatSize(sizeOf([ended]))).toBe('1 table of unknown size');
    expect(heldListJson([ended])[0]).toMatchObject({ restoredAs: 'shop.b', state: 'restored' });
  });

  test('says of what is still used how often, and by whom last', () => {
    const used = {
      count: 12,
      lastAt: new Date('2026-03-02T12:00:00Z'),
      who: 'app from 10.0.0.1:5',
    };
    const row = held(1, 'shop.a');
    const uses = new Map([[row.id, used]]);
    expect(formatList([row], screen(null, { uses })).split('\n')[2]).toBe(
      'shop.a is still used: 12 statements have failed, the last at 2026-03-02 12:00:00 UTC by app from 10.0.0.1:5.',
    );
  });

  test('has no key in JSON that docs/reference/json.md lacks', () => {
    const ended = { ...held(1, 'shop.a'), state: 'gone', endedAt: null, restoredAs: null } as const;
    const page = readText('docs/reference/json.md');
    const keys = new Set(heldListJson([held(2, 'shop.b'), ended]).flatMap(Object.keys));
    expect(keys.size).toBeGreaterThan(15);
    expect([...keys].filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
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

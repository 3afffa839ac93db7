/** What `undrop list` and `undrop restore` print, and what is said of a table that is not whole. */
import { PINNED_UNTIL } from '../../src/names/names.js';
import { NOTHING_REATTACHED, problemsOf } from '../../src/recycle/make-whole.js';
import { heldListJson } from '../../src/recycle/print/print-held.js';
import type { ListView } from '../../src/recycle/print/print-list.js';
import { formatList, formatSize, sizeOf } from '../../src/recycle/print/print-list.js';
import { formatRestoreReport, restoreReportJson } from '../../src/recycle/print/print-report.js';
import type { RestoreReport } from '../../src/recycle/restore-table.js';
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
    ...{ dropId: '0195a1b2c3d4700080000000005000ab', id: held(9, 'x.y').id, schema: 'big' },
    ...{ tables: 5_000, bytes: 102_000_000, unknown: 0, user: 'deploy' },
    how: 'DROP DATABASE',
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

  const a = held(7, 'shop.a');
  const { state: _state, due: _due, holdName: _name, ...known } = held(1, 'shop.a', NOT_KNOWN);
  const endedAt = new Date('2026-03-02T12:00:00Z');
  const ended = { ...known, state: 'restored', endedAt, restoredAs: 'shop.b' } as const;
  const unseen = held(1, 'shop.orders', { holdSchema: 'shop', unseen: true });
  const purged = (rowEstimate: number) => {
    const purgedBy = new Date('2026-03-01T14:00:00Z');
    return held(1, 'shop.a', { state: 'PURGE', rowEstimate, purgedBy });
  };
  const who = 'app from 10.0.0.1:5';
  const uses = new Map([[a.id, { count: 12, lastAt: endedAt, who }]]);

  test.each([
    ['is pinned', held(1, 'shop.a', { due: PINNED_UNTIL }), 80, / {2}pinned$/],
    ['is in its own schema', held(2, 'shop.b', { holdSchema: 'shop' }), 80, /6 days {2}in place$/],
    [
      'expires within a day',
      held(3, 'shop.c', { due: new Date('2026-03-02T14:29:00Z') }),
      80,
      / {2}in 23 h {2}soon$/,
    ],
    ['is pinned in part', { ...big, pinned: 2 }, 80, / {2}in 22 h {2}soon, 2 pinned$/],
    ['is being emptied', purged(1_234), null, / 2026-03-01 14:00:00 +PURGE, 1,234 left$/],
    ['is being emptied, of many rows', purged(640_100), null, / PURGE, 640k left$/],
    ['is being emptied, of millions', purged(12_340_000), null, / PURGE, 12\.3M left$/],
    ['is held no more', ended, null, / not known +2026-03-02 12:00:00 +restored$/],
    [
      'the account can’t see',
      unseen,
      null,
      `\nshop.orders is held as shop.${unseen.holdName}, which this account cannot see.`,
    ],
    [
      'is still used',
      a,
      null,
      '\nshop.a is still used: 12 statements have failed, the last at 2026-03-02 12:00:00 UTC by app from 10.0.0.1:5.',
    ],
  ] as const)('says of what %s that', (_what, row, columns, said) => {
    const [, ...lines] = formatList([row], screen(columns, { uses })).trimEnd().split('\n');
    expect(lines.join('\n')).toMatch(said);
  });

  test('has what is held no more, or can’t be seen, in JSON and in the size as well', () => {
    expect(formatSize(sizeOf([ended]))).toBe('1 table of unknown size');
    expect(heldListJson([ended])[0]).toMatchObject({ restoredAs: 'shop.b', state: 'restored' });
    expect(heldListJson([unseen])[0]).toMatchObject({ seen: false });
  });

  test('has no key in JSON that docs/reference/json.md lacks', () => {
    const gone = { ...held(1, 'shop.a'), state: 'gone', endedAt: null, restoredAs: null } as const;
    const page = readText('docs/reference/json.md');
    const keys = new Set(heldListJson([held(2, 'shop.b'), gone]).flatMap(Object.keys));
    expect(keys.size).toBeGreaterThan(15);
    expect([...keys].filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
  });

  test('is plain records as JSON', () => {
    const { id, holdName } = held(1, 'x.y');
    expect(heldListJson(rows)[1]).toEqual({
      ...{ id, schema: 'shop', table: 'orders', how: 'DROP TABLE', dropId: null },
      ...{ state: 'PURGE', until: '2026-03-08T12:00:00.000Z', usedWhileHeld: 0, seen: true },
      ...{ droppedAt: '2026-03-01T12:00:01.000Z', user: 'app', clientAddress: '10.0.0.1:50000' },
      ...{ program: null, lockedUntil: null },
      ...{ rowEstimate: 1000, byteEstimate: 16_384, holdSchema: '_undrop', holdName },
    });
  });
});

describe('the report of a restore', () => {
  const report: RestoreReport = {
    ...{ id: held(1, 'shop.orders').id, dropId: null, how: 'DROP TABLE', user: 'app' },
    ...{ origin: { schema: 'shop', table: 'orders' }, droppedAt: new Date('2026-03-01T12:00:01Z') },
    ...{ restoredAs: { schema: 'shop', table: 'orders' }, rowEstimate: 100_000 },
    count: { rows: 100_000, precision: 'about' },
    ...{ ...NOTHING_REATTACHED, brokenKeys: [], others: [], larger: null },
    ...{ recorded: true, wasBack: false },
  };

  const dropped = 'dropped 2026-03-01 12:00:01 UTC by app, DROP TABLE';
  const counted = (rows: string) => `Restored shop.orders (${dropped}, ${rows}).`;
  const line = counted('about 100,000 rows');
  const table = held(2, 'shop.orders');

  test.each<readonly [string, Partial<RestoreReport>, readonly string[]]>([
    ['is one line', {}, [line]],
    [
      'of one that was begun before says so',
      { wasBack: true },
      [line.replace('Restored', 'Finished an earlier restore: restored')],
    ],
    [
      'says the new name, the others of that name, and a silent ledger',
      { restoredAs: { schema: 'crm', table: 'old' }, others: [table], recorded: false },
      [
        line.replace('shop.orders', 'shop.orders as crm.old'),
        'crm.old: the ledger could not be updated; recovery will do that.',
        'Also held under that name; restore them by id:',
        `  ${table.id}  HOLD  dropped 2026-03-01 12:00:02`,
      ],
    ],
    [
      'does without what the ledger does not know',
      { origin: null, droppedAt: null, how: null, user: null, count: null, recorded: null },
      [`Restored ${report.id} as shop.orders.`],
    ],
    ['says one row as one', { count: { rows: 1, precision: 'exact' } }, [counted('1 row')]],
    [
      'says where there may be more',
      { count: { rows: 1000, precision: 'at least' } },
      [counted('at least 1,000 rows')],
    ],
    ['says no number where none is known', { count: null }, [counted('rows not counted')]],
    [
      'names another of that name that has far more rows',
      { larger: { table, count: { rows: 7_000, precision: 'about' } } },
      [
        line,
        `The one dropped 2026-03-01 12:00:02 UTC has about 7,000 rows: undrop restore ${table.id} --swap`,
      ],
    ],
    [
      'says which triggers did not come back, and nothing of those that did',
      {
        triggers: [
          { name: 'a', table: 'shop.orders', problem: null },
          { name: 'b', table: 'shop.orders', problem: 'Trigger already exists (1359)' },
        ],
      },
      [line, 'shop.orders: trigger b: Trigger already exists (1359)'],
    ],
  ])('%s', (_what, more, lines) => {
    expect(formatRestoreReport({ ...report, ...more }).split('\n')).toEqual([...lines, '']);
  });

  test('is a plain record as JSON, and docs/reference/json.md has each key', () => {
    const json = restoreReportJson(report);
    expect(json).toMatchObject({
      ...{ id: report.id, schema: 'shop', table: 'orders', how: 'DROP TABLE', user: 'app' },
      ...{ restoredSchema: 'shop', restoredTable: 'orders', others: [], larger: null },
      ...{ droppedAt: '2026-03-01T12:00:01.000Z', rowEstimate: 100_000 },
      count: { rows: 100_000, precision: 'about' },
    });
    const page = readText('docs/reference/json.md');
    expect(Object.keys(json)).toHaveLength(21);
    expect(Object.keys(json).filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
  });
});

test('each problem is said, and nothing of what is there again', () => {
  const triggers = [
    { name: 'fine', table: 't', problem: null },
    { name: 'lost', table: 't', problem: 'no such column' },
  ] as RestoreReport['triggers'];
  expect(problemsOf('0a', NOTHING_REATTACHED)).toEqual([]);
  expect(
    problemsOf('0a', { ...NOTHING_REATTACHED, triggers, foreignKeysProblem: 'no row of it' }),
  ).toEqual(['no row of it', 'trigger lost: no such column']);
});

test('triggers that may be made are named first, with what prints them', () => {
  const triggers = [
    { name: 'taken', table: 't', problem: 'another has its name', isMissing: false },
    { name: 'one', table: 't', problem: 'denied', isMissing: true },
    { name: 'two', table: 't', problem: 'it fires after one', isMissing: true },
  ] as RestoreReport['triggers'];
  expect(problemsOf('0a', { ...NOTHING_REATTACHED, triggers })).toEqual([
    'without its triggers one, two (`undrop show --sql 0a` prints them): denied',
    'trigger taken: another has its name',
  ]);
});

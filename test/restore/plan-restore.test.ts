/** Which held table is meant, where it goes, and in which order several come back. */
import { UndropError } from '../../src/errors.js';
import { findTarget } from '../../src/restore/find-dropped.js';
import type { ListedTable } from '../../src/restore/held-tables.js';
import { type HeldPlan, parentsFirst, planRestore } from '../../src/restore/plan-restore.js';
import { held } from './held.js';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { type HoldChange, newestHeld, planHold } from '../../src/restore/change-hold.js';
import type { DroppedSchema } from '../../src/ledger/schema-restores.js';
import { formatSchemaReport } from '../../src/restore/print-report.js';
import { type SchemaReport, chooseDrop } from '../../src/restore/schema/restore-schema.js';
import { serialize } from '../../src/recovery/reconcile.js';

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

// ── change hold ──────────────────────────────────────────────────────────────────────────────────
// Until when a table is held after an operator has changed that, and what is refused.

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

// ── choose drop ──────────────────────────────────────────────────────────────────────────────────
// Which drop of a schema is brought back, and how the end of it is said, without a server.

const drop = (id: string, more: Partial<DroppedSchema>): DroppedSchema => ({
  ...{ id, groupId: id, schema: 'shop', user: 'app', droppedAt: new Date(0) },
  ...{ sqlLogBin: true, rowLogged: true, isOpen: false, isRestoring: false, restoredAs: null },
  ...{ tables: 2, kept: 0, held: 0, ...more },
});

describe('of several drops of a schema', () => {
  const removed = drop('removed', {});
  const empty = drop('empty', { tables: 0 });
  const held = drop('held', { kept: 1 });
  test.each([
    ['the newest that has something', [held, drop('older', { kept: 2 })], 'held'],
    ['one of which something is there still', [removed, empty, held], 'held'],
    ['one that is half back', [drop('half', { isRestoring: true }), held], 'half'],
    ['one that is back', [drop('back', { restoredAs: 'shop' }), held], 'back'],
    [
      'one without tables, if an older one is back',
      [empty, drop('back', { restoredAs: 'shop' })],
      'empty',
    ],
    ['an older one, if the newest is elsewhere', [drop('away', { restoredAs: 'x' }), held], 'held'],
    ['one that is elsewhere, if no other is held', [drop('away', { restoredAs: 'x' })], 'away'],
    ['one that is under way', [drop('open', { isOpen: true }), held], 'open'],
    ['one without tables, if nothing else is left', [removed, empty], 'empty'],
    ['none, if all is removed', [removed], undefined],
  ] as const)('it is %s', (_what, found, id) => {
    expect(chooseDrop(found, 'shop')?.id).toBe(id);
  });
});

describe('the end of a restore', () => {
  const report: SchemaReport = {
    ...{ id: '01', groupId: '02', schema: 'shop', restoredAs: 'shop', user: 'app' },
    ...{ droppedAt: new Date('2026-11-24T20:00:00Z'), wasBack: false, isComplete: true },
    ...{ tables: [], parts: [], problem: null, others: [], singles: 0 },
  };
  const table = {
    id: '03',
    table: 'orders',
    outcome: 'restored',
    problems: [],
    triggersLeft: [],
  } as const;
  const view = {
    kind: 'VIEW',
    name: 'v\u001b',
    statement: 'CREATE VIEW v',
    problem: null,
    isMissing: false,
  };

  test('is a line if all is back', () => {
    expect(formatSchemaReport({ ...report, tables: [table], parts: [view] })).toBe(
      'Restored shop (dropped 2026-11-24 20:00:00 UTC by app): 1 of 1 tables, 1 of 1 views and programs.\n',
    );
  });

  test('says what is not back, and where its statement is', () => {
    const left = { ...table, outcome: 'left', problems: ['shop.orders exists'] } as const;
    const parts = [{ ...view, problem: 'Access denied; you need SUPER' }];
    const text = formatSchemaReport({ ...report, isComplete: false, tables: [left], parts });
    expect(text.split('\n')).toEqual([
      'Restored in part shop (dropped 2026-11-24 20:00:00 UTC by app): 0 of 1 tables, 0 of 1 views and programs.',
      'Table orders was not restored: shop.orders exists',
      'VIEW v?: Access denied; you need SUPER',
      'USE the schema, and UNDROP DATABASE adds them: through undrop, by a user who may create them; with the tier full (`undrop init --tier full`) undrop does.',
      "Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id = '01';",
      '',
    ]);
  });

  test('names what is not made in another schema', () => {
    const parts = [{ ...view, problem: 'its text names shop' }];
    const copy = { ...report, restoredAs: 'old', tables: [table], parts };
    expect(formatSchemaReport(copy)).toContain(
      'Not created, because their texts name shop: VIEW v?.',
    );
  });
});

// ── serialize ────────────────────────────────────────────────────────────────────────────────────
// Recoveries of one process: one after another, whatever becomes of each.

test('what is done in turn begins when what came before has ended, also by an error', async () => {
  const told: string[] = [];
  const work = serialize(async (name: string) => {
    told.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    told.push(`${name} ends`);
    if (name === 'first') throw new Error('first fails');
    return name;
  });
  const [first, second] = await Promise.allSettled([work('first'), work('second')]);
  expect(told).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  expect(first?.status).toBe('rejected');
  expect(second).toEqual({ status: 'fulfilled', value: 'second' });
});

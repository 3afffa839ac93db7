/** Which held table is meant, and where it goes. */

import { serialize } from '../../src/collector/reconcile.js';
import type { UndropError } from '../../src/errors.js';
import type { DroppedSchema } from '../../src/ledger/schema-restores.js';
import { PINNED_UNTIL } from '../../src/names/names.js';
import { type HoldChange, planHold } from '../../src/recycle/change-hold.js';
import { findTarget } from '../../src/recycle/find-dropped.js';
import type { DroppedTable } from '../../src/recycle/held-tables.js';
import { type HeldPlan, parseNewName, planRestore } from '../../src/recycle/plan-restore.js';
import { formatCopied, formatLacking } from '../../src/recycle/print/print-report.js';
import { chooseDrop } from '../../src/recycle/schema/restore-schema.js';
import { refusal } from '../support/refusal.js';
import { held } from './held.js';

const orders = held(1, 'shop.orders');
const older = held(2, 'shop.items');
const newer = held(3, 'shop.items');
const other = held(4, 'crm.notes');
const all = [other, newer, older, orders];

function planOf(tables: readonly DroppedTable[], target: string, to?: string): HeldPlan {
  const renamed = to === undefined ? null : parseNewName(to);
  return planRestore(findTarget(tables, target), { target, to: renamed });
}

function refused(tables: readonly DroppedTable[], target: string, to?: string): UndropError {
  const error = refusal(() => planOf(tables, target, to));
  if (error === null) throw new Error('it was not refused');
  return error;
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
    expect(plan).toEqual({
      what: target,
      wasBack: false,
      table: orders,
      to: orders.origin,
      others: [],
    });
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
    const error = refused([held(5, 'crm.orders'), ...all], 'orders');
    expect(error.code).toBe('UNDROP_AMBIGUOUS');
    expect(error.message).toContain('(crm.orders, dropped 2026-03-01 12:00:05 UTC)');
    expect(error.message).toContain('(shop.orders, dropped 2026-');
  });

  test('is not guessed among ids, nor looked for by fewer than four digits of one', () => {
    expect(refused(all, '0195a1b2').code).toBe('UNDROP_AMBIGUOUS');
    expect(refused([orders], '019').code).toBe('UNDROP_NO_SUCH_HELD');
  });

  test.each(['customers', 'a.b.c', ''])('"%s" is not there', (target) => {
    const error = refused(all, target);
    expect(error.code).toBe('UNDROP_NO_SUCH_HELD');
    expect(error.message).toBe(
      `No held table matches "${target}". ` +
        '`undrop list` and SHOW DROPPED TABLES show what can be restored. Give the first or last ' +
        '4 digits of an id, or more; put a name with a dot in backticks. The ' +
        'id of a drop of several tables goes to `undrop restore --drop`.',
    );
  });

  test.each(['PURGE', 'EVAC', 'DROP'] as const)('is refused in %s: its rows may go', (state) => {
    const error = refused([held(1, 'shop.orders', { state })], 'orders');
    expect(error.code).toBe('UNDROP_NOT_RESTORABLE');
    expect(error.message).toContain(`in state ${state}`);
  });
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
    expect(refused(all, 'orders', to).code).toBe('UNDROP_BAD_TARGET');
  });

  test('must be said for a table that the ledger does not know', () => {
    const lost = held(6, null);
    expect(refused([lost], lost.id).code).toBe('UNDROP_NO_ORIGIN');
    expect(refused([lost], lost.id, 'orders').code).toBe('UNDROP_NO_ORIGIN');
    const plan = planOf([lost], lost.id, 'shop.orders');
    expect(plan.to).toEqual({ schema: 'shop', table: 'orders' });
  });
});

// ── change hold ──────────────────────────────────────────────────────────────────────────────────
// Until when a table is held after an operator has changed that, and what is refused.

const HOUR_MS = 3_600_000;
const NOW = new Date('2026-03-02T12:00:00Z');
const SOON = new Date('2026-03-01T12:10:00Z');
const END = { kind: 'end' } as const;
const REFUSED = 'UNDROP_HOLD_NOT_CHANGED';
const LOST = { origin: null, droppedAt: null };
const inHours = (hours: number): HoldChange => ({ kind: 'for', holdMs: hours * HOUR_MS });
const until = (text: string): HoldChange => ({ kind: 'until', due: new Date(text) });
const due = (text: string) => ({ due: new Date(text) });

/** Of a table that was dropped at 12:00:01 and is held until the 8th, but for `more` of it. */
test.each<readonly [string, HoldChange, string, Partial<DroppedTable>?, Date?]>([
  ['made longer', inHours(24 * 30), '2026-04-01T12:00:00.000Z'],
  ['made shorter', inHours(2), '2026-03-02T14:00:00.000Z'],
  ['until a time', until('2026-03-02T12:00:01Z'), '2026-03-02T12:00:01.000Z'],
  ['until a time that is over', until('2026-03-02T12:00:00Z'), REFUSED],
  ['as long as can be', inHours(1e9), PINNED_UNTIL.toISOString()],
  ['pinned', { kind: 'pin' }, PINNED_UNTIL.toISOString()],
  ['ended', END, NOW.toISOString()],
  ['shorter than the minimum from the drop on', inHours(0.8), REFUSED, {}, SOON],
  ['as short as that', inHours(0.9), '2026-03-01T13:04:00.000Z', {}, SOON],
  ['ended before that', END, SOON.toISOString(), {}, SOON],
  // It is over sooner anyway, so that is no shorter.
  ['half an hour', inHours(0.5), '2026-03-01T12:40:00.000Z', due('2026-03-01T12:20:00Z'), SOON],
  ['longer, dropped nobody knows when', inHours(24 * 30), '2026-04-01T12:00:00.000Z', LOST],
  ['shorter, dropped nobody knows when', inHours(24), REFUSED, LOST],
  ['ended while it is pinned', END, REFUSED, { due: PINNED_UNTIL }],
  ['unpinned', inHours(1), '2026-03-02T13:00:00.000Z', { due: PINNED_UNTIL }],
  ['ended where it is due', END, '2026-03-02T11:00:00.000Z', due('2026-03-02T11:00:00Z')],
  ...(['PURGE', 'EVAC', 'DROP'] as const).flatMap((state) =>
    [inHours(24), END].map((change) => [`of ${state}`, change, REFUSED, { state }] as const),
  ),
  ['of a table in pieces', inHours(24), 'UNDROP_TORN', { torn: true }],
])('a hold is %s', (_what, change, expected, more = {}, now = NOW) => {
  let planned: Date | null = null;
  const error = refusal(() => {
    planned = planHold(held(1, 'shop.orders', more), change, { now, holdMsMin: HOUR_MS });
  });
  expect(error?.code ?? planned).toEqual(error === null ? new Date(expected) : expected);
});

// ── choose drop ──────────────────────────────────────────────────────────────────────────────────
// Which drop of a schema is brought back, and how the end of it is said, without a server.

const drop = (id: string, more: Partial<DroppedSchema>): DroppedSchema => ({
  ...{ id, dropId: id, schema: 'shop', user: 'app', droppedAt: new Date(0) },
  ...{ proxyId: 'p', threadId: 0, upstreamPort: null, program: null },
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
    ['one without tables, if one is back', [empty, drop('back', { restoredAs: 'shop' })], 'empty'],
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
  const schema = { id: '01', dropId: '02', schema: 'shop', restoredAs: 'shop', problem: null };
  const view = { kind: 'VIEW', name: 'v\u001b', statement: 'CREATE VIEW v', isMissing: false };

  test('says what is not back, and where its statement is', () => {
    const parts = [{ ...view, problem: 'Access denied; you need SUPER' }];
    expect(formatLacking({ ...schema, isComplete: false, parts })).toEqual([
      'VIEW shop.v?: Access denied; you need SUPER.',
      'USE the schema, and UNDROP DATABASE adds them: through undrop, by a user who may create them; with the tier full (`undrop init --tier full`) undrop does.',
      "Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id = '01';",
    ]);
  });

  test('names what is not made in another schema', () => {
    const parts = [{ ...view, problem: 'not created in another schema' }];
    const copy = { ...schema, restoredAs: 'old', isComplete: true, parts };
    expect(formatLacking(copy)).toEqual([]);
    expect(formatCopied([], [copy])).toContain('texts may name another schema: VIEW v?.');
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
  expect([first?.status, second]).toEqual(['rejected', { status: 'fulfilled', value: 'second' }]);
});

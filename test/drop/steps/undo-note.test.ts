/** The note after a drop: no name in it is cut. */

import { ServerError } from '../../../src/connections/errors.js';
import type { Row, ServicePool } from '../../../src/connections/sql.js';
import { whatIsRecycled } from '../../../src/drop/steps/inspect-names.js';
import { loggedText } from '../../../src/drop/steps/refusals/refusals.js';
import { renewDueTimes } from '../../../src/drop/steps/run.js';
import { type Undoable, undoInfo } from '../../../src/drop/steps/undo-note.js';
import { formatHoldName, PINNED_UNTIL, parseHoldName } from '../../../src/names/names.js';
import type { Ruling } from '../../../src/policy/decide.js';
import { fakePool } from '../../support/tapped-pool.js';

const NOW_MS = Date.UTC(2026, 10, 24, 20, 30);
const idOf = (last: string) => `${NOW_MS.toString(16).padStart(12, '0')}7000800000000000000${last}`;

type More = Partial<Undoable> & { due?: Date };

function undoable(
  names: readonly (readonly string[])[],
  { what = 'TABLE', due = new Date(NOW_MS + 3_600_000), swaps = false }: More = {},
): Undoable {
  const held = names.map((_name, index) => {
    const id = idOf(String(index % 10));
    return { id, holdName: formatHoldName({ state: 'HOLD', id, due }) };
  });
  return { held, names, what, swaps };
}

describe('the info text', () => {
  const info = (names: readonly (readonly string[])[], more?: More) =>
    undoInfo(undoable(names, more));
  const until = 'Held until 2026-11-24 21:30 UTC.';
  const ONE = [['d', 't']];

  test.each<[string, readonly (readonly string[])[], More, string]>([
    ['one table', [['shop', 'orders']], {}, 'TABLE shop.orders'],
    ['a reserved word and odd names', [['a b', 'or`der']], {}, 'TABLE `a b`.`or``der`'],
    ['a word that some server reserves', [['shop', 'Rank']], {}, 'TABLE shop.`Rank`'],
    ['digits', [['shop', '1e5']], {}, 'TABLE shop.`1e5`'],
    ['what has its name again', [['d', 't']], { swaps: true }, 'TABLE d.t SWAP'],
    ['a schema', [['shop']], { what: 'DATABASE' }, 'DATABASE shop'],
  ])('of %s', (_name, names, more, expected) => {
    expect(info(names, more)[0]).toBe(`${until} Undo: UNDROP ${expected}`);
  });

  test('of several one statement for all', () => {
    const names = ['a', 'b', 'c'].map((name) => ['d', name]);
    expect(info(names)).toEqual([`${until} Undo: UNDROP DROP '${idOf('0')}'`]);
  });

  test('of what is pinned, and of what goes at once', () => {
    expect(info(ONE, { due: PINNED_UNTIL })[0]).toBe('Held, pinned. Undo: UNDROP TABLE d.t');
    expect([info(ONE, { due: new Date(NOW_MS + 59_000) }), info([])]).toEqual([[], []]);
  });
});

// ── preconditions recycled ───────────────────────────────────────────────────────────────────────
// What a client hears of a table in our own schemas: only a held one is removed in its time.

const UNTIL_DUE = 'in the recycle schema of undrop, and the collector removes it when it is due';
const HELD = '_vt_HOLD_0195a1b2c3d070008000000000000009_20260308120000';

test.each([
  ['_undrop', 'ledger', 'the ledger of undrop, which cannot be dropped'],
  ['_UNDROP', 'LEDGER_VERSION', 'the ledger of undrop, which cannot be dropped'],
  ['_undrop', HELD, UNTIL_DUE],
  ['_undrop_local', HELD, UNTIL_DUE],
  ['_undrop_local', 'ledger', 'in the recycle schema of undrop, where clients cannot drop tables'],
  ['_undrop', 'other', 'in the recycle schema of undrop, where clients cannot drop tables'],
])('%s.%s is said to be: %s', (schema, table, expected) => {
  expect(whatIsRecycled({ schema, table })).toBe(expected);
});

// ── logged text ──────────────────────────────────────────────────────────────────────────────────
// What of a statement gets into the log.

test.each([
  ['DROP TABLE shop.orders', 'DROP TABLE shop.orders'],
  ["SET PASSWORD = 'secret'; DROP TABLE t", 'SET PASSWORD = …'],
  ['SET PASSWORD = "secret"; DROP TABLE t', 'SET PASSWORD = …'],
  ["INSERT INTO t1 VALUES (4111, 1.5e3, .7, 0xABCD, 'x')", 'INSERT INTO t1 VALUES (?, ?, ?, ?, …'],
  ['CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $a$ secret $a$', /JAVASCRIPT AS …$/],
  ["SELECT 'a\\' secret' , 'b", 'SELECT …'],
])('%j is shown as %j (wire 63)', (text, shown) => {
  const said = loggedText(Buffer.from(text));
  if (typeof shown === 'string') expect(said).toBe(shown);
  else expect(said).toMatch(shown);
  expect(said).not.toMatch(/secret|4111/);
});

test('a long text is cut, whatever it is (wire 63)', () => {
  expect(loggedText(Buffer.from(`DROP TABLE ${'x, '.repeat(100_000)}y`))).toMatch(
    /^DROP TABLE x.{100,220}…$/,
  );
});

// ── renew due times ──────────────────────────────────────────────────────────────────────────────
// The look at tables that may go sooner as they are empty, when nobody writes to them any more.

const HOUR_MS = 3_600_000;
const NOW = new Date('2026-03-08T12:00:00Z');
const IDS = ['a', 'b', 'c'].map((letter) => `0195a1b2c3d47000800000000000000${letter}`);
const TABLES = IDS.map((id) => ({
  id,
  ...{ fromSchema: 'shop', holdName: `_vt_HOLD_${id}_20260315120000`, table: 't' },
}));
const WEEK: Ruling = {
  ...{
    hold: 168 * HOUR_MS,
    holdIfEmpty: null,
    holdIfLate: null,
    refusedBy: null,
    asks: false,
    lockMs: null,
    mayRefuse: null,
  },
  ...{ isNative: false, by: null },
};

/** Tables by their rows; null: they can't be looked at. */
function serverWith(rows: readonly (number | null)[]): ServicePool {
  const answer = (sqls: string): Row[] => {
    if (sqls.includes('utcNow')) return [{ utcNow: NOW }];
    const count = rows[IDS.findIndex((id) => sqls.includes(id))] ?? null;
    if (count === null) throw new ServerError(LOCKED);
    return Array.from({ length: count }, () => ({ one: 1 }));
  };
  return fakePool(async (text) => {
    const all = [text].flat().map((one) => one.format(FORMAT).text);
    return all.map((one) => Object.assign(one.includes('SELECT') ? answer(one) : [], AFFECTED));
  });
}

const LOCKED = { errno: 1205, sqlState: 'HY000', sqlMessage: 'Lock wait timeout exceeded' };
const AFFECTED = { affectedRows: 0 };
const FORMAT = {
  escapeIdentifier: (name: string) => name,
  formatValue: (value: unknown) => ({ placeholder: String(value), value: undefined }),
};

/** Due times by names that are new; undefined: it keeps its name. */
async function renewed(
  rows: readonly (number | null)[],
  rulingOf: (id: string) => Ruling | undefined,
  { tables = TABLES, isLate = true } = {},
) {
  const options = { isLate, holdMs: 168 * HOUR_MS, intents: { rulingOf } };
  const looked = await renewDueTimes(serverWith(rows), tables, options);
  return looked.map(({ id, newName }) => {
    const parsed = parseHoldName(newName ?? '');
    if (newName !== undefined) expect(parsed?.id).toBe(id);
    return parsed?.due.toISOString();
  });
}

test('what is empty goes sooner; what has a row, or is locked, keeps its time', async () => {
  const rulings = new Map(IDS.map((id) => [id, { ...WEEK, holdIfEmpty: HOUR_MS }]));
  const dues = await renewed([0, 1, null], (id) => rulings.get(id), { isLate: false });
  expect(dues).toEqual(['2026-03-08T13:00:00.000Z', undefined, undefined]);
});

test('where no rule says so, nobody is asked', async () => {
  const intents = { rulingOf: () => WEEK };
  const options = { isLate: false, holdMs: 168 * HOUR_MS, intents };
  expect(await renewDueTimes(serverWith([]), TABLES, options)).toEqual(TABLES);
});

test('what a rule of its size lets go sooner is held for long where the RENAME had to wait', async () => {
  const small: Ruling = { ...WEEK, hold: 0, holdIfLate: 168 * HOUR_MS };
  const tables = TABLES.slice(0, 1).map((table) => {
    return { ...table, holdName: table.holdName.replace('20260315', '20260308') };
  });
  expect(await renewed([], () => small, { tables })).toEqual(['2026-03-15T12:00:00.000Z']);
});

test('what is in the recycle schema by its first RENAME gets another name for a hundredth only', async () => {
  const dueAfter = async (due: string, hold: Ruling['hold'] = WEEK.hold) => {
    const holdName = `_vt_HOLD_${IDS[0]}_${due}`;
    const tables = TABLES.slice(0, 1).map((one) => ({ ...one, fromSchema: '_undrop', holdName }));
    return (await renewed([], () => ({ ...WEEK, hold }), { tables }))[0];
  };
  expect(await dueAfter('20260315110000')).toBe(undefined);
  expect(await dueAfter('20260315100000')).toBe('2026-03-15T12:00:00.000Z');
  expect(await dueAfter('20260315110000', 'pinned')).toMatch(/^9999/);
});

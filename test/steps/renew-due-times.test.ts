/** The look at tables that may go sooner as they are empty, when nobody writes to them any more. */
import { expect, test } from '@jest/globals';
import { parseHoldName } from '../../src/names/names.js';
import type { Ruling } from '../../src/policy/decide.js';
import { ServerError } from '../../src/service/errors.js';
import type { Row, ServicePool } from '../../src/service/pool/pools.js';
import { renewDueTimes } from '../../src/steps/run.js';

const HOUR_MS = 3_600_000;
const NOW = new Date('2026-03-08T12:00:00Z');
const IDS = ['a', 'b', 'c'].map((letter) => `0195a1b2c3d47000800000000000000${letter}`);
const TABLES = IDS.map((id) => ({
  id,
  fromSchema: 'shop',
  holdName: `_vt_HOLD_${id}_20260315120000`,
  table: 't',
}));
const WEEK: Ruling = {
  hold: 168 * HOUR_MS,
  holdIfEmpty: null,
  holdIfLate: null,
  refusedBy: null,
  mayRefuse: null,
  isNative: false,
  by: null,
};

/** Tables by their rows; null: they can't be looked at. */
function serverWith(rows: readonly (number | null)[]): ServicePool {
  const never = () => Promise.reject(new Error('not asked'));
  const answer = (sqls: string): Row[] => {
    if (sqls.includes('utcNow')) return [{ utcNow: NOW }];
    const count = rows[IDS.findIndex((id) => sqls.includes(id))] ?? null;
    if (count === null) throw new ServerError(LOCKED);
    return Array.from({ length: count }, () => ({ one: 1 }));
  };
  const run: ServicePool['run'] = async (text) => {
    const all = [text].flat().map((one) => one.format(FORMAT).text);
    return all.map((one) => Object.assign(one.includes('SELECT') ? answer(one) : [], AFFECTED));
  };
  const connection = { run, threadId: 1, discard: () => undefined };
  return { run, task: (fn) => fn(connection), killQuery: never, isWaiting: never, dispose: never };
}

const LOCKED = { errno: 1205, sqlState: 'HY000', sqlMessage: 'Lock wait timeout exceeded' };
const AFFECTED = { affectedRows: 0 };
const FORMAT = {
  escapeIdentifier: (name: string) => name,
  formatValue: (value: unknown) => ({ placeholder: String(value), value: undefined }),
};

test('what is empty goes sooner; what has a row, or is locked, keeps its time', async () => {
  const rulings = new Map(IDS.map((id) => [id, { ...WEEK, holdIfEmpty: HOUR_MS }]));
  const looked = await renewDueTimes(serverWith([0, 1, null]), TABLES, {
    isLate: false,
    holdMs: 168 * HOUR_MS,
    intents: { rulingOf: (id) => rulings.get(id) },
  });
  const dues = looked.map(({ newName }) => parseHoldName(newName ?? '')?.due.toISOString());
  expect(dues).toEqual(['2026-03-08T13:00:00.000Z', undefined, undefined]);
});

test('where no rule says so, nobody is asked', async () => {
  const looked = await renewDueTimes(serverWith([]), TABLES, {
    isLate: false,
    holdMs: 168 * HOUR_MS,
    intents: { rulingOf: () => WEEK },
  });
  expect(looked).toEqual(TABLES);
});

test('what a rule of its size lets go sooner is held for long where the RENAME had to wait', async () => {
  const small: Ruling = { ...WEEK, hold: 0, holdIfLate: 168 * HOUR_MS };
  const due = TABLES.slice(0, 1).map((table) => {
    return { ...table, holdName: table.holdName.replace('20260315', '20260308') };
  });
  const looked = await renewDueTimes(serverWith([]), due, {
    isLate: true,
    holdMs: 168 * HOUR_MS,
    intents: { rulingOf: () => small },
  });
  const dues = looked.map(({ newName }) => parseHoldName(newName ?? '')?.due.toISOString());
  expect(dues).toEqual(['2026-03-15T12:00:00.000Z']);
});

test('what is in the recycle schema by its first RENAME gets another name for a hundredth only', async () => {
  const at = (due: string) => [
    { ...TABLES[0], fromSchema: '_undrop', holdName: `_vt_HOLD_${IDS[0]}_${due}` },
  ];
  const nameAfter = async (due: string, hold: Ruling['hold'] = WEEK.hold) => {
    const [table] = await renewDueTimes(serverWith([]), at(due) as typeof TABLES, {
      isLate: true,
      holdMs: 168 * HOUR_MS,
      intents: { rulingOf: () => ({ ...WEEK, hold }) },
    });
    return table?.newName;
  };
  expect(await nameAfter('20260315110000')).toBe(undefined);
  expect(await nameAfter('20260315100000')).toBe(`_vt_HOLD_${IDS[0]}_20260315120000`);
  expect(await nameAfter('20260315110000', 'pinned')).toMatch(/_9999/);
});

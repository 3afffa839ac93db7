/** Names of held tables: the round trip, and what is never mistaken for one. */

import { randomBytes } from 'node:crypto';
import { InvariantError } from '../../src/errors.js';
import * as names from '../../src/names/names.js';
import fc from '../support/properties.js';

const ID = '0192f0a1b2c37d4e8f5061728394a5b6';
const DUE = new Date('2026-11-20T08:09:10Z');
const NAME = `_vt_HOLD_${ID}_20261120080910`;
const KNOWN = { state: 'HOLD', id: ID, due: DUE } as const;

const states = fc.constantFrom('HOLD', 'PURGE', 'EVAC', 'DROP');
const ids = fc
  .array(fc.constantFrom(...'0123456789abcdef'), { minLength: 32, maxLength: 32 })
  .map((digits) => digits.join(''));
const dues = fc
  .integer({ min: 0, max: Date.UTC(9999, 11, 31, 23, 59, 59) / 1000 })
  .map((seconds) => new Date(seconds * 1000));

describe('the name of a held table', () => {
  test('says state, id and due time in UTC', () => {
    expect(names.formatHoldName(KNOWN)).toBe(NAME);
    expect(names.parseHoldName(NAME)).toEqual(KNOWN);
  });

  test('comes back the same from every state, id and due time, in any case', () => {
    fc.assert(
      fc.property(states, ids, dues, (state, id, due) => {
        const name = names.formatHoldName({ state, id, due });
        expect(name.length).toBeLessThanOrEqual(57);
        // With lower_case_table_names=1 it is stored in lower case.
        for (const one of [name, name.toLowerCase(), name.toUpperCase()]) {
          expect(names.parseHoldName(one)).toEqual({ state, id, due });
        }
      }),
    );
  });

  test.each([
    ['hld', 'HOLD'],
    ['prg', 'PURGE'],
    ['evc', 'EVAC'],
    ['drp', 'DROP'],
  ])('matches the newer form of vitess, %s', (word, state) =>
    expect(names.parseHoldName(`_vt_${word}_${ID}_20261120080910_`)).toEqual({ ...KNOWN, state }),
  );

  test('never ends a state early: fractions of a second are rounded up', () => {
    const due = new Date(DUE.getTime() + 1);
    const name = names.formatHoldName({ state: 'EVAC', id: ID, due });
    expect(name).toBe(`_vt_EVAC_${ID}_20261120080911`);
  });

  test.each([
    ['a due time on 31 April', `_vt_HOLD_${ID}_20260431080910`],
    ['a due time on 29 February of a common year', `_vt_HOLD_${ID}_20260229080910`],
    ['a month 13', `_vt_HOLD_${ID}_20261320080910`],
    ['a month 0', `_vt_HOLD_${ID}_20260020080910`],
    ['a day 0', `_vt_HOLD_${ID}_20261100080910`],
    ['an hour 24', `_vt_HOLD_${ID}_20261120240000`],
    ['a minute 60', `_vt_HOLD_${ID}_20261120086010`],
    ['a second 60', `_vt_HOLD_${ID}_20261120080960`],
    ['a due time of 13 digits', `_vt_HOLD_${ID}_2026112008091`],
    ['a due time of 15 digits', `_vt_HOLD_${ID}_202611200809100`],
    ['an id of 31 digits', `_vt_HOLD_${ID.slice(1)}_20261120080910`],
    ['an id of 33 digits', `_vt_HOLD_${ID}0_20261120080910`],
    ['an id with a g', `_vt_HOLD_g${ID.slice(1)}_20261120080910`],
    ['another state', `_vt_KEEP_${ID}_20261120080910`],
    ['a prefix', `x${NAME}`],
    ['a suffix', `${NAME}x`],
    ['a line feed at the end', `${NAME}\n`],
    ['an underscore at the end of the long form', `${NAME}_`],
    ['no underscore at the end of the short form', `_vt_hld_${ID}_20261120080910`],
    ['digits of another script', `_vt_HOLD_${ID}_２０２６１１２００８０９１０`],
    ['a dotless i or a long s, which fold in some alphabets', `_vt_PURGE_${ID}_2026112008091ſ`],
    ['the empty name', ''],
    ['a table that a user may well have', '_vt_hold_orders'],
    ['an online schema change of vitess', `_vt_vrp_${ID}_20261120080910_`],
  ])('does not match %s', (_what, name) => expect(names.parseHoldName(name)).toBeNull());

  test('matches nothing that differs from a name in one character, but in its meaning', () =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: NAME.length - 1 }), fc.string(), (index, text) => {
        const name = NAME.slice(0, index) + text + NAME.slice(index + 1);
        const parsed = names.parseHoldName(name);
        if (parsed !== null)
          expect(names.formatHoldName(parsed).toLowerCase()).toBe(name.toLowerCase());
      }),
      { numRuns: 2_000 },
    ));

  test('is never made of an id or a due time that would not parse', () => {
    expect(() => names.formatHoldName({ state: 'HOLD', id: 'x', due: DUE })).toThrow(
      InvariantError,
    );
    const due = new Date(Date.UTC(10_000, 0, 1));
    expect(() => names.formatHoldName({ state: 'HOLD', id: ID, due })).toThrow(InvariantError);
  });
});

// ── hold id ──────────────────────────────────────────────────────────────────────────────────────
// Ids of held tables: sortable by time, the same in every state.

const TIME_MS_MAX = 2 ** 48 - 1;
const times = fc.integer({ min: 0, max: TIME_MS_MAX });
const bytes = fc.uint8Array({ minLength: 10, maxLength: 10 });

describe('the id of a held table', () => {
  test('is a UUIDv7 without dashes', () => {
    const id = names.newHoldId(0x0123456789ab, () => new Uint8Array(10).fill(0xff));
    expect(id).toBe('0123456789ab7fffbfffffffffffffff');
  });

  test('tells the time of the drop, whatever the randomness', () =>
    fc.assert(
      fc.property(times, bytes, (nowMs, random) => {
        const id = names.newHoldId(nowMs, () => random);
        expect(names.isHoldId(id)).toBe(true);
        expect(names.idTimeMs(id)).toBe(nowMs);
        expect(id.charAt(12)).toBe('7');
        expect('89ab').toContain(id.charAt(16));
      }),
    ));

  test('sorts by time', () =>
    fc.assert(
      fc.property(times, times, (one, other) => {
        fc.pre(one < other);
        expect(names.newHoldId(one, randomBytes) < names.newHoldId(other, randomBytes)).toBe(true);
      }),
    ));

  test('keeps 74 random bits', () => {
    const zero = names.newHoldId(0, () => new Uint8Array(10));
    expect(zero).toBe('00000000000070008000000000000000');
    expect(new Set(Array.from({ length: 100 }, () => names.newHoldId(0, randomBytes))).size).toBe(
      100,
    );
  });

  test('refuses a time that has no place in it, and too few random bytes', () => {
    for (const nowMs of [-1, 1.5, Number.NaN, TIME_MS_MAX + 1]) {
      expect(() => names.newHoldId(nowMs, randomBytes)).toThrow(InvariantError);
    }
    expect(() => names.newHoldId(0, () => new Uint8Array(9))).toThrow(InvariantError);
    expect(() => names.idTimeMs('0123')).toThrow(InvariantError);
  });
});

// ── names ────────────────────────────────────────────────────────────────────────────────────────
// Where dropped tables go, the table that a DROP DATABASE waits for, names as servers fold.

test('a drop that replicas see goes to the schema that they have, another one does not', () => {
  expect(names.recycleSchemaFor(true)).toBe(names.RECYCLE_SCHEMA);
  expect(names.recycleSchemaFor(false)).toBe(names.RECYCLE_SCHEMA_LOCAL);
});

test('all of them are ours, and nothing that merely looks like one', () => {
  const local = [names.RECYCLE_SCHEMA_LOCAL, '_undrop_local_2', '_undrop_local_32'];
  const logged = [names.RECYCLE_SCHEMA, '_undrop_2', '_undrop_10', '_undrop_32'];
  expect([...logged, ...local].filter((schema) => !names.isRecycleSchema(schema))).toEqual([]);
  expect(local.filter((schema) => !names.isLocalSchema(schema))).toEqual([]);
  expect(logged.filter(names.isLocalSchema)).toEqual([]);
  const others = ['_undrop_', '_undrop_0', '_undrop_1', '_undrop_02', '_undrop_33', '_undrop_2x'];
  const more = ['undrop', 'undrop_2', '_undrop2', '_undrop_2_local', '_undrop_local_1', ''];
  expect([...others, ...more].filter(names.isRecycleSchema)).toEqual([]);
});

const dropId = '01a1f8313c3171b7af374deee1b3e638';

test.each([true, false])('it says whose it is, and whether it is logged (%s)', (logged) => {
  const name = names.barrierTableName({ dropId, logged });
  expect(name.length).toBeLessThanOrEqual(64);
  expect(names.parseBarrierTable(name)).toEqual({ dropId, logged });
});

test.each(['!undrop_', '!undrop_x', `undrop_${dropId}`, `!undrop_${dropId}_`, 'a'])(
  '%s is none',
  (name) => expect(names.parseBarrierTable(name)).toBeNull(),
);

test.each([
  ['Orders', 'orders'],
  ['ΠΕΛΑΤΕΣ', 'πελατεσ'],
  ['BİLLİNG', 'billing'],
  ['ÉTÉ', 'été'],
])('%s is %s', (name, folded) => {
  expect(names.foldName(name)).toBe(folded);
  expect(names.isSameName(name, folded)).toBe(true);
});

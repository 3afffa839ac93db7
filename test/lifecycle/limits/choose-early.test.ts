/** Which tables go early, by what the limits say; in examples, and whatever is held. */
import { describe, expect, test } from '@jest/globals';
import {
  chooseEarly,
  type LimitSettings,
  type Weight,
} from '../../../src/lifecycle/limits/choose-early.js';
import { PINNED_UNTIL, type TableState } from '../../../src/names/names.js';
import fc from '../../support/properties.js';

const NOW = new Date('2026-11-25T12:00:00Z');
const HOUR_MS = 3_600_000;
const MB = 2 ** 20;
const NONE: LimitSettings = {
  ...{ bytesMax: null, tablesMax: null, minHoldMs: HOUR_MS },
  ...{ freeBytesMin: null, dataFolder: null },
};

interface Given extends Partial<Omit<Weight, 'droppedAt' | 'createdAt'>> {
  readonly id: string;
  readonly state?: TableState;
  /** Since its drop; default: 48. */
  readonly hours?: number;
  /** From its creation to its drop; default: 1,000; null: not known. */
  readonly livedHours?: number | null;
  /** Until it is due; default: 1. */
  readonly leftHours?: number;
  readonly isPinned?: boolean;
  /** The ledger has no row of it. */
  readonly isUnknown?: boolean;
}

function choose(
  given: readonly Given[],
  limits: Partial<LimitSettings>,
  freeBytes: number | null = null,
) {
  const tables = given.map(({ id, state = 'HOLD', isPinned = false, leftHours = 1 }) => {
    const due = isPinned ? PINNED_UNTIL : new Date(NOW.getTime() + leftHours * HOUR_MS);
    return { id, state, due };
  });
  const weights = new Map<string, Weight>();
  for (const one of given) {
    const { id, user = 'app', schema = 'shop', rows = 10, bytes = 100 * MB } = one;
    const { hours = 48, livedHours = 1_000, isLengthened = false } = one;
    const droppedAt = new Date(NOW.getTime() - hours * HOUR_MS);
    const createdAt =
      livedHours === null ? null : new Date(droppedAt.getTime() - livedHours * HOUR_MS);
    const weight = { user, schema, rows, bytes, droppedAt, createdAt, isLengthened };
    if (one.isUnknown !== true) weights.set(id, weight);
  }
  return chooseEarly(tables, weights, { limits: { ...NONE, ...limits }, now: NOW, freeBytes });
}

const idsOf = ({ early }: ReturnType<typeof choose>) => [...early.keys()];

/** `count` of them, dropped one after another: `a0` first. */
function many(count: number, letter: string, like: Omit<Given, 'id'> = {}): Given[] {
  const { hours = 48 } = like;
  return Array.from({ length: count }, (_, index) => {
    return { ...like, id: `${letter}${index}`, hours: hours - index / 1_000 };
  });
}

interface Case {
  readonly name: string;
  readonly limits: Partial<LimitSettings>;
  /** In the order in which they go. */
  readonly early: readonly string[];
  readonly given: readonly Given[];
}

/** `early`: `g0 g1`. */
function one(name: string, limits: Case['limits'], early: string, given: Case['given']): Case {
  return { name, limits, early: early.split(' ').filter(Boolean), given };
}

const CASES: readonly Case[] = [
  one('exactly at the limits nothing goes', { bytesMax: 200 * MB, tablesMax: 2 }, '', many(2, 'a')),
  one(
    'of the user who holds most by count, and of nobody else',
    { tablesMax: 6 },
    'g0 g1 g2 g3 g4',
    [...many(3, 'o', { user: 'other', hours: 100 }), ...many(8, 'g', { user: 'greedy' })],
  ),
  one(
    'of two who hold more than their part, down to the same',
    { tablesMax: 8 },
    'g0 g1 h0 g2 h1',
    [
      ...many(2, 'o', { user: 'other', hours: 100 }),
      ...many(6, 'g', { user: 'greedy' }),
      ...many(5, 'h', { user: 'hasty', hours: 40 }),
    ],
  ),
  one('of that user the schema that holds most', { tablesMax: 5 }, 't0 t1', [
    ...many(2, 's', { schema: 'shop', hours: 100 }),
    ...many(4, 't', { schema: 'temp' }),
    ...many(1, 'o', { user: 'other', hours: 200 }),
  ]),
  one('the same schema of another user is not theirs', { tablesMax: 8 }, 's0', [
    ...many(3, 's', { user: 'greedy', schema: 'shop' }),
    ...many(2, 't', { user: 'greedy', schema: 'temp' }),
    ...many(4, 'o', { user: 'other', schema: 'shop', hours: 100 }),
  ]),
  one(
    'of a schema first what was created less than a day before its drop, or nobody knows when',
    { tablesMax: 2 },
    'x0 x1 m0',
    [
      { id: 'kept', hours: 500 },
      ...many(2, 'x', { livedHours: 23 }),
      ...many(2, 'm', { livedHours: null, hours: 40 }),
    ],
  ),
  one('then empty ones, then the oldest', { tablesMax: 1 }, 'empty older', [
    { id: 'old', hours: 100 },
    { id: 'older', hours: 200 },
    { id: 'empty', rows: 0, hours: 50 },
  ]),
  one(
    'tables within UNDROP_MIN_HOLD stay, and push nothing else out',
    { tablesMax: 5, bytesMax: 500 * MB },
    '',
    [...many(20, 'y', { user: 'greedy', hours: 0.9 }), ...many(5, 'o', { hours: 100 })],
  ),
  one('so do pinned ones', { tablesMax: 2, bytesMax: 200 * MB }, '', [
    ...many(10, 'p', { isPinned: true }),
    ...many(2, 'o'),
  ]),
  one('and those that the ledger does not know', { tablesMax: 2, bytesMax: 200 * MB }, '', [
    ...many(10, 'u', { isUnknown: true }),
    ...many(2, 'o'),
  ]),
  one(
    'what a person lengthened goes after all others that hold more than their part',
    { tablesMax: 6 },
    'g0 g1 o0 g2',
    [
      ...many(3, 'l', { user: 'greedy', hours: 300, isLengthened: true, livedHours: 1 }),
      ...many(3, 'g', { user: 'greedy' }),
      ...many(4, 'o', { user: 'other', hours: 400 }),
    ],
  ),
  one(
    'but it goes before what is no more than the part of its user',
    { tablesMax: 4 },
    'l0 l1 l2',
    [
      ...many(5, 'l', { user: 'greedy', hours: 300, isLengthened: true }),
      ...many(2, 'o', { user: 'other', hours: 400 }),
    ],
  ),
  one(
    'by bytes: of the user, then the schema, that holds most of them',
    { bytesMax: 30 * MB },
    'big',
    [
      ...many(9, 'o', { user: 'other', bytes: MB, hours: 500 }),
      { id: 'big', user: 'greedy', schema: 'lake', hours: 20 },
      { id: 'small', user: 'greedy', bytes: 10 * MB, hours: 300 },
    ],
  ),
  one('by bytes: what has no file of its own frees nothing', { bytesMax: 60 * MB }, 'o0', [
    ...many(4, 'm', { user: 'greedy', bytes: 0 }),
    ...many(2, 'o', { user: 'other', bytes: 50 * MB }),
  ]),
  one(
    'what nobody can bring back whole goes first, whoever has dropped it',
    { tablesMax: 4 },
    'evac purge g0',
    [
      ...many(5, 'g', { user: 'greedy' }),
      { id: 'purge', state: 'PURGE' },
      { id: 'evac', state: 'EVAC' },
      { id: 'due', leftHours: -1 },
      { id: 'drop', state: 'DROP' },
    ],
  ),
];

test.each(CASES)('$name', ({ given, limits, early }) => {
  expect(idsOf(choose(given, limits))).toEqual(early);
});

test('120 drops of one user cost nobody else a table, at any time', () => {
  const others = ['a', 'b', 'c'].flatMap((user) => many(20, user, { user, hours: 100 }));
  for (const hours of [0.5, 2, 200]) {
    const greedy = many(120, 'g', { user: 'greedy', hours, bytes: 16_384, livedHours: 0 });
    const early = idsOf(choose([...others, ...greedy], { tablesMax: 100 }));
    expect(early.filter((id) => !id.startsWith('g'))).toEqual([]);
    expect(early).toHaveLength(hours < 1 ? 0 : 80);
  }
});

test('what is said of each', () => {
  const { early } = choose(many(2, 'a'), { bytesMax: 100 * MB });
  expect(early.get('a0')).toEqual({
    because: `UNDROP_MAX_BYTES is passed; its removal frees ${100 * MB} bytes`,
    from: new Date(NOW.getTime() - 47 * HOUR_MS),
  });
});

describe('with less free than UNDROP_MIN_FREE', () => {
  const given: readonly Given[] = [
    ...[
      { id: 'a', hours: 100 },
      { id: 'b', hours: 90 },
    ],
    { id: 'dropping', state: 'DROP', bytes: 50 * MB },
  ];
  const free = (mb: number) => idsOf(choose(given, { freeBytesMin: 200 * MB }, mb * MB));

  test('so much goes as is missing', () => {
    expect(free(200)).toEqual([]);
    expect(free(150)).toEqual([]);
    expect(free(149)).toEqual(['a']);
    expect(free(20)).toEqual(['a', 'b']);
    expect(idsOf(choose(given, { freeBytesMin: 200 * MB }, null))).toEqual([]);
  });

  test('also of the user who holds most', () => {
    const all = [...given, { id: 'o', user: 'other', hours: 500, bytes: 90 * MB }];
    expect(idsOf(choose(all, { freeBytesMin: 200 * MB }, 100 * MB))).toEqual(['a']);
  });
});

test('whatever is held: enough goes, none that needn’t, and none of a user within his part', () => {
  const table = fc.record({
    state: fc.constantFrom<TableState>('HOLD', 'PURGE', 'EVAC', 'DROP'),
    bytes: fc.integer({ min: 1, max: 1_000 }),
    rows: fc.nat(2),
    hours: fc.integer({ min: 0, max: 100 }),
    livedHours: fc.constantFrom(1, 100, null),
    isPinned: fc.boolean(),
    isLengthened: fc.boolean(),
    user: fc.constantFrom('a', 'b', 'c'),
    schema: fc.constantFrom('x', 'y'),
  });
  const limits = fc.constantFrom<'bytesMax' | 'tablesMax'>('bytesMax', 'tablesMax');
  fc.assert(
    fc.property(fc.array(table, { maxLength: 30 }), limits, fc.nat(5_000), (given, limit, size) => {
      const max = limit === 'bytesMax' ? size : 1 + (size % 20);
      const all = given.map((one, index) => ({ ...one, id: `t${index}` }));
      const { early } = choose(all, { [limit]: max });
      const sizeOf = (one: Given) => (limit === 'bytesMax' ? (one.bytes ?? 0) : 1);
      const sum = (tables: readonly Given[]) => tables.reduce((so, one) => so + sizeOf(one), 0);
      const isHeld = ({ state }: Given) => state === 'HOLD';
      const canGo = all.filter(
        ({ state, isPinned, hours }) =>
          state !== 'DROP' && (state !== 'HOLD' || (!isPinned && hours >= 1)),
      );
      const gone = canGo.filter(({ id }) => early.has(id));
      expect(gone).toHaveLength(early.size);
      const left = canGo.filter(({ id }) => !early.has(id));
      expect(sum(left) <= max || left.length === 0).toBe(true);
      const last = all.filter(({ id }) => id === [...early.keys()].at(-1));
      if (last.length > 0) expect(sum([...left, ...last])).toBeGreaterThan(max);
      // In HOLD: only of users above their part, and the longer hold last.
      const candidates = canGo.filter(isHeld);
      const users = new Set(candidates.map(({ user }) => user));
      const taken = new Set(gone.filter(isHeld).map(({ user }) => user));
      for (const user of taken) {
        const own = sum(candidates.filter((one) => one.user === user));
        expect(own).toBeGreaterThan(max / users.size);
      }
      for (const user of taken) {
        const own = gone.filter((one) => isHeld(one) && one.user === user);
        const plain = left.filter((one) => isHeld(one) && one.user === user && !one.isLengthened);
        if (own.some(({ isLengthened }) => isLengthened)) expect(plain).toEqual([]);
      }
    }),
  );
});

/** Which tables go early, by what the limits say; in examples, and whatever is held. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { newCollectorFigures } from '../../../src/collector/figures.js';
import type { LimitSettings, Weight } from '../../../src/collector/limits/choose-early.js';
import { chooseEarly } from '../../../src/collector/limits/choose-early.js';
import { Limits } from '../../../src/collector/limits/limits.js';
import { renderQuery, type SQLQuery } from '../../../src/connections/sql.js';
import { silentLog } from '../../../src/log.js';
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
  readonly comment: string;
  readonly limits: Partial<LimitSettings>;
  /** In the order in which they go. */
  readonly early: readonly string[];
  /** `count`: so many of them. */
  readonly given: readonly (Given & { readonly count?: number })[];
}

const CASES = JSON.parse(readFileSync('test/golden/choose_early_cases.json', 'utf8')) as Case[];

test.each(CASES)('$comment', ({ given, limits, early }) => {
  const all = given.flatMap(({ count, ...like }) => {
    return count === undefined ? [like] : many(count, like.id, like);
  });
  expect(idsOf(choose(all, limits))).toEqual(early);
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
    expect([free(200), free(150), free(149)]).toEqual([[], [], ['a']]);
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
    ...{ bytes: fc.integer({ min: 1, max: 1_000 }), rows: fc.nat(2) },
    ...{ hours: fc.integer({ min: 0, max: 100 }), livedHours: fc.constantFrom(1, 100, null) },
    ...{ isPinned: fc.boolean(), isLengthened: fc.boolean(), user: fc.constantFrom('a', 'b', 'c') },
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

// ── limits ───────────────────────────────────────────────────────────────────────────────────────
// When something goes for a full disk, without a server.

test('for a full disk nothing more goes until it is known what that has freed', async () => {
  const { bavail, bsize } = await statfs('.');
  const free = bavail * bsize;
  const rows = ['a', 'b'].map((id) => {
    const sizes = { row_estimate: 10, byte_estimate: 3 * free };
    const who = { account: 'app', schema_name: 'shop', created_at: null, lengthened: 0 };
    return { id, ...who, ...sizes, dropped_at: new Date(0), locked_until: null };
  });
  const run = async (query: SQLQuery) => [
    renderQuery(query).includes('undrop totals')
      ? [{ state: 'HOLD', days: 0, bytes: 6 * free, moves: 0, pinned: 0, overdue: 0, stuck: 0 }]
      : rows,
  ];
  let nowMs = 0;
  const limits = new Limits({
    connection: { run } as never,
    settings: { limits: { ...NONE, freeBytesMin: 2 * free, dataFolder: '.' } } as never,
    figures: newCollectorFigures(),
    log: silentLog,
    monotonicMs: () => nowMs,
    noticeMs: 0,
  });
  const list = async () =>
    rows.map(({ id }) => ({ id, state: 'HOLD', due: new Date(NOW.getTime() + HOUR_MS) }) as const);
  const look = async (comingBytes = 0) => {
    await limits.look({ count: 2, list, comingBytes }, NOW);
    return [...limits.early.keys()];
  };
  expect(await look()).toEqual(['a']);
  limits.went();
  expect(await look()).toEqual([]);
  nowMs = 10_000;
  expect(await look()).toEqual(['a']);
  // Its file is being given back.
  expect(await look(2 * free)).toEqual([]);
});

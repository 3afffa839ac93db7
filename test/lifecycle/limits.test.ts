/** Which tables go early, by what the limits say; in examples, and whatever is held. */
import { statfs } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { newCollectorFigures } from '../../src/lifecycle/figures.js';
import {
  chooseEarly,
  type LimitSettings,
  Limits,
  type Weight,
} from '../../src/lifecycle/limits.js';
import { nextStep } from '../../src/lifecycle/next-step.js';
import { silentLog } from '../../src/log.js';
import { PINNED_UNTIL, type TableState } from '../../src/names/names.js';
import { renderQuery, type SQLQuery } from '../../src/service/sql.js';
import fc from '../support/properties.js';

const NOW = new Date('2026-11-25T12:00:00Z');
const HOUR_MS = 3_600_000;
const MB = 2 ** 20;
const NONE: LimitSettings = {
  ...{ bytesMax: null, tablesMax: null, share: 0.5, minHoldMs: HOUR_MS },
  ...{ freeBytesMin: null, dataFolder: null },
};

interface Given extends Partial<Omit<Weight, 'droppedAt'>> {
  readonly id: string;
  readonly state?: TableState;
  readonly hours?: number;
  readonly isPinned?: boolean;
  /** The ledger has no row of it. */
  readonly isUnknown?: boolean;
}

function choose(
  given: readonly Given[],
  limits: Partial<LimitSettings>,
  freeBytes: number | null = null,
) {
  const tables = given.map(({ id, state = 'HOLD', isPinned = false }) => {
    return { id, state, due: isPinned ? PINNED_UNTIL : new Date(NOW.getTime() + HOUR_MS) };
  });
  const weights = new Map<string, Weight>();
  for (const one of given) {
    const { id, schema = 'shop', rows = 10, bytes = 100 * MB, hours = 48 } = one;
    const droppedAt = new Date(NOW.getTime() - hours * HOUR_MS);
    if (one.isUnknown !== true) weights.set(id, { schema, rows, bytes, droppedAt });
  }
  return chooseEarly(tables, weights, { ...NONE, ...limits }, { now: NOW, freeBytes });
}

const idsOf = ({ early }: ReturnType<typeof choose>) => [...early.keys()];

describe('over UNDROP_MAX_BYTES', () => {
  test('nobody goes who needn’t', () => {
    const room = choose([{ id: 'a' }, { id: 'b' }], { bytesMax: 200 * MB });
    expect(room).toMatchObject({ bytes: 200 * MB, tables: 2, used: 1 });
    expect(idsOf(room)).toEqual([]);
  });

  test('what is in DROP counts as gone, then EVAC, PURGE, and HOLD', () => {
    const given: readonly Given[] = [
      ...[{ id: 'hold' }, { id: 'purge', state: 'PURGE' as const }],
      ...[
        { id: 'evac', state: 'EVAC' as const },
        { id: 'drop', state: 'DROP' as const },
      ],
    ];
    const under = (mb: number) => idsOf(choose(given, { bytesMax: mb * MB }));
    expect(under(300)).toEqual([]);
    expect(under(299)).toEqual(['evac']);
    expect(under(199)).toEqual(['evac', 'purge']);
    expect(under(99)).toEqual(['evac', 'purge', 'hold']);
  });

  test('of HOLD the young and small go first, then the oldest; empty ones free nothing', () => {
    const given: readonly Given[] = [
      ...[
        { id: 'old', hours: 100 },
        { id: 'older', hours: 200 },
      ],
      ...[
        { id: 'scratch', hours: 2, bytes: MB },
        { id: 'empty', rows: 0, bytes: 0 },
      ],
      { id: 'empty file', rows: 0, bytes: MB },
    ];
    expect(idsOf(choose(given, { bytesMax: MB }))).toEqual([
      ...['empty file', 'scratch', 'older', 'old'],
    ]);
    expect(idsOf(choose(given, { bytesMax: 201 * MB }))).toEqual(['empty file']);
  });

  test('a schema over its share is the first to lose', () => {
    const given: readonly Given[] = [
      { id: 'shop', hours: 500 },
      ...['x', 'y', 'z'].map((id, index) => ({ id, schema: 'etl', hours: 50 - index })),
    ];
    expect(idsOf(choose(given, { bytesMax: 300 * MB }))).toEqual(['x']);
    expect(idsOf(choose(given, { bytesMax: 300 * MB, share: 1 }))).toEqual(['shop']);
  });

  test('pinned ones never go, nor young ones, nor those that nobody knows', () => {
    const given: readonly Given[] = [
      { id: 'pinned', isPinned: true },
      { id: 'young', hours: 0.5 },
      { id: 'unknown', isUnknown: true },
      { id: 'other' },
    ];
    const room = choose(given, { bytesMax: 1 });
    expect(idsOf(room)).toEqual(['other']);
    expect(room.early.get('other')).toBe(
      `UNDROP_MAX_BYTES is passed; its removal frees ${100 * MB} bytes`,
    );
  });
});

test('over UNDROP_MAX_TABLES empty ones go first', () => {
  const given: readonly Given[] = [
    ...[
      { id: 'old', hours: 100 },
      { id: 'new', hours: 50 },
    ],
    { id: 'empty', rows: 0, bytes: 0 },
  ];
  expect(idsOf(choose(given, { tablesMax: 2 }))).toEqual(['empty']);
  expect(idsOf(choose(given, { tablesMax: 1 }))).toEqual(['empty', 'old']);
});

test('with less free than UNDROP_MIN_FREE so much goes as is missing', () => {
  const given: readonly Given[] = [
    ...[
      { id: 'a', hours: 100 },
      { id: 'b', hours: 90 },
    ],
    { id: 'dropping', state: 'DROP', bytes: 50 * MB },
  ];
  const free = (mb: number) => idsOf(choose(given, { freeBytesMin: 200 * MB }, mb * MB));
  expect(free(200)).toEqual([]);
  expect(free(150)).toEqual([]);
  expect(free(149)).toEqual(['a']);
  expect(free(20)).toEqual(['a', 'b']);
  expect(idsOf(choose(given, { freeBytesMin: 200 * MB }, null))).toEqual([]);
});

test('what is pinned pushes nothing else out', () => {
  const pinned = Array.from({ length: 10 }, (_, index) => ({ id: `p${index}`, isPinned: true }));
  const given = [...pinned, { id: 'a' }, { id: 'b' }];
  expect(idsOf(choose(given, { tablesMax: 2 }))).toEqual([]);
  expect(idsOf(choose(given, { bytesMax: 200 * MB }))).toEqual([]);
  expect(idsOf(choose(given, { tablesMax: 1 }))).toEqual(['a']);
});

test('for a full disk nothing more goes until it is known what that has freed', async () => {
  const { bavail, bsize } = await statfs('.');
  const free = bavail * bsize;
  const rows = ['a', 'b'].map((id) => {
    const sizes = { row_estimate: 10, byte_estimate: 3 * free };
    return { id, schema_name: 'shop', ...sizes, dropped_at: new Date(0) };
  });
  const run = async (query: SQLQuery) => [
    renderQuery(query).includes('undrop totals')
      ? [{ state: 'HOLD', bytes: 6 * free, found: 2, moves: 0 }]
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
  const list = async () => rows.map(({ id }) => ({ id, state: 'HOLD', due: NOW }) as const);
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

test('whatever is held: enough goes or nobody is left that may, and none that needn’t', () => {
  const table = fc.record({
    state: fc.constantFrom<TableState>('HOLD', 'PURGE', 'EVAC', 'DROP'),
    bytes: fc.integer({ min: 1, max: 1_000 }),
    rows: fc.nat(2),
    hours: fc.integer({ min: 0, max: 100 }),
    isPinned: fc.boolean(),
    schema: fc.constantFrom('a', 'b'),
  });
  fc.assert(
    fc.property(fc.array(table, { maxLength: 20 }), fc.nat(5_000), (given, bytesMax) => {
      const all = given.map((one, index) => ({ ...one, id: `t${index}` }));
      const { early } = choose(all, { bytesMax });
      const isKept = (one: Given) => one.state === 'HOLD' && one.isPinned;
      const left = all.filter((one) => one.state !== 'DROP' && !isKept(one) && !early.has(one.id));
      const sum = left.reduce((bytes, one) => bytes + one.bytes, 0);
      const canGoEarly = left.filter(
        ({ state, isPinned, hours }) => state !== 'HOLD' || (!isPinned && hours >= 1),
      );
      expect(sum <= bytesMax || canGoEarly.length === 0).toBe(true);
      for (const one of all.filter(({ id }) => early.has(id))) {
        expect(one.state === 'HOLD' && (one.isPinned || one.hours < 1)).toBe(false);
      }
      const last = all.find(({ id }) => id === [...early.keys()].at(-1));
      if (last !== undefined) expect(sum + last.bytes).toBeGreaterThan(bytesMax);
    }),
  );
});

test('who goes early goes straight to DROP, but not past what depends on it', () => {
  const server = { flavour: 'mysql', versionId: 50_624, adaptiveHashIndex: true } as const;
  const settings = {
    lifecycle: ['HOLD', 'PURGE', 'EVAC', 'DROP'] as const,
    evacMs: 1_000,
    fastDrop: 'never' as const,
  };
  const facts = { purgeable: true, empty: false, cachedPages: 5, obstacles: [] };
  const due = new Date(NOW.getTime() + HOUR_MS);
  for (const state of ['HOLD', 'PURGE', 'EVAC'] as const) {
    const table = { state, due, facts, early: 'full' };
    expect(nextStep(table, server, settings, NOW)).toEqual({
      ...{ kind: 'move', to: 'DROP', due: NOW, because: 'full' },
    });
    const bound = { ...table, facts: { ...facts, obstacles: ['a key'] } };
    expect(nextStep(bound, server, settings, NOW)).toMatchObject({ kind: 'blocked' });
    const unread = { ...table, facts: null };
    expect(nextStep(unread, server, settings, NOW)).toEqual({ kind: 'look' });
  }
});

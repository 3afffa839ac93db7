/** When something goes for a full disk, without a server. */
import { statfs } from 'node:fs/promises';
import { newCollectorFigures } from '../../../src/collector/figures.js';
import type { LimitSettings } from '../../../src/collector/limits/choose-early.js';
import { Limits } from '../../../src/collector/limits/limits.js';
import { renderQuery, type SQLQuery } from '../../../src/connections/sql.js';
import { silentLog } from '../../../src/log.js';

const NOW = new Date('2026-11-25T12:00:00Z');
const HOUR_MS = 3_600_000;
const NONE: LimitSettings = {
  ...{ bytesMax: null, tablesMax: null, minHoldMs: HOUR_MS },
  ...{ freeBytesMin: null, dataFolder: null },
};

test('for a full disk nothing more goes until it is known what that has freed', async () => {
  const { bavail, bsize } = await statfs('.');
  const free = bavail * bsize;
  const rows = ['a', 'b'].map((id) => {
    const sizes = { row_estimate: 10, byte_estimate: 3 * free };
    const who = { account: 'app', schema_name: 'shop', created_at: null, lengthened: 0 };
    return { id, ...who, ...sizes, dropped_at: new Date(0) };
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

/** Which tables have their turn in a round, and when those are tried again that were left. */
import { describe, expect, test } from '@jest/globals';
import type { Collectable } from '../../../src/lifecycle/collectable.js';
import { nextTurn } from '../../../src/lifecycle/rounds/next-turn.js';
import { Retries } from '../../../src/lifecycle/rounds/retries.js';
import { silentLog } from '../../../src/log.js';
import type { TableState } from '../../../src/names/names.js';

const NOW = new Date('2026-11-25T12:00:00Z');
const SECOND_MS = 1_000;

function tableOf(id: string, state: TableState, dueInMs: number, early?: string): Collectable {
  const due = new Date(NOW.getTime() + dueInMs);
  const hasEarly = early === undefined ? {} : { early };
  return { id, state, due, schema: '_undrop', name: `of_${id}`, logged: true, ...hasEarly };
}

describe('a turn', () => {
  const server = { flavour: 'mysql', versionId: 50_624, adaptiveHashIndex: true } as const;
  const lifecycle = ['HOLD', 'PURGE', 'EVAC', 'DROP'] as const;
  const settings = { lifecycle, evacMs: SECOND_MS, fastDrop: 'never' as const };

  const turn = (tables: readonly Collectable[], retryInMs = (_table: Collectable) => 0) => {
    const { advance, purge, againMs } = nextTurn(tables, { server, settings, now: NOW, retryInMs });
    return { advance: advance.map(({ id }) => id), purge: purge.map(({ id }) => id), againMs };
  };

  test('is that of tables whose hold is over, in their order; then rows are purged', () => {
    const tables = [
      tableOf('purged', 'PURGE', -3 * SECOND_MS),
      tableOf('over', 'HOLD', -2 * SECOND_MS),
      tableOf('removed', 'DROP', -SECOND_MS),
      tableOf('soon', 'HOLD', 2 * SECOND_MS),
      tableOf('later', 'HOLD', 9 * SECOND_MS),
    ];
    const advance = ['over', 'removed'];
    expect(turn(tables)).toEqual({ advance, purge: ['purged'], againMs: 2 * SECOND_MS });
  });

  test('of a table that was left comes after its pause, and of no other later', () => {
    const tables = [tableOf('left', 'HOLD', -SECOND_MS), tableOf('over', 'HOLD', -SECOND_MS)];
    const retryInMs = ({ id }: Collectable) => (id === 'left' ? 7 : 0);
    expect(turn(tables, retryInMs)).toEqual({ advance: ['over'], purge: [], againMs: 7 });
  });

  test('of a table that goes early is not that of its rows', () => {
    const early = tableOf('early', 'PURGE', 0, 'full');
    const none = Number.POSITIVE_INFINITY;
    expect(turn([early])).toEqual({ advance: ['early'], purge: [], againMs: none });
  });
});

test('a table that is left for the same reason waits twice as long each time, up to a bound', () => {
  let nowMs = 0;
  const settings = { checkIntervalMs: 5 * SECOND_MS, purgeCheckIntervalMs: SECOND_MS };
  const retries = new Retries({ settings, log: silentLog, monotonicMs: () => nowMs });
  const table = tableOf('a', 'HOLD', 0);
  const leave = (because: string) => retries.leave(table, { kind: 'left', because }, NOW);
  const pauses = ['locked', 'locked', 'locked', 'locked', 'another reason'].map(leave);
  expect(pauses.map((ms) => ms / SECOND_MS)).toEqual([1, 2, 4, 5, 1]);
  expect(retries.inMs(table)).toBe(SECOND_MS);
  nowMs = SECOND_MS;
  expect(retries.inMs(table)).toBe(0);
  leave('locked');
  retries.keepOnly([]);
  expect(retries.inMs(table)).toBe(0);
});

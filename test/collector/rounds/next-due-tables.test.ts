/** Which tables have their turn in a round, and when those are tried again that were left. */
import type { Collectable } from '../../../src/collector/collectable.js';
import { nextDueTables, Retries } from '../../../src/collector/rounds/act.js';
import { silentLog } from '../../../src/log.js';
import type { TableState } from '../../../src/names/names.js';

const NOW = new Date('2026-11-25T12:00:00Z');
const SECOND_MS = 1_000;

function tableOf(id: string, state: TableState, dueInMs: number, early?: string): Collectable {
  const due = new Date(NOW.getTime() + dueInMs);
  const hasEarly = early === undefined ? {} : { early };
  return { id, state, due, schema: '_undrop', name: `of_${id}`, logged: true, ...hasEarly };
}

describe('the tables of a round', () => {
  const server = { flavour: 'mysql', versionId: 50_624, adaptiveHashIndex: true } as const;
  const lifecycle = ['HOLD', 'PURGE', 'EVAC', 'DROP'] as const;
  const settings = { lifecycle, evacMs: SECOND_MS, fastDrop: 'never' as const };

  const pick = (tables: readonly Collectable[], retryInMs = (_table: Collectable) => 0) => {
    const facts = { server, settings, now: NOW, retryInMs };
    const { advance, purge, againMs } = nextDueTables(tables, facts);
    return { advance: advance.map(({ id }) => id), purge: purge.map(({ id }) => id), againMs };
  };

  test('tables whose hold is over have their turn in their order; then rows are purged', () => {
    const tables = [
      tableOf('purged', 'PURGE', -3 * SECOND_MS),
      tableOf('over', 'HOLD', -2 * SECOND_MS),
      tableOf('removed', 'DROP', -SECOND_MS),
      tableOf('soon', 'HOLD', 2 * SECOND_MS),
      tableOf('later', 'HOLD', 9 * SECOND_MS),
    ];
    const advance = ['over', 'removed'];
    expect(pick(tables)).toEqual({ advance, purge: ['purged'], againMs: 2 * SECOND_MS });
  });

  test('a table that was left has its turn after its pause, and keeps no other back', () => {
    const tables = [tableOf('left', 'HOLD', -SECOND_MS), tableOf('over', 'HOLD', -SECOND_MS)];
    const retryInMs = ({ id }: Collectable) => (id === 'left' ? 7 : 0);
    expect(pick(tables, retryInMs)).toEqual({ advance: ['over'], purge: [], againMs: 7 });
  });

  test('a table in PURGE that goes early is advanced, and not purged', () => {
    const early = tableOf('early', 'PURGE', 0, 'full');
    const none = Number.POSITIVE_INFINITY;
    expect(pick([early])).toEqual({ advance: ['early'], purge: [], againMs: none });
  });
});

test('a table that is left for the same reason waits twice as long each time, up to a bound', () => {
  let nowMs = 0;
  const settings = { checkIntervalMs: 5 * SECOND_MS, purgeCheckIntervalMs: SECOND_MS } as never;
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

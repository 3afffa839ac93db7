/** What was taken off a table, as its row in the ledger has it. */
import { describe, expect, test } from '@jest/globals';
import {
  formatDetached,
  type HeldTrigger,
  mergeDetached,
  NOTHING_DETACHED,
  parseDetached,
} from '../../../src/ledger/detached/detached.js';

const trigger = (name: string, event: string, order: number, tail = ''): HeldTrigger => ({
  ...{
    name,
    event,
    order,
    tail,
    definer: 'a@b',
    quote: '`',
    head: '',
    shownHead: '',
    shownTail: '',
    sqlMode: '',
  },
  ...{ characterSetClient: 'latin1', collationConnection: 'latin1_swedish_ci' },
  databaseCollation: 'utf8mb4_bin',
});

describe('what was taken off a table', () => {
  test('has no triggers in a row from before they were taken off', () => {
    expect(parseDetached('{"keysOut":[],"keysIn":[]}')).toEqual(NOTHING_DETACHED);
  });

  test('is read as it was written, and nothing is written where there is nothing', () => {
    const detached = { ...NOTHING_DETACHED, triggers: [trigger('a', 'BEFORE INSERT', 1, '5A==')] };
    expect(parseDetached(formatDetached(detached))).toEqual(detached);
    expect(formatDetached(NOTHING_DETACHED)).toBe(null);
  });

  test('is refused where a mode or a charset is more than a word', () => {
    const odd = { ...trigger('a', 'BEFORE INSERT', 1), sqlMode: "'; DROP TABLE t" };
    const text = JSON.stringify({ ...NOTHING_DETACHED, triggers: [odd] });
    expect(() => parseDetached(text)).toThrow('Invariant');
  });

  test('has its triggers in the order in which they are made, as they were found last', () => {
    const before = ['one', 'two', 'three'].map((name, index) =>
      trigger(name, 'BEFORE INSERT', index + 1),
    );
    const found = [trigger('other', 'AFTER DELETE', 1), trigger('one', 'BEFORE INSERT', 1, 'bmV3')];
    const merged = mergeDetached(
      { ...NOTHING_DETACHED, triggers: before },
      { ...NOTHING_DETACHED, triggers: found },
    );
    expect(merged.triggers.map(({ name }) => name)).toEqual(['other', 'one', 'two', 'three']);
    expect(merged.triggers[1]?.tail).toBe('bmV3');
  });
});

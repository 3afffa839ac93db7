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
  ...{ name, event, order, tail, definer: 'a@b', quote: '`', head: '', sqlMode: '' },
  ...{ shownHead: '', shownTail: '', characterSetClient: 'latin1' },
  ...{ collationConnection: 'latin1_swedish_ci', databaseCollation: 'utf8mb4_bin' },
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

  const merged = (before: readonly HeldTrigger[], found: readonly HeldTrigger[]) =>
    mergeDetached(
      { ...NOTHING_DETACHED, triggers: before },
      { ...NOTHING_DETACHED, triggers: found },
    ).triggers;
  const inserts = (names: string, tail = '') =>
    names.split(' ').map((name, index) => trigger(name, 'BEFORE INSERT', index + 1, tail));

  test.each([
    ['one of them is found', 'z a', 'z', 'z a'],
    ['two recoveries have made them again in another order', 'z a', 'a z', 'z a'],
  ])('keeps its triggers and their order where %s', (_where, before, found, expected) => {
    const names = merged(inserts(before), inserts(found)).map(({ name }) => name);
    expect(names).toEqual(expected.split(' '));
  });

  test('has triggers that somebody changed as they are now', () => {
    const found = inserts('a z', 'bmV3');
    expect(merged(inserts('z a'), found)).toEqual(found);
  });

  test('has its triggers in the order in which they are made, as they were found last', () => {
    const found = [trigger('other', 'AFTER DELETE', 1), trigger('one', 'BEFORE INSERT', 1, 'bmV3')];
    const triggers = merged(inserts('one two three'), found);
    expect(triggers.map(({ name }) => name)).toEqual(['other', 'one', 'two', 'three']);
    expect(triggers[1]?.tail).toBe('bmV3');
  });
});

/** The note after a drop: no name in it is cut. */
import { describe, expect, test } from '@jest/globals';
import { formatHoldName, PINNED_UNTIL } from '../../src/names/names.js';
import { type Undoable, undoInfo } from '../../src/steps/undo-note.js';

const NOW_MS = Date.UTC(2026, 10, 24, 20, 30);
const idOf = (last: string) => `${NOW_MS.toString(16).padStart(12, '0')}7000800000000000000${last}`;

type More = Partial<Undoable> & { due?: Date };

function undoable(
  names: readonly (readonly string[])[],
  { what = 'TABLE', due = new Date(NOW_MS + 3_600_000), swaps = false }: More = {},
): Undoable {
  const held = names.map((_name, index) => {
    const id = idOf(String(index % 10));
    return { id, holdName: formatHoldName({ state: 'HOLD', id, due }) };
  });
  return { held, names, what, swaps };
}

describe('the info text', () => {
  const info = (names: readonly (readonly string[])[], more?: More) =>
    undoInfo(undoable(names, more));
  const until = 'Held until 2026-11-24 21:30 UTC.';

  test.each<[string, readonly (readonly string[])[], More, string]>([
    ['one table', [['shop', 'orders']], {}, 'TABLE shop.orders'],
    ['a reserved word and odd names', [['a b', 'or`der']], {}, 'TABLE `a b`.`or``der`'],
    ['a word that some server reserves', [['shop', 'Rank']], {}, 'TABLE shop.`Rank`'],
    ['digits', [['shop', '1e5']], {}, 'TABLE shop.`1e5`'],
    ['what has its name again', [['d', 't']], { swaps: true }, 'TABLE d.t SWAP'],
    ['a schema', [['shop']], { what: 'DATABASE' }, 'DATABASE shop'],
  ])('of %s', (_name, names, more, expected) => {
    expect(info(names, more)[0]).toBe(`${until} Undo: UNDROP ${expected}`);
  });

  test('of several the first and a count, with its id where its name does not fit', () => {
    const names = ['a', 'b', 'c'].map((name) => ['d', name]);
    expect(info(names)).toEqual([
      `${until} Undo: UNDROP TABLE d.a (and 2 more)`,
      `${until} Undo: UNDROP TABLE '${idOf('0')}' (and 2 more)`,
    ]);
  });

  test('of what is pinned, and of what goes at once', () => {
    expect(info([['d', 't']], { due: PINNED_UNTIL })[0]).toBe(
      'Held, pinned. Undo: UNDROP TABLE d.t',
    );
    expect(info([['d', 't']], { due: new Date(NOW_MS + 59_000) })).toEqual([]);
    expect(info([])).toEqual([]);
  });
});

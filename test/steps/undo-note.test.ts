/** The note after a drop: never longer than MySQL takes it, and no name in it is cut. */
import { describe, expect, test } from '@jest/globals';
import { formatHoldName, PINNED_UNTIL } from '../../src/names/names.js';
import { type Undoable, undoInfo, undoNote } from '../../src/steps/undo-note.js';

const NOW_MS = Date.UTC(2026, 10, 24, 20, 30);
const idOf = (last: string) => `${NOW_MS.toString(16).padStart(12, '0')}7000800000000000000${last}`;
const GROUP = idOf('f');

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

const note = (names: readonly (readonly string[])[], more?: More) =>
  undoNote(undoable(names, more), GROUP);

describe('the note', () => {
  test.each<[string, readonly (readonly string[])[], string]>([
    ['one table', [['shop', 'a`b']], `UNDROP TABLE \`shop\`.\`a\`\`b\` (id ${idOf('0')})`],
    ['one with a long name', [['shop', 'é'.repeat(64)]], `UNDROP TABLE '${idOf('0')}'`],
    [
      'two tables',
      [
        ['d', 'a'],
        ['d', 'b'],
      ],
      `UNDROP TABLE \`d\`.\`a\`, \`d\`.\`b\` (drop ${GROUP})`,
    ],
    [
      'many tables',
      Array.from({ length: 40 }, (_, index) => ['d', `table_${index}`]),
      `SHOW DROPPED TABLES lists the tables of drop ${GROUP}`,
    ],
  ])('of %s', (_name, names, expected) => {
    const text = note(names);
    expect(text).toBe(`Undo until 2026-11-24 21:30 UTC: ${expected}`);
    expect(Array.from(text ?? '').length).toBeLessThanOrEqual(128);
  });

  test('of a schema, of what is pinned, and of what goes at once', () => {
    expect(note([['shop']], { what: 'DATABASE' })).toContain(': UNDROP DATABASE `shop` (drop ');
    expect(note([['d', 't']], { due: PINNED_UNTIL })).toMatch(/^Undo at any time: UNDROP TABLE/);
    expect(note([['d', 't']], { due: new Date(NOW_MS) })).toBeNull();
    expect(note([])).toBeNull();
  });
});

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

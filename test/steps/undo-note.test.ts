/** The note after a drop: never longer than MySQL takes it, and no name in it is cut. */
import { describe, expect, test } from '@jest/globals';
import { formatHoldName, PINNED_UNTIL } from '../../src/names/names.js';
import { type Undoable, undoNote } from '../../src/steps/undo-note.js';

const NOW_MS = Date.UTC(2026, 10, 24, 20, 30);
const idOf = (last: string) => `${NOW_MS.toString(16).padStart(12, '0')}7000800000000000000${last}`;
const GROUP = idOf('f');

function note(
  names: readonly (readonly string[])[],
  { what = 'TABLE', due = new Date(NOW_MS + 3_600_000) }: Partial<Undoable> & { due?: Date } = {},
): string | null {
  const held = names.map((_name, index) => {
    const id = idOf(String(index % 10));
    return { id, holdName: formatHoldName({ state: 'HOLD', id, due }) };
  });
  return undoNote({ held, names, what }, GROUP);
}

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
      `SHOW DROPPED TABLES has what drop ${GROUP} held`,
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

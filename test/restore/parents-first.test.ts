/** In which order several tables come back. */
import { expect, test } from '@jest/globals';
import { parentsFirst } from '../../src/restore/plan-restore.js';

const table = (name: string) => ({ schema: 'shop', table: name });

/** `child: parents`, separated by blanks. */
function order(...texts: readonly string[]): string {
  const items = texts.map((text) => {
    const [name = '', parents = ''] = text.split(':');
    return { name: table(name), parents: parents.split(' ').filter(Boolean).map(table) };
  });
  return parentsFirst(items)
    .map(({ name }) => name.table)
    .join(' ');
}

test.each([
  [['a', 'b', 'c'], 'a b c'],
  [['grandchild:child', 'child:parent', 'parent'], 'parent child grandchild'],
  [['c:a b', 'b:a', 'a'], 'a b c'],
  // A parent that isn't among them, and one whose name was written in another case.
  [['a:gone', 'b:A'], 'a b'],
  // Itself, and a cycle.
  [['a:a'], 'a'],
  [['a:b', 'b:c', 'c:a', 'd:a'], 'c b a d'],
])('of %s comes %s', (items, expected) => {
  expect(order(...items)).toBe(expected);
});

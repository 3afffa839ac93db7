/** Groups of what has one key: all held tables may be of one schema. */
import { inGroups } from '../../src/names/names.js';

test('keeps the order of keys and of items', () => {
  const groups = inGroups(['b1', 'a1', 'b2'], ([key = '']) => key);
  expect(groups).toEqual([['b1', 'b2'], ['a1']]);
});

test('takes very many items of one key', () => {
  const items = Array.from({ length: 400_000 }, (_, nr) => nr);
  const [group] = inGroups(items, () => 'held');
  expect(group).toHaveLength(items.length);
});

/** A sample has some of each kind, is the same for the same seed, and another for another. */
import { expect, test } from '@jest/globals';
import { partOf, seedFor, testFile } from './sample.js';

const ITEMS = Array.from({ length: 200 }, (_, index) => ({ index, kind: `kind ${index % 7}` }));
const NAME = 'items';

test('a tenth is a tenth, in the order of all', () => {
  const part = partOf(ITEMS, { name: NAME, share: 0.1 }, 1);
  expect(part).toHaveLength(20);
  expect(part).toEqual([...part].sort((a, b) => a.index - b.index));
});

test('of each kind there is one, however few are wanted', () => {
  for (const seed of [1, 2, 3]) {
    const part = partOf(ITEMS, { name: NAME, count: 1, kind: ({ kind }) => kind }, seed);
    expect(new Set(part.map(({ kind }) => kind)).size).toBe(7);
    expect(part).toHaveLength(7);
  }
});

test('an item of several kinds counts for each of them', () => {
  const kind = ({ index }: { index: number }) => [`a ${index % 4}`, `b ${index % 3}`];
  const part = partOf(ITEMS, { name: NAME, kind }, 5);
  expect(new Set(part.flatMap(kind)).size).toBe(7);
});

test('the seed decides which', () => {
  const options = { name: NAME, count: 10 };
  expect(partOf(ITEMS, options, 1)).toEqual(partOf(ITEMS, options, 1));
  expect(partOf(ITEMS, options, 1)).not.toEqual(partOf(ITEMS, options, 2));
  expect(seedFor('one')).not.toBe(seedFor('another'));
});

test('with neither a share nor a count nor kinds there is one, of nothing there is nothing', () => {
  expect(partOf(ITEMS, { name: NAME }, 1)).toHaveLength(1);
  expect(partOf([], { name: NAME, share: 0.5 }, 1)).toEqual([]);
});

test('a file is known by its path under the tests', () => {
  expect(testFile()).toBe('support/sample');
});

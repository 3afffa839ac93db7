/** The pairwise part of a matrix; its dice are seeded, so it is the same part each time. */
import { describe, expect, test } from '@jest/globals';
import { Dice, seededRandom } from './dice.js';
import { pairsOf, pairwise } from './pairs.js';

const CELLS = ['a', 'b', 'c', 'd', 'e'].flatMap((fault) =>
  ['1', '2', '3', '4'].flatMap((place) =>
    ['x', 'y', 'z']
      .filter((scene) => place !== '4' || scene === 'z')
      .map((scene) => ({ fault, place, scene })),
  ),
);

describe('a pairwise part', () => {
  test('has every pair that the whole has, in far fewer rows', () => {
    const rows = pairwise(CELLS, new Dice(seededRandom(1)));
    expect(new Set(rows.flatMap(pairsOf))).toEqual(new Set(CELLS.flatMap(pairsOf)));
    expect(rows.length).toBeLessThan(CELLS.length / 2);
    for (const row of rows) expect(CELLS).toContain(row);
  });

  test('is the same for the same seed', () => {
    const [one, again] = [1, 1].map((seed) => pairwise(CELLS, new Dice(seededRandom(seed))));
    expect(again).toEqual(one);
  });
});

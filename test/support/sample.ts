/**
 * What part of a matrix a run of the tests takes. `npm test` takes a part with at least one of each
 * kind, the same in each run; `npm run test:long` takes everything. The seed of a run decides only
 * what random histories draw.
 */
import { relative } from 'node:path';
import type { expect } from '@jest/globals';
import { seededRandom } from './dice.js';
import { testFolder } from './folders.js';

/** Everything is tried, and as often as is useful: `npm run test:long`. */
export const isLong = process.env['TEST_LONG'] === '1';

/** Of the whole run. scripts/test.mjs chooses it, and says how to repeat the run. */
export const seed = Number(process.env['TEST_SEED'] ?? '1');

export interface SampleOptions<Item> {
  /** Two samples of one file differ by it. */
  readonly name: string;
  /** How many of all, from 0 to 1. */
  readonly share?: number;
  /** How many; instead of `share`. */
  readonly count?: number;
  /** An item may be of several kinds; of each kind there is at least one. */
  readonly kind?: (item: Item) => string | readonly string[];
}

/** In the order of `items`; all of them in a long run. */
export function sample<Item>(items: readonly Item[], options: SampleOptions<Item>): Item[] {
  return isLong ? [...items] : partOf(items, options, fixedFor(options.name));
}

/** How often something is tried in a long run, and how often in any other. */
export function rounds(long: number, short: number): number {
  return isLong ? long : short;
}

/** A number below 2^32 for a random generator: another one for each run, file and name. */
export function seedFor(name: string): number {
  return hash(`${seed}\n${testFile()}\n${name}`);
}

/** The same for what is alike in each run. */
export function fixedFor(name: string): number {
  return hash(`${testFile()}\n${name}`);
}

/** `server/undo` */
export function testFile(): string {
  // Not by import: jest's own process and the programs of the tests load this file, too.
  const jest = globalThis as { readonly expect?: typeof expect };
  const path = jest.expect?.getState().testPath;
  if (path === undefined) throw new Error('no test file runs');
  return relative(testFolder, path).replace(/\.test\.js$/, '');
}

/** Pure: what `sample` takes in a run that is not long. */
export function partOf<Item>(
  items: readonly Item[],
  { share = 0, count = Math.ceil(items.length * share), kind }: SampleOptions<Item>,
  seedOfPart: number,
): Item[] {
  const order = shuffled(items.length, seedOfPart);
  const taken = new Set<number>();
  const met = new Set<string>();
  for (const index of order) {
    const kinds = kind === undefined ? [''] : [kind(items[index] as Item)].flat();
    if (kinds.every((one) => met.has(one))) continue;
    for (const one of kinds) met.add(one);
    taken.add(index);
  }
  for (const index of order) if (taken.size < count) taken.add(index);
  return items.filter((_item, index) => taken.has(index));
}

function shuffled(length: number, seedOfOrder: number): number[] {
  const random = seededRandom(seedOfOrder);
  return Array.from({ length }, (_, index) => ({ index, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ index }) => index);
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value;
}

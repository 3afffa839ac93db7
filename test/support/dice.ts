/** What is chosen at random, from numbers that are the same ones for the same seed. */

/** Numbers from 0 to below 1. */
export type Random = () => number;

/** Mulberry32: small, and the same on every machine. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export class Dice {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** From 0 to below 1. */
  roll(): number {
    return this.#random();
  }

  /** From 0 to below `limit`, whole. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  of<Value>(values: readonly Value[]): Value {
    if (values.length === 0) throw new Error('nothing to choose from');
    return values[this.below(values.length)] as Value;
  }
}

/** Ids of held tables: sortable by time, the same in every state. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { InvariantError } from '../../src/assert.js';
import { idTimeMs, isHoldId, newHoldId } from '../../src/names/names.js';

import fc from '../support/properties.js';

const TIME_MS_MAX = 2 ** 48 - 1;
const times = fc.integer({ min: 0, max: TIME_MS_MAX });
const bytes = fc.uint8Array({ minLength: 10, maxLength: 10 });

describe('the id of a held table', () => {
  test('is a UUIDv7 without dashes', () => {
    const id = newHoldId(0x0123456789ab, () => new Uint8Array(10).fill(0xff));
    expect(id).toBe('0123456789ab7fffbfffffffffffffff');
  });

  test('tells the time of the drop, whatever the randomness', () => {
    fc.assert(
      fc.property(times, bytes, (nowMs, random) => {
        const id = newHoldId(nowMs, () => random);
        expect(isHoldId(id)).toBe(true);
        expect(idTimeMs(id)).toBe(nowMs);
        expect(id.charAt(12)).toBe('7');
        expect('89ab').toContain(id.charAt(16));
      }),
    );
  });

  test('sorts by time', () => {
    fc.assert(
      fc.property(times, times, (one, other) => {
        fc.pre(one < other);
        expect(newHoldId(one, randomBytes) < newHoldId(other, randomBytes)).toBe(true);
      }),
    );
  });

  test('keeps 74 random bits', () => {
    const zero = newHoldId(0, () => new Uint8Array(10));
    expect(zero).toBe('00000000000070008000000000000000');
    expect(new Set(Array.from({ length: 100 }, () => newHoldId(0, randomBytes))).size).toBe(100);
  });

  test('refuses a time that has no place in it, and too few random bytes', () => {
    for (const nowMs of [-1, 1.5, Number.NaN, TIME_MS_MAX + 1]) {
      expect(() => newHoldId(nowMs, randomBytes)).toThrow(InvariantError);
    }
    expect(() => newHoldId(0, () => new Uint8Array(9))).toThrow(InvariantError);
    expect(() => idTimeMs('0123')).toThrow(InvariantError);
  });
});

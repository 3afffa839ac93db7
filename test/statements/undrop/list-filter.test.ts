/** LIKE of a list, by its pattern. */
import { expect, test } from '@jest/globals';
import { patternParts } from '../../../src/statements/undrop/list-filter.js';
import { hasPattern } from '../../../src/wildcards.js';

test.each([
  ['orders', 'orders', true],
  ['Orders', 'oRDERS', true],
  ['orders', 'ord%', true],
  ['orders', '%der%', true],
  ['orders', '%x%', false],
  ['orders', 'order_', true],
  ['orders', 'orders_', false],
  ['a%b', 'a\\%b', true],
  ['axb', 'a\\%b', false],
  ['a_b', 'a\\_b', true],
  ['', '%', true],
  ['', '_', false],
  ['abcabd', '%ab_', true],
  ['😀', '_', true],
])('%j is like %j: %s', (text, pattern, expected) => {
  expect(hasPattern(text.toLowerCase(), patternParts(pattern))).toBe(expected);
});

test('a pattern of many parts is soon over', () => {
  const text = 'a'.repeat(4_000);
  expect(hasPattern(text.toLowerCase(), patternParts(`${'%a'.repeat(100)}b`))).toBe(false);
});

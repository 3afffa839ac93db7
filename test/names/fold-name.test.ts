/** Names as servers fold them, where that is another way than JavaScript's. */
import { expect, test } from '@jest/globals';
import { foldName, isSameName } from '../../src/names/names.js';

test.each([
  ['Orders', 'orders'],
  ['ΠΕΛΑΤΕΣ', 'πελατεσ'],
  ['BİLLİNG', 'billing'],
  ['ÉTÉ', 'été'],
])('%s is %s', (name, folded) => {
  expect(foldName(name)).toBe(folded);
  expect(isSameName(name, folded)).toBe(true);
});

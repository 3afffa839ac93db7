/** Which tables one RENAME takes. */
import { expect, test } from '@jest/globals';
import { renameGroups } from '../../../src/statements/drop-table/rename.js';

import fc from '../../support/properties.js';

const isUpper = (name: string) => name === name.toUpperCase();

test.each([
  ['abc', ['abc']],
  ['Abc', ['A', 'bc']],
  ['aBc', ['aB', 'c']],
  ['abC', ['abC']],
  ['ABC', ['A', 'B', 'C']],
  ['aBCd', ['aB', 'C', 'd']],
  ['', []],
])('%j, those with triggers in capitals: %j', (tables, groups) => {
  expect(renameGroups(tables.split(''), isUpper).map((group) => group.join(''))).toEqual(groups);
});

test('all of them in their order, and what has triggers is taken back by nothing behind it', () => {
  const names = fc.array(fc.constantFrom('a', 'b', 'C', 'D'), { maxLength: 12 });
  fc.assert(
    fc.property(names, (tables) => {
      const groups = renameGroups(tables, isUpper);
      expect(groups.flat()).toEqual(tables);
      for (const group of groups) expect(group.slice(0, -1).filter(isUpper)).toEqual([]);
    }),
  );
});

/** By which kind of statement a table was dropped, by the statement's first words. */
import { expect, test } from '@jest/globals';
import { howDropped } from '../../src/ledger/entry.js';

test.each([
  ['DROP TABLE orders', 'DROP TABLE'],
  ['drop\n\ttables a, b', 'DROP TABLE'],
  ['DROP DATABASE shop', 'DROP DATABASE'],
  ['/*!40000 DROP DATABASE IF EXISTS `shop`*/', 'DROP DATABASE'],
  ['DROP /*!32312 SCHEMA IF EXISTS*/ shop', 'DROP DATABASE'],
  ['/* app: truncate */ -- all\n# of it\nDROP TABLE IF EXISTS orders', 'DROP TABLE'],
  ['TRUNCATE orders', 'TRUNCATE'],
  // A partition, which earlier versions held.
  ['ALTER TABLE orders DROP PARTITION p1', null],
  ['CREATE /*M!100008 OR REPLACE */ TABLE orders (id INT)', 'REPLACE'],
  ['CREATE OR REPLACE TABLE orders (id INT)', 'REPLACE'],
  ['EXECUTE s', null],
  ['', null],
  [`/*${' '.repeat(300)}`, null],
])('%j: %s', (statementText, expected) => {
  expect(howDropped({ statementText })).toBe(expected);
});

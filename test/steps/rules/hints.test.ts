/** Which texts may say something to undrop: what is asked for them costs a question. */
import { expect, test } from '@jest/globals';
import { mayHint } from '../../../src/steps/rules/hints.js';

test.each([
  ['DROP TABLE t /* undrop: pin */', true],
  ['DROP /*undrop:now*/ TABLE t', true],
  ['DROP TABLE t /*undrop pin*/', true],
  ['DROP TABLE t /* undrop=now */', true],
  ['DROP TABLE t /* UNDROP hold = 7d */', true],
  ['-- undrop pin\nDROP TABLE t', true],
  ['DROP TABLE t # undrop destroy', true],
  ['DROP TABLE t /* undrop insist */', true],
  ['DROP TABLE t /* undrop now holds this */', false],
  ["BEGIN NOT ATOMIC SELECT 'undrop hold'; DROP TABLE t; END", false],
  ['BEGIN NOT ATOMIC SET undrop = NOW(); DROP TABLE t; END', false],
  ['BEGIN NOT ATOMIC -- undrop now holds this\nDROP TABLE t; END', false],
])('%s: %p', (text, expected) => {
  expect(mayHint(Buffer.from(text))).toBe(expected);
});

/** What of a statement gets into the log. */
import { expect, test } from '@jest/globals';
import { loggedText } from '../../../src/steps/refusals/refusals.js';

test.each([
  ['DROP TABLE shop.orders', 'DROP TABLE shop.orders'],
  ["SET PASSWORD = 'secret'; DROP TABLE t", 'SET PASSWORD = …'],
  ['SET PASSWORD = "secret"; DROP TABLE t', 'SET PASSWORD = …'],
  ["INSERT INTO t1 VALUES (4111, 1.5e3, .7, 0xABCD, 'x')", 'INSERT INTO t1 VALUES (?, ?, ?, ?, …'],
  ['CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $a$ secret $a$', /JAVASCRIPT AS …$/],
  ["SELECT 'a\\' secret' , 'b", 'SELECT …'],
])('%j is shown as %j (wire 63)', (text, shown) => {
  const said = loggedText(Buffer.from(text));
  if (typeof shown === 'string') expect(said).toBe(shown);
  else expect(said).toMatch(shown);
  expect(said).not.toMatch(/secret|4111/);
});

test('a long text is cut, whatever it is (wire 63)', () => {
  expect(loggedText(Buffer.from(`DROP TABLE ${'x, '.repeat(100_000)}y`))).toMatch(
    /^DROP TABLE x.{100,220}…$/,
  );
});

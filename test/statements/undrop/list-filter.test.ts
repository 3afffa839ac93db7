/** LIKE of a list, by its pattern; and WHERE before all columns are known. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Field } from '../../../src/printer.js';
import {
  COMPARISONS,
  type ListCondition,
  type Operand,
} from '../../../src/sql/grammar/list-clauses.js';
import type { Literal } from '../../../src/sql/grammar/literal.js';
import { patternParts, planList } from '../../../src/statements/undrop/list-filter.js';
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

interface Row {
  readonly name: string | null;
  readonly at: Date | null;
  readonly rows: number | null;
  readonly state: string | null;
}

const FIELDS = [
  { key: 'name', title: 'Name' },
  { key: 'at', title: 'At' },
  { key: 'rows', title: 'Rows', isNumber: true },
  { key: 'state', title: 'State' },
] as const satisfies readonly Field<Row>[];

const anyWord = fc.constantFrom('a', 'b', 'null', '1');
const anyTime = fc.constantFrom('2026-01-01', '2026-01-02');
const anyRow = fc.record<Row>({
  name: fc.option(anyWord),
  at: fc.option(anyTime.map((day) => new Date(day))),
  rows: fc.option(fc.constantFrom(0, 1, 2)),
  state: fc.option(anyWord),
});
const column = (name: string): Operand => ({ kind: 'column', column: name, at: 0 });
const literal = (text: string): Operand => ({ kind: 'text', value: Buffer.from(text), at: 0 });
const anyOperand = fc.oneof(
  fc.constantFrom('Name', 'Rows', 'State').map(column),
  fc.constantFrom('1', '2').map(literal),
  fc.constantFrom(0, 1).map((value): Operand => ({ kind: 'number', value, at: 0 })),
  fc.constant<Operand>({ kind: 'null', at: 0 }),
);
const { condition: anyCondition } = fc.letrec<{ condition: ListCondition }>((tie) => ({
  condition: fc.oneof(
    { depthSize: 'small' },
    fc.record({
      kind: fc.constant('compare' as const),
      by: fc.constantFrom(...COMPARISONS, 'like' as const),
      left: anyOperand,
      right: anyOperand,
    }),
    anyTime.map((day): ListCondition => {
      return { kind: 'compare', by: '>=', left: column('At'), right: literal(day) };
    }),
    fc.record({
      kind: fc.constant('is-null' as const),
      operand: fc.constantFrom('Name', 'State', 'Rows', 'At').map(column),
    }),
    fc.record({ kind: fc.constant('not' as const), of: tie('condition') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      all: fc.array(tie('condition'), { minLength: 1, maxLength: 3 }),
    }),
  ),
}));

test('what is wanted may be wanted, whatever the late columns are', () => {
  const decode = ({ value }: Literal) => Buffer.from(value).toString();
  const times = new Set(['At']);
  const late = new Set(['Rows', 'State']);
  // The name may be hidden.
  const hidden = new Set(['Name']);
  let left = 0;
  fc.assert(
    fc.property(anyCondition, anyRow, anyRow, fc.boolean(), (where, known, other, isHidden) => {
      const row = isHidden ? { ...known, name: null } : known;
      const { rows, state } = other;
      const clauses = { where, orderBy: [], limit: null };
      const plan = planList<Row>(clauses, { fields: FIELDS, times, late, hidden, decode });
      const mayBe = plan.mayBeWanted?.({ ...known, rows, state });
      if (mayBe === false) left++;
      expect([plan.isWanted?.(row), mayBe]).not.toEqual([true, false]);
    }),
    { numRuns: 2_000 },
  );
  expect(left).toBeGreaterThan(0);
});

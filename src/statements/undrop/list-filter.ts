/**
 * WHERE, ORDER BY and LIMIT of a list of dropped tables, evaluated by the proxy over the values of
 * the columns. Texts compare without regard to case; a time compares with a text that is one, in
 * UTC unless it has an offset. A comparison with NULL is neither true nor false, as in SQL. Pure.
 */
import { parseTime } from '../../duration.js';
import type { Field } from '../../printer.js';
import type {
  ColumnName,
  Comparison,
  ListClauses,
  ListCondition,
  Operand,
} from '../../sql/grammar/list-clauses.js';
import type { Literal } from '../../sql/grammar/literal.js';
import type { Signal } from '../../steps/session/user-session.js';
import { hasPattern, type PatternPart } from '../../wildcards.js';
import { ER_BAD_FIELD_ERROR, ER_WRONG_ARGUMENTS } from '../../wire/server-errors.js';
import { SaidByServer } from './said-by-server.js';

const NONE: ReadonlySet<string> = new Set();

type Value = string | number | Date | null;

/** A value of a row, and how others compare with it. */
interface Term<T> {
  readonly type: 'text' | 'number' | 'time' | 'literal' | 'null';
  readonly of: (item: T) => Value;
  /** A literal as written. */
  readonly text?: string;
  /** A column that isn't known yet: null for each row. */
  readonly isLate?: boolean;
  readonly isHidden?: boolean;
}

/** Null: it is neither true nor false. */
type Test<T> = (item: T) => boolean | null;

interface ListColumns<T> {
  readonly fields: readonly Field<T>[];
  /** The titles of columns that are times. */
  readonly times: ReadonlySet<string>;
  /** The titles of columns that are known only after the server was asked; default: none. */
  readonly late?: ReadonlySet<string>;
  /**
   * The titles of columns that may turn out to be NULL for this user; default: none. But for IS
   * NULL and <=>, what is true of NULL is true of each value.
   */
  readonly hidden?: ReadonlySet<string>;
  readonly decode: (literal: Literal) => string;
}

export interface ListPlan<T> {
  /** Null: all are, because there is no WHERE. */
  readonly isWanted: ((item: T) => boolean) | null;
  /** The same before the late columns are known: false only if none of their values would do. */
  readonly mayBeWanted: ((item: T) => boolean) | null;
  /** Null: in the order of the list. */
  readonly order: ((one: T, other: T) => number) | null;
  readonly limit: ListClauses['limit'];
}

/** Throws `SaidByServer` for an unknown column, and for a literal that a column can't be. */
export function planList<T>(
  { where, orderBy, limit }: ListClauses,
  columns: ListColumns<T>,
): ListPlan<T> {
  const { late = NONE, hidden = NONE, ...known } = columns;
  const test = where === null ? null : testOf(where, known);
  const early = where === null ? null : testOf(where, { ...known, late, hidden });
  const orders = orderBy.map(({ isDescending, ...name }) => {
    const { of } = termOf({ kind: 'column', ...name }, known, 'order clause');
    const sign = isDescending ? -1 : 1;
    return (one: T, other: T) => sign * orderOf(of(one), of(other));
  });
  return {
    isWanted: test === null ? null : (item) => test(item) === true,
    mayBeWanted: early === null ? null : (item) => early(item) !== false,
    order:
      orders.length === 0
        ? null
        : (one, other) => orders.reduce((found, order) => found || order(one, other), 0),
    limit,
  };
}

/**
 * The items of the list that are wanted, in its order. `pause`: before each item, because a hundred
 * LIKEs of one row may take milliseconds.
 */
export async function applyPlan<T>(
  plan: Omit<ListPlan<T>, 'mayBeWanted'>,
  items: readonly T[],
  pause: () => Promise<void>,
): Promise<readonly T[]> {
  const { isWanted, order, limit } = plan;
  const wanted = isWanted === null ? [...items] : await filtered(items, isWanted, pause);
  if (order !== null) wanted.sort(order);
  return limit === null ? wanted : wanted.slice(limit.offset, limit.offset + limit.rows);
}

async function filtered<T>(
  items: readonly T[],
  isWanted: (item: T) => boolean,
  pause: () => Promise<void>,
): Promise<T[]> {
  const wanted: T[] = [];
  for (const item of items) {
    await pause();
    if (isWanted(item)) wanted.push(item);
  }
  return wanted;
}

/** The field of that title. Throws `SaidByServer`. */
export function fieldOf<T>(
  { column }: ColumnName,
  fields: readonly Field<T>[],
  clause: string,
): Field<T> {
  const found = fields.find(({ title = '' }) => isSameText(title, column));
  if (found === undefined) throw new SaidByServer(unknownColumn(column, clause));
  return found;
}

function testOf<T>(condition: ListCondition, columns: ListColumns<T>): Test<T> {
  switch (condition.kind) {
    case 'and':
    case 'or': {
      const tests = condition.all.map((one) => testOf(one, columns));
      const decides = condition.kind === 'or';
      return (item) => {
        const found = tests.map((test) => test(item));
        if (found.includes(decides)) return decides;
        return found.includes(null) ? null : !decides;
      };
    }
    case 'not': {
      const test = testOf(condition.of, columns);
      return (item) => negated(test(item));
    }
    case 'is-null': {
      const { of, isLate, isHidden } = termOf(condition.operand, columns);
      return (item) => (isLate || isHidden ? null : of(item) === null);
    }
    case 'compare':
      return comparisonOf(condition, columns);
  }
}

function negated(found: boolean | null): boolean | null {
  return found === null ? null : !found;
}

function comparisonOf<T>(
  { by, left, right }: ListCondition & { readonly kind: 'compare' },
  columns: ListColumns<T>,
): Test<T> {
  const [one, other] = [termOf(left, columns), termOf(right, columns)];
  if (by === 'like') {
    const parts = other.text === undefined ? null : patternParts(other.text);
    return onValues(one, other, (value, pattern) =>
      hasPattern(String(value).toLowerCase(), parts ?? patternParts(String(pattern))),
    );
  }
  const [first, second] = [fitted(one, other, left), fitted(other, one, right)];
  if (by === '<=>') {
    const isUnknown = [one, other].some(({ isLate, isHidden }) => isLate || isHidden);
    return (item) => (isUnknown ? null : orderOf(first.of(item), second.of(item)) === 0);
  }
  return onValues(first, second, (value, than) => holds(by, orderOf(value, than)));
}

function onValues<T>(
  one: Term<T>,
  other: Term<T>,
  test: (one: Exclude<Value, null>, other: Exclude<Value, null>) => boolean,
): Test<T> {
  return (item) => {
    const [value, than] = [one.of(item), other.of(item)];
    return value === null || than === null ? null : test(value, than);
  };
}

function holds(by: Exclude<Comparison, '<=>'>, order: number): boolean {
  switch (by) {
    case '=':
      return order === 0;
    case '<>':
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

function termOf<T>(
  operand: Operand,
  { fields, times, late = NONE, hidden = NONE, decode }: ListColumns<T>,
  clause = 'where clause',
): Term<T> {
  switch (operand.kind) {
    case 'column': {
      const field = fieldOf(operand, fields, clause);
      const { title = '', isNumber } = field;
      const type = times.has(title) ? 'time' : isNumber ? 'number' : 'text';
      if (late.has(title)) return { type, of: () => null, isLate: true };
      return { type, of: (item) => valueIn(field, item), isHidden: hidden.has(title) };
    }
    case 'text': {
      const text = decode(operand);
      return { type: 'literal', of: () => text, text };
    }
    case 'number':
      return { type: 'number', of: () => operand.value };
    case 'null':
      return { type: 'null', of: () => null };
  }
}

function valueIn<T>(field: Field<T>, item: T): Value {
  const { key, json } = field;
  const value = json === undefined ? item[key as keyof T & string] : json(item);
  if (value === null || value === undefined) return null;
  return typeof value === 'number' || value instanceof Date ? value : String(value);
}

const ANY_DAY = new Date(0);
const TIME_EXPECTED = 'a time like 2026-11-24 14:00 (UTC)';

/** The term as it compares with a value of the other's type. */
function fitted<T>(term: Term<T>, { type }: Term<T>, { at }: Operand): Term<T> {
  const { text, isLate = false } = term;
  if (isLate) return term;
  if (text === undefined) {
    if (term.type !== 'number' || type === 'number' || type === 'null') return term;
    if (type === 'time') throw new SaidByServer(wrongValue(TIME_EXPECTED, 'a number', at));
    return { type: 'text', of: (item) => String(term.of(item)) };
  }
  if (type === 'time') {
    const time = /^\d{4}-/.test(text) ? parseTime(text, ANY_DAY) : null;
    if (time === null) throw new SaidByServer(wrongValue(TIME_EXPECTED, `'${text}'`, at));
    return { type, of: () => time };
  }
  if (type !== 'number') return term;
  const number = Number(text);
  if (text.trim() === '' || Number.isNaN(number)) {
    throw new SaidByServer(wrongValue('a number', `'${text}'`, at));
  }
  return { type, of: () => number };
}

/** NULL is before all else. */
function orderOf(one: Value, other: Value): number {
  if (one === null || other === null) return Number(other === null) - Number(one === null);
  const [a, b] = [comparable(one), comparable(other)];
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function comparable(value: Exclude<Value, null>): string | number {
  if (value instanceof Date) return value.getTime();
  return typeof value === 'number' ? value : value.toLowerCase();
}

function isSameText(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** The pattern of a LIKE: `%` and `_`, escaped by a backslash. */
export function patternParts(pattern: string): readonly PatternPart[] {
  const parts: PatternPart[] = [];
  let isEscaped = false;
  for (const letter of pattern.toLowerCase()) {
    if (!isEscaped && letter === '\\') {
      isEscaped = true;
      continue;
    }
    if (!isEscaped && letter === '%') {
      if (parts.at(-1) !== 'any') parts.push('any');
    } else if (!isEscaped && letter === '_') parts.push('one');
    else parts.push({ letter });
    isEscaped = false;
  }
  return parts;
}

function unknownColumn(column: string, clause: string): Signal {
  const message = `Unknown column '${column}' in '${clause}'`;
  return { errno: ER_BAD_FIELD_ERROR, sqlState: '42S22', message };
}

function wrongValue(expected: string, found: string, at: number): Signal {
  const message = `Incorrect arguments to WHERE at offset ${at}: expected ${expected}, found ${found}`;
  return { errno: ER_WRONG_ARGUMENTS, sqlState: 'HY000', message };
}

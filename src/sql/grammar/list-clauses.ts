/**
 * `[WHERE expr] [ORDER BY column [ASC | DESC], …] [LIMIT n [OFFSET m]]` of SHOW DROPPED TABLES, and
 * of a SELECT from `_undrop.dropped_tables`. An expression has columns, literals, comparisons,
 * LIKE, IN, BETWEEN, IS NULL, AND, OR, NOT and parentheses; nothing else. It is evaluated by the
 * proxy, so that nothing of a client's text reaches the service connection.
 */

import type { Token } from '../lex/lexer.js';
import { type Literal, takeLiteral } from './literal.js';
import { identifierText, type Source, takeTexts } from './table-name.js';

export interface ColumnName {
  /** The name as written, without quotes. */
  readonly column: string;
  readonly at: number;
}

export type Operand =
  | ({ readonly kind: 'column' } & ColumnName)
  | ({ readonly kind: 'text' } & Literal)
  | { readonly kind: 'number'; readonly value: number; readonly at: number }
  | { readonly kind: 'null'; readonly at: number };

export const COMPARISONS = ['=', '<=>', '<>', '!=', '<', '<=', '>', '>='] as const;
export type Comparison = (typeof COMPARISONS)[number];

export type ListCondition =
  | {
      readonly kind: 'compare';
      readonly by: Comparison | 'like';
      readonly left: Operand;
      readonly right: Operand;
    }
  | { readonly kind: 'is-null'; readonly operand: Operand }
  | { readonly kind: 'not'; readonly of: ListCondition }
  | { readonly kind: 'and' | 'or'; readonly all: readonly ListCondition[] };

export interface ListClauses {
  readonly where: ListCondition | null;
  readonly orderBy: readonly (ColumnName & { readonly isDescending: boolean })[];
  readonly limit: { readonly rows: number; readonly offset: number } | null;
}

/** Parentheses and NOTs within one another. */
const DEPTH_MAX = 64;
/** The maximum of comparisons: each is made for each row, by the proxy. */
export const COMPARISONS_MAX = 100;
const ORDER_COLUMNS_MAX = 16;

/** Null: the next token, if any is left, is wrong. */
export function takeClauses(tokens: Token[], source: Source): ListClauses | null {
  const hasWhere = takeTexts(tokens, 'WHERE');
  const where = hasWhere ? takeCondition(tokens, source, 0) : null;
  if (where !== null && countComparisons(where) > COMPARISONS_MAX) return null;
  if (hasWhere && where === null) return null;
  const orderBy = takeTexts(tokens, 'ORDER', 'BY') ? takeOrder(tokens, source) : [];
  if (orderBy === null) return null;
  const hasLimit = takeTexts(tokens, 'LIMIT');
  const limit = hasLimit ? takeLimit(tokens, source) : null;
  return hasLimit && limit === null ? null : { where, orderBy, limit };
}

/** Also a word that servers reserve, because columns are called `Table` and `Rows`. */
export function takeColumn(tokens: Token[], source: Source): ColumnName | null {
  const [token] = tokens;
  if (token?.kind !== 'word' && token?.kind !== 'name') return null;
  tokens.shift();
  return { column: identifierText(token, source), at: token.start };
}

function takeOrder(tokens: Token[], source: Source): ListClauses['orderBy'] | null {
  const all: ListClauses['orderBy'][number][] = [];
  do {
    const column = takeColumn(tokens, source);
    if (column === null) return null;
    const isDescending = takeTexts(tokens, 'DESC');
    if (!isDescending) takeTexts(tokens, 'ASC');
    all.push({ ...column, isDescending });
    if (all.length > ORDER_COLUMNS_MAX) return null;
  } while (takeTexts(tokens, ','));
  return all;
}

function takeLimit(tokens: Token[], source: Source): ListClauses['limit'] {
  const first = takeCount(tokens, source);
  if (first === null) return null;
  const isOffsetFirst = takeTexts(tokens, ',');
  if (!isOffsetFirst && !takeTexts(tokens, 'OFFSET')) return { rows: first, offset: 0 };
  const second = takeCount(tokens, source);
  if (second === null) return null;
  return isOffsetFirst ? { rows: second, offset: first } : { rows: first, offset: second };
}

function takeCount(tokens: Token[], source: Source): number | null {
  const [token] = tokens;
  const text = token?.kind === 'number' ? textOf(token, source) : '';
  if (!/^\d{1,15}$/.test(text)) return null;
  tokens.shift();
  return Number(text);
}

function countComparisons(of: ListCondition): number {
  switch (of.kind) {
    case 'and':
    case 'or':
      return of.all.reduce((sum, one) => sum + countComparisons(one), 0);
    case 'not':
      return countComparisons(of.of);
    case 'is-null':
    case 'compare':
      return 1;
  }
}

// ── the expression ───────────────────────────────────────────────────────────────────────────────

function takeCondition(tokens: Token[], source: Source, depth: number): ListCondition | null {
  return takeList(tokens, 'or', () =>
    takeList(tokens, 'and', () => takeNegated(tokens, source, depth)),
  );
}

function takeList(
  tokens: Token[],
  kind: 'and' | 'or',
  takeOne: () => ListCondition | null,
): ListCondition | null {
  const all: ListCondition[] = [];
  do {
    const one = takeOne();
    if (one === null) return null;
    all.push(one);
  } while (takeTexts(tokens, kind.toUpperCase()));
  const [first] = all;
  return all.length === 1 && first !== undefined ? first : { kind, all };
}

function takeNegated(tokens: Token[], source: Source, depth: number): ListCondition | null {
  if (depth > DEPTH_MAX) return null;
  if (takeTexts(tokens, 'NOT')) return negated(takeNegated(tokens, source, depth + 1), true);
  if (takeTexts(tokens, '(')) {
    const inner = takeCondition(tokens, source, depth + 1);
    return inner !== null && takeTexts(tokens, ')') ? inner : null;
  }
  const left = takeOperand(tokens, source);
  return left === null ? null : takePredicate(left, tokens, source);
}

function negated(of: ListCondition | null, isNot: boolean): ListCondition | null {
  return of !== null && isNot ? { kind: 'not', of } : of;
}

function takePredicate(left: Operand, tokens: Token[], source: Source): ListCondition | null {
  if (takeTexts(tokens, 'IS')) {
    const isNot = takeTexts(tokens, 'NOT');
    return takeTexts(tokens, 'NULL') ? negated({ kind: 'is-null', operand: left }, isNot) : null;
  }
  const isNot = takeTexts(tokens, 'NOT');
  if (takeTexts(tokens, 'LIKE')) {
    const right = takeOperand(tokens, source);
    return negated(right && { kind: 'compare', by: 'like', left, right }, isNot);
  }
  if (takeTexts(tokens, 'IN', '(')) {
    const all: ListCondition[] = [];
    do {
      const right = takeOperand(tokens, source);
      if (right === null) return null;
      all.push({ kind: 'compare', by: '=', left, right });
    } while (takeTexts(tokens, ','));
    return takeTexts(tokens, ')') ? negated({ kind: 'or', all }, isNot) : null;
  }
  if (takeTexts(tokens, 'BETWEEN')) {
    const low = takeOperand(tokens, source);
    const high = low !== null && takeTexts(tokens, 'AND') ? takeOperand(tokens, source) : null;
    if (low === null || high === null) return null;
    const all = [
      { kind: 'compare', by: '>=', left, right: low },
      { kind: 'compare', by: '<=', left, right: high },
    ] as const;
    return negated({ kind: 'and', all }, isNot);
  }
  const by = isNot ? null : takeComparison(tokens);
  const right = by === null ? null : takeOperand(tokens, source);
  return by === null || right === null ? null : { kind: 'compare', by, left, right };
}

/** The longest that stands there: each of its characters is a token. */
function takeComparison(tokens: Token[]): Comparison | null {
  for (const length of [3, 2, 1]) {
    const front = tokens.slice(0, length);
    const isJoined = front.every(
      ({ kind, start }, index) => kind === 'symbol' && (front[index - 1]?.end ?? start) === start,
    );
    const found = COMPARISONS.find((one) => one === front.map(({ text }) => text).join(''));
    if (!isJoined || found === undefined || found.length !== length) continue;
    tokens.splice(0, length);
    return found;
  }
  return null;
}

function takeOperand(tokens: Token[], source: Source): Operand | null {
  const [token] = tokens;
  if (token === undefined) return null;
  const at = token.start;
  const literal = takeLiteral(tokens, source);
  if (literal !== null) return { kind: 'text', ...literal };
  const sign = token.text === '-' && tokens[1]?.kind === 'number' ? tokens.shift() : undefined;
  const [next] = tokens;
  if (next?.kind === 'number') {
    const value = Number(textOf(next, source));
    if (!Number.isFinite(value)) return null;
    tokens.shift();
    return { kind: 'number', value: sign === undefined ? value : -value, at };
  }
  if (takeTexts(tokens, 'NULL')) return { kind: 'null', at };
  const column = takeColumn(tokens, source);
  // A function's name is the wrong word itself.
  if (column !== null && tokens[0]?.text === '(') tokens.unshift(token);
  return column === null || tokens[0] === token ? null : { kind: 'column', ...column };
}

function textOf({ start, end }: Token, { bytes }: Source): string {
  return Buffer.from(bytes.subarray(start, end)).toString('latin1');
}

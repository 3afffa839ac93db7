/**
 * A part of a matrix in which each two values that stand together in some cell stand together in
 * some row: what two causes do at once is tried, at a small part of the cost of all. Pure.
 */
import type { Dice } from './dice.js';

/** A value for each factor. */
export type Cell = Readonly<Record<string, string>>;

/** Greedy: each row has as many pairs that are still missing as any cell has; the dice decide. */
export function pairwise<One extends Cell>(cells: readonly One[], dice: Dice): readonly One[] {
  const missing = new Set(cells.flatMap(pairsOf));
  const rows: One[] = [];
  while (missing.size > 0) {
    const gains = cells.map((cell) => pairsOf(cell).filter((pair) => missing.has(pair)).length);
    const most = Math.max(...gains);
    const row = dice.of(cells.filter((_cell, index) => gains[index] === most));
    for (const pair of pairsOf(row)) missing.delete(pair);
    rows.push(row);
  }
  return rows;
}

/** Each two of its values, with the names of their factors. */
export function pairsOf(cell: Cell): readonly string[] {
  const values = Object.entries(cell).map(([factor, value]) => `${factor}=${value}`);
  return values.flatMap((one, index) => values.slice(index + 1).map((other) => `${one}, ${other}`));
}

/**
 * The cells of a matrix of faults: what a run takes of them, and how one is repeated. FAULT is the
 * name of a cell, as a failure prints it, or a part of it: with it a run takes all such cells and
 * no others. All cells of all matrices are some twenty thousand, and take half a day.
 */
import { isLong } from '../support/sample.js';
import type { IsAt } from './fault-rig.js';

const ONLY = process.env['FAULT'] ?? '';

/** Cells are named: those are taken, all of them. */
export const isNamed = ONLY !== '';

/** Not a sample. */
export const isComplete = isLong || isNamed;

export function isMeant({ name }: { readonly name: string }): boolean {
  return name.includes(ONLY);
}

/** True of the `count`th event for which `isAt` is. */
export function nth(count: number, isAt: IsAt): IsAt {
  let found = 0;
  return (event) => isAt(event) && ++found === count;
}

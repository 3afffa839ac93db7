/**
 * The cells of a matrix of faults: what a run takes of them, and how one is repeated. FAULT is the
 * name of a cell, as a failure prints it, or a part of it: with it a run takes all such cells and
 * no others. All cells of both matrices are some twenty thousand, and take half a day.
 */
import { isLong, seedFor } from '../support/sample.js';
import type { IsAt } from './fault-rig.js';

const ONLY = process.env['FAULT'] ?? '';

/** Cells are named: those are taken, all of them. */
const isNamed = ONLY !== '';

/** Not a sample. */
export const isComplete = isLong || isNamed;

export function isMeant({ name }: { readonly name: string }): boolean {
  return name.includes(ONLY);
}

interface Place {
  readonly title: string;
  /** How many events there are. */
  readonly events: number;
  /** The fault's place among those that can happen there, on any server, and how many they are. */
  readonly turn: number;
  readonly faults: number;
  /** The event that a run takes which is not long; null: none. */
  readonly picked: number | null;
}

/**
 * Which events of a place, from 1, a run strikes with one fault. A long run strikes each event with
 * one of the faults; with another one by another seed.
 */
export function numbersOf({ title, events, turn, faults, picked }: Place): readonly number[] {
  const all = Array.from({ length: events }, (_, index) => index + 1);
  if (isNamed) return all;
  const offset = seedFor(title) % faults;
  const isTaken = (nr: number) => nr === picked || (isLong && (nr + offset) % faults === turn);
  return all.filter(isTaken);
}

/** True of the `count`th event for which `isAt` is. */
export function nth(count: number, isAt: IsAt): IsAt {
  let found = 0;
  return (event) => isAt(event) && ++found === count;
}

/**
 * `nextDueTables` picks the tables that have their turn in a round, by their names and by the tries
 * that failed before. Pure.
 *
 * Invariant: a table that waits, by its name or after a try, is not picked.
 */
import type { Collectable } from '../collectable.js';
import { nextStep, type StepFacts } from '../next-step.js';

interface DueFacts extends StepFacts {
  /** Milliseconds until a table is tried again after a try that failed; 0: it may be tried. */
  retryInMs(table: Collectable): number;
}

export interface DueTables {
  /** Taken as far as they go at once, in this order. */
  readonly advance: readonly Collectable[];
  /** Already in PURGE: rows of one after another are deleted, after all of the others. */
  readonly purge: readonly Collectable[];
  /** Milliseconds until the first of the other tables has its turn; Infinity: none waits. */
  readonly againMs: number;
}

/** `tables`: in the order in which they go. */
export function nextDueTables(tables: readonly Collectable[], facts: DueFacts): DueTables {
  const { now, retryInMs } = facts;
  const [advance, purge]: [Collectable[], Collectable[]] = [[], []];
  let againMs = Number.POSITIVE_INFINITY;
  for (const table of tables) {
    const step = nextStep({ ...table, facts: null }, facts);
    const inMs = step.kind === 'wait' ? step.until.getTime() - now.getTime() : retryInMs(table);
    if (inMs > 0) againMs = Math.min(againMs, inMs);
    else if (table.state === 'PURGE' && table.early === undefined) purge.push(table);
    else advance.push(table);
  }
  return { advance, purge, againMs };
}

/**
 * `nextDueTables` picks the tables to work on in a round, by their names and by earlier failed
 * tries. Pure.
 *
 * Invariant: a table that waits, by its name or after a try, is not picked.
 */
import type { Collectable } from '../collectable.js';
import { nextStep, type StepFacts } from '../next-step.js';

interface DueFacts extends StepFacts {
  /** Milliseconds until a table is tried again after a failed try; 0: it may be tried. */
  retryInMs(table: Collectable): number;
}

export interface DueTables {
  /** Moved on as far as they can go, in this order. */
  readonly advance: readonly Collectable[];
  /** Already in PURGE: purged one after another, after the other tables. */
  readonly purge: readonly Collectable[];
  /** Milliseconds until the first of the other tables has its turn; Infinity: none waits. */
  readonly againMs: number;
}

/** `tables`: in the order of the work. */
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

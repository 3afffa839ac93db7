/**
 * Counters of the process: plain integers, added to on the hot path and read by whoever reports
 * them. No labels for each query, no objects. Refusals are counted by the fault of their error.
 */
import type { Fault } from './errors.js';

const NONE = {
  sessionsTotal: 0,
  sessionsOpen: 0,
  /** Turned away, because too many were open. */
  sessionsRefused: 0,
  bytesFromClients: 0,
  bytesFromServers: 0,
  dropsHeld: 0,
  /** Held tables that clients have brought back. */
  tablesRestored: 0,
  /** Statements that were passed on, and would have been held or refused. */
  dropsObserved: 0,
  /** Statements that undrop refused, by who has to act. */
  refusalsForClients: 0,
  refusalsForServers: 0,
  refusalsForOperators: 0,
  refusalsForUs: 0,
  sessionsUntracked: 0,
};

export type Counters = typeof NONE;

export function newCounters(): Counters {
  return { ...NONE };
}

/** The counter of the statements that were refused with an error of such a fault. */
export const REFUSALS = {
  client: 'refusalsForClients',
  upstream: 'refusalsForServers',
  operator: 'refusalsForOperators',
  us: 'refusalsForUs',
} as const satisfies Record<Fault, keyof Counters>;

/** Counters of several processes as those of one. */
export function addCounters(all: readonly Counters[]): Counters {
  const sum = newCounters();
  for (const counters of all) {
    for (const key of Object.keys(sum) as (keyof Counters)[]) sum[key] += counters[key];
  }
  return sum;
}

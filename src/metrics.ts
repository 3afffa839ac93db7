/**
 * Counters of the process: plain integers, added to on the hot path and read by whoever reports
 * them. No labels for each query, no objects. Refusals are counted by the fault of their error.
 */
import type { Fault } from './errors.js';

export interface Counters {
  sessionsTotal: number;
  sessionsOpen: number;
  /** Turned away, as too many were open. */
  sessionsRefused: number;
  bytesFromClients: number;
  bytesFromServers: number;
  dropsHeld: number;
  /** Statements that were passed on, and would have been held or refused. */
  dropsObserved: number;
  /** Statements that undrop refused, by who has to act. */
  refusalsForClients: number;
  refusalsForServers: number;
  refusalsForOperators: number;
  refusalsForUs: number;
  sessionsUntracked: number;
}

export function newCounters(): Counters {
  return {
    sessionsTotal: 0,
    sessionsOpen: 0,
    sessionsRefused: 0,
    bytesFromClients: 0,
    bytesFromServers: 0,
    dropsHeld: 0,
    dropsObserved: 0,
    refusalsForClients: 0,
    refusalsForServers: 0,
    refusalsForOperators: 0,
    refusalsForUs: 0,
    sessionsUntracked: 0,
  };
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

/**
 * Counters of the process: plain numbers, added to on the hot path and read by whoever reports them
 * (admin/metrics.ts). No labels for each query, no objects; the lines of the audit, which are few,
 * are counted by their event and what tells one from another.
 */
import type { AuditEvent } from './audit.js';
import type { Fault } from './errors.js';

const NONE = {
  sessionsTotal: 0,
  sessionsOpen: 0,
  /** Turned away, because too many were open. */
  sessionsRefused: 0,
  /** Sessions that reached no server, those that ended in their login, and those that came in. */
  loginsUnreached: 0,
  loginsFailed: 0,
  loginsOk: 0,
  /** Commands that were read, of whatever kind. */
  commandsTotal: 0,
  /** Packets that undrop read itself, and how long they took together. */
  answersTotal: 0,
  answersMs: 0,
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
  /** The longest delay of the event loop in the last second; of several processes the worst. */
  loopDelayMsMax: 0,
};

type Numbers = typeof NONE;

export interface Counters extends Numbers {
  /** Lines of the audit, by `auditKey`. */
  readonly audited: Record<string, number>;
}

export function newCounters(): Counters {
  return { ...NONE, audited: {} };
}

/** An event, and by bars what tells its lines from each other: how, the error's code, states. */
export function auditKey(event: AuditEvent): string {
  switch (event.event) {
    case 'held':
      return `held|${event.how ?? ''}`;
    case 'refused':
      return `refused|${event.code ?? ''}`;
    case 'transition':
      return `transition|${event.from}|${event.to}`;
    default:
      return event.event;
  }
}

/** Counts each line; one of statements that failed for a held table stands for several. */
export function countAudit({ audited }: Counters): (event: AuditEvent) => void {
  return (event) => {
    const key = auditKey(event);
    audited[key] = (audited[key] ?? 0) + (event.event === 'used-while-held' ? event.count : 1);
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
    for (const key of Object.keys(NONE) as (keyof Numbers)[]) {
      if (key === 'loopDelayMsMax') sum[key] = Math.max(sum[key], counters[key]);
      else sum[key] += counters[key];
    }
    for (const [key, count] of Object.entries(counters.audited)) {
      sum.audited[key] = (sum.audited[key] ?? 0) + count;
    }
  }
  return sum;
}

/**
 * Counters of the process: plain numbers, added to on the hot path and read by whoever reports them
 * (admin/metrics.ts). No labels for each query, no objects; the lines of the audit, which are few,
 * are counted by their event and what tells one from another.
 */
import type { AuditEvent } from './audit.js';

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

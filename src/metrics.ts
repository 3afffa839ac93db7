/**
 * Counters of the process: plain numbers, incremented on the hot path and read by reporters
 * (admin/metrics.ts). No labels for each query, no objects; audit lines, which are few, are counted
 * by event and variant.
 */
import type { AuditEvent } from './audit.js';

const NONE = {
  sessionsTotal: 0,
  sessionsOpen: 0,
  /** Refused, because too many were open. */
  sessionsRefused: 0,
  /**
   * Sessions that reached no server, those that failed in their login, and those that logged in.
   */
  loginsUnreached: 0,
  loginsFailed: 0,
  loginsOk: 0,
  /** Commands of all kinds. */
  commandsTotal: 0,
  /** Packets that undrop read itself, and the time for them in total. */
  answersTotal: 0,
  answersMs: 0,
  bytesFromClients: 0,
  bytesFromServers: 0,
  sessionsUntracked: 0,
  /** Events that a webhook has taken, and those that were given up or had no room in its queue. */
  webhookSent: 0,
  webhookLost: 0,
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

/** The event and its variant, separated by bars: how, the error's code, states. */
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

/** Counts each line; a line about several failed statements counts as several. */
export function countAudit({ audited }: Counters): (events: readonly AuditEvent[]) => void {
  return (events) => {
    for (const event of events) {
      const key = auditKey(event);
      audited[key] = (audited[key] ?? 0) + (event.event === 'used-while-held' ? event.count : 1);
    }
  };
}

/** The counters of several processes as one. */
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

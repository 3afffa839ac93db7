/**
 * Counters of the process: plain numbers, incremented on the hot path and read by reporters
 * (runtime/admin/metrics.ts). No labels for each query, no objects; audit lines, which are few, are
 * counted by event and variant, and durations, which are few or sampled, by bucket.
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
  /** DROP TABLE and DROP DATABASE that were sent to the server as such, by clients or by undrop. */
  dropsSent: 0,
  /** The longest delay of the event loop in the last second; of several processes the worst. */
  loopDelayMsMax: 0,
};

type Numbers = typeof NONE;

export interface Counters extends Numbers {
  /** Lines of the audit, by `auditKey`. */
  readonly audited: Record<string, number>;
  /** Durations by `histogram|label|bucket`, and their sums by `histogram|label|sum`. */
  readonly durations: Record<string, number>;
}

export function newCounters(): Counters {
  return { ...NONE, audited: {}, durations: {} };
}

/** The upper bounds of the buckets of each histogram, in seconds. */
export const BUCKETS = {
  relay: [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005],
  login: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  drop: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
} as const;

/** Counts a duration. `label`: the variant, without bars. */
export function observe(
  { durations }: Counters,
  histogram: keyof typeof BUCKETS,
  { ms, label = '' }: { readonly ms: number; readonly label?: string },
): void {
  const seconds = ms / 1_000;
  const bound = BUCKETS[histogram].find((one) => seconds <= one) ?? Number.POSITIVE_INFINITY;
  const key = `${histogram}|${label}`;
  durations[`${key}|${bound}`] = (durations[`${key}|${bound}`] ?? 0) + 1;
  durations[`${key}|sum`] = (durations[`${key}|sum`] ?? 0) + seconds;
}

/** The event and its variant, separated by bars: how, the error's code, states. */
function auditKey(event: AuditEvent): string {
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

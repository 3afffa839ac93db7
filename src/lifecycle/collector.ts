/**
 * The collector of one proxy takes held tables through their lifecycle while this proxy has the
 * server's lock, and waits for the lock otherwise (leader.ts). A timer or a wake only says that a
 * round is due; each round (rounds.ts) reads names and clock from the server.
 */
import { performance } from 'node:perf_hooks';
import { forgetLook, newCollectorFigures } from './figures.js';
import { leadWhenever, Wakeup } from './leader/leader.js';
import { type CollectorOptions, Rounds } from './rounds/rounds.js';
import { newThrottle } from './throttle/throttle.js';

export interface Collector {
  /** Something was dropped: the next round comes soon. Cheap; may be called for every drop. */
  wake(): void;
  /**
   * Ends at the next pause (a statement under way is finished), and frees the lock. Twice is fine.
   */
  stop(): Promise<void>;
}

/** So that whoever has lowered a limit by mistake can say `undrop pause`. */
const NOTICE_MS = 60_000;

/** Starts collecting in the background. */
export function startCollector(options: CollectorOptions): Collector {
  const { settings, log, pool, clock } = options;
  if (settings.collect === 'off') {
    log.info({ event: 'collector' }, 'this proxy does not collect (UNDROP_COLLECT=off)');
    return { wake: () => undefined, stop: async () => undefined };
  }
  const stopping = new AbortController();
  const wakeup = new Wakeup();
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const lastSeen = options.lastSeen ?? new Map();
  const { signal } = stopping;
  const throttle = newThrottle(options, monotonicMs);
  const figures = options.figures ?? newCollectorFigures();
  const running = leadWhenever({ pool, clock, log, signal }, async (leadership) => {
    const noticeMs = Math.min(NOTICE_MS, settings.checkIntervalMs);
    const shared = { ...options, lastSeen, monotonicMs, throttle, figures, noticeMs };
    figures.leads = true;
    try {
      await new Rounds({ ...shared, leadership, wakeup, signal }).run();
    } finally {
      forgetLook(figures);
    }
  });
  return {
    wake: () => wakeup.wake(),
    stop: async () => {
      stopping.abort();
      wakeup.wake();
      await running;
    },
  };
}

/**
 * The collector of one proxy moves held tables through their lifecycle while this proxy has the
 * server's lock, and waits for the lock otherwise (leader.ts). A timer or a wake only starts a
 * round; each round (rounds.ts) reads names and clock from the server.
 */
import type { ActionContext } from './action-context.js';
import { NOT_COLLECTING, newCollectorFigures } from './figures.js';
import type { ClocksByServer } from './leader/grace.js';
import { leadWhenever, Wakeup } from './leader/leader.js';
import type { RecoveryOptions } from './rounds/recovery-rounds.js';
import { Rounds } from './rounds/rounds.js';
import { type Replica, Throttle } from './throttle/throttle.js';

/**
 * `pool`: that of the collected server; one connection is kept while this proxy collects.
 * `reconcile`: run before each full round, on the lock's connection. `figures`: default: discarded.
 * `monotonicMs`: default: the clock of the process.
 */
export interface CollectorOptions
  extends Pick<ActionContext, 'pool' | 'proxyId' | 'settings' | 'clock' | 'log'>,
    Partial<Pick<ActionContext, 'figures' | 'monotonicMs'>>,
    Pick<RecoveryOptions, 'reconcile' | 'activeIds'> {
  /** The configured replicas; default: none. */
  readonly replicas?: readonly Replica[];
  /** The server's clock as an earlier collector of this process saw it; default: none. */
  readonly lastSeen?: ClocksByServer;
}

export interface Collector {
  /** A table was dropped: the next round comes soon. Cheap; may be called for every drop. */
  wake(): void;
  /**
   * Ends at the next pause (a running statement is completed), and frees the lock. May be called
   * twice.
   */
  stop(): Promise<void>;
}

/** Time to run `undrop pause` after a limit was lowered by mistake. */
const NOTICE_MS = 60_000;

/** Starts collecting in the background. */
export function startCollector(options: CollectorOptions): Collector {
  const { settings, log, pool, clock } = options;
  if (settings.collect === 'off') {
    log.info({ event: 'collector' }, 'started without a collector; UNDROP_COLLECT is off');
    return { wake: () => undefined, stop: async () => undefined };
  }
  const stopping = new AbortController();
  const wakeup = new Wakeup();
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const lastSeen = options.lastSeen ?? new Map();
  const { signal } = stopping;
  const throttle = new Throttle({ ...options, monotonicMs });
  const figures = options.figures ?? newCollectorFigures();
  const running = leadWhenever({ pool, clock, log, signal }, async (leadership) => {
    const noticeMs = Math.min(NOTICE_MS, settings.checkIntervalMs);
    const shared = { ...options, lastSeen, monotonicMs, throttle, figures, noticeMs };
    figures.leads = true;
    figures.leaderId = leadership.threadId;
    figures.onLead?.();
    try {
      await new Rounds({ ...shared, leadership, wakeup, signal }).run();
    } finally {
      // Another proxy may collect now.
      Object.assign(figures, NOT_COLLECTING);
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

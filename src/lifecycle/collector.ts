/**
 * The collector of one proxy takes held tables through their lifecycle while this proxy has the
 * server's lock, and waits for the lock otherwise (leader.ts). A timer or a wake only says that a
 * round is due; each round (rounds.ts) reads names and clock from the server.
 */
import { performance } from 'node:perf_hooks';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Reconcile } from '../recovery/reconcile.js';
import type { ServicePool } from '../service/pool/pools.js';
import { type CollectorFigures, forgetLook, newCollectorFigures } from './figures.js';
import type { ClocksByServer } from './leader/grace.js';
import { leadWhenever } from './leader/leader.js';
import { Wakeup } from './leader/wakeup.js';
import type { LifecycleSettings } from './next-step.js';
import { Rounds } from './rounds.js';
import type { Replica } from './throttle/replica-lag.js';
import { Throttle } from './throttle/throttle.js';

export interface CollectorOptions {
  /** The pool of the server that is collected; one connection is kept while this proxy collects. */
  readonly pool: ServicePool;
  /** Those of the settings; default: none. */
  readonly replicas?: readonly Replica[];
  readonly proxyId: string;
  readonly settings: LifecycleSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Recovery, run before each full round, on the lock's connection. */
  readonly reconcile: Reconcile;
  /** Drops that this proxy is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  /** What an earlier collector of this process saw of the server's clock; default: nothing. */
  readonly lastSeen?: ClocksByServer;
  /** What it says of itself is written here; default: nobody reads it. */
  readonly figures?: CollectorFigures;
  /** Milliseconds of a clock that nobody sets; default: the process's. */
  readonly monotonicMs?: () => number;
}

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

/** What the collector of that pool waits for, whoever runs it. */
export function newThrottle(
  {
    pool,
    settings,
    replicas = [],
  }: Pick<CollectorOptions, 'pool' | 'replicas'> & {
    readonly settings: Pick<LifecycleSettings, 'throttle'>;
  },
  monotonicMs: () => number,
): Throttle {
  return new Throttle({ settings: settings.throttle, replicas, connection: pool, monotonicMs });
}

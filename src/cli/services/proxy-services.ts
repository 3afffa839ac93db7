/**
 * What a proxy has once, however many processes serve its clients: the ledger, the recovery of what
 * a killed proxy left, and the collector; on one server (ledger-server-keeper.ts says on which).
 *
 * Invariants: where the ledger can't be reached, nothing of this stops the proxy: sessions are
 * relayed, drops are refused, and it is tried again. On a read-only server nothing of it writes: a
 * replica's ledger is its source's, and so are the drops that it says are under way.
 */
import { systemClock } from '../../clock.js';
import { ensureLedger } from '../../ledger/tables.js';
import { type Collector, startCollector } from '../../lifecycle/collector.js';
import type { LastSeen } from '../../lifecycle/leader/grace-keeper.js';
import type { LifecycleSettings } from '../../lifecycle/settings.js';
import type { Log } from '../../log.js';
import type { TableState } from '../../names/hold-name.js';
import {
  newRecoveryCursors,
  type ReconcileOptions,
  reconcile,
  serialize,
} from '../../recovery/reconcile.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { areHeld, type ProxySettings } from '../proxy-settings.js';

const LEDGER_RETRY_MS = 5_000;
/** A start waits no longer for the ledger: one of an earlier version may take long to complete. */
const LEDGER_WAIT_MS = 2_000;
/** So long a recovery may keep the proxy from its end: all of it can be done again. */
const STOP_WITHIN_MS = 5_000;
/** Later it is for whoever collects. */
const LOOKS_END_MS = 3_600_000;

export interface ProxyServicesOptions {
  /** Of the server that is collected. */
  readonly pool: ServicePool;
  readonly proxyId: string;
  /** Drops that this process is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  /** What this process has seen of servers' clocks; default: nothing. */
  readonly lastSeen?: LastSeen;
  readonly log: Log;
}

export class ProxyServices {
  readonly #options: ProxyServicesOptions;
  readonly #stopping = new AbortController();
  #recovering: Promise<void> = Promise.resolve();
  #collector: Collector;
  readonly #walks = newRecoveryCursors();
  readonly #reconcile = serialize((pool: ServicePool, options: ReconcileOptions) =>
    reconcile(pool, { walks: this.#walks, ...options }),
  );
  readonly #lastSeen: LastSeen;
  /** Collectors one after another: the old one is done before the next begins. */
  #changing: Promise<void> = Promise.resolve();

  /** Makes the ledger, so that the first drop finds it, and goes on in the background. */
  static async open(
    options: ProxyServicesOptions,
    settings: ProxySettings,
  ): Promise<ProxyServices> {
    // A log that is replayed brings the ledger along.
    const isReplay = settings.mode === 'replay';
    const ledger = isReplay ? 'not-ready' : await makeLedgerSoon(options);
    const home = new ProxyServices(options, settings);
    const signal = home.#stopping.signal;
    const holds = areHeld(settings);
    if (isReplay) return home;
    home.#recovering = recover({ ...options, ledger, holds, signal, reconcile: home.#reconcile });
    return home;
  }

  private constructor(options: ProxyServicesOptions, settings: ProxySettings) {
    this.#options = options;
    this.#lastSeen = options.lastSeen ?? new Map();
    this.#collector = this.#collect(settings);
  }

  /** Something was dropped, in whatever process: the collector looks again soon. */
  wake(because: string): void {
    this.#collector.wake(because);
  }

  /** The collector goes on by other settings; it finishes the statement that it is in. */
  change(settings: ProxySettings): Promise<void> {
    this.#changing = this.#changing.then(async () => {
      await this.#collector.stop();
      if (!this.#stopping.signal.aborted) this.#collector = this.#collect(settings);
    });
    return this.#changing;
  }

  /** Ends the collector at its next pause, and waits 5 s at most for what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const over = new AbortController();
    const ended = (async () => {
      await this.#collector.stop();
      await this.#changing;
      await this.#recovering;
    })().finally(() => over.abort());
    await Promise.race([ended, systemClock.sleep(STOP_WITHIN_MS, over.signal)]);
  }

  #collect(settings: ProxySettings): Collector {
    return startCollector({
      ...this.#options,
      clock: systemClock,
      lastSeen: this.#lastSeen,
      reconcile: this.#reconcile,
      settings: lifecycleSettings(settings),
    });
  }
}

function lifecycleSettings(settings: ProxySettings): LifecycleSettings {
  return {
    ...settings,
    collect: settings.mode === 'replay' ? 'off' : settings.collect,
    lifecycle: settings.lifecycle.map((state) => state.toUpperCase() as TableState),
    holdMs: settings.hold,
    evacMs: settings.evac,
    checkIntervalMs: settings.checkInterval,
    purgeCheckIntervalMs: settings.purgeCheckInterval,
    graceMs: settings.grace,
    ledgerKeepMs: settings.ledgerKeep,
  };
}

type LedgerIs = 'ready' | 'not-ready' | 'read-only';

async function makeLedgerSoon(options: ProxyServicesOptions): Promise<LedgerIs> {
  const over = new AbortController();
  const late = systemClock.sleep(LEDGER_WAIT_MS, over.signal).then(() => 'not-ready' as const);
  try {
    return await Promise.race([makeLedger(options), late]);
  } finally {
    over.abort();
  }
}

async function makeLedger({ pool, log }: ProxyServicesOptions): Promise<LedgerIs> {
  try {
    if ((await readServerFacts(pool)).readOnly) return 'read-only';
    await ensureLedger(pool);
    return 'ready';
  } catch (error) {
    log.warn({ err: error }, 'the ledger is not ready; drops are refused until it is');
    return 'not-ready';
  }
}

/**
 * Completes what a killed proxy left; tries until the ledger is there. A session of that proxy may
 * outlive it; what that is in the middle of is looked at again, as another proxy may collect.
 */
async function recover(
  options: ProxyServicesOptions & {
    readonly signal: AbortSignal;
    readonly ledger: LedgerIs;
    /** Whether the settings hold what is dropped. */
    readonly holds: boolean;
    readonly reconcile: typeof reconcile;
  },
): Promise<void> {
  const { pool, log, signal } = options;
  let { ledger } = options;
  let left: readonly string[] | null = null;
  let saidReadOnly = false;
  for (let pauseMs = LEDGER_RETRY_MS; pauseMs < LOOKS_END_MS && !signal.aborted; ) {
    try {
      if (ledger === 'read-only' && !saidReadOnly) {
        saidReadOnly = true;
        log.info({ event: 'ledger' }, 'the server is read-only: the ledger there is left alone');
      }
      if (ledger === 'ready') {
        const { untouched } = await options.reconcile(pool, options);
        const consequence = options.holds ? ': dropped tables will be held' : '';
        if (left === null) log.info({ event: 'ledger' }, `the ledger is ready${consequence}`);
        const before: readonly string[] = left ?? untouched;
        left = untouched.filter((id) => before.includes(id));
        if (left.length === 0) return;
      }
    } catch (error) {
      log.warn({ err: error }, 'what an ended proxy left could not be settled yet');
    }
    await systemClock.sleep(pauseMs, signal);
    if (left !== null) pauseMs *= 2;
    // Each time: a source may have become a replica meanwhile.
    ledger = await makeLedger(options);
  }
}

/**
 * Runs what a proxy has once, however many processes serve its clients: the ledger, the recovery
 * of what a killed proxy left, and the collector, on one server (ledger-server.ts says on which).
 *
 * Invariants: if the ledger can't be reached, the proxy goes on: sessions are relayed, drops are
 * refused, and it is tried again. On a read-only server nothing is written: a replica's ledger is
 * its source's, and so are the drops that it says are under way.
 */
import { systemClock, withinMs } from '../../clock.js';
import { ensureLedger } from '../../ledger/tables.js';
import { type Collector, startCollector } from '../../lifecycle/collector.js';
import type { CollectorFigures } from '../../lifecycle/figures.js';
import type { ClocksByServer } from '../../lifecycle/leader/grace.js';
import type { LifecycleSettings } from '../../lifecycle/next-step.js';
import { findThrottleFaults, type Replica } from '../../lifecycle/throttle/throttle.js';
import type { Log } from '../../log.js';
import {
  finishing,
  newRecoveryCursors,
  type Reconcile,
  reconcile,
  serialize,
} from '../../recovery/reconcile.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { describeAddress, type ServerAddress } from '../../service/server-address.js';
import { readServerFacts } from '../../service/server-facts.js';
import { lifecycleSettings, type ProxySettings } from '../settings.js';

const LEDGER_RETRY_MS = 5_000;
/** A start waits no longer for the ledger: one of an earlier version may take long to complete. */
const LEDGER_WAIT_MS = 2_000;
/** How long the end of a proxy waits for a recovery: all of it can be done again. */
const STOP_WITHIN_MS = 5_000;
/** After that it is left to whoever collects. */
const RECOVERY_ENDS_MS = 3_600_000;

export interface ProxyServicesOptions {
  /** The pool of the server that is collected. */
  readonly pool: ServicePool;
  readonly proxyId: string;
  /** Drops that this process is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  /** The pool of another server. */
  poolAt(address: ServerAddress): ServicePool;
  /** The collector's own figures; default: nobody reads them. */
  readonly figures?: CollectorFigures;
  /** The clocks of servers as this process has seen them; default: none. */
  readonly lastSeen?: ClocksByServer;
  readonly log: Log;
}

export class ProxyServices {
  readonly #options: ProxyServicesOptions;
  readonly #stopping = new AbortController();
  readonly #recovering: Promise<void>;
  readonly collector: Collector;
  readonly #lifecycle: LifecycleSettings;
  readonly #cursors = newRecoveryCursors();
  readonly #reconcile: Reconcile;

  /** Creates the ledger first, so that the first drop finds it. */
  static async open(
    options: ProxyServicesOptions,
    settings: ProxySettings,
  ): Promise<ProxyServices> {
    return new ProxyServices(options, settings, await openLedger(options));
  }

  /** `ledger`: what `openLedger` has found. */
  constructor(options: ProxyServicesOptions, settings: ProxySettings, ledger: LedgerIs) {
    this.#options = options;
    const recover: Reconcile = (pool, how) => reconcile(pool, { cursors: this.#cursors, ...how });
    this.#reconcile = serialize(finishing(options.pool, recover));
    this.#lifecycle = lifecycleSettings(settings);
    this.collector = this.#collect();
    this.#recovering = this.#recover(ledger);
  }

  /** Ends the collector at its next pause, and waits 5 s at most for what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await withinMs(
      STOP_WITHIN_MS,
      this.collector.stop().then(() => this.#recovering),
    );
  }

  get #replicas(): readonly Replica[] {
    return this.#lifecycle.throttle.replicas.map((address) => ({
      name: describeAddress(address),
      connection: this.#options.poolAt(address),
    }));
  }

  #collect(): Collector {
    return startCollector({
      ...this.#options,
      replicas: this.#replicas,
      clock: systemClock,
      reconcile: this.#reconcile,
      settings: this.#lifecycle,
    });
  }

  /** Warns now of what the collector would report when a table is due, in days. */
  async #checkThrottle(): Promise<void> {
    const { pool, log } = this.#options;
    if (this.#lifecycle.collect === 'off') return;
    for (const fault of await findThrottleFaults(pool, this.#lifecycle.throttle, this.#replicas)) {
      log.warn({ event: 'collector' }, `cannot collect tables when they are due: ${fault}`);
    }
  }

  /**
   * Completes what a killed proxy left; tries until the ledger is there. A session of that proxy
   * may outlive it; its drops are checked again, because another proxy may collect.
   */
  async #recover(found: LedgerIs): Promise<void> {
    const { pool, log } = this.#options;
    const { signal } = this.#stopping;
    let ledger = found;
    let left: readonly string[] | null = null;
    let saidReadOnly = false;
    for (let pauseMs = LEDGER_RETRY_MS; pauseMs < RECOVERY_ENDS_MS && !signal.aborted; ) {
      try {
        if (ledger === 'read-only' && !saidReadOnly) {
          saidReadOnly = true;
          log.info({ event: 'ledger' }, 'left the ledger alone, because the server is read-only');
        }
        if (ledger === 'ready') {
          const { untouched } = await this.#reconcile(pool, this.#options);
          if (left === null) {
            log.info({ event: 'ledger' }, 'opened the ledger; drops are held');
            await this.#checkThrottle();
          }
          const before: readonly string[] = left ?? untouched;
          left = untouched.filter((id) => before.includes(id));
          if (left.length === 0) return;
        }
      } catch (error) {
        log.warn({ err: error }, 'cannot resolve yet what an ended proxy left; trying again');
      }
      await systemClock.sleep(pauseMs, signal);
      if (left !== null) pauseMs *= 2;
      // Each time: a source may have become a replica meanwhile.
      ledger = await makeLedger(this.#options);
    }
  }
}

export type LedgerIs = 'ready' | 'not-ready' | 'read-only';

/** Creates the ledger, so that the first drop finds it; no start waits longer than two seconds. */
export async function openLedger(
  options: Pick<ProxyServicesOptions, 'pool' | 'log'>,
): Promise<LedgerIs> {
  return (await withinMs(LEDGER_WAIT_MS, makeLedger(options))) ?? 'not-ready';
}

async function makeLedger({
  pool,
  log,
}: Pick<ProxyServicesOptions, 'pool' | 'log'>): Promise<LedgerIs> {
  try {
    if ((await readServerFacts(pool)).readOnly) return 'read-only';
    await ensureLedger(pool);
    return 'ready';
  } catch (error) {
    log.warn({ err: error }, 'cannot open the ledger; drops are refused until it is there');
    return 'not-ready';
  }
}

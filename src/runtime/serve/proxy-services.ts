/**
 * Runs what a proxy has once, however many processes serve its clients: the ledger, the recovery
 * of what a killed proxy left, and the collector, on one server (ledger-server.ts says on which).
 *
 * Invariants: if the ledger can't be reached, the proxy goes on: sessions are relayed, drops are
 * refused, and it is tried again. On a read-only server nothing is written: a replica's ledger is
 * its source's, and so are the drops that it says are under way.
 */
import { systemClock, withinMs } from '../../clock.js';
import type { Collector, CollectorOptions } from '../../collector/collector.js';
import { startCollector } from '../../collector/collector.js';
import type { Reconcile } from '../../collector/reconcile.js';
import { finishing, newRecoveryCursors, reconcile, serialize } from '../../collector/reconcile.js';
import { findThrottleFaults, type Replica } from '../../collector/throttle/throttle.js';
import type { PoolSet } from '../../connections/pool/pool-set.js';
import { describeAddress } from '../../connections/server-address.js';
import { readServerFacts, type ServicePool } from '../../connections/sql.js';
import { lifecycleSettings, type ProxySettings } from '../../faces/cli/settings.js';
import { ensureLedger } from '../../ledger/tables.js';
import type { Log } from '../../log.js';

const LEDGER_RETRY_MS = 5_000;
/** A start waits no longer for the ledger: one of an earlier version may take long to complete. */
const LEDGER_WAIT_MS = 2_000;
/** How long the end of a proxy waits for a recovery: all of it can be done again. */
const STOP_WITHIN_MS = 5_000;
/** After that it is left to whoever collects. */
const RECOVERY_ENDS_MS = 3_600_000;

type OfCollector = 'pool' | 'proxyId' | 'activeIds' | 'figures' | 'lastSeen' | 'log';

export interface ProxyServicesOptions extends Required<Pick<CollectorOptions, OfCollector>> {
  readonly pools: PoolSet;
}

export class ProxyServices {
  readonly #options: ProxyServicesOptions;
  readonly #stopping = new AbortController();
  readonly #recovering: Promise<void>;
  readonly collector: Collector;
  readonly #lifecycle: ReturnType<typeof lifecycleSettings>;
  readonly #reconcile: Reconcile;

  /** `ledger`: as `openLedger` has found it. */
  constructor(options: ProxyServicesOptions, settings: ProxySettings, ledger: LedgerIs) {
    this.#options = options;
    const cursors = newRecoveryCursors();
    const recover: Reconcile = (on, how) => reconcile(on, { cursors, ...how });
    this.#reconcile = serialize(finishing(options.pool, recover));
    this.#lifecycle = lifecycleSettings(settings);
    this.collector = startCollector({
      ...this.#options,
      replicas: this.#replicas,
      clock: systemClock,
      reconcile: this.#reconcile,
      settings: this.#lifecycle,
    });
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
      connection: this.#options.pools.at(address),
    }));
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
      ledger = await makeLedger(pool, log);
    }
  }
}

export type LedgerIs = 'ready' | 'not-ready' | 'read-only';

/** Creates the ledger, so that the first drop finds it; no start waits longer than two seconds. */
export async function openLedger(pool: ServicePool, log: Log): Promise<LedgerIs> {
  return (await withinMs(LEDGER_WAIT_MS, makeLedger(pool, log))) ?? 'not-ready';
}

async function makeLedger(pool: ServicePool, log: Log): Promise<LedgerIs> {
  try {
    if ((await readServerFacts(pool)).readOnly) return 'read-only';
    await ensureLedger(pool);
    return 'ready';
  } catch (error) {
    log.warn({ err: error }, 'cannot open the ledger; drops are refused until it is there');
    return 'not-ready';
  }
}

/**
 * Keeps the home of a proxy (proxy-services.ts) on the server that takes writes: behind a failover
 * it is opened anew on the other one, where recovery and the collector go on.
 *
 * Invariant: one home at a time; the old one has ended, or had its time for that, before the next
 * begins.
 */
import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import { describeAddress } from '../../service/errors.js';
import type { FoundServer, PoolSet } from '../../service/pool/pool-set.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import { resolveUpstream } from '../../session/dial/dial.js';
import type { ProxySettings } from '../proxy-settings.js';
import type { ActiveDrops } from './active-drops.js';
import { findLedgerServer, isSameAddress } from './find-ledger-server.js';
import { ProxyServices, type ProxyServicesOptions } from './proxy-services.js';

/** How often it is asked which server takes writes: a login each time. */
const LOOK_EVERY_MS = 5_000;
/** So long it may keep the proxy from its end, a move that is under way included. */
const STOP_WITHIN_MS = 6_000;

export interface LedgerServerKeeperOptions
  extends Omit<ProxyServicesOptions, 'pool' | 'activeIds'> {
  readonly pools: PoolSet;
  readonly activeDrops: ActiveDrops;
  /** Another server has that address: for processes with pools of their own. */
  onTakenOver?(address: ServerAddress): void;
}

export class LedgerServerKeeper {
  readonly #options: LedgerServerKeeperOptions;
  readonly #stopping = new AbortController();
  #settings: ProxySettings;
  /** Null where none has answered yet. */
  #at: FoundServer | null;
  #home: ProxyServices;
  readonly #watching: Promise<void>;
  /** One change after another. */
  #changing: Promise<void> = Promise.resolve();

  /**
   * Opens it at the first upstream that takes writes. Where none answers that is the first, which
   * may come up later. Rejects with UNDROP_ACCOUNT where a server refuses the account.
   */
  static async open(
    options: LedgerServerKeeperOptions,
    settings: ProxySettings,
  ): Promise<LedgerServerKeeper> {
    const [first] = settings.upstream;
    assert(first !== undefined, 'at least one upstream is configured');
    const at = await find(options, settings, null);
    const lastSeen: ProxyServicesOptions['lastSeen'] = new Map();
    const own = { ...options, lastSeen };
    const home = await openAt(own, settings, at?.address ?? first);
    return new LedgerServerKeeper(own, { settings, at, home });
  }

  private constructor(
    options: LedgerServerKeeperOptions,
    found: {
      readonly settings: ProxySettings;
      readonly at: FoundServer | null;
      readonly home: ProxyServices;
    },
  ) {
    this.#options = options;
    this.#settings = found.settings;
    this.#at = found.at;
    this.#home = found.home;
    this.#watching = this.#watch();
  }

  /** max_connections of the server; null where none has answered yet. */
  get connectionsMax(): number | null {
    return this.#at?.connectionsMax ?? null;
  }

  /** As of `ProxyServices`. */
  wake(because: string): void {
    this.#home.wake(because);
  }

  change(settings: ProxySettings): Promise<void> {
    this.#settings = settings;
    return this.#serialize(() => this.#home.change(settings));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const over = new AbortController();
    const ended = (async () => {
      await this.#home.stop();
      await this.#watching;
    })().finally(() => over.abort());
    await Promise.race([ended, systemClock.sleep(STOP_WITHIN_MS, over.signal)]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#options;
    for (;;) {
      await systemClock.sleep(LOOK_EVERY_MS, signal);
      if (signal.aborted) return;
      try {
        const found = await find(this.#options, this.#settings, this.#at);
        if (signal.aborted) return;
        if (found !== null && !isSame(found, this.#at)) {
          await this.#serialize(() => this.#move(found));
        }
      } catch (error) {
        log.warn({ event: 'home', err: error }, 'which server takes writes is not known');
      }
    }
  }

  async #move(found: FoundServer): Promise<void> {
    const { pools, log, onTakenOver } = this.#options;
    const before = this.#at;
    const [server, old] = [found, before].map((at) => at && describeAddress(at.address));
    const what = before === null ? 'a server answers' : 'another server takes writes';
    log.info({ event: 'home', server, before: old }, `${what}: the ledger and collector are there`);
    await this.#home.stop();
    if (this.#stopping.signal.aborted) return;
    this.#at = found;
    if (isSameAddress(found.address, before)) {
      pools.renew(found.address);
      onTakenOver?.(found.address);
    }
    const home = await openAt(this.#options, this.#settings, found.address);
    this.#home = home;
    if (this.#stopping.signal.aborted) await home.stop();
  }

  #serialize(work: () => Promise<void>): Promise<void> {
    const done = this.#changing.then(work);
    this.#changing = done.catch(() => undefined);
    return done;
  }
}

function openAt(
  options: LedgerServerKeeperOptions,
  settings: ProxySettings,
  address: ServerAddress,
): Promise<ProxyServices> {
  const pool = options.pools.at(address);
  return ProxyServices.open(
    { ...options, pool, activeIds: options.activeDrops.at(pool) },
    settings,
  );
}

function find(
  { pools, log }: LedgerServerKeeperOptions,
  { upstream, connectTimeout: connectTimeoutMs }: ProxySettings,
  home: FoundServer | null,
): Promise<FoundServer | null> {
  return findLedgerServer({
    upstream,
    home,
    resolve: (one) => resolveUpstream(one, { connectTimeoutMs }),
    look: (address) => pools.look(address),
    log,
  });
}

function isSame(found: FoundServer, at: FoundServer | null): boolean {
  return isSameAddress(found.address, at) && found.identity === at?.identity;
}

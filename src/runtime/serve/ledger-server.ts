/**
 * Keeps the services of a proxy (proxy-services.ts) on the server that takes writes: the first
 * upstream that does, each name resolved anew. They follow a failover by a list of servers, by a
 * name or at the same address: recovery and the collector go on at the other server.
 *
 * Invariants: as long as no server takes writes, the services stay where they are. The old
 * services have ended, or had their time for that, before new ones begin.
 */

import { systemClock, withinMs } from '../../clock.js';
import { causeText, isServiceError } from '../../connections/errors.js';
import type { OwnedPool } from '../../connections/pool/open-pool.js';
import { type FoundServer, isForGood } from '../../connections/pool/pool-set.js';
import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import { readServerFacts } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import type { ProxySettings } from '../../faces/cli/settings.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import type { Log } from '../../log.js';
import { resolveUpstream } from '../../session/dial/dial.js';
import type { ActiveDrops } from './front.js';
import type { LedgerIs, ProxyServicesOptions } from './proxy-services.js';
import { openLedger, ProxyServices } from './proxy-services.js';

/** How often the servers are asked which one takes writes: a login each time. */
const CHECK_EVERY_MS = 5_000;
/** How long the end of a proxy waits for this, with a move that is under way. */
const STOP_WITHIN_MS = 6_000;

export interface LedgerServerKeeperOptions
  extends Omit<ProxyServicesOptions, 'lastSeen' | 'pool' | 'activeIds'> {
  readonly activeDrops: ActiveDrops;
  /** Another server has that address: for processes with pools of their own. */
  onTakenOver(address: ServerAddress): void;
}

export class LedgerServerKeeper {
  readonly #options: LedgerServerKeeperOptions;
  readonly #settings: ProxySettings;
  readonly #lastSeen: ProxyServicesOptions['lastSeen'] = new Map();
  readonly #stopping = new AbortController();
  /** Null as long as no server has answered. */
  #at: FoundServer | null = null;
  /** The ledger as found at the start. */
  #ledger: LedgerIs = 'not-ready';
  /** Null until `begin`. */
  #services: ProxyServices | null = null;
  #watching: Promise<void> = Promise.resolve();

  constructor(options: LedgerServerKeeperOptions, settings: ProxySettings) {
    this.#options = options;
    this.#settings = settings;
  }

  /**
   * Finds the first upstream that takes writes, and creates the ledger there; if none answers, the
   * first may come up later. Rejects with UNDROP_ACCOUNT if a server refuses the account.
   */
  async open(): Promise<void> {
    this.#at = await this.#find();
    this.#ledger = await openLedger(this.pool, this.#options.log);
  }

  /** Recovery and the collector begin. */
  begin(): void {
    this.#services = this.#open(this.#ledger);
    this.#watching = this.#watch();
  }

  /** The pool of the server with the ledger. */
  get pool(): OwnedPool {
    const [first] = this.#settings.upstream;
    assert(first !== undefined, 'at least one upstream is configured');
    return this.#options.pools.at(this.#at?.address ?? first);
  }

  /** `MySQL 9.7.4 at db1:3306` */
  get server(): string {
    const [first] = this.#settings.upstream;
    assert(first !== undefined, 'at least one upstream is configured');
    const { address, product } = this.#at ?? { address: first, product: 'a server' };
    return `${product} at ${describeAddress(address)}`;
  }

  /** max_connections of the server; null if none has answered yet. */
  get connectionsMax(): number | null {
    return this.#at?.connectionsMax ?? null;
  }

  /** Something was dropped, in whatever process: the collector's next round comes soon. */
  readonly onHeld = (): void => this.#services?.collector.wake();

  /**
   * Why drops are refused; null: they are held, or the server is read-only and refuses them itself.
   * An account that is refused since its connections were opened is found by the next look of
   * `#watch`, which logs in.
   */
  async dropProblem(): Promise<string | null> {
    const { pool } = this;
    if (pool.loginError !== null) {
      return `the service account cannot log in: ${causeText(pool.loginError)}`;
    }
    try {
      if ((await assertLedgerKnown(pool)) !== null) return null;
      if ((await readServerFacts(pool)).readOnly) return null;
      return 'the ledger is not ready: it is not there yet';
    } catch (error) {
      if (!isServiceError(error)) throw error;
      return `the ledger is not ready: ${causeText(error)}`;
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await withinMs(STOP_WITHIN_MS, Promise.all([this.#services?.stop(), this.#watching]));
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#options;
    for (;;) {
      await systemClock.sleep(CHECK_EVERY_MS, signal);
      if (signal.aborted) return;
      try {
        const found = await this.#find();
        if (signal.aborted) return;
        if (found !== null && !isSameServer(found, this.#at)) await this.#move(found);
      } catch (error) {
        log.warn(
          { event: 'ledger-server', err: error },
          'cannot find out which server takes writes; trying again',
        );
      }
    }
  }

  async #move(found: FoundServer): Promise<void> {
    const { pools, log, onTakenOver } = this.#options;
    const before = this.#at;
    const server = describeAddress(found.address);
    const old = before && describeAddress(before.address);
    const what = before === null ? 'a server answers' : 'another server takes writes';
    const fields = { event: 'ledger-server', server, before: old };
    log.info(fields, `${what}: ledger and collector work there`);
    await this.#services?.stop();
    if (this.#stopping.signal.aborted) return;
    this.#at = found;
    if (isSameAddress(found.address, before)) {
      pools.renew(found.address);
      onTakenOver(found.address);
    }
    const ledger = await openLedger(this.pool, log);
    if (this.#stopping.signal.aborted) return;
    this.#services = this.#open(ledger);
  }

  #open(ledger: LedgerIs): ProxyServices {
    const { pool } = this;
    const own = { lastSeen: this.#lastSeen, pool, activeIds: this.#options.activeDrops(pool) };
    return new ProxyServices({ ...this.#options, ...own }, this.#settings, ledger);
  }

  #find(): Promise<FoundServer | null> {
    const { pools, log } = this.#options;
    return findLedgerServer({
      upstream: this.#settings.upstream,
      current: this.#at,
      resolve: resolveUpstream,
      look: (address) => pools.look(address),
      log,
    });
  }
}

interface FindLedgerServerOptions {
  /** The servers in the order in which they are tried. */
  readonly upstream: readonly ServerAddress[];
  /** Where the services are now; null at the start. */
  readonly current: FoundServer | null;
  /** The addresses of `upstream` by now; rejects if its name can't be resolved. */
  resolve(upstream: ServerAddress): Promise<readonly ServerAddress[]>;
  /** Asks the server that answers there by now, on a new connection. */
  look(address: ServerAddress): Promise<FoundServer>;
  readonly log: Log;
}

/**
 * Null if no server answers; the first that answers, which is read-only, if there is no current
 * one. Rejects, if there is no current one, when waiting wouldn't help: a server refuses the
 * account.
 */
export async function findLedgerServer(
  options: FindLedgerServerOptions,
): Promise<FoundServer | null> {
  const { upstream, current, resolve } = options;
  let firstAnswer: FoundServer | null = null;
  for (const one of upstream) {
    const addresses = (await unlessSilent(one, resolve(one), options)) ?? [];
    const rank = (address: ServerAddress) => (isSameAddress(address, current) ? 0 : 1);
    // A name with several gives them in another order each time.
    for (const address of addresses.toSorted((one, other) => rank(one) - rank(other))) {
      const found = await unlessSilent(address, confirmServer(address, options), options);
      if (found?.readOnly === false) return found;
      firstAnswer ??= found;
    }
  }
  return current ?? firstAnswer;
}

async function confirmServer(
  address: ServerAddress,
  { current, look }: FindLedgerServerOptions,
): Promise<FoundServer> {
  const found = await look(address);
  if (!isSameAddress(address, current) || isSameServer(found, current)) return found;
  // A load balancer in front of several that take writes leads to each of them in turn.
  const again = await look(address);
  return isSameServer(again, current) ? again : found;
}

/** Null if there is no answer. Rejects only at the start, if waiting wouldn't help. */
async function unlessSilent<T>(
  server: ServerAddress,
  answer: Promise<T>,
  { current, log }: FindLedgerServerOptions,
): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (current === null && isForGood(error)) throw error;
    // A warning at the start only: later, sessions and collector log it if it concerns them.
    const level = current === null ? 'warn' : 'debug';
    log[level]({ server: describeAddress(server), err: error }, 'the server does not answer');
    return null;
  }
}

function isSameAddress(address: ServerAddress, current: FoundServer | null): boolean {
  return current !== null && describeAddress(address) === describeAddress(current.address);
}

function isSameServer(found: FoundServer, current: FoundServer | null): boolean {
  return isSameAddress(found.address, current) && found.identity === current?.identity;
}

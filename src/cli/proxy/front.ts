/**
 * A process that serves clients: the listener with its sessions, and the pools that drops are done
 * with. A worker has the same, and asks the first process for each connection.
 */
import { systemClock } from '../../clock.js';
import { PendingRelocator } from '../../held/relocate/pending.js';
import type { Log } from '../../log.js';
import { newCounters } from '../../metrics.js';
import type { Rule } from '../../policy/rules.js';
import { chooseRelay } from '../../relay/raw-handle.js';
import type { PoolSet } from '../../service/pool/pool-set.js';
import type { ServerAddress, ServicePool } from '../../service/pool/pools.js';
import { LocalConnectionLimit } from '../../session/connection-limit.js';
import { trustedBy } from '../../session/dial/proxy-protocol.js';
import { HostErrorReset } from '../../session/dial/reset-host-errors.js';
import { type DrainOptions, drain } from '../../session/drain.js';
import { Listener, type SessionSettings } from '../../session/listener.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { warmCrossCheck } from '../../sql/cross-check.js';
import type { Protection } from '../../sql/verdict.js';
import { hintMsMinOf, holdMsOf, type ProxySettings } from '../settings.js';
import { type RemoteConnectionLimit, sessionsByOpenFiles } from './limits.js';
import type { ClientSide, Opened } from './proxy.js';

/** A MySQL client says nothing before it is greeted, so its load balancer needn't hesitate. */
const HEADER_TIMEOUT_MS = 5_000;

interface FrontOptions {
  readonly proxyId: string;
  readonly activeDrops: ActiveDrops;
  readonly pools: PoolSet;
  /** A worker has one, because it shares the addresses and the limit with other processes. */
  readonly remoteLimit?: RemoteConnectionLimit;
  readonly tls: ProxyTls;
  readonly log: Log;
  /** Tables were held, and the ledger has it; or a drop broke off. */
  onHeld(): void;
}

/** Settings as the next statement and the next session find them. */
interface Current {
  readonly protect: ReadonlySet<Protection>;
  readonly guards: boolean;
  readonly observes: ReadonlySet<Protection>;
  readonly rules: readonly Rule[];
  readonly allowDestroy: 'off' | 'users';
  readonly holdMs: number;
  readonly hintMsMin: number;
  readonly session: SessionSettings;
}

export class Front implements ClientSide {
  readonly counters = newCounters();
  readonly #options: FrontOptions;
  readonly #listener: Listener;
  readonly #permits: RemoteConnectionLimit | LocalConnectionLimit;
  /** What goes on after answers: the outcome in the ledger. */
  readonly #work = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #unblocker: HostErrorReset;
  readonly #payers = new WeakMap<ServicePool, PendingRelocator>();
  readonly #relay: ProxySettings['relay'];
  #current: Current;

  constructor(options: FrontOptions, settings: ProxySettings) {
    this.#options = options;
    this.#current = currentOf(settings);
    this.#permits = options.remoteLimit ?? new LocalConnectionLimit(localMaxOf(settings));
    this.#relay = settings.relay;
    this.#unblocker = new HostErrorReset({
      visit: (address) => options.pools.visit(address),
      background: (promise) => this.#background(promise),
      log: options.log,
    });
    this.#listener = new Listener({
      ...options,
      permits: this.#permits,
      counters: this.counters,
      isWorker: options.remoteLimit !== undefined,
      listen: settings.listen,
      listenMode: settings.listenMode,
      upstreams: settings.upstream,
      settings: () => this.#current.session,
      serviceFor: ({ address }) => this.#serviceFor(address),
      background: (promise) => this.#background(promise),
      onBrokenLogin: (address) => this.#unblocker.onBrokenLogin(address),
    });
  }

  async open(): Promise<Opened> {
    const relay = await chooseRelay(this.#relay);
    await warmCrossCheck();
    return { addresses: await this.#listener.open(), relay };
  }

  async change(settings: ProxySettings): Promise<void> {
    this.#current = currentOf(settings);
    const isWorker = this.#options.remoteLimit !== undefined;
    this.#permits.max = isWorker ? settings.maxConnections : localMaxOf(settings);
  }

  /** Ends the sessions (session/drain.ts), and what goes on after their answers. */
  async close(options: DrainOptions): Promise<void> {
    await drain(this.#listener, options, { clock: systemClock, log: this.#options.log });
    this.#unblocker.stop();
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
  }

  #serviceFor(address: ServerAddress) {
    const { pools, proxyId, activeDrops, onHeld, log } = this.#options;
    const current = () => this.#current;
    const pool = pools.at(address);
    return {
      pool,
      proxyId,
      activeIds: activeDrops.at(pool),
      onUnsettled: onHeld,
      owe: (ids: readonly string[]) => this.#background(this.#payerAt(pool).owe(ids)),
      stopping: this.#stopping.signal,
      log,
      get holdMs() {
        return current().holdMs;
      },
      get protect() {
        return current().protect;
      },
      get guards() {
        return current().guards;
      },
      get observes() {
        return current().observes;
      },
      get rules() {
        return current().rules;
      },
      get allowDestroy() {
        return current().allowDestroy;
      },
      get hintMsMin() {
        return current().hintMsMin;
      },
    };
  }

  #payerAt(pool: ServicePool): PendingRelocator {
    const { activeDrops, log } = this.#options;
    const known = this.#payers.get(pool);
    if (known !== undefined) return known;
    const signal = this.#stopping.signal;
    const activeIds = activeDrops.at(pool);
    const payer = new PendingRelocator({ pool, activeIds, clock: systemClock, log, signal });
    this.#payers.set(pool, payer);
    return payer;
  }

  #background(promise: Promise<void>): void {
    const onFailed = (error: unknown) => {
      this.#options.log.error({ err: error }, 'work after an answer failed');
    };
    const tracked = promise.catch(onFailed).finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

/** The clients of a proxy in one process. */
function localMaxOf({ maxConnections }: ProxySettings): number {
  return Math.min(maxConnections, sessionsByOpenFiles());
}

function currentOf(settings: ProxySettings): Current {
  return {
    protect: new Set(settings.mode === 'hold' ? settings.protect : []),
    guards: settings.mode !== 'replay',
    observes: new Set(settings.mode === 'observe' ? settings.protect : []),
    rules: settings.rules,
    allowDestroy: settings.allowDestroy,
    holdMs: holdMsOf(settings),
    hintMsMin: hintMsMinOf(settings),
    session: {
      connectTimeoutMs: settings.connectTimeout,
      greetingTimeoutMs: settings.connectTimeout,
      loginTimeoutMs: settings.loginTimeout,
      headerTimeoutMs: HEADER_TIMEOUT_MS,
      isAnnounced: trustedBy(settings.proxyProtocol),
      announceUpstream: settings.upstreamProxyProtocol === 'v2',
    },
  };
}

/**
 * The drops that this process is in the middle of, by server: after a failover another server has
 * the same rows in its ledger, and what is under way on one says nothing about the other.
 */
export class ActiveDrops {
  readonly #ids = new WeakMap<ServicePool, Set<string>>();

  /** Ids of the drops that are done with that pool. */
  at(pool: ServicePool): Set<string> {
    const ids = this.#ids.get(pool) ?? new Set();
    this.#ids.set(pool, ids);
    return ids;
  }
}

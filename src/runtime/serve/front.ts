/**
 * Serves clients: the listener with its sessions, and the pools that drops are done with; several
 * processes share the clients. Only the policy may change meanwhile.
 */
import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../../clock.js';
import type { PoolSet } from '../../connections/pool/pool-set.js';
import type { ServicePool } from '../../connections/sql.js';
import type { DropService } from '../../drop/intercepted.js';
import { HeldNames } from '../../drop/steps/held-names.js';
import {
  hintMsMinOf,
  holdMsOf,
  type PolicySettings,
  type ProxySettings,
} from '../../faces/cli/settings.js';
import { PendingRelocator } from '../../held/relocate/pending.js';
import { UsedWhileHeld } from '../../held/used-while-held.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { bars } from '../../policy/decide.js';
import type { Rule } from '../../policy/rules.js';
import { chooseRelay } from '../../relay/raw-handle.js';
import { trustedBy } from '../../session/dial/proxy-protocol.js';
import { HostErrorReset } from '../../session/dial/reset-host-errors.js';
import { type DrainOptions, drain, Listener } from '../../session/listener.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { warmCrossCheck } from '../../sql/cross-check.js';
import type { Protection } from '../../sql/destroying.js';

/** A MySQL client says nothing before it is greeted, so its load balancer needn't hesitate. */
const HEADER_TIMEOUT_MS = 5_000;
/**
 * Less than connect_timeout of the server, 10 s by default: a server that gives up first counts
 * that against the address of undrop.
 */
const LOGIN_TIMEOUT_MS = 9_000;
const DELAY_RESOLUTION_MS = 20;

interface FrontOptions {
  readonly proxyId: string;
  readonly activeDrops: ActiveDrops;
  readonly pools: PoolSet;
  readonly counters: Counters;
  /** The maximum of sessions of this process. */
  readonly connectionsMax: number;
  readonly tls: ProxyTls;
  readonly log: Log;
  /** Tables were held, and the ledger has it; or a drop broke off. */
  onHeld(): void;
  /** Whether a new client was passed on to another process; default: none is. */
  divert?(client: Socket): boolean;
  /** A session has begun or ended. */
  onChange?(): void;
}

export class Front {
  readonly #options: FrontOptions;
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  /** Relayed so far. */
  #bytes = 0;
  readonly listener: Listener;
  /** Work that goes on after answers: the outcome in the ledger. */
  readonly #work = new Set<Promise<void>>();
  readonly #background = (promise: Promise<void>): void => {
    const onFailed = (error: unknown) => {
      this.#options.log.error({ err: error }, 'work after an answer failed');
    };
    const tracked = promise.catch(onFailed).finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  };
  readonly #stopping = new AbortController();
  readonly #unblocker: HostErrorReset;
  readonly #relocatorAt = forEachPool((pool) => new PendingRelocator(this.#workAt(pool)));
  readonly #usesAt = forEachPool((pool) => new UsedWhileHeld(this.#workAt(pool)));
  /** By the control process, and by the drops of this one. */
  readonly heldNames = new HeldNames();
  /** By the settings of now. */
  #serviceAt: (pool: ServicePool) => DropService;

  constructor(options: FrontOptions, settings: ProxySettings) {
    this.#options = options;
    this.#serviceAt = this.#servicesBy(settings);
    this.#unblocker = new HostErrorReset({
      visit: (address) => options.pools.visit(address),
      background: this.#background,
      log: options.log,
    });
    this.listener = new Listener({
      ...options,
      upstreams: settings.upstream,
      loginTimeoutMs: LOGIN_TIMEOUT_MS,
      headerTimeoutMs: HEADER_TIMEOUT_MS,
      isAnnounced: trustedBy(settings.proxyProtocol),
      announceUpstream: settings.upstreamProxyProtocol === 'v2',
      serviceFor: ({ address }) => {
        const pool = options.pools.at(address);
        return () => this.#serviceAt(pool);
      },
      background: this.#background,
      onBrokenLogin: (address) => this.#unblocker.onBrokenLogin(address),
    });
  }

  /** How bytes are relayed in this process; to be called before its listener is opened. */
  async prepare(): Promise<'raw' | 'stream'> {
    await warmCrossCheck();
    return chooseRelay();
  }

  /** For the next statement of every session. */
  change(policy: PolicySettings): void {
    this.#serviceAt = this.#servicesBy(policy);
  }

  /** Ends the sessions (session/listener.ts), and what goes on after their answers. */
  async close(options: DrainOptions): Promise<void> {
    await drain(this.listener, options, { clock: systemClock, log: this.#options.log });
    this.#unblocker.stop();
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
    this.#delay.disable();
  }

  /**
   * To be called once a second: keeps the longest delay of the event loop since the last call in
   * the counters. It is measured while bytes are relayed, because that wakes the process each time.
   */
  keepDelay(): void {
    const { counters } = this.#options;
    // Its own timer is late by that much, at least.
    counters.loopDelayMsMax = Math.max(this.#delay.max / 1e6 - DELAY_RESOLUTION_MS, 0);
    this.#delay.reset();
    const bytes = counters.bytesFromClients + counters.bytesFromServers;
    if (bytes === this.#bytes) this.#delay.disable();
    else this.#delay.enable();
    this.#bytes = bytes;
  }

  #servicesBy(policy: PolicySettings): (pool: ServicePool) => DropService {
    const { proxyId, activeDrops, onHeld, log } = this.#options;
    const { mode, protect, rules, allowDestroy, note, requireIdle, maxHold } = policy;
    return forEachPool((pool) => ({
      pool,
      proxyId,
      activeIds: activeDrops(pool),
      onUnsettled: onHeld,
      relocateLater: (ids) => this.#background(this.#relocatorAt(pool).add(ids)),
      onNoSuchTable: (payload, by) => this.#usesAt(pool).add(payload, by),
      ...(note === 'info' && { heldNames: this.heldNames }),
      stopping: this.#stopping.signal,
      log,
      ...protectionOf(mode === 'hold' ? protect : [], rules),
      observes: new Set(mode === 'observe' ? protect : []),
      rules,
      allowDestroy,
      requireIdleMs: requireIdle === 'none' ? null : requireIdle,
      note,
      holdMs: holdMsOf(policy),
      hintMsMin: hintMsMinOf(policy),
      maxHoldMs: maxHold,
    }));
  }

  #workAt(pool: ServicePool) {
    const { activeDrops, log } = this.#options;
    const how = { clock: systemClock, signal: this.#stopping.signal, background: this.#background };
    return { pool, activeIds: activeDrops(pool), log, ...how };
  }
}

/**
 * The ids of the drops that this process is in the middle of, by the pool with which they are done:
 * after a failover another server has the same rows in its ledger, and what is under way on one
 * says nothing about the other.
 */
export type ActiveDrops = (pool: ServicePool) => Set<string>;

export function newActiveDrops(): ActiveDrops {
  return forEachPool(() => new Set());
}

/** A value for each pool, made when it is first asked for. */
function forEachPool<T>(make: (pool: ServicePool) => T): (pool: ServicePool) => T {
  const known = new WeakMap<ServicePool, T>();
  return (pool) => {
    const found = known.get(pool) ?? make(pool);
    known.set(pool, found);
    return found;
  };
}

// ── the share of a process ───────────────────────────────────────────────────────────────────────
// Keeps the sessions of several proxies even. All of them accept on the same sockets, and the
// kernel gives most clients to whoever happens to be awake; a proxy that has more sessions than
// another passes a new client on, before it has read a byte of it.

/** The sessions that a proxy may have more than another. */
const AHEAD_MAX = 1;

interface BalanceOptions {
  /** This proxy. */
  readonly number: number;
  /** Open sessions here. */
  load(): number;
  tell(load: number): void;
  /** Sends the client to that proxy. */
  pass(to: number, socket: Socket): void;
}

export class Balance {
  readonly #options: BalanceOptions;
  readonly #others = new Map<number, number>();
  #isTelling = false;

  constructor(options: BalanceOptions) {
    this.#options = options;
  }

  /** The loads of all proxies, as old as a message takes. */
  hear(loads: Readonly<Record<string, number>>): void {
    this.#others.clear();
    for (const [number, load] of Object.entries(loads)) {
      if (Number(number) !== this.#options.number) this.#others.set(Number(number), load);
    }
  }

  /** A session has begun or ended; others hear of it once in a turn of the event loop. */
  changed(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      this.#options.tell(this.#options.load());
    });
  }

  /** Whether a new client was passed on. */
  divert(socket: Socket): boolean {
    const [least] = [...this.#others].sort(([, one], [, other]) => one - other);
    if (least === undefined) return false;
    const [to, load] = least;
    if (this.#options.load() < load + AHEAD_MAX) return false;
    this.#others.set(to, load + 1);
    this.#options.pass(to, socket);
    return true;
  }
}

/** With a rule that bars, no TRUNCATE passes in a form that isn't understood. */
function protectionOf(
  protect: readonly Protection[],
  rules: readonly Rule[],
): Pick<DropService, 'protect' | 'passesTruncate'> {
  const isBarred = protect.includes('truncate-where-possible') && rules.some(bars);
  const all = new Set(isBarred ? [...protect, 'truncate' as const] : protect);
  return { protect: all, passesTruncate: !protect.includes('truncate') };
}

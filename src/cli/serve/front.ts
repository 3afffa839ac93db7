/**
 * Serves clients: the listener with its sessions, and the pools that drops are done with. Only the
 * policy may change meanwhile.
 */
import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../../clock.js';
import { PendingRelocator } from '../../held/relocate/pending.js';
import { UsedWhileHeld } from '../../held/used-while-held.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { chooseRelay } from '../../relay/raw-handle.js';
import type { PoolSet } from '../../service/pool/pool-set.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { BoundSocket } from '../../session/bound-sockets.js';
import { trustedBy } from '../../session/dial/proxy-protocol.js';
import { HostErrorReset } from '../../session/dial/reset-host-errors.js';
import {
  type ConnectionLimit,
  type DrainOptions,
  drain,
  Listener,
  type SessionSettings,
} from '../../session/listener.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { warmCrossCheck } from '../../sql/cross-check.js';
import type { DropService } from '../../statements/intercepted.js';
import { hintMsMinOf, holdMsOf, type PolicySettings, type ProxySettings } from '../settings.js';

/** A MySQL client says nothing before it is greeted, so its load balancer needn't hesitate. */
const HEADER_TIMEOUT_MS = 5_000;
/**
 * Less than connect_timeout of the server, 10 s by default: a server that gives up first counts
 * that against the address of undrop.
 */
const LOGIN_TIMEOUT_MS = 9_000;

interface FrontOptions {
  readonly proxyId: string;
  readonly activeDrops: ActiveDrops;
  readonly pools: PoolSet;
  readonly counters: Counters;
  readonly connectionLimit: ConnectionLimit;
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
  readonly #loopDelay: LoopDelay;
  readonly #listener: Listener;
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
  readonly #relocators = new WeakMap<ServicePool, PendingRelocator>();
  readonly #uses = new WeakMap<ServicePool, UsedWhileHeld>();
  /** By the settings of now; what is not here is made when it is asked for. */
  #services = new WeakMap<ServicePool, DropService>();
  #policy: PolicySettings;

  constructor(options: FrontOptions, settings: ProxySettings) {
    this.#options = options;
    this.#policy = settings;
    this.#loopDelay = new LoopDelay(options.counters);
    this.#unblocker = new HostErrorReset({
      visit: (address) => options.pools.visit(address),
      background: this.#background,
      log: options.log,
    });
    this.#listener = new Listener({
      ...options,
      upstreams: settings.upstream,
      settings: sessionSettingsOf(settings),
      serviceFor: ({ address }) => {
        const pool = options.pools.at(address);
        return () => this.#serviceOf(pool);
      },
      background: this.#background,
      onBrokenLogin: (address) => this.#unblocker.onBrokenLogin(address),
    });
  }

  get openSessions(): number {
    return this.#listener.openSessions;
  }

  /** How bytes are relayed in this process; to be called before `open`. */
  async prepare(): Promise<'raw' | 'stream'> {
    await warmCrossCheck();
    return chooseRelay();
  }

  /** Takes clients. */
  open(sockets: readonly BoundSocket[]): Promise<void> {
    return this.#listener.open(sockets);
  }

  /** A client that another process has accepted. */
  accept(client: Socket): void {
    this.#listener.accept(client);
  }

  /** For the next statement of every session. */
  change(policy: PolicySettings): void {
    this.#policy = policy;
    this.#services = new WeakMap();
  }

  /** Takes no more clients; resolves after its last session, or when `over` is aborted. */
  async retire(over: AbortSignal): Promise<void> {
    this.#listener.stopAccepting();
    await this.#listener.whenEmpty(over);
  }

  /** Ends the sessions (session/listener.ts), and what goes on after their answers. */
  async close(options: DrainOptions): Promise<void> {
    await drain(this.#listener, options, { clock: systemClock, log: this.#options.log });
    this.#unblocker.stop();
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
    this.#loopDelay.stop();
  }

  #serviceOf(pool: ServicePool): DropService {
    return this.#services.get(pool) ?? this.#openService(pool);
  }

  #openService(pool: ServicePool): DropService {
    const { proxyId, activeDrops, onHeld, log } = this.#options;
    const { mode, protect, rules, allowDestroy, note, requireIdle } = this.#policy;
    const service: DropService = {
      pool,
      proxyId,
      activeIds: activeDrops.at(pool),
      onUnsettled: onHeld,
      relocateLater: (ids) => this.#background(this.#relocatorAt(pool).add(ids)),
      onNoSuchTable: this.#onNoSuchTable(pool),
      stopping: this.#stopping.signal,
      log,
      protect: new Set(mode === 'hold' ? protect : []),
      observes: new Set(mode === 'observe' ? protect : []),
      rules,
      allowDestroy,
      requireIdleMs: requireIdle === 'none' ? null : requireIdle,
      note,
      holdMs: holdMsOf(this.#policy),
      hintMsMin: hintMsMinOf(this.#policy),
      maxHoldMs: this.#policy.maxHold,
    };
    this.#services.set(pool, service);
    return service;
  }

  #onNoSuchTable(pool: ServicePool): NonNullable<DropService['onNoSuchTable']> {
    const { log } = this.#options;
    const signal = this.#stopping.signal;
    const options = { pool, clock: systemClock, log, signal, background: this.#background };
    const uses = this.#uses.get(pool) ?? new UsedWhileHeld(options);
    this.#uses.set(pool, uses);
    return (payload, by) => uses.add(payload, by);
  }

  #relocatorAt(pool: ServicePool): PendingRelocator {
    const { activeDrops, log } = this.#options;
    const known = this.#relocators.get(pool);
    if (known !== undefined) return known;
    const signal = this.#stopping.signal;
    const activeIds = activeDrops.at(pool);
    const relocator = new PendingRelocator({ pool, activeIds, clock: systemClock, log, signal });
    this.#relocators.set(pool, relocator);
    return relocator;
  }
}

const LOOP_DELAY_EVERY_MS = 1_000;
const LOOP_DELAY_RESOLUTION_MS = 20;

/** Keeps the longest delay of the event loop of the last second in the counters. */
class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;

  constructor(counters: Counters) {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      // Its own timer is late by that much, at least.
      const delayMs = this.#histogram.max / 1e6 - LOOP_DELAY_RESOLUTION_MS;
      counters.loopDelayMsMax = Math.max(delayMs, 0);
      this.#histogram.reset();
    }, LOOP_DELAY_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }
}

function sessionSettingsOf(settings: ProxySettings): SessionSettings {
  return {
    loginTimeoutMs: LOGIN_TIMEOUT_MS,
    headerTimeoutMs: HEADER_TIMEOUT_MS,
    isAnnounced: trustedBy(settings.proxyProtocol),
    announceUpstream: settings.upstreamProxyProtocol === 'v2',
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

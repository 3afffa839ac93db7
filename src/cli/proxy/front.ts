/**
 * A process that serves clients: the listener with its sessions, and the pools that drops are done
 * with. A worker has the same, and asks the first process for each connection.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../../clock.js';
import type { UndropError } from '../../errors.js';
import { PendingRelocator } from '../../held/relocate/pending.js';
import { UsedWhileHeld } from '../../held/used-while-held.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { chooseRelay } from '../../relay/raw-handle.js';
import type { PoolSet } from '../../service/pool/pool-set.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { ServerAddress } from '../../service/server-address.js';
import { trustedBy } from '../../session/dial/proxy-protocol.js';
import { HostErrorReset } from '../../session/dial/reset-host-errors.js';
import {
  type DrainOptions,
  drain,
  Listener,
  LocalConnectionLimit,
  type SessionSettings,
} from '../../session/listener.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { warmCrossCheck } from '../../sql/cross-check.js';
import type { DropService } from '../../statements/intercepted.js';
import { hintMsMinOf, holdMsOf, type ProxySettings } from '../settings.js';
import { type RemoteConnectionLimit, sessionsByOpenFiles } from './limits.js';

/** A MySQL client says nothing before it is greeted, so its load balancer needn't hesitate. */
const HEADER_TIMEOUT_MS = 5_000;

interface FrontOptions {
  readonly proxyId: string;
  readonly activeDrops: ActiveDrops;
  readonly pools: PoolSet;
  readonly counters: Counters;
  /** A worker has one, because it shares the addresses and the limit with other processes. */
  readonly remoteLimit?: RemoteConnectionLimit;
  readonly tls: ProxyTls;
  readonly log: Log;
  /** Tables were held, and the ledger has it; or a drop broke off. */
  onHeld(): void;
}

/** Takes clients: this process, or workers of it. */
export interface ClientSide {
  /** Takes clients from here on. If it rejects, no worker is left. */
  open(): Promise<Opened>;
  /** For the next statement of every session, and for new sessions. Does not reject. */
  change(settings: ProxySettings): Promise<void>;
  /** Drains the sessions. */
  close(options: DrainOptions): Promise<void>;
  /** Another server has that address: for processes with pools of their own. */
  renew(address: ServerAddress): void;
  /** Resolves when there is no sense in going on. */
  readonly failed: Promise<UndropError>;
  /** The sums over all processes. */
  readonly counters: Counters;
}

export interface Opened {
  readonly addresses: readonly ServerAddress[];
  readonly relay: 'raw' | 'stream';
}

export class Front implements ClientSide {
  /** A process doesn't outlive a fault that isn't one session's. */
  readonly failed = new Promise<UndropError>(() => undefined);
  readonly #options: FrontOptions;
  readonly #loopDelay: LoopDelay;
  readonly #listener: Listener;
  readonly #limit: RemoteConnectionLimit | LocalConnectionLimit;
  /** What goes on after answers: the outcome in the ledger. */
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
  #settings: ProxySettings;
  #forSessions: SessionSettings;

  constructor(options: FrontOptions, settings: ProxySettings) {
    this.#options = options;
    this.#settings = settings;
    this.#loopDelay = new LoopDelay(options.counters);
    this.#forSessions = sessionSettingsOf(settings);
    this.#limit = options.remoteLimit ?? new LocalConnectionLimit(localMaxOf(settings));
    this.#unblocker = new HostErrorReset({
      visit: (address) => options.pools.visit(address),
      background: this.#background,
      log: options.log,
    });
    this.#listener = new Listener({
      ...options,
      connectionLimit: this.#limit,
      isWorker: options.remoteLimit !== undefined,
      listen: settings.listen,
      listenMode: settings.listenMode,
      upstreams: settings.upstream,
      settings: () => this.#forSessions,
      serviceFor: ({ address }) => {
        const pool = options.pools.at(address);
        return () => this.#services.get(pool) ?? this.#openService(pool);
      },
      background: this.#background,
      onBrokenLogin: (address) => this.#unblocker.onBrokenLogin(address),
    });
  }

  get counters(): Counters {
    return this.#options.counters;
  }

  /** Its pools are those of the services, which have renewed them. */
  renew(): void {}

  async open(): Promise<Opened> {
    const relay = await chooseRelay(this.#settings.relay);
    warmCrossCheck();
    return { addresses: await this.#listener.open(), relay };
  }

  async change(settings: ProxySettings): Promise<void> {
    this.#settings = settings;
    this.#forSessions = sessionSettingsOf(settings);
    this.#services = new WeakMap();
    const isWorker = this.#options.remoteLimit !== undefined;
    this.#limit.max = isWorker ? settings.maxConnections : localMaxOf(settings);
  }

  /** Ends the sessions (session/listener.ts), and what goes on after their answers. */
  async close(options: DrainOptions): Promise<void> {
    await drain(this.#listener, options, { clock: systemClock, log: this.#options.log });
    this.#unblocker.stop();
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
    this.#loopDelay.stop();
  }

  #openService(pool: ServicePool): DropService {
    const { proxyId, activeDrops, onHeld, log } = this.#options;
    const { mode, protect, rules, allowDestroy, note, requireIdle } = this.#settings;
    const service: DropService = {
      pool,
      proxyId,
      activeIds: activeDrops.at(pool),
      onUnsettled: onHeld,
      relocateLater: (ids) => this.#background(this.#relocatorAt(pool).add(ids)),
      ...(mode === 'replay' ? {} : { onNoSuchTable: this.#onNoSuchTable(pool) }),
      stopping: this.#stopping.signal,
      log,
      protect: new Set(mode === 'hold' ? protect : []),
      protectsRecycleSchema: mode !== 'replay',
      observes: new Set(mode === 'observe' ? protect : []),
      rules,
      allowDestroy,
      requireIdleMs: requireIdle === 'none' ? null : requireIdle,
      note,
      holdMs: holdMsOf(this.#settings),
      hintMsMin: hintMsMinOf(this.#settings),
    };
    this.#services.set(pool, service);
    return service;
  }

  /** Mode `replay` writes nothing, so it counts nothing. */
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

/** The clients of a proxy in one process. */
function localMaxOf({ maxConnections }: ProxySettings): number {
  return Math.min(maxConnections, sessionsByOpenFiles());
}

function sessionSettingsOf(settings: ProxySettings): SessionSettings {
  return {
    connectTimeoutMs: settings.connectTimeout,
    greetingTimeoutMs: settings.connectTimeout,
    loginTimeoutMs: settings.loginTimeout,
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

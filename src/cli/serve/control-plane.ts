/**
 * The part of a service that exists once, however many processes serve its clients: the ledger,
 * recovery and the collector (ledger-server.ts), and the reports for monitoring (watch.ts).
 *
 * Invariant: a wrong configuration (an account that the server refuses) stops the start; if the
 * ledger can't be reached, sessions are relayed and drops are refused.
 */

import { hostname } from 'node:os';
import { assertNotLent } from '../../account/os-user.js';
import { systemClock, withinMs } from '../../clock.js';
import { forgetKilledServices, forgetService, recordService } from '../../ledger/services.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import { watchDropsElsewhere } from '../../lifecycle/drops-elsewhere.js';
import { type CollectorFigures, newCollectorFigures } from '../../lifecycle/figures.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { PoolSet } from '../../service/pool/pool-set.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { describeAddress, type ServerAddress } from '../../service/server-address.js';
import { readServerFacts } from '../../service/server-facts.js';
import type { BoundSocket } from '../../session/bound-sockets.js';
import { assertNotOwn, greets } from '../../session/dial/dial.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { readStatusView } from '../commands/status/status.js';
import { limitSettings, type ProxySettings, whatIsNotHeld } from '../settings.js';
import { versionOfPackage } from '../shell.js';
import type { ActiveDrops } from './front.js';
import { LedgerServerKeeper } from './ledger-server.js';
import { SERVICE_CONNECTIONS_MIN } from './limits.js';
import { OperatorDesk } from './operator-desk.js';
import { Watch } from './watch.js';

export interface ControlPlaneOptions {
  readonly proxyId: string;
  /** Outlives a reload. */
  readonly serviceId: string;
  /** The number of processes of the service. */
  readonly processes: number;
  /** The drops of this process. */
  readonly activeDrops: ActiveDrops;
  /** By default some of its own. */
  readonly pools?: PoolSet;
  readonly tls: ProxyTls;
  readonly log: Log;
  /** The addresses for clients, as bound. */
  readonly listen: readonly ServerAddress[];
  /** The sums over all processes. */
  counters(): Counters;
  /** The counters of this process, in the sums a second later; default: in none. */
  readonly own?: Pick<Counters, 'dropsSent'>;
  /** Another server has that address: for the pools of other processes. */
  onTakenOver(address: ServerAddress): void;
}

const UPSTREAM_RETRY_MS = 1_000;
/** A check gives up sooner. */
const GREETING = { connectTimeoutMs: 5_000, greetingTimeoutMs: 5_000 };

export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #settings: ProxySettings;
  readonly #pools: PoolSet;
  readonly #keeper: LedgerServerKeeper;
  readonly #figures: ReturnType<typeof newCollectorFigures>;
  readonly #ending = new AbortController();
  #watch: Watch | null = null;
  #isAway = false;
  #presence: Presence | null = null;
  #said: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();

  /** Resolves when it could begin; rejects with what makes a start useless. */
  static async open(options: ControlPlaneOptions, settings: ProxySettings): Promise<ControlPlane> {
    const { tls, log, listen } = options;
    const connectionsMax = SERVICE_CONNECTIONS_MIN;
    const pools =
      options.pools ?? new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
    try {
      await assertNotOwn(settings.upstream, listen);
      await assertNotLent(pools, settings.upstream, log);
      const figures = newCollectorFigures(options.own);
      const keeper = await LedgerServerKeeper.open({ ...options, pools, figures }, settings);
      return new ControlPlane(options, settings, { pools, keeper, figures });
    } catch (error) {
      await pools.dispose();
      throw error;
    }
  }

  private constructor(
    options: ControlPlaneOptions,
    settings: ProxySettings,
    opened: {
      readonly pools: PoolSet;
      readonly keeper: LedgerServerKeeper;
      readonly figures: ReturnType<typeof newCollectorFigures>;
    },
  ) {
    this.#options = options;
    this.#settings = settings;
    this.#pools = opened.pools;
    this.#keeper = opened.keeper;
    this.#figures = opened.figures;
  }

  /** max_connections of the server; null if none has answered. */
  get serverConnectionsMax(): number | null {
    return this.#keeper.connectionsMax;
  }

  /** Clients are served: answers those who watch. */
  async serve(sockets: readonly BoundSocket[], about: object): Promise<void> {
    const { log, counters, tls } = this.#options;
    this.#watch = await Watch.open(sockets, {
      ...{ figures: this.#figures, log, mode: this.#settings.mode, counters },
      certificates: tls.validity,
      dataFolder: limitSettings(this.#settings).dataFolder,
      console: this.#console(),
      accept: this.#settings.tls === 'off' ? null : (...args) => tls.accept(...args),
      isAway: () => this.#isAway,
      answers: () => this.#pools.answers(),
      greets: () => greets(this.#settings.upstream, GREETING),
      dropProblem: () => this.#keeper.dropProblem(),
    });
    warnUnprotected(log, this.#settings);
    this.#said = this.#sayReady(about);
  }

  /** Null: there is none, or no way to this service. */
  #console(): Parameters<typeof Watch.open>[1]['console'] {
    const { console, tls, adminHosts: hosts } = this.#settings;
    const [address] = this.#options.listen;
    if (console === 'off' || address === undefined) return null;
    const operator = this.#openDesk();
    const offersTls = tls !== 'off';
    if ('socketPath' in address) return { door: { ...address, offersTls }, hosts, operator };
    const { port } = address;
    const local = { '0.0.0.0': '127.0.0.1', '::': '::1' } as const;
    const host = local[address.host as keyof typeof local] ?? address.host;
    return { door: { host, port, offersTls }, hosts, operator };
  }

  #openDesk(): OperatorDesk {
    const [settings, figures] = [this.#settings, this.#figures];
    const pool = () => this.#keeper.pool;
    return new OperatorDesk({
      ...{ pool, figures, log: this.#options.log },
      limits: limitSettings(settings),
      report: () => readStatusView(pool(), settings, figures),
    });
  }

  /** No other process of this service collects: recovery and the collector begin. */
  collect(): void {
    this.#keeper.begin();
    const [keeper, figures] = [this.#keeper, this.#figures];
    const pool = () => keeper.pool;
    const dropsSent = () => this.#options.counters().dropsSent;
    this.#presence = new Presence({ ...this.#options, pool, figures, dropsSent });
    const { log } = this.#options;
    const elsewhere = { pool, figures, clock: systemClock, log, signal: this.#ending.signal };
    this.#watching = watchDropsElsewhere(elsewhere);
  }

  readonly onHeld = (): void => this.#keeper.onHeld();

  /** The service is about to end: clients are to go elsewhere. */
  keepAway(): void {
    this.#isAway = true;
  }

  /** `isEnd`: the service ends, so it is no longer listed. */
  async stop({ isEnd = false }: { readonly isEnd?: boolean }): Promise<void> {
    this.#ending.abort();
    const closing = this.#watch?.close();
    await Promise.all([this.#keeper.stop(), this.#presence?.stop({ isEnd })]);
    await this.#pools.dispose();
    await this.#watching;
    await closing;
    await this.#said;
  }

  /** Logs that clients are served, and first, if no upstream answers yet, that. Never rejects. */
  async #sayReady(about: object): Promise<void> {
    const { log, proxyId, listen } = this.#options;
    const { signal } = this.#ending;
    const fields = {
      listen: listen.map(describeAddress),
      upstream: this.#settings.upstream.map(describeAddress),
      ...{ proxyId, ...about },
    };
    if (!(await this.#pools.answers())) {
      const fate = 'until one does, clients get UNDROP_UPSTREAM_UNREACHABLE';
      log.warn({ event: 'waiting', ...fields }, `no server answers yet: ${fate}`);
      do await systemClock.sleep(UPSTREAM_RETRY_MS, signal);
      while (!signal.aborted && !(await this.#pools.answers()));
    }
    if (!signal.aborted) log.info({ event: 'ready', ...fields }, 'ready: clients are served');
  }
}

/** Warns of settings that don't hold everything. */
function warnUnprotected(log: Log, settings: ProxySettings): void {
  const { sentences, chosen } = whatIsNotHeld(settings);
  for (const sentence of [...sentences, ...chosen]) log.warn({ event: 'unprotected' }, sentence);
}

// ── presence ─────────────────────────────────────────────────────────────────────────────────────
// Lists a running service in the ledger (ledger/services.ts): writes its row at the start, renews
// it each half minute and when it begins to collect, and deletes it when the service ends.
//
// Invariant: nothing depends on it. If the row can't be written, the log has one warning, and the
// service goes on; on a read-only server nothing is written.

/** Also how late drops that went past undrop are found (lifecycle/drops-elsewhere.ts). */
const RENEW_EVERY_MS = 30_000;
/** How soon it is tried again while there is no ledger. */
const RETRY_MS = 5_000;
/** How soon the beginning of a leadership is noticed; the server isn't queried for that. */
const CHECK_EVERY_MS = 1_000;
/** The end of a service waits no longer for its row. */
const FORGET_WITHIN_MS = 1_000;

interface PresenceOptions {
  readonly serviceId: string;
  readonly processes: number;
  readonly listen: readonly ServerAddress[];
  readonly figures: Pick<CollectorFigures, 'leaderId'>;
  /** The drops that this service has sent to the server as such. */
  dropsSent(): number;
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  readonly log: Log;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #service;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  /** The last connection that the row was written with. */
  #leaderId: number | null = null;
  #isFirst = true;
  #hasWarned = false;

  constructor(options: PresenceOptions) {
    const { serviceId: id, processes, listen } = options;
    this.#options = options;
    this.#service = {
      ...{ id, processes, host: hostname(), version: versionOfPackage() },
      listen: listen.map(describeAddress).join(', '),
    };
    this.#running = this.#run();
  }

  /** `isEnd`: the service ends, so its row goes as well. */
  async stop({ isEnd }: { readonly isEnd: boolean }): Promise<void> {
    this.#stopping.abort();
    const ended = this.#running.then(() => (isEnd ? this.#forget() : undefined));
    await withinMs(FORGET_WITHIN_MS, ended);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let nextMs = 0; !signal.aborted; await systemClock.sleep(CHECK_EVERY_MS, signal)) {
      const { leaderId } = this.#options.figures;
      const isNewLeader = leaderId !== null && leaderId !== this.#leaderId;
      if (!isNewLeader && performance.now() < nextMs) continue;
      this.#leaderId = leaderId;
      const isOver = await this.#unlessFailed(() => this.#record(leaderId));
      nextMs = performance.now() + (isOver ? RENEW_EVERY_MS : RETRY_MS);
    }
  }

  /** False: there is no ledger yet. */
  async #record(collectorId: number | null): Promise<boolean> {
    const pool = this.#options.pool();
    if ((await assertLedgerKnown(pool)) === null) return false;
    if ((await readServerFacts(pool)).readOnly) return true;
    if (this.#isFirst) await forgetKilledServices(pool, this.#service);
    this.#isFirst = false;
    const dropsSent = this.#options.dropsSent();
    await recordService(pool, { ...this.#service, collectorId, dropsSent });
    return true;
  }

  async #forget(): Promise<void> {
    const pool = this.#options.pool();
    await this.#unlessFailed(async () => {
      if (!(await readServerFacts(pool)).readOnly) await forgetService(pool, this.#service.id);
    });
  }

  /** The result of `work`; true if it fails, which the log has once. */
  async #unlessFailed<T>(work: () => Promise<T>): Promise<T | true> {
    try {
      return await work();
    } catch (error) {
      const level = this.#hasWarned || this.#stopping.signal.aborted ? 'debug' : 'warn';
      this.#hasWarned = true;
      const what = 'cannot write the row of this service; `undrop status` may not list it';
      this.#options.log[level]({ event: 'service', err: error }, what);
      return true;
    }
  }
}

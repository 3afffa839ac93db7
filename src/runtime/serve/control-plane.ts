/**
 * The part of a service that exists once, however many processes serve its clients: the ledger,
 * recovery and the collector (ledger-server.ts), and the listener for monitoring and the console.
 *
 * Invariant: a wrong configuration (an account that the server refuses) stops the start; if the
 * ledger can't be reached, sessions are relayed and drops are refused.
 */
import { statfs } from 'node:fs/promises';
import type net from 'node:net';
import { systemClock, withinMs } from '../../clock.js';
import { watchDropsElsewhere } from '../../collector/drops-elsewhere.js';
import { newCollectorFigures } from '../../collector/figures.js';
import { PoolSet } from '../../connections/pool/pool-set.js';
import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import type { ProxySettings } from '../../faces/cli/settings.js';
import { limitSettings, versionOfPackage, whatIsNotHeld } from '../../faces/cli/settings.js';
import { readStatusView } from '../../faces/cli/status.js';
import { type OpenConsole, openConsole } from '../../faces/console/console.js';
import { Operator } from '../../faces/console/operator.js';
import type { HeldName } from '../../ledger/overview.js';
import type { Counters } from '../../metrics.js';
import { type BoundSocket, listenOn } from '../../session/bound-sockets.js';
import { assertNotOwn, greets } from '../../session/dial/dial.js';
import type { ProxyTls } from '../../session/login/tls.js';
import { type AdminRoutes, openAdminListener } from '../admin/http.js';
import { Exposition, type Snapshot } from '../admin/metrics.js';
import { CHECK_WITHIN_MS, Health } from './health.js';
import { LedgerServerKeeper, type LedgerServerKeeperOptions } from './ledger-server.js';
import { SERVICE_CONNECTIONS_MIN } from './plan.js';
import { Presence } from './presence.js';
import { tellHeldNames } from './tell-held-names.js';

/** `activeDrops`: those of this process; `onTakenOver`: for the pools of other processes. */
interface ControlPlaneOptions extends Omit<LedgerServerKeeperOptions, 'figures' | 'pools'> {
  /** Outlives a reload. */
  readonly serviceId: string;
  /** The number of processes of the service. */
  readonly processes: number;
  /** By default some of its own. */
  readonly pools?: PoolSet;
  readonly tls: ProxyTls;
  /** The addresses for clients, as bound. */
  readonly listen: readonly ServerAddress[];
  /** The sums over all processes. */
  counters(): Counters;
  /** The counters of this process, in the sums a second later; default: in none. */
  readonly own?: Pick<Counters, 'dropsSent'>;
  /** The names of held tables, for the proxies. */
  onHeldNames(names: readonly HeldName[]): void;
}

const UPSTREAM_RETRY_MS = 1_000;
/** How long the end of a service waits for it. */
const TELLER_ENDS_MS = 1_000;
/** A check gives up sooner. */
const GREETING = { connectTimeoutMs: 5_000, greetingTimeoutMs: 5_000 };

export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #settings: ProxySettings;
  readonly #pools: PoolSet;
  readonly #keeper: LedgerServerKeeper;
  readonly #figures;
  readonly #health: Health;
  readonly #exposition = new Exposition();
  readonly #ending = new AbortController();
  readonly #closeListeners: (() => Promise<void>)[] = [];
  #console: OpenConsole | null = null;
  #disk: Promise<Snapshot['disk']> | null = null;
  #isAway = false;
  #presence: Presence | null = null;
  #teller: ReturnType<typeof tellHeldNames> | null = null;
  /** Ends with `#ending`. */
  readonly #running: Promise<void>[] = [];

  /** Resolves when it could begin; rejects with what makes a start useless. */
  static async open(options: ControlPlaneOptions, settings: ProxySettings): Promise<ControlPlane> {
    const control = new ControlPlane(options, settings);
    try {
      await assertNotOwn(settings.upstream, options.listen);
      await control.#keeper.open();
      return control;
    } catch (error) {
      await control.#pools.dispose();
      throw error;
    }
  }

  private constructor(options: ControlPlaneOptions, settings: ProxySettings) {
    const { tls, log, own, pools } = options;
    const limits = { connectionsMax: SERVICE_CONNECTIONS_MIN };
    this.#options = options;
    this.#settings = settings;
    this.#pools = pools ?? new PoolSet({ ...settings, ...tls.service, ...limits, log });
    this.#figures = newCollectorFigures(own);
    const shared = { ...options, pools: this.#pools, figures: this.#figures };
    this.#keeper = new LedgerServerKeeper(shared, settings);
    this.#health = new Health({
      mode: settings.mode,
      isAway: () => this.#isAway,
      answers: () => this.#pools.answers(),
      greets: () => greets(settings.upstream, GREETING),
      dropProblem: () => this.#keeper.dropProblem(),
    });
  }

  /** max_connections of the server; null if none has answered. */
  get serverConnectionsMax(): number | null {
    return this.#keeper.connectionsMax;
  }

  /** Clients are served: answers monitoring and the console. */
  async serve(sockets: readonly BoundSocket[], about: object): Promise<void> {
    const { log, tls } = this.#options;
    const accept: Parameters<typeof openAdminListener>[1]['accept'] =
      this.#settings.tls === 'off' ? null : (...args) => tls.accept(...args);
    this.#console = this.#openConsole();
    const doors: AdminRoutes = {
      problems: (asked) => this.#health.problems(asked),
      metrics: () => this.#metrics(),
      ...(this.#console !== null && { console: this.#console.serve }),
    };
    for (const socket of sockets) {
      const listen = (server: net.Server) => listenOn(server, socket);
      this.#closeListeners.push(await openAdminListener(listen, { doors, accept, log }));
      const where = describeAddress(socket.address);
      const pages = this.#console === null ? '' : ', /console';
      const what = `/healthz, /readyz${pages} and /metrics are there`;
      log.info({ event: 'admin', listen: where }, what);
    }
    const { sentences, chosen } = whatIsNotHeld(this.#settings);
    for (const sentence of [...sentences, ...chosen]) log.warn({ event: 'unprotected' }, sentence);
    this.#running.push(this.#sayReady(about));
  }

  /** Null: there is none, or no way to this service. */
  #openConsole(): OpenConsole | null {
    const [settings, figures, { log }] = [this.#settings, this.#figures, this.#options];
    const [address] = this.#options.listen;
    if (settings.console === 'off' || address === undefined) return null;
    const pool = () => this.#keeper.pool;
    return openConsole({
      operator: new Operator({
        ...{ pool, figures, log },
        limits: limitSettings(settings),
        report: () => readStatusView(pool(), settings, figures),
      }),
      door: { ...reachable(address), offersTls: settings.tls !== 'off' },
      hosts: settings.adminHosts,
      ...{ version: versionOfPackage(), log },
      server: () => this.#keeper.server,
      problems: () => this.#health.problems({ drops: true }),
    });
  }

  async #metrics(): ReturnType<AdminRoutes['metrics']> {
    const { counters, tls } = this.#options;
    const { isReached, dropProblem } = await this.#health.look({ drops: true });
    return this.#exposition.text({
      version: versionOfPackage(),
      mode: this.#settings.mode,
      certificates: tls.validity,
      counters: counters(),
      collector: this.#figures,
      nowMs: performance.now(),
      disk: await this.#readDisk(),
      isUpstreamReached: isReached,
      areDropsHeld: isReached && dropProblem === null,
      isDraining: this.#isAway,
    });
  }

  /** Null: not known. A file system that hangs has one call at a time. */
  async #readDisk(): Promise<Snapshot['disk']> {
    // A folder that can't be read is reported by the collector.
    this.#disk ??= readDisk(limitSettings(this.#settings).dataFolder)
      .catch(() => null)
      .finally(() => {
        this.#disk = null;
      });
    return withinMs(CHECK_WITHIN_MS, this.#disk);
  }

  /** No other process of this service collects: recovery and the collector begin. */
  collect(): void {
    this.#keeper.begin();
    const shared = { ...this.#options, pool: () => this.#keeper.pool, figures: this.#figures };
    const dropsSent = () => this.#options.counters().dropsSent;
    this.#presence = new Presence({ ...shared, dropsSent });
    const { signal } = this.#ending;
    this.#teller = tellHeldNames({ ...shared, signal });
    this.#running.push(watchDropsElsewhere({ ...shared, clock: systemClock, signal }));
  }

  readonly onHeld = (): void => {
    this.#keeper.onHeld();
    this.#teller?.wake();
  };

  /** The service is about to end: clients are to go elsewhere. */
  keepAway(): void {
    this.#isAway = true;
  }

  /** `isEnd`: the service ends, so it is no longer listed. */
  async stop({ isEnd = false }: { readonly isEnd?: boolean }): Promise<void> {
    this.#ending.abort();
    this.#console?.close();
    const closing = Promise.all(this.#closeListeners.map((close) => close()));
    const presence = this.#presence?.stop({ isEnd });
    const told = withinMs(TELLER_ENDS_MS, this.#teller?.ended ?? Promise.resolve());
    await Promise.all([this.#keeper.stop(), presence, told]);
    await this.#pools.dispose();
    await Promise.all([closing, ...this.#running]);
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

/** Where this machine reaches a listener. */
function reachable(address: ServerAddress): ServerAddress {
  if ('socketPath' in address) return address;
  const local: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  return { ...address, host: local[address.host] ?? address.host };
}

/** The file system of that folder. Rejects if it can't be read. */
async function readDisk(folder: string | null): Promise<Snapshot['disk']> {
  if (folder === null) return null;
  const { bavail, blocks, bsize } = await statfs(folder);
  return { used: 1 - bavail / Math.max(blocks, 1), freeBytes: bavail * bsize };
}

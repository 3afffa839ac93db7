/**
 * `undrop serve`: everything of a running proxy is put together here, and it is told to end or to
 * read its settings anew by signals.
 *
 * Invariant: where the service can't reach the ledger, sessions are relayed and drops are refused;
 * only a wrong configuration (an account that the server refuses) stops the start. Wrong settings
 * that come later change nothing.
 */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { UndropError } from '../errors.js';
import type { LeveledLog, Log } from '../log.js';
import { newCounters } from '../metrics.js';
import { newHoldId } from '../names/hold-name.js';
import { PoolSet } from '../service/pool/pool-set.js';
import { LocalConnectionLimit } from '../session/connection-limit.js';
import { openProxyTls } from '../session/login/tls.js';
import { assertNotLent } from './os-user.js';
import { compareSettings, type ProxySettings } from './proxy-settings.js';
import { ActiveDrops } from './services/active-drops.js';
import { LedgerServerKeeper } from './services/ledger-server-keeper.js';
import { startWorkers } from './services/primary.js';
import { type HeardSignal, takeSignals } from './signals.js';
import { Front } from './workers/front.js';
import { openFilesFor, openFilesMax, sessionsByOpenFiles } from './workers/open-files.js';
import {
  drainOptions,
  type RunningProxy,
  sayReady,
  warnUnprotected,
} from './workers/running-proxy.js';
import { autoWorkers } from './workers/worker-count.js';
import { keepYoungGenerationSmall } from './workers/young-generation.js';

/** Service connections for one server; the collector keeps one of them. */
const SERVICE_CONNECTIONS_MAX = 8;
/** What a proxy that was told to end at once may still take for its own connections. */
const HURRY_MS = 1_000;

/** Starts a proxy in this process; it takes clients when this resolves. */
export async function startProxy(initial: ProxySettings, log: Log): Promise<RunningProxy> {
  let settings = initial;
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeDrops = new ActiveDrops();
  const counters = newCounters();
  const permits = new LocalConnectionLimit(permitsOf(settings));
  const tls = await openProxyTls(settings);
  const connectionsMax = SERVICE_CONNECTIONS_MAX;
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  await assertNotLent(pools, settings, log);
  const home = await LedgerServerKeeper.open({ pools, proxyId, activeDrops, log }, settings);
  const onHeld = () => home.wake('drop');
  const front = new Front(
    { proxyId, activeDrops, pools, permits, tls, counters, log, isWorker: false, onHeld },
    settings,
  );
  const ending = new AbortController();
  const closeServices = async () => {
    ending.abort();
    await home.stop();
    await pools.dispose();
  };
  try {
    const { addresses, relay } = await front.open();
    const started = { settings, addresses, proxyId, relay, workers: 1 };
    const said = sayReady(log, { answers: () => pools.answers(), signal: ending.signal }, started);
    return {
      addresses,
      counters: () => counters,
      change: async (next) => {
        const change = compareSettings(settings, next);
        await tls.change(change.settings);
        pools.useTls(tls.service);
        front.change(change.settings);
        settings = change.settings;
        permits.max = permitsOf(settings);
        if (change.collectorChanged) await home.change(settings);
        return change;
      },
      stop: async (options = {}) => {
        await front.close(drainOptions(settings, options));
        await closeServices();
        await said;
        log.info({ event: 'stopped', ...counters }, 'stopped');
      },
    };
  } catch (error) {
    await closeServices();
    throw error;
  }
}

/** Where the settings come from, and the log that follows them. */
export interface ServeDoors {
  /** Reads all settings anew; throws UNDROP_CONFIG. */
  load(): ProxySettings;
  openLog(level: ProxySettings['logLevel']): LeveledLog;
}

/**
 * Runs until SIGTERM or SIGINT, and drains; a second signal ends it at once. SIGHUP reads the
 * settings anew. Resolves to the exit code.
 */
export async function serve({ load, openLog }: ServeDoors): Promise<number> {
  keepYoungGenerationSmall();
  const settings = load();
  const log = openLog(settings.logLevel);
  const count = workersOf(settings, log);
  const signals = new Signals(log);
  checkOpenFiles(settings, count, log);
  const starting = count === 1 ? startProxy(settings, log) : startWorkers(settings, count, log);
  const proxy = await Promise.race([starting, signals.ending.then(() => null)]);
  // Nobody was served, and a start that is broken off leaves no more than one that is killed.
  if (proxy === null) process.exit(0);
  let reloading = Promise.resolve();
  signals.serve(() => {
    reloading = reloading.then(() => reload(proxy, load, log));
  });
  const { failed = new Promise<never>(() => undefined) } = proxy;
  const hurry = await Promise.race([signals.ending, failed]);
  if (hurry instanceof UndropError) {
    log.error({ event: 'worker', err: hurry }, 'workers die again and again: the proxy ends');
    await Promise.race([proxy.stop(), signals.ending]);
    process.exit(1);
  }
  const stopped = proxy.stop({ signal: hurry });
  await Promise.race([stopped, shortlyAfter(hurry)]);
  // What has not closed by then, a killed proxy would leave as well.
  if (hurry.aborted) process.exit(0);
  return 0;
}

function workersOf({ workers }: ProxySettings, log: Log): number {
  const cores = availableParallelism();
  const auto = autoWorkers(cores);
  if (workers === 'auto') return auto;
  if (workers < auto) {
    const fields = { event: 'workers', cores, workers, auto };
    log.info(fields, 'UNDROP_WORKERS leaves cores unused: auto would serve with more processes');
  }
  return workers;
}

function permitsOf(settings: ProxySettings): number {
  return Math.min(settings.maxConnections, sessionsByOpenFiles());
}

/** So that a limit of the system is met by words, and not by the last client. */
function checkOpenFiles({ maxConnections }: ProxySettings, processes: number, log: Log): void {
  const fitting = sessionsByOpenFiles() * processes;
  if (fitting >= maxConnections) return;
  const fields = {
    event: 'open-files',
    openFilesMax: openFilesMax(),
    openFilesNeeded: openFilesFor(Math.ceil(maxConnections / processes)),
    connectionsMax: fitting,
  };
  log.warn(fields, 'fewer clients than UNDROP_MAX_CONNECTIONS: raise the limit of open files');
}

/** Never rejects: with wrong settings everything stays as it is. */
async function reload(proxy: RunningProxy, load: () => ProxySettings, log: LeveledLog) {
  try {
    const next = load();
    const { settings, changed, fixed } = await proxy.change(next);
    log.setLevel(next.logLevel);
    warnUnprotected(log, settings);
    log.info({ event: 'reload', changed }, 'the settings were read anew');
    if (fixed.length > 0) {
      log.warn({ event: 'reload', settings: fixed }, 'changed settings that take a restart');
    }
  } catch (error) {
    log.error({ event: 'reload', err: error }, 'the settings stay as they were');
  }
}

/** Signals so close together are one: nobody types or schedules two. */
const ECHO_MS = 500;

/** What a proxy does about signals, before it serves and then. */
class Signals {
  /** Resolves at the first signal that ends it; what it resolves to is aborted by the second. */
  readonly ending: Promise<AbortSignal>;
  readonly #log: Log;
  readonly #hurry = new AbortController();
  #end: (hurry: AbortSignal) => void = () => undefined;
  #onHangup: (() => void) | null = null;
  #hungUp = false;
  #ended = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
    this.ending = new Promise((resolve) => {
      this.#end = resolve;
    });
    takeSignals((signal) => this.#hear(signal));
  }

  /** Clients are served: `onHangup` is called for each SIGHUP, also for one that came before. */
  serve(onHangup: () => void): void {
    this.#onHangup = onHangup;
    if (this.#hungUp) onHangup();
  }

  #hear(signal: HeardSignal): void {
    const fields = { event: 'signal', signal };
    if (signal === 'SIGTERM' || signal === 'SIGINT') return this.#onEnding(fields);
    if (signal !== 'SIGHUP') return this.#log.info(fields, 'not a signal that undrop knows');
    if (this.#onHangup !== null) return this.#onHangup();
    this.#hungUp = true;
    this.#log.info(fields, 'the settings are read anew as soon as clients are served');
  }

  #onEnding(fields: { readonly event: string; readonly signal: HeardSignal }): void {
    // npm passes on what the process group got already: one signal, twice within a moment.
    const isEcho = performance.now() - this.#lastAt < ECHO_MS;
    this.#lastAt = performance.now();
    if (isEcho) return;
    this.#ended++;
    const first = this.#onHangup === null ? 'ending before clients are served' : 'draining';
    this.#log.info(fields, this.#ended === 1 ? first : 'ending at once');
    if (this.#ended === 1) this.#end(this.#hurry.signal);
    else if (this.#ended === 2) this.#hurry.abort();
    else process.exit(1);
  }
}

function shortlyAfter(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wait = () => {
      setTimeout(resolve, HURRY_MS).unref();
    };
    signal.addEventListener('abort', wait, { once: true });
  });
}

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
import type { LeveledLog, Log } from '../log.js';
import { newCounters } from '../metrics.js';
import { newHoldId } from '../names/hold-id.js';
import { PoolSet } from '../service/pool-set.js';
import { LocalPermits } from '../session/permits.js';
import { openProxyTls } from '../session/tls.js';
import { Front } from './front.js';
import { Home } from './home.js';
import { openFilesFor, openFilesMax, sessionsByOpenFiles } from './open-files.js';
import { startWorkers } from './primary.js';
import { compareSettings, type ProxySettings } from './proxy-settings.js';
import { drainOptions, type RunningProxy, sayReady, warnUnprotected } from './running-proxy.js';
import { keepYoungGenerationSmall } from './young-generation.js';

/** Service connections for one server; the collector keeps one of them. */
const SERVICE_CONNECTIONS_MAX = 8;
/** What a proxy that was told to end at once may still take for its own connections. */
const HURRY_MS = 1_000;

/** Starts a proxy in this process; it takes clients when this resolves. */
export async function startProxy(initial: ProxySettings, log: Log): Promise<RunningProxy> {
  let settings = initial;
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeIds = new Set<string>();
  const counters = newCounters();
  const permits = new LocalPermits(permitsOf(settings));
  const tls = await openProxyTls(settings);
  const connectionsMax = SERVICE_CONNECTIONS_MAX;
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  const pool = await pools.home();
  const home = await Home.open({ pool, proxyId, activeIds, log }, settings);
  const onHeld = () => home.wake('drop');
  const front = new Front(
    { proxyId, activeIds, pools, permits, tls, counters, log, isWorker: false, onHeld },
    settings,
  );
  const closeHome = async () => {
    await home.stop();
    await pools.dispose();
  };
  try {
    const { addresses, relay } = await front.open();
    sayReady(log, { settings, addresses, proxyId, relay, workers: 1 });
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
        await closeHome();
        log.info({ event: 'stopped', ...counters }, 'stopped');
      },
    };
  } catch (error) {
    await closeHome();
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
  const count = settings.workers === 'auto' ? availableParallelism() : settings.workers;
  checkOpenFiles(settings, count, log);
  const proxy = await (count === 1
    ? startProxy(settings, log)
    : startWorkers(settings, count, log));
  let reloading = Promise.resolve();
  process.on('SIGHUP', () => {
    reloading = reloading.then(() => reload(proxy, load, log));
  });
  const hurry = await firstEndingSignal(log);
  const stopped = proxy.stop({ signal: hurry });
  await Promise.race([stopped, shortlyAfter(hurry)]);
  // What has not closed by then, a killed proxy would leave as well.
  if (hurry.aborted) process.exit(0);
  return 0;
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

/** Resolves at the first signal; what it resolves to is aborted by the second. */
function firstEndingSignal(log: Log): Promise<AbortSignal> {
  const hurry = new AbortController();
  return new Promise((resolve) => {
    let signals = 0;
    let lastAt = Number.NEGATIVE_INFINITY;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        // npm passes on what the process group got already: one signal, twice within a moment.
        const isEcho = performance.now() - lastAt < ECHO_MS;
        lastAt = performance.now();
        if (isEcho) return;
        signals++;
        log.info({ event: 'signal', signal }, signals === 1 ? 'draining' : 'ending at once');
        if (signals === 1) resolve(hurry.signal);
        else if (signals === 2) hurry.abort();
        else process.exit(1);
      });
    }
  });
}

function shortlyAfter(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wait = () => {
      setTimeout(resolve, HURRY_MS).unref();
    };
    signal.addEventListener('abort', wait, { once: true });
  });
}

/**
 * `undrop serve`: everything of a running proxy is put together here, and it is told to end or to
 * read its settings anew by signals.
 *
 * Invariant: where the service can't reach the ledger, sessions are relayed and drops are refused;
 * only a wrong configuration (an account that the server refuses) stops the start. Wrong settings
 * that come later change nothing.
 */
import { randomBytes } from 'node:crypto';
import type { LeveledLog, Log } from '../log.js';
import { newCounters } from '../metrics.js';
import { newHoldId } from '../names/hold-id.js';
import { describeAddress } from '../service/address.js';
import { PoolSet } from '../service/pool-set.js';
import type { ServerAddress } from '../service/pools.js';
import type { DrainOptions } from '../session/drain.js';
import { LocalPermits } from '../session/permits.js';
import { openProxyTls } from '../session/tls.js';
import { Front } from './front.js';
import { Home } from './home.js';
import { compareSettings, type ProxySettings, type SettingsChange } from './proxy-settings.js';

export interface StopOptions {
  /** Instead of UNDROP_DRAIN_WAIT and UNDROP_DRAIN_TIMEOUT. */
  readonly waitMs?: number;
  readonly timeoutMs?: number;
  /** Aborted: everything ends at once. */
  readonly signal?: AbortSignal;
}

export interface RunningProxy {
  /** As bound: port 0 is the port that was given. */
  readonly addresses: readonly ServerAddress[];
  /**
   * Goes on by other settings: the next statement, the next session, the collector. Where it
   * rejects, nothing has changed.
   */
  change(settings: ProxySettings): Promise<SettingsChange>;
  /** Drains, ends the collector at its next pause and closes the service pools. */
  stop(options?: StopOptions): Promise<void>;
}

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
  const permits = new LocalPermits(settings.maxConnections);
  const tls = await openProxyTls(settings);
  const connectionsMax = SERVICE_CONNECTIONS_MAX;
  const pools = new PoolSet({ ...settings, tls: tls.service, connectionsMax, log });
  const pool = await pools.home();
  const home = await Home.open({ pool, proxyId, activeIds, log }, settings);
  const onHeld = () => home.wake('drop');
  const front = new Front(
    { proxyId, activeIds, pools, permits, tls, counters, log, onHeld },
    settings,
  );
  const closeHome = async () => {
    await home.stop();
    await pools.dispose();
  };
  try {
    const { addresses, relay } = await front.open();
    sayReady(log, { settings, addresses, proxyId, relay });
    return {
      addresses,
      change: async (next) => {
        const change = compareSettings(settings, next);
        await tls.change(change.settings);
        pools.useTls(tls.service);
        front.change(change.settings);
        settings = change.settings;
        permits.max = settings.maxConnections;
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

function drainOptions(settings: ProxySettings, options: StopOptions): DrainOptions {
  const {
    waitMs = settings.drainWait,
    timeoutMs = settings.drainTimeout,
    signal = new AbortController().signal,
  } = options;
  return { waitMs, timeoutMs, signal };
}

function sayReady(
  log: Log,
  facts: {
    readonly settings: ProxySettings;
    readonly addresses: readonly ServerAddress[];
    readonly proxyId: string;
    readonly relay: string;
  },
): void {
  const { settings, addresses, proxyId, relay } = facts;
  const listen = addresses.map(describeAddress);
  const upstream = settings.upstream.map(describeAddress);
  log.info({ event: 'ready', listen, upstream, proxyId, relay }, 'ready: clients are served');
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
  const settings = load();
  const log = openLog(settings.logLevel);
  const proxy = await startProxy(settings, log);
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

/** Never rejects: with wrong settings everything stays as it is. */
async function reload(proxy: RunningProxy, load: () => ProxySettings, log: LeveledLog) {
  try {
    const next = load();
    const { changed, fixed } = await proxy.change(next);
    log.setLevel(next.logLevel);
    log.info({ event: 'reload', changed }, 'the settings were read anew');
    if (fixed.length > 0) {
      log.warn({ event: 'reload', settings: fixed }, 'changed settings that take a restart');
    }
  } catch (error) {
    log.error({ event: 'reload', err: error }, 'the settings stay as they were');
  }
}

/** Resolves at the first signal; what it resolves to is aborted by the second. */
/** Signals so close together are one: nobody types or schedules two. */
const ECHO_MS = 500;

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

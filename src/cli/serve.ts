/**
 * `undrop serve`, and the composition root: everything of a running proxy is made here.
 *
 * Invariant: where the service can't reach the ledger, sessions are relayed and drops are refused;
 * only a wrong configuration (an account that the server refuses) stops the start.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../clock.js';
import type { Settings } from '../config/schema.js';
import { ensureLedger } from '../ledger/tables.js';
import { startCollector } from '../lifecycle/collector.js';
import type { LifecycleSettings } from '../lifecycle/settings.js';
import type { Log } from '../log.js';
import { newCounters } from '../metrics.js';
import { newHoldId } from '../names/hold-id.js';
import type { TableState } from '../names/hold-name.js';
import { reconcile } from '../recovery/reconcile.js';
import { isRawRelayPossible } from '../relay/raw-handle.js';
import { describeAddress } from '../service/address.js';
import { PoolSet } from '../service/pool-set.js';
import type { ServerAddress, ServicePool } from '../service/pools.js';
import { Listener } from '../session/listener.js';
import { LocalPermits } from '../session/permits.js';
import { warmCrossCheck } from '../sql/cross-check.js';

/** Settings that a proxy needs, by their keys in config/schema.ts. */
export const PROXY_KEYS = [
  'listen',
  'upstream',
  'user',
  'password',
  'passwordFile',
  'protect',
  'lifecycle',
  'hold',
  'evac',
  'checkInterval',
  'purgeCheckInterval',
  'purgeChunkRows',
  'purgeBinlog',
  'fastDrop',
  'collect',
  'grace',
  'ledgerKeep',
  'maxConnections',
  'connectTimeout',
  'greetingTimeout',
  'loginTimeout',
  'logLevel',
] as const;

export type ProxySettings = Pick<Settings, (typeof PROXY_KEYS)[number]>;

export interface RunningProxy {
  /** As bound: port 0 is the port that was given. */
  readonly addresses: readonly ServerAddress[];
  /**
   * Drains (idle sessions at once, busy ones up to `drainMs` milliseconds, or until `signal`), ends
   * the collector at its next pause and closes the service pools.
   */
  stop(options?: { readonly drainMs?: number; readonly signal?: AbortSignal }): Promise<void>;
}

const DRAIN_MS = 15_000;
/** Service connections for one server; the collector keeps one of them. */
const SERVICE_CONNECTIONS_MAX = 8;
const LEDGER_RETRY_MS = 5_000;

/** Starts a proxy; it takes clients when this resolves. */
export async function startProxy(settings: ProxySettings, log: Log): Promise<RunningProxy> {
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeIds = new Set<string>();
  const counters = newCounters();
  const stopping = new AbortController();
  const pools = new PoolSet({ ...settings, connectionsMax: SERVICE_CONNECTIONS_MAX, log });
  const home = await pools.home();
  const work = new Set<Promise<void>>();
  const background = (promise: Promise<void>) => {
    const tracked = promise.finally(() => work.delete(tracked));
    work.add(tracked);
  };
  const recovery = { proxyId, activeIds, log, signal: stopping.signal };
  // So that the first drop finds a ledger; where it can't be made yet, clients are served all the
  // same.
  const isReady = await tryToMakeLedger(home, log);
  background(recover(home, { ...recovery, isReady }));
  const collector = startCollector({
    pool: home,
    proxyId,
    activeIds,
    clock: systemClock,
    log,
    reconcile,
    settings: lifecycleSettings(settings),
  });
  const protect = new Set(settings.protect);
  const holdMs = settings.lifecycle.includes('hold') ? settings.hold : 0;
  const listener = new Listener({
    listen: settings.listen,
    upstreams: settings.upstream,
    permits: new LocalPermits(settings.maxConnections),
    settings: () => ({
      connectTimeoutMs: settings.connectTimeout,
      greetingTimeoutMs: settings.greetingTimeout,
      loginTimeoutMs: settings.loginTimeout,
    }),
    log,
    counters,
    serviceFor: ({ address }) => ({ pool: pools.at(address), proxyId, holdMs, protect, activeIds }),
    background,
    onHeld: () => collector.wake('drop'),
  });
  const shutDown = async () => {
    stopping.abort();
    await collector.stop();
    await Promise.allSettled(work);
    await pools.dispose();
  };
  try {
    const isRaw = await isRawRelayPossible();
    await warmCrossCheck();
    const addresses = await listener.open();
    sayReady(log, { settings, addresses, proxyId, relay: isRaw ? 'raw' : 'stream' });
    return {
      addresses,
      stop: async ({ drainMs = DRAIN_MS, signal = new AbortController().signal } = {}) => {
        await listener.drain(drainMs, signal);
        await shutDown();
        log.info({ event: 'stopped', ...counters }, 'stopped');
      },
    };
  } catch (error) {
    await shutDown();
    throw error;
  }
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

function lifecycleSettings(settings: ProxySettings): LifecycleSettings {
  return {
    ...settings,
    lifecycle: settings.lifecycle.map((state) => state.toUpperCase() as TableState),
    holdMs: settings.hold,
    evacMs: settings.evac,
    checkIntervalMs: settings.checkInterval,
    purgeCheckIntervalMs: settings.purgeCheckInterval,
    graceMs: settings.grace,
    ledgerKeepMs: settings.ledgerKeep,
  };
}

async function tryToMakeLedger(pool: ServicePool, log: Log): Promise<boolean> {
  try {
    await ensureLedger(pool);
    return true;
  } catch (error) {
    log.warn({ err: error }, 'the ledger is not ready; drops are refused until it is');
    return false;
  }
}

/** Completes what a killed proxy left; tries until the ledger is there. */
async function recover(
  pool: ServicePool,
  options: {
    readonly proxyId: string;
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    readonly signal: AbortSignal;
    readonly isReady: boolean;
  },
): Promise<void> {
  const { log, signal } = options;
  let isReady = options.isReady;
  while (!signal.aborted) {
    try {
      if (isReady) {
        await reconcile(pool, options);
        log.info({ event: 'ledger' }, 'the ledger is ready: dropped tables will be held');
        return;
      }
    } catch (error) {
      log.warn({ err: error }, 'what an ended proxy left could not be settled yet');
    }
    await systemClock.sleep(LEDGER_RETRY_MS, signal);
    isReady ||= await tryToMakeLedger(pool, log);
  }
}

/** Runs until SIGTERM or SIGINT; a second signal ends it at once. Resolves to the exit code. */
export async function serve(settings: ProxySettings, log: Log): Promise<number> {
  const proxy = await startProxy(settings, log);
  const hurry = new AbortController();
  await new Promise<void>((resolve) => {
    let signals = 0;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        signals++;
        log.info({ event: 'signal', signal }, signals === 1 ? 'draining' : 'ending at once');
        if (signals === 1) resolve();
        else if (signals === 2) hurry.abort();
        else process.exit(1);
      });
    }
  });
  await proxy.stop({ signal: hurry.signal });
  return 0;
}

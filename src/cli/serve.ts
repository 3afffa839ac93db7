/**
 * `undrop serve`, and the composition root: everything of a running proxy is made here.
 *
 * Invariant: where the service can't reach the ledger, sessions are relayed and drops are refused;
 * only a wrong configuration (an account that the server refuses) stops the start.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../assert.js';
import { systemClock } from '../clock.js';
import type { Settings } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { ensureLedger } from '../ledger/tables.js';
import { startCollector } from '../lifecycle/collector.js';
import type { Log } from '../log.js';
import { newCounters } from '../metrics.js';
import { newHoldId } from '../names/hold-id.js';
import type { TableState } from '../names/hold-name.js';
import { reconcile } from '../recovery/reconcile.js';
import {
  isServerError,
  openServicePool,
  type ServerAddress,
  type ServicePool,
} from '../service/pools.js';
import { note, sql } from '../service/sql.js';
import { describeAddress } from '../session/connect.js';
import { Listener } from '../session/listener.js';
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

const CONNECT_TIMEOUT_MS = 10_000;
const GREETING_TIMEOUT_MS = 10_000;
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
  const pools = new Pools(settings, log);
  const home = await pools.home();
  const work = new Set<Promise<void>>();
  const background = (promise: Promise<void>) => {
    const tracked = promise.finally(() => work.delete(tracked));
    work.add(tracked);
  };
  background(prepareLedger(home, { proxyId, activeIds, log, signal: stopping.signal }));
  const collector = startCollector({
    pool: home,
    proxyId,
    activeIds,
    clock: systemClock,
    log,
    reconcile,
    settings: {
      ...settings,
      lifecycle: settings.lifecycle.map((state) => state.toUpperCase() as TableState),
      holdMs: settings.hold,
      evacMs: settings.evac,
      checkIntervalMs: settings.checkInterval,
      purgeCheckIntervalMs: settings.purgeCheckInterval,
      graceMs: settings.grace,
      ledgerKeepMs: settings.ledgerKeep,
    },
  });
  const protect = new Set(settings.protect);
  const holdMs = settings.lifecycle.includes('hold') ? settings.hold : 0;
  const listener = new Listener({
    listen: settings.listen,
    upstreams: settings.upstream,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    greetingTimeoutMs: GREETING_TIMEOUT_MS,
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
    const addresses = await listener.open();
    await warmCrossCheck();
    log.info(
      {
        event: 'ready',
        listen: addresses.map(describeAddress),
        upstream: settings.upstream.map(describeAddress),
        proxyId,
      },
      'ready: clients are served',
    );
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

/** One service pool for each address that sessions were dialled to. */
class Pools {
  readonly #settings: ProxySettings;
  readonly #log: Log;
  readonly #pools = new Map<string, ServicePool>();

  constructor(settings: ProxySettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
  }

  at(address: ServerAddress): ServicePool {
    const key = describeAddress(address);
    const open = this.#pools.get(key);
    if (open !== undefined) return open;
    const { user, password } = this.#settings;
    const pool = openServicePool({
      address,
      user,
      password,
      connectionsMax: SERVICE_CONNECTIONS_MAX,
      log: this.#log,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /**
   * The pool of the first upstream that takes the service account: there the collector works.
   * Where none answers it is the first, which may come up later. UNDROP_ACCOUNT where the server
   * answers and refuses the account.
   */
  async home(): Promise<ServicePool> {
    for (const address of this.#settings.upstream) {
      const pool = this.at(address);
      try {
        await pool.run(sql`SELECT ${note('hello')} 1 AS one`);
        return pool;
      } catch (error) {
        const server = describeAddress(address);
        if (isServerError(error, ...ACCOUNT_REFUSED)) {
          const cause = error.message;
          throw new UndropError('UNDROP_ACCOUNT', { server, cause }, error);
        }
        this.#log.warn({ server, err: error }, 'the server does not answer the service account');
      }
    }
    const [first] = this.#settings.upstream;
    assert(first !== undefined, 'at least one upstream is configured');
    return this.at(first);
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.dispose()));
  }
}

/** Access denied, with or without a password; by host; an authentication that it can't do. */
const ACCOUNT_REFUSED = [1044, 1045, 1130, 1251, 1698, 1862];

/** Makes the ledger and completes what a killed proxy left; tries until the server is there. */
async function prepareLedger(
  pool: ServicePool,
  options: {
    readonly proxyId: string;
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { log, signal } = options;
  while (!signal.aborted) {
    try {
      await ensureLedger(pool);
      await reconcile(pool, options);
      log.info({ event: 'ledger' }, 'the ledger is ready: dropped tables will be held');
      return;
    } catch (error) {
      log.warn({ err: error }, 'the ledger is not ready; drops are refused until it is');
      await systemClock.sleep(LEDGER_RETRY_MS, signal);
    }
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

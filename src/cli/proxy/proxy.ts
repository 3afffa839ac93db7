/**
 * A running proxy: pools, TLS, the services that it has once, and what takes its clients, which is
 * this process itself or several workers.
 *
 * Invariant: if the service account can't reach the ledger, sessions are relayed and drops are
 * refused; only a wrong configuration (an account that the server refuses) stops the start.
 */
import { randomBytes } from 'node:crypto';
import { assertNotLent } from '../../account/os-user.js';
import { systemClock } from '../../clock.js';
import type { UndropError } from '../../errors.js';
import { newCollectorFigures } from '../../lifecycle/figures.js';
import { type Log, withAudit } from '../../log.js';
import { type Counters, countAudit, newCounters } from '../../metrics.js';
import { newHoldId } from '../../names/names.js';
import type { Rule } from '../../policy/rules.js';
import { PoolSet } from '../../service/pool/pool-set.js';
import { describeAddress, type ServerAddress } from '../../service/server-address.js';
import { greets } from '../../session/dial/dial.js';
import { openProxyTls } from '../../session/login/tls.js';
import type { IdleSessions } from '../../session/session.js';
import {
  compareSettings,
  type ProxySettings,
  type SettingsChange,
  whatIsNotHeld,
} from '../settings.js';
import { ActiveDrops, type ClientSide, Front, type Opened } from './front.js';
import { LedgerServerKeeper } from './ledger-server.js';
import { SERVICE_CONNECTIONS_MAX, SERVICE_CONNECTIONS_MIN } from './limits.js';
import { Watch } from './watch.js';
import { Workers } from './workers.js';

export interface StopOptions {
  /** Default: UNDROP_DRAIN_WAIT. */
  readonly waitMs?: number;
  /** Default: UNDROP_DRAIN_TIMEOUT. */
  readonly timeoutMs?: number;
  /** Default: UNDROP_DRAIN. */
  readonly idle?: IdleSessions;
  /** If it is aborted, everything ends at once. */
  readonly signal?: AbortSignal;
}

export interface RunningProxy {
  /** The addresses as bound: port 0 is the port that was given. */
  readonly addresses: readonly ServerAddress[];
  /** The sum of all its processes; those of a worker are at most a second old. */
  counters(): Counters;
  /**
   * The next statement, the next session and the collector use the new settings. If it rejects,
   * nothing has changed.
   */
  change(settings: ProxySettings): Promise<SettingsChange>;
  /** Resolves when its workers die again and again; then it is to be stopped. */
  readonly failed: Promise<UndropError>;
  /** Drains, ends the collector at its next pause and closes the service pools. */
  stop(options?: StopOptions): Promise<void>;
}

/** Starts a proxy with so many processes for clients; it takes clients when this resolves. */
export async function startProxy(
  initial: ProxySettings,
  lines: Log,
  processes = 1,
): Promise<RunningProxy> {
  let settings = initial;
  const own = newCounters();
  const figures = newCollectorFigures();
  const log = withAudit(lines, countAudit(own));
  const proxyId = newHoldId(Date.now(), randomBytes);
  const tls = await openProxyTls(settings);
  const connectionsMax = processes === 1 ? SERVICE_CONNECTIONS_MAX : SERVICE_CONNECTIONS_MIN;
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  await assertNotLent(pools, settings, log);
  const activeDrops = new ActiveDrops();
  const onTakenOver = (address: ServerAddress) => clients.renew(address);
  const services = await LedgerServerKeeper.open(
    { pools, proxyId, activeDrops, figures, log, onTakenOver },
    settings,
  );
  const { onHeld } = services;
  const serverConnectionsMax = () => services.connectionsMax;
  const shared = { tls, log, onHeld };
  const clients: ClientSide =
    processes === 1
      ? new Front({ ...shared, proxyId, activeDrops, pools, counters: own }, settings)
      : new Workers({ ...shared, count: processes, counters: own, serverConnectionsMax }, settings);
  const ending = new AbortController();
  let watch: Watch | null = null;
  const closeServices = async () => {
    ending.abort();
    await services.stop();
    await pools.dispose();
    await watch?.close();
  };
  try {
    watch = await Watch.open(settings, {
      ...{ figures, log, mode: () => settings.mode, counters: () => clients.counters },
      ...{ answers: () => pools.answers(), greets: () => greets(settings.upstream, GREETING) },
      dropProblem: () => services.dropProblem(),
    });
    const opened = await clients.open();
    watch.serves();
    warnUnprotected(log, settings);
    const about = { ...opened, upstream: settings.upstream, proxyId, workers: processes };
    const said = sayReady(pools, log, { signal: ending.signal, about });
    return {
      addresses: opened.addresses,
      failed: clients.failed,
      counters: () => clients.counters,
      change: async (next) => {
        const change = compareSettings(settings, next);
        await tls.change(change.settings);
        settings = change.settings;
        pools.useTls(tls.service);
        await clients.change(settings);
        if (change.changed.length > 0) await services.change(settings);
        return change;
      },
      stop: async (options = {}) => {
        const { drainWait: waitMs, drainTimeout: timeoutMs, drain: idle } = settings;
        const { signal } = new AbortController();
        watch?.drains();
        await clients.close({ waitMs, timeoutMs, idle, signal, ...options });
        await closeServices();
        await said;
        log.info({ event: 'stopped', ...clients.counters }, 'stopped');
      },
    };
  } catch (error) {
    await closeServices();
    throw error;
  }
}

const UPSTREAM_RETRY_MS = 1_000;
/** A check gives up sooner. */
const GREETING = { connectTimeoutMs: 5_000, greetingTimeoutMs: 5_000 };

interface ProxyFacts extends Opened {
  readonly upstream: readonly ServerAddress[];
  readonly proxyId: string;
  readonly workers: number;
}

/** Logs that clients are served, and first, if no upstream answers yet, that. Does not reject. */
async function sayReady(
  pools: PoolSet,
  log: Log,
  { signal, about }: { readonly signal: AbortSignal; readonly about: ProxyFacts },
): Promise<void> {
  const { addresses, upstream, proxyId, relay, workers } = about;
  const fields = {
    listen: addresses.map(describeAddress),
    upstream: upstream.map(describeAddress),
    ...{ proxyId, relay, workers },
  };
  if (!(await pools.answers())) {
    const fate = 'until one does, clients get UNDROP_UPSTREAM_UNREACHABLE';
    log.warn({ event: 'waiting', ...fields }, `no server answers yet: ${fate}`);
    do await systemClock.sleep(UPSTREAM_RETRY_MS, signal);
    while (!signal.aborted && !(await pools.answers()));
  }
  if (!signal.aborted) log.info({ event: 'ready', ...fields }, 'ready: clients are served');
}

/** Warns of settings that don't hold everything. */
export function warnUnprotected(log: Log, settings: ProxySettings): void {
  const warn = (what: string, fields = {}) => log.warn({ event: 'unprotected', ...fields }, what);
  const { mode, rules } = settings;
  for (const sentence of whatIsNotHeld(settings).sentences) warn(sentence);
  const unheld = rules.filter(isWithoutHold).map(({ text }) => text);
  if (mode === 'hold' && unheld.length > 0) {
    warn('UNDROP_RULES gives some tables no time in HOLD: they are gone at once', {
      rules: unheld,
    });
  }
}

function isWithoutHold({ action }: Rule): boolean {
  return action.do === 'native' || (action.do === 'hold' && action.ms === 0);
}

/** A service in the process of the tests, without a supervisor: quick to start. */
import { randomBytes } from 'node:crypto';
import { ControlPlane } from '../../src/cli/serve/control-plane.js';
import { ActiveDrops, Front } from '../../src/cli/serve/front.js';
import { SERVICE_CONNECTIONS_MAX } from '../../src/cli/serve/limits.js';
import { wantedSockets } from '../../src/cli/serve/plan.js';
import type { PolicySettings, ProxySettings } from '../../src/cli/settings.js';
import { type Log, withAudit } from '../../src/log.js';
import { type Counters, countAudit, newCounters } from '../../src/metrics.js';
import { newHoldId } from '../../src/names/names.js';
import { PoolSet } from '../../src/service/pool/pool-set.js';
import type { ServerAddress } from '../../src/service/server-address.js';
import { BoundSockets } from '../../src/session/bound-sockets.js';
import { ConnectionLimit } from '../../src/session/listener.js';
import { openProxyTls } from '../../src/session/login/tls.js';

export interface RunningProxy {
  /** The addresses as bound: port 0 is the port that was given. */
  readonly addresses: readonly ServerAddress[];
  counters(): Counters;
  /** For the next statement of every session. */
  change(policy: PolicySettings): void;
  /** Drains, ends the collector at its next pause and closes the service pools. */
  stop(options?: {
    /** Default: UNDROP_DRAIN_TIMEOUT. */
    readonly timeoutMs?: number;
    /** If it is aborted, everything ends at once. */
    readonly signal?: AbortSignal;
  }): Promise<void>;
}

export async function startProxy(settings: ProxySettings, lines: Log): Promise<RunningProxy> {
  const counters = newCounters();
  const log = withAudit(lines, countAudit(counters));
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeDrops = new ActiveDrops();
  const tls = await openProxyTls(settings);
  const connectionsMax = SERVICE_CONNECTIONS_MAX;
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  const sockets = new BoundSockets();
  const bound = await sockets.bind(wantedSockets(settings));
  const [listen, admin] = (['listen', 'admin'] as const).map((purpose) =>
    bound.filter((one) => one.purpose === purpose),
  );
  const addresses = (listen ?? []).map(({ address }) => address);
  try {
    const control = await ControlPlane.open(
      {
        ...{ proxyId, activeDrops, pools, tls, log, listen: addresses },
        ...{ serviceId: proxyId, processes: 1 },
        counters: () => counters,
        onTakenOver: () => undefined,
      },
      settings,
    );
    const connectionLimit = new ConnectionLimit(settings.maxConnections);
    const shared = { proxyId, activeDrops, pools, counters, tls, log };
    const front = new Front({ ...shared, connectionLimit, onHeld: control.onHeld }, settings);
    const relay = await front.prepare();
    control.collect();
    await front.open(listen ?? []);
    await control.serve(admin ?? [], { relay, workers: 1 });
    return {
      addresses,
      counters: () => counters,
      change: (policy) => front.change(policy),
      stop: async (options = {}) => {
        const { drainTimeout: timeoutMs } = settings;
        const { signal } = new AbortController();
        control.keepAway();
        await front.close({ waitMs: 0, timeoutMs, signal, ...options });
        await control.stop({ isEnd: true });
        sockets.keepOnly([]);
      },
    };
  } catch (error) {
    sockets.keepOnly([]);
    throw error;
  }
}

/** A service in the process of the tests, without a supervisor: quick to start. */
import { randomBytes } from 'node:crypto';
import { PoolSet } from '../../src/connections/pool/pool-set.js';
import type { PolicySettings, ProxySettings } from '../../src/faces/cli/settings.js';
import { type Log, withAudit } from '../../src/log.js';
import { countAudit, newCounters } from '../../src/metrics.js';
import { newHoldId } from '../../src/names/names.js';
import { ControlPlane } from '../../src/runtime/serve/control-plane.js';
import { Front, newActiveDrops } from '../../src/runtime/serve/front.js';
import { SERVICE_CONNECTIONS_MAX, wantedSockets } from '../../src/runtime/serve/plan.js';
import { BoundSockets } from '../../src/session/bound-sockets.js';
import { openProxyTls } from '../../src/session/login/tls.js';

export type RunningProxy = Awaited<ReturnType<typeof startProxy>>;

/**
 * `timeoutMs`: default: UNDROP_DRAIN_TIMEOUT; `signal`: if it is aborted, everything ends at once.
 */
type StopOptions = { readonly timeoutMs?: number; readonly signal?: AbortSignal };

export async function startProxy(settings: ProxySettings, lines: Log) {
  const counters = newCounters();
  const log = withAudit(lines, countAudit(counters));
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeDrops = newActiveDrops();
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
        onHeldNames: (names) => front.heldNames.replace(names),
      },
      settings,
    );
    const connectionsMax = settings.maxConnections;
    const shared = { proxyId, activeDrops, pools, counters, tls, log };
    const front = new Front({ ...shared, connectionsMax, onHeld: control.onHeld }, settings);
    const relay = await front.prepare();
    control.collect();
    await front.listener.open(listen ?? []);
    await control.serve(admin ?? [], { relay, workers: 1 });
    return {
      /** As bound: port 0 is the port that was given. */
      addresses,
      counters: () => counters,
      /** For the next statement of every session. */
      change: (policy: PolicySettings) => front.change(policy),
      /** Drains, ends the collector at its next pause and closes the service pools. */
      stop: async (options: StopOptions = {}) => {
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

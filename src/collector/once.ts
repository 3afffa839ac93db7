/**
 * The collector in commands: `collectOnce` runs the same rounds, under the same lock, as a proxy,
 * for an uninstall; `whyResting` is for `undrop status`.
 */

import type { ServerFacts, ServicePool } from '../connections/sql.js';
import { readControl } from '../ledger/control.js';
import { hasSource } from '../ledger/owner.js';
import type { CollectorOptions } from './collector.js';
import { newCollectorFigures, pauseText, READ_ONLY, REPLICATES, throttleText } from './figures.js';
import { leadOnce, Wakeup } from './leader/leader.js';
import type { LifecycleSettings } from './next-step.js';
import { Rounds } from './rounds/rounds.js';
import { type Replica, Throttle } from './throttle/throttle.js';

type OnceOptions = Pick<
  CollectorOptions,
  'pool' | 'proxyId' | 'settings' | 'replicas' | 'clock' | 'log' | 'reconcile'
>;

/** Resolves to the reason if it did nothing, else to null. */
export async function collectOnce(options: OnceOptions): Promise<string | null> {
  const monotonicMs = () => performance.now();
  let resting: string | null = null;
  const notLed = await leadOnce(options, async (leadership) => {
    const rounds = new Rounds({
      ...options,
      leadership,
      throttle: new Throttle(options),
      figures: newCollectorFigures(),
      activeIds: new Set(),
      lastSeen: new Map(),
      monotonicMs,
      wakeup: new Wakeup(),
      // The operator requested it.
      noticeMs: 0,
      signal: new AbortController().signal,
    });
    resting = await rounds.runOnce();
  });
  return notLed === null ? resting : notLed.what;
}

type Replicas = readonly Replica[];

/** Why the collector waits on this server now, apart from UNDROP_GRACE; null: it doesn't. */
export async function whyResting(
  pool: ServicePool,
  server: ServerFacts,
  options: { settings: Pick<LifecycleSettings, 'collect' | 'throttle'>; replicas?: Replicas },
): Promise<string | null> {
  if (server.readOnly) return READ_ONLY;
  const isAuto = options.settings.collect === 'auto';
  if (isAuto && (await hasSource(pool, server))) return REPLICATES;
  const { pause } = await readControl(pool);
  if (pause !== null) return pauseText(pause);
  const wait = await new Throttle({ ...options, pool }).wait(server.utcNow);
  return wait === null ? null : throttleText(wait.because);
}

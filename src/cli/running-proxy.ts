/** A proxy that runs, in one process or in several, as `serve` and the tests hold it. */
import { PROTECTED } from '../config/schema.js';
import type { Log } from '../log.js';
import type { Counters } from '../metrics.js';
import { describeAddress } from '../service/address.js';
import type { ServerAddress } from '../service/pools.js';
import type { DrainOptions } from '../session/drain.js';
import { type ProxySettings, type SettingsChange, whyNotHeld } from './proxy-settings.js';

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
  /** Of all its processes together; from each other than this one at most a second old. */
  counters(): Counters;
  /**
   * Goes on by other settings: the next statement, the next session, the collector. Where it
   * rejects, nothing has changed.
   */
  change(settings: ProxySettings): Promise<SettingsChange>;
  /** Drains, ends the collector at its next pause and closes the service pools. */
  stop(options?: StopOptions): Promise<void>;
}

export function drainOptions(settings: ProxySettings, options: StopOptions): DrainOptions {
  const {
    waitMs = settings.drainWait,
    timeoutMs = settings.drainTimeout,
    signal = new AbortController().signal,
  } = options;
  return { waitMs, timeoutMs, signal };
}

export function sayReady(
  log: Log,
  facts: {
    readonly settings: ProxySettings;
    readonly addresses: readonly ServerAddress[];
    readonly proxyId: string;
    readonly relay: string;
    readonly workers: number;
  },
): void {
  const { settings, addresses, ...others } = facts;
  const listen = addresses.map(describeAddress);
  const upstream = settings.upstream.map(describeAddress);
  warnUnprotected(log, settings);
  log.info({ event: 'ready', listen, upstream, ...others }, 'ready: clients are served');
}

/** Where the settings don't hold all: whoever meant that reads it, and whoever didn't, too. */
export function warnUnprotected(log: Log, settings: ProxySettings): void {
  const why = whyNotHeld(settings);
  if (why !== null) return log.warn({ event: 'unprotected' }, why);
  const { rules, allowDestroy, protect } = settings;
  const missing = PROTECTED.filter((what) => !protect.includes(what));
  if (missing.length > 0) {
    const what = `UNDROP_PROTECT leaves ${missing.join(', ')} out: those destroy tables at once`;
    log.warn({ event: 'unprotected' }, what);
  }
  const native = rules.filter(({ action }) => action.do === 'native').map(({ text }) => text);
  if (native.length > 0) {
    const fields = { event: 'unprotected', rules: native };
    log.warn(fields, 'UNDROP_RULES lets the server drop some tables at once');
  }
  if (allowDestroy === 'users') {
    const what = 'UNDROP_ALLOW_DESTROY lets users have their tables dropped at once by a wish';
    log.warn({ event: 'unprotected' }, what);
  }
}

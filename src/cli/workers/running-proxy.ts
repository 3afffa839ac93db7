/** A proxy that runs, in one process or in several, as `serve` and the tests hold it. */
import { systemClock } from '../../clock.js';
import type { UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { rulesThatNeverFit } from '../../policy/decide.js';
import type { Rule } from '../../policy/rules.js';
import { describeAddress } from '../../service/errors.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import type { DrainOptions } from '../../session/drain.js';
import {
  DESTROY_ALLOWED,
  holdMsOf,
  leavesOut,
  NO_HOLD,
  notProtectedBy,
  type ProxySettings,
  type SettingsChange,
  whyNotHeldBy,
} from '../proxy-settings.js';

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
  /** Resolves when it can't go on; then it is to be stopped. */
  readonly failed?: Promise<UndropError>;
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

const UPSTREAM_RETRY_MS = 1_000;

/** Where no upstream answers yet, it says that first. Does not reject. */
export async function sayReady(
  log: Log,
  { answers, signal }: { answers(): Promise<boolean>; readonly signal: AbortSignal },
  facts: {
    readonly settings: ProxySettings;
    readonly addresses: readonly ServerAddress[];
    readonly proxyId: string;
    readonly relay: string;
    readonly workers: number;
  },
): Promise<void> {
  const { settings, addresses, ...others } = facts;
  const listen = addresses.map(describeAddress);
  const upstream = settings.upstream.map(describeAddress);
  const fields = { listen, upstream, ...others };
  warnUnprotected(log, settings);
  if (!(await answers())) {
    const fate = 'until one does, clients get UNDROP_UPSTREAM_UNREACHABLE';
    log.warn({ event: 'waiting', ...fields }, `no server answers yet: ${fate}`);
    do await systemClock.sleep(UPSTREAM_RETRY_MS, signal);
    while (!signal.aborted && !(await answers()));
  }
  if (!signal.aborted) log.info({ event: 'ready', ...fields }, 'ready: clients are served');
}

/** Where the settings don't hold all: whoever meant that reads it, and whoever didn't, too. */
export function warnUnprotected(log: Log, settings: ProxySettings): void {
  const warn = (what: string, fields = {}) => log.warn({ event: 'unprotected', ...fields }, what);
  const { mode, rules, allowDestroy } = settings;
  for (const { rule, behind } of rulesThatNeverFit(rules)) {
    const why =
      behind === null
        ? 'its conditions exclude each other'
        : 'an earlier one fits all that it fits';
    const fields = { event: 'rules', rule: rule.text, behind: behind?.text };
    log.warn(fields, `a rule of UNDROP_RULES decides nothing: ${why}`);
  }
  if (mode !== 'hold') return warn(whyNotHeldBy(mode));
  const missing = notProtectedBy(settings);
  if (missing.length > 0) warn(leavesOut(missing));
  if (holdMsOf(settings) === 0) warn(NO_HOLD);
  const unheld = rules.filter(isForAll).map(({ text }) => text);
  if (unheld.length > 0) {
    const fields = { rules: unheld };
    warn('UNDROP_RULES gives no table time in HOLD that no rule before it fits', fields);
  }
  const native = rules.filter(({ action }) => action.do === 'native').map(({ text }) => text);
  if (native.length > 0) {
    warn('UNDROP_RULES lets the server drop some tables at once', { rules: native });
  }
  if (allowDestroy === 'users') warn(DESTROY_ALLOWED);
}

/** `*.*: now`, or the same by another name. */
function isForAll({ schema, table, conditions, action }: Rule): boolean {
  const isNow = action.do === 'now' || (action.do === 'hold' && action.ms === 0);
  const fitsAll = [schema, table].every(({ text, isExact }) => !isExact && /^\*+$/.test(text));
  return isNow && fitsAll && conditions.length === 0;
}

/**
 * Recovery in the rounds of the collector: before each full round, and soon again while a drop is
 * still running. Between the rounds it checks whether a session died within a drop, or an operator
 * woke the collectors.
 */

import { isServerError } from '../../connections/errors.js';
import { readControl } from '../../ledger/control.js';
import { findOrphans } from '../../ledger/owner.js';
import { OPEN_DROPS, pauseBefore } from '../../tries.js';
import type { ActionContext } from '../action-context.js';
import type { ClusterLease } from '../leader/collector-lock.js';
import { IDLE_MS_MAX } from '../leader/leader.js';
import type { Reconcile } from '../reconcile.js';

/** How often the collector checks whether a session died within a drop. */
const ORPHANS_EVERY_MS = IDLE_MS_MAX;

const LONG =
  'a drop is in progress for long: a session keeps it waiting, or it began on the server that ' +
  'this one replicates from; if that server is gone for good, STOP REPLICA lets recovery resolve it';

export interface RecoveryOptions
  extends Pick<ActionContext, 'connection' | 'proxyId' | 'settings' | 'log' | 'monotonicMs'> {
  readonly reconcile: Reconcile;
  /** Drops in progress in this process. */
  readonly activeIds: ReadonlySet<string>;
  readonly lease: ClusterLease;
}

export class RecoveryRounds {
  readonly #options: RecoveryOptions;
  #calledAtMs = Number.NEGATIVE_INFINITY;
  #orphans: ReadonlySet<string> = new Set();
  /** Drops that recovery has left because they are running, by id: since when. */
  #open: ReadonlyMap<string, number> = new Map();
  #long: ReadonlySet<string> = new Set();
  /** Wakes by operators (ledger/control.ts) before the last full round. */
  wakes = 0;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /**
   * Whether since the last check a session died within a drop, or an operator woke the collectors.
   */
  async isCalled(): Promise<boolean> {
    const { connection, lease, activeIds, log, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    if (nowMs - this.#calledAtMs < ORPHANS_EVERY_MS) return false;
    this.#calledAtMs = nowMs;
    try {
      await lease.keep();
      const found = await findOrphans(connection, activeIds);
      const areNew = found.some((id) => !this.#orphans.has(id));
      this.#orphans = new Set(found);
      return areNew || (await readControl(connection)).wakes !== this.wakes;
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.debug(
        { event: 'collector', err: error },
        'cannot read interrupted drops and wakes; will try again',
      );
      return false;
    }
  }

  /**
   * Runs recovery; returns when to run it again, by the monotonic clock. A drop that stays open for
   * long is left to the usual interval, but never given up. The lifecycle does not need recovery,
   * so the round continues after any error of it: if the connection broke, the next statement
   * fails.
   */
  async recover(nowMs: number): Promise<number> {
    const { connection, reconcile, log, settings } = this.#options;
    const usualMs = nowMs + settings.checkIntervalMs;
    // Deferred relocations, intents of running sessions, outcomes that could not be written: mostly
    // these are resolved a moment later.
    const soonMs = Math.min(usualMs, nowMs + pauseBefore(OPEN_DROPS, 0));
    try {
      const { pending, untouched } = await reconcile(connection, this.#options);
      return this.#areYoung(untouched, nowMs) || pending.length > 0 ? soonMs : usualMs;
    } catch (error) {
      log.warn({ event: 'collector', err: error }, 'recovery failed; will try again');
      return soonMs;
    }
  }

  /** Whether one of the drops that recovery left has been running only for a short time. */
  #areYoung(ids: readonly string[], nowMs: number): boolean {
    const before = this.#open;
    this.#open = new Map(ids.map((id) => [id, before.get(id) ?? nowMs]));
    const isLong = (id: string) => nowMs - (this.#open.get(id) ?? nowMs) >= OPEN_DROPS.givenUpMs;
    const long = ids.filter(isLong);
    const news = long.filter((id) => !this.#long.has(id));
    this.#long = new Set(long);
    if (news.length > 0) this.#options.log.warn({ event: 'collector', ids: news }, LONG);
    return long.length < ids.length;
  }
}

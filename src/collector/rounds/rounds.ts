/**
 * `Rounds` is the work of a collector while it has the lock: it reads the server's facts and the
 * names, acts, waits, and starts over. Its state between rounds (the scan of a purge, when to try a
 * failed table again) may be lost at any time.
 *
 * Invariant: nothing is done on a read-only server, during UNDROP_GRACE or a pause, or while the
 * throttle waits. A long purge is cut into slices, and between them all other due tables have their
 * turn.
 */

import { readServerFacts } from '../../connections/sql.js';
import { readOrMakeControl } from '../../ledger/control.js';
import { hasSource } from '../../ledger/owner.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import type { ActionContext } from '../action-context.js';
import * as rest from '../figures.js';
import { ClusterLease, LEASE_LOOK_MS, LEASE_MS } from '../leader/collector-lock.js';
import { type ClocksByServer, GraceKeeper, graceText } from '../leader/grace.js';
import type { Leadership, Wakeup } from '../leader/leader.js';
import { keepLedger } from '../prune.js';
import { Acts } from './act.js';
import { Looks } from './looks.js';
import { type RecoveryOptions, RecoveryRounds } from './recovery-rounds.js';

/**
 * Rounds after a wake are far enough apart for reading to take a tenth of the time; at most
 * WAKE_GAP_MS_MAX, because a round may have been slow for other reasons.
 */
const WAKE_GAP_MS = 1_000;
const WAKE_GAP_MS_MAX = 5_000;
const IDLE_MS_MIN = 20;
/** However short UNDROP_HOLD is, rounds aren't more frequent because of it. */
const ROUND_MS_MIN = 1_000;
const READ_ONLY_CHECK_MS = 60_000;
/** How soon the held tables are listed again after some of them have moved on. */
const AFTER_MOVE_MS = 10_000;

interface RoundsOptions
  extends Omit<ActionContext, 'connection' | 'files' | 'lease' | 'limits'>,
    Pick<RecoveryOptions, 'reconcile' | 'activeIds'> {
  readonly lastSeen: ClocksByServer;
  readonly leadership: Leadership;
  readonly wakeup: Wakeup;
  /** How long the log announces an exceeded limit before tables are removed early. */
  readonly noticeMs: number;
}

/** A leadership. */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #connection: Leadership['connection'];
  readonly #lease: ClusterLease;
  readonly #recovery: RecoveryRounds;
  readonly #looks: Looks;
  readonly #grace: GraceKeeper;
  readonly #acts: Acts;
  #fullAtMs = Number.NEGATIVE_INFINITY;
  /** Duration of the last round's reads. */
  #readingMs = 0;
  #logged = '';
  /** Why the last round collected nothing; null: it collected. */
  #resting: string | null = null;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#connection = options.leadership.connection;
    this.#lease = new ClusterLease(this.#connection, options.monotonicMs);
    this.#looks = new Looks({ ...options, connection: this.#connection });
    const { files, limits } = this.#looks;
    const context = { ...options, connection: this.#connection, lease: this.#lease, files, limits };
    this.#recovery = new RecoveryRounds(context);
    this.#grace = new GraceKeeper(context);
    this.#acts = new Acts(context);
  }

  /** Runs rounds; returns when the signal is aborted, rejects when the lock is lost. */
  async run(): Promise<void> {
    const { leadership, wakeup, signal, monotonicMs } = this.#options;
    while (!signal.aborted) {
      const beganMs = monotonicMs();
      const delayMs = await this.#round();
      if (delayMs > 0) await this.#idle(delayMs);
      if (wakeup.signal.aborted && !signal.aborted) {
        const gapMs = Math.min(Math.max(WAKE_GAP_MS, 10 * this.#readingMs), WAKE_GAP_MS_MAX);
        await leadership.idle(gapMs - (monotonicMs() - beganMs), signal);
      }
    }
    await this.#lease.release();
  }

  /**
   * Runs rounds until nothing more is due, or it can't be done now. Resolves to the reason if
   * nothing is collected here, else to null.
   */
  async runOnce(): Promise<string | null> {
    const { leadership, signal, monotonicMs } = this.#options;
    // The holder of the cluster's lease may have vanished.
    const untilMs = monotonicMs() + LEASE_MS + LEASE_LOOK_MS;
    for (;;) {
      while (!signal.aborted && (await this.#round()) === 0);
      if (signal.aborted || this.#resting !== rest.OTHER_NODE || monotonicMs() > untilMs) break;
      await leadership.idle(LEASE_LOOK_MS, signal);
    }
    await this.#lease.release();
    return this.#resting;
  }

  /** Waits until the next round, until a wake, or until recovery is needed. */
  async #idle(delayMs: number): Promise<void> {
    const { leadership, wakeup, monotonicMs } = this.#options;
    const untilMs = monotonicMs() + delayMs;
    for (let leftMs = delayMs; leftMs > 0; leftMs = untilMs - monotonicMs()) {
      await leadership.idle(leftMs, wakeup.signal);
      if (wakeup.signal.aborted || (await this.#isCalled())) return;
    }
  }

  /** Whether the next round has to be a full one. */
  async #isCalled(): Promise<boolean> {
    const isCalled = await this.#recovery.isCalled();
    if (isCalled) this.#fullAtMs = this.#options.monotonicMs();
    return isCalled;
  }

  /** Runs a round; resolves to the milliseconds until the next. */
  async #round(): Promise<number> {
    const { settings, monotonicMs, clock, wakeup, figures } = this.#options;
    const beganMs = monotonicMs();
    if (wakeup.take()) this.#fullAtMs = beganMs;
    // A newer proxy may have started: it collects once this one frees the lock.
    await assertLedgerKnown(this.#connection);
    const server = await readServerFacts(this.#connection);
    // The time after the response, not before the query: on a slow network the server's clock would
    // seem to be ahead, and tables would leave HOLD before their time.
    const [readAtMs, wallClockMs] = [monotonicMs(), clock.nowMs()];
    const restMs = Math.min(settings.checkIntervalMs, READ_ONLY_CHECK_MS);
    if (server.readOnly) return this.#report('read_only', rest.READ_ONLY, restMs);
    // During a purge there is no pause.
    const isFull = beganMs >= this.#fullAtMs || (await this.#isCalled());
    if (isFull) this.#fullAtMs = await this.#recovery.recover(beganMs);
    if (settings.collect === 'auto' && (await hasSource(this.#connection, server))) {
      return this.#report('replicates', rest.REPLICATES, restMs);
    }
    if (!(await this.#lease.isOurs(server))) {
      return this.#report('cluster', rest.OTHER_NODE, Math.min(restMs, LEASE_LOOK_MS));
    }
    const { pause, wakes } = await readOrMakeControl(this.#connection);
    if (isFull && wakes !== this.#recovery.wakes) this.#acts.retries.clear();
    if (isFull) this.#recovery.wakes = wakes;
    const held = await this.#looks.look(server, { isFull, wallClockMs });
    this.#fullWithin(held.againMs);
    const seen = { heldCount: held.count, readAtMs, wallClockMs };
    const waitMs = await this.#grace.check(server, seen);
    this.#readingMs = monotonicMs() - beganMs;
    if (pause !== null) {
      const endsMs = readAtMs + msUntil(pause.until, server.utcNow);
      return this.#report('pause', rest.pauseText(pause), this.#delayUntil(endsMs));
    }
    if (waitMs > 0) {
      this.#resting = graceText(new Date(server.utcNow.getTime() + waitMs));
      figures.restsFor = 'grace';
      return this.#delayUntil(monotonicMs() + waitMs);
    }
    if (isFull) await keepLedger(this.#connection, this.#options);
    if (isFull) figures.lookMs = monotonicMs() - beganMs;
    const tables = await held.tables();
    const readingMs = this.#readingMs;
    const nextMs = Math.min(
      this.#fullAtMs,
      readAtMs + Math.max(settings.holdMs / 2, ROUND_MS_MIN),
      readAtMs + msUntil(held.nextDue, server.utcNow),
    );
    // The room of all tables is read in a full round only.
    const end = await this.#acts.act(tables, { server, readAtMs, readingMs, nextMs }, () =>
      this.#fullWithin(Math.max(AFTER_MOVE_MS, 10 * readingMs)),
    );
    if (end === 'at once') return this.#report(null, '', 0);
    if (typeof end === 'number') return this.#report(null, '', this.#delayUntil(end));
    // Reading takes at most a tenth of the time, however often a check is worthwhile.
    const againMs = monotonicMs() + Math.max(end.forMs, 10 * readingMs);
    return this.#report(end.for, rest.throttleText(end.because), this.#delayUntil(againMs));
  }

  #fullWithin(ms: number): void {
    this.#fullAtMs = Math.min(this.#fullAtMs, this.#options.monotonicMs() + ms);
  }

  /** The milliseconds until then, or until a full round. */
  #delayUntil(atMs: number): number {
    const leftMs = Math.min(atMs, this.#fullAtMs) - this.#options.monotonicMs();
    return Math.max(leftMs, IDLE_MS_MIN);
  }

  /** Logs why the collector waits, if that is news; null: it doesn't. Returns `delayMs`. */
  #report(reason: rest.RestReason | null, why: string, delayMs: number): number {
    this.#options.figures.restsFor = reason;
    this.#resting = reason === null ? null : why;
    if (why !== this.#logged && why !== '') this.#options.log.info({ event: 'collector' }, why);
    this.#logged = why;
    return delayMs;
  }
}

/** Infinity if there is no such time. */
function msUntil(time: Date | null, now: Date): number {
  return time === null ? Number.POSITIVE_INFINITY : time.getTime() - now.getTime();
}

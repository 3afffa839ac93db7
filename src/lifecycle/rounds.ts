/**
 * `Rounds` is what a collector does while it has the lock: it reads the server's facts and the
 * names, acts, waits, and does so again. What is kept between rounds (the scan of a purge, when to
 * try a failed table again) may be lost at any time.
 *
 * Invariant: nothing is done on a read-only server, within a wait of UNDROP_GRACE or a pause, or
 * while the throttle says so. A long purge is cut into slices, and between them everything else
 * that is due has its turn.
 */
import { type Pause, readControl, readOrMakeControl } from '../ledger/control.js';
import { hasSource } from '../ledger/owner.js';
import { assertLedgerKnown } from '../ledger/tables.js';
import { adoptTables } from '../recovery/adopt.js';
import { findOrphans } from '../recovery/live-owners.js';
import { OPEN_RETRY_MS, OpenDrops } from '../recovery/open-drops.js';
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../service/server-facts.js';
import { Actions } from './actions.js';
import { type Collectable, type Look, listCollectable, logFields } from './collectable.js';
import type { CollectorOptions } from './collector.js';
import {
  noteLook,
  OTHER_NODE,
  pauseText,
  READ_ONLY,
  REPLICATES,
  type RestReason,
  throttleText,
} from './figures.js';
import { FileSteps } from './file-steps.js';
import { LateSearches } from './late-searches.js';
import { ClusterLease, LEASE_LOOK_MS, LEASE_MS } from './leader/cluster-lease.js';
import { GraceKeeper, graceText } from './leader/grace.js';
import { IDLE_MS_MAX, type Leadership } from './leader/leader.js';
import type { Wakeup } from './leader/wakeup.js';
import { earlyFirst, type Held, Limits } from './limits/limits.js';
import { nextStep } from './next-step.js';
import { keepLedger } from './prune.js';
import { Sizes } from './sizes.js';
import type { Throttle, Wait } from './throttle/throttle.js';
import type { ActionOutcome } from './transition.js';

/** How long a round may take before facts and names are read again. */
const SLICE_MS = 5_000;
/**
 * Rounds after a wake are at least so far apart that reading takes a tenth of the time; at most
 * WAKE_GAP_MS_MAX, because a round may have been slow by what it waited for.
 */
const WAKE_GAP_MS = 1_000;
const WAKE_GAP_MS_MAX = 5_000;
const IDLE_MS_MIN = 20;
/** A look lists what is due by then, so that not each of them needs a look of its own. */
const DUE_SOON_MS = 60_000;
/** However short UNDROP_HOLD is, rounds are not more frequent because of it. */
const ROUND_MS_MIN = 1_000;
const READ_ONLY_CHECK_MS = 60_000;
/** How soon it is read anew what is held, after some of it has moved on. */
const AFTER_MOVE_MS = 10_000;
/** How often the collector checks whether a session died amid a drop. */
const ORPHANS_EVERY_MS = IDLE_MS_MAX;

/** When a table is tried again, and why not before; the pauses grow. */
interface Retry {
  readonly atMs: number;
  readonly because: string;
  readonly pauseMs: number;
}

interface RoundsOptions extends Required<Omit<CollectorOptions, 'replicas'>> {
  readonly throttle: Throttle;
  readonly leadership: Leadership;
  readonly wakeup: Wakeup;
  /** How long it is said that a limit is passed before tables go early. */
  readonly noticeMs: number;
  /** If it is aborted, the work ends at the next pause. */
  readonly signal: AbortSignal;
}

/** One leadership. */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #connection: ServicePool;
  readonly #actions: Actions;
  readonly #grace: GraceKeeper;
  readonly #sizes: Sizes;
  readonly #files: FileSteps;
  readonly #limits: Limits;
  readonly #lease: ClusterLease;
  readonly #searches: LateSearches;
  /** Tables that are left alone for a while, and why; if it is lost, they are tried again. */
  readonly #retries = new Map<string, Retry>();
  #fullAtMs = Number.NEGATIVE_INFINITY;
  /** How long the last round took before anything was done. */
  #readingMs = 0;
  readonly #openDrops: OpenDrops;
  #orphansAtMs = Number.NEGATIVE_INFINITY;
  #orphans: ReadonlySet<string> = new Set();
  /** Wakes by operators (ledger/control.ts) before the last full round. */
  #wakes = 0;
  #said = '';
  /** Why the last round collected nothing; null: it did. */
  #resting: string | null = null;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#connection = options.leadership.connection;
    this.#files = new FileSteps(options);
    const context = { ...options, connection: this.#connection, files: this.#files };
    this.#actions = new Actions(context);
    this.#grace = new GraceKeeper(context);
    this.#sizes = new Sizes(context);
    this.#limits = new Limits(context);
    this.#lease = new ClusterLease(this.#connection, options.monotonicMs);
    this.#openDrops = new OpenDrops(options.log);
    this.#searches = new LateSearches(context);
  }

  /** One round after another; returns when the signal is aborted, rejects when the lock is lost. */
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
    await this.#searches.ended;
    await this.#lease.release();
  }

  /**
   * Rounds until nothing more is due, or it can't be done now. Resolves to why nothing is collected
   * here, or to null.
   */
  async runOnce(): Promise<string | null> {
    const { leadership, signal, monotonicMs } = this.#options;
    // Whoever had the lease of the cluster may be gone without a word.
    const untilMs = monotonicMs() + LEASE_MS + LEASE_LOOK_MS;
    for (;;) {
      while (!signal.aborted && (await this.#round()) === 0);
      if (signal.aborted || this.#resting !== OTHER_NODE || monotonicMs() > untilMs) break;
      await leadership.idle(LEASE_LOOK_MS, signal);
    }
    await this.#lease.release();
    return this.#resting;
  }

  /** Waits until the next round, until a wake, or until there is something to be recovered. */
  async #idle(delayMs: number): Promise<void> {
    const { leadership, wakeup, monotonicMs } = this.#options;
    const untilMs = monotonicMs() + delayMs;
    for (let leftMs = delayMs; leftMs > 0; leftMs = untilMs - monotonicMs()) {
      await leadership.idle(leftMs, wakeup.signal);
      if (wakeup.signal.aborted || (await this.#isCalled())) return;
    }
  }

  /**
   * Whether a session died amid a drop since the last check, or an operator woke collectors; then
   * the next round is a full one.
   */
  async #isCalled(): Promise<boolean> {
    const { activeIds, log, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    if (nowMs - this.#orphansAtMs < ORPHANS_EVERY_MS) return false;
    this.#orphansAtMs = nowMs;
    try {
      await this.#lease.keep();
      const found = await findOrphans(this.#connection, activeIds);
      const areNew = found.some((id) => !this.#orphans.has(id));
      this.#orphans = new Set(found);
      const isCalled = areNew || (await readControl(this.#connection)).wakes !== this.#wakes;
      if (isCalled) this.#fullAtMs = nowMs;
      return isCalled;
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.debug({ event: 'collector', err: error }, 'interrupted drops and wakes are not seen');
      return false;
    }
  }

  /** One round; resolves to how many milliseconds there are until the next. */
  async #round(): Promise<number> {
    const { settings, monotonicMs, clock, wakeup } = this.#options;
    const beganMs = monotonicMs();
    if (wakeup.take()) this.#fullAtMs = beganMs;
    // A newer proxy may have begun: it is the one to collect, once this one lets go of the lock.
    await assertLedgerKnown(this.#connection);
    const server = await readServerFacts(this.#connection);
    // Not the time of the question: on a slow way the server's clock would seem to be ahead, and
    // tables would leave HOLD before their time.
    const [readAtMs, wallClockMs] = [monotonicMs(), clock.nowMs()];
    if (server.readOnly) return this.#rest('read_only', READ_ONLY);
    // Amid a purge there is no pause.
    const isFull = beganMs >= this.#fullAtMs || (await this.#isCalled());
    if (isFull) await this.#recover(beganMs);
    if (settings.collect === 'auto' && (await hasSource(this.#connection, server))) {
      return this.#rest('replicates', REPLICATES);
    }
    if (!(await this.#lease.isOurs(server))) {
      return Math.min(this.#rest('cluster', OTHER_NODE), LEASE_LOOK_MS);
    }
    if (isFull) this.#searches.begin();
    const { pause, wakes } = await readOrMakeControl(this.#connection);
    if (isFull && wakes !== this.#wakes) this.#retries.clear();
    if (isFull) this.#wakes = wakes;
    const dueSoon = new Date(server.utcNow.getTime() + DUE_SOON_MS);
    // What limits have chosen is listed as well, whenever it would be due.
    const hasEarly = this.#limits.early.size > 0;
    const look = await this.#list(hasEarly ? undefined : dueSoon);
    let whole = hasEarly ? look.tables : null;
    const all = async () => (whole ??= (await this.#list()).tables);
    noteLook(this.#options.figures, look, wallClockMs);
    if (isFull) {
      const againMs = await this.#sizes.look(server);
      this.#fullAtMs = Math.min(this.#fullAtMs, monotonicMs() + againMs);
    }
    const heldCount = look.tables.length + look.later.count;
    if (isFull) await this.#files.look();
    // What was chosen may have been for something that is over.
    if (isFull || hasEarly) await this.#checkLimits({ count: heldCount, list: all }, server.utcNow);
    const waitMs = await this.#grace.check(server, { heldCount, readAtMs, wallClockMs });
    this.#readingMs = monotonicMs() - beganMs;
    if (pause !== null) return this.#restIn(pause, readAtMs, server.utcNow);
    if (waitMs > 0) {
      this.#resting = graceText(new Date(server.utcNow.getTime() + waitMs));
      this.#options.figures.restsFor = 'grace';
      return Math.max(Math.min(waitMs, this.#fullAtMs - monotonicMs()), IDLE_MS_MIN);
    }
    if (isFull) await keepLedger(this.#connection, this.#options);
    if (isFull) this.#options.figures.lookMs = monotonicMs() - beganMs;
    const { early } = this.#limits;
    const tables = early.size === 0 ? look.tables : earlyFirst(await all(), early);
    const keys = new Set(tables.map(keyOf));
    for (const known of this.#retries.keys()) if (!keys.has(known)) this.#retries.delete(known);
    return this.#act({ tables, later: look.later }, server, readAtMs);
  }

  /** Also while nothing is collected, because what is held grows all the same. */
  async #checkLimits(held: Held, utcNow: Date): Promise<void> {
    const againMs = await this.#limits.look({ ...held, comingBytes: this.#files.bytes }, utcNow);
    this.#fullAtMs = Math.min(this.#fullAtMs, this.#options.monotonicMs() + againMs);
  }

  /** A lifecycle without HOLD doesn't wait for what a name says. */
  #list(dueBy?: Date): Promise<Look> {
    const { activeIds, settings } = this.#options;
    const waits = settings.lifecycle.includes('HOLD');
    return listCollectable(this.#connection, activeIds, waits ? dueBy : undefined);
  }

  /**
   * Recovery, which gives nothing up. The lifecycle doesn't need it, so it goes on whatever it
   * rejects with: if the connection broke, the next statement says so.
   */
  async #recover(nowMs: number): Promise<void> {
    const { reconcile, proxyId, activeIds, log, settings } = this.#options;
    this.#fullAtMs = nowMs + settings.checkIntervalMs;
    try {
      if (settings.adopts) await adoptTables(this.#connection, proxyId);
      const how = { proxyId, activeIds, log };
      const { pending, untouched } = await reconcile(this.#connection, how);
      if (pending.length > 0 || this.#openDrops.areYoung(untouched, nowMs)) {
        this.#retrySoon(nowMs);
      }
    } catch (error) {
      log.warn({ event: 'collector', err: error }, 'recovery failed');
      this.#retrySoon(nowMs);
    }
  }

  /**
   * A deferred relocation, an intent whose session is still there, an outcome that could not be
   * written: each is mostly over in a moment.
   */
  #retrySoon(nowMs: number): void {
    this.#fullAtMs = Math.min(this.#fullAtMs, nowMs + OPEN_RETRY_MS);
  }

  /** Everything that is due, oldest first, then purging, one table after another, for a while. */
  async #act({ tables, later }: Look, server: ServerFacts, readAtMs: number): Promise<number> {
    const { settings, monotonicMs, signal } = this.#options;
    const toMonotonic = (at: Date) => readAtMs + (at.getTime() - server.utcNow.getTime());
    const now = () => new Date(server.utcNow.getTime() + (monotonicMs() - readAtMs));
    const leastMs = monotonicMs() + 10 * this.#readingMs;
    const endMs = Math.max(monotonicMs() + SLICE_MS, leastMs);
    let nextMs = Math.min(this.#fullAtMs, readAtMs + Math.max(settings.holdMs / 2, ROUND_MS_MIN));
    if (later.nextDue !== null) nextMs = Math.min(nextMs, toMonotonic(later.nextDue));
    const purges: Collectable[] = [];
    let moved = false;
    this.#actions.beginRound();
    for (const table of tables) {
      if (signal.aborted || monotonicMs() > endMs || !this.#lease.isFresh) return 0;
      const step = nextStep({ ...table, facts: null }, server, settings, now());
      const retryMs = this.#retries.get(keyOf(table))?.atMs ?? Number.NEGATIVE_INFINITY;
      if (step.kind === 'wait' || retryMs > monotonicMs()) {
        nextMs = Math.min(nextMs, step.kind === 'wait' ? toMonotonic(step.until) : retryMs);
        continue;
      }
      if (table.state === 'PURGE' && table.early === undefined) {
        purges.push(table);
        continue;
      }
      const outcome = await this.#actions.advance(table, server, now);
      if (outcome.kind === 'purge') {
        purges.push(outcome.table);
        continue;
      }
      if (outcome.kind === 'paused') return 0;
      if (outcome.kind === 'throttled') return this.#throttled(outcome.wait);
      const againMs = this.#leave(table, outcome, toMonotonic);
      if (outcome.kind === 'progress') moved = true;
      if (outcome.kind === 'progress' && table.early !== undefined) this.#limits.went();
      if (outcome.kind !== 'progress') nextMs = Math.min(nextMs, againMs);
    }
    const untilMs = Math.min(Math.max(nextMs, leastMs), endMs);
    const purged = await this.#actions.purge(purges, { server, now, untilMs }, this.#lease);
    for (const { table, outcome } of purged) {
      if (['left', 'wait'].includes(outcome.kind)) this.#leave(table, outcome, toMonotonic);
    }
    // All but the last went as far as they go.
    if (moved || purged.length > 1) {
      await this.#files.look();
      // What all tables take is read in a full round alone.
      const againMs = Math.max(AFTER_MOVE_MS, 10 * this.#readingMs);
      this.#fullAtMs = Math.min(this.#fullAtMs, monotonicMs() + againMs);
    }
    const last = purged.at(-1)?.outcome;
    if (last?.kind === 'throttled') return this.#throttled(last.wait);
    // Says nothing to the server, which ends a silent connection: never for long.
    const isCutting = this.#files.isUnderWay;
    if (isCutting) await this.#files.work(Math.min(monotonicMs() + SLICE_MS / 2, nextMs));
    this.#say(null, '');
    if (isCutting || purges.length > 0) return 0;
    return moved ? 0 : Math.max(nextMs - monotonicMs(), IDLE_MS_MIN);
  }

  /**
   * Leaves a table of that name alone for a while, also one that should be gone by now; returns
   * when to try it again, by the monotonic clock.
   */
  #leave(table: Collectable, outcome: ActionOutcome, toMonotonic: (at: Date) => number): number {
    const { settings, monotonicMs, log } = this.#options;
    const isWaiting = outcome.kind === 'wait';
    const dueMs = isWaiting ? toMonotonic(outcome.until) : Number.POSITIVE_INFINITY;
    const because = outcome.kind === 'left' ? outcome.because : outcome.kind;
    const before = this.#retries.get(keyOf(table));
    // A new name for it has the time of the try.
    const isNews = before === undefined || masked(before.because) !== masked(because);
    const { checkIntervalMs, purgeCheckIntervalMs } = settings;
    const isSame = outcome.kind === 'left' && !isNews;
    const pauseMs = isSame ? Math.min(2 * before.pauseMs, checkIntervalMs) : purgeCheckIntervalMs;
    const againMs = Math.min(monotonicMs() + pauseMs, dueMs);
    this.#retries.set(keyOf(table), { atMs: againMs, because, pauseMs });
    if (isNews && outcome.kind === 'left') {
      log.warn({ event: 'left', ...logFields(table), because }, 'table left as it is');
    }
    return againMs;
  }

  /** Says why nothing is collected; returns how long that is taken for granted. */
  #rest(reason: RestReason, why: string): number {
    this.#say(reason, why);
    return Math.min(this.#options.settings.checkIntervalMs, READ_ONLY_CHECK_MS);
  }

  /** The same in a pause, which ends by itself, or by a wake. */
  #restIn(pause: Pause, readAtMs: number, utcNow: Date): number {
    const { until } = pause;
    this.#say('pause', pauseText(pause));
    const leftMs = until === null ? Number.POSITIVE_INFINITY : until.getTime() - utcNow.getTime();
    const untilMs = Math.min(readAtMs + leftMs, this.#fullAtMs);
    return Math.max(untilMs - this.#options.monotonicMs(), IDLE_MS_MIN);
  }

  /** So that reading takes a tenth of the time, however often it is worth to ask again. */
  #throttled({ for: reason, because, forMs }: Wait): number {
    this.#say(reason, throttleText(because));
    const atMs = this.#options.monotonicMs() + Math.max(forMs, 10 * this.#readingMs);
    return Math.max(Math.min(atMs, this.#fullAtMs) - this.#options.monotonicMs(), IDLE_MS_MIN);
  }

  #say(reason: RestReason | null, what: string): void {
    this.#options.figures.restsFor = reason;
    this.#resting = what === '' ? null : what;
    if (what === this.#said) return;
    this.#said = what;
    if (what !== '') this.#options.log.info({ event: 'collector' }, what);
  }
}

/** Without the hold names in it. */
function masked(because: string): string {
  return because.replaceAll(/_vt_[A-Z]+_\w+/g, '');
}

function keyOf({ schema, name }: Collectable): string {
  return `${schema}.${name}`;
}

/**
 * `Acts` does the work of a round: moves each due table on as far as it can go, then purges rows,
 * one table after another, then frees files.
 *
 * Invariant: a round ends after a slice, so that all other due work runs between the slices of a
 * long purge.
 */
import type { ServerFacts } from '../../connections/sql.js';
import type { ActionContext, ActionOutcome } from '../action-context.js';
import { Actions } from '../actions.js';
import { type Collectable, logFields } from '../collectable.js';
import { nextStep, type StepFacts } from '../next-step.js';
import type { Wait } from '../throttle/throttle.js';

/** The longest time of a round before facts and names are read again. */
const SLICE_MS = 5_000;

/** The current round. */
interface ActsRound {
  readonly server: ServerFacts;
  /** When the server's clock was read, by the monotonic clock. */
  readonly readAtMs: number;
  /** The duration of the reads: ten times as long may be spent on acting. */
  readonly readingMs: number;
  /** When the next round is due if no table is due before, by the monotonic clock. */
  readonly nextMs: number;
}

export class Acts {
  readonly #context: ActionContext;
  readonly #actions: Actions;
  readonly retries: Retries;

  constructor(context: ActionContext) {
    this.#context = context;
    this.#actions = new Actions(context);
    this.retries = new Retries(context);
  }

  /**
   * `tables`: in the order of the work. `onMoved`: the list of held tables has changed. Resolves to
   * when the next round is due, by the monotonic clock, or why the collector has to wait.
   */
  async act(
    tables: readonly Collectable[],
    round: ActsRound,
    onMoved: () => void,
  ): Promise<number | 'at once' | Wait> {
    const { settings, monotonicMs, signal, lease, limits, files } = this.#context;
    const { server, readAtMs } = round;
    const now = () => new Date(server.utcNow.getTime() + (monotonicMs() - readAtMs));
    const leastMs = monotonicMs() + 10 * round.readingMs;
    const endMs = Math.max(monotonicMs() + SLICE_MS, leastMs);
    this.retries.keepOnly(tables);
    const retryInMs = (table: Collectable) => this.retries.inMs(table);
    const due = nextDueTables(tables, { server, settings, now: now(), retryInMs });
    let nextMs = Math.min(round.nextMs, monotonicMs() + due.againMs);
    const purges = [...due.purge];
    let hasMoved = false;
    this.#actions.beginRound();
    const isOver = () => signal.aborted || monotonicMs() > endMs || !lease.isFresh;
    const reached = await this.#actions.advanceAll(due.advance, { server, now, isOver });
    for (const { table, outcome } of reached) {
      if (outcome.kind === 'paused') return 'at once';
      if (outcome.kind === 'throttled') return outcome.wait;
      if (outcome.kind === 'purge') {
        purges.push(outcome.table);
        continue;
      }
      const againMs = monotonicMs() + this.retries.leave(table, outcome, now());
      if (outcome.kind !== 'progress') nextMs = Math.min(nextMs, againMs);
      else if (table.early !== undefined) limits.went();
      hasMoved ||= outcome.kind === 'progress';
    }
    if (reached.length < due.advance.length) return 'at once';
    const untilMs = Math.min(Math.max(nextMs, leastMs), endMs);
    const purged = await this.#actions.purge(purges, { server, now, untilMs });
    for (const { table, outcome } of purged) {
      if (['left', 'wait'].includes(outcome.kind)) this.retries.leave(table, outcome, now());
    }
    // All but the last went as far as they can go.
    if (hasMoved || purged.length > 1) {
      await files.look();
      onMoved();
    }
    const last = purged.at(-1)?.outcome;
    if (last?.kind === 'throttled') return last.wait;
    // Sends nothing to the server, which ends a silent connection: never for long.
    const isUnderWay = hasMoved || files.isUnderWay || purges.length > 0;
    if (files.isUnderWay) await files.work(Math.min(monotonicMs() + SLICE_MS / 2, nextMs));
    return isUnderWay ? 'at once' : nextMs;
  }
}

/** When to try a table again, and the reason for the delay; the pauses grow. */
interface Retry {
  readonly atMs: number;
  readonly because: string;
  readonly pauseMs: number;
}

type RetriesOptions = Pick<ActionContext, 'log' | 'monotonicMs' | 'settings'>;

/** Tables that are skipped for a while after a failed try; in memory only. */
export class Retries {
  readonly #options: RetriesOptions;
  readonly #byName = new Map<string, Retry>();

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  /** Milliseconds until it is tried again; 0: it may be tried. */
  inMs(table: Collectable): number {
    const atMs = this.#byName.get(keyOf(table))?.atMs ?? Number.NEGATIVE_INFINITY;
    return Math.max(atMs - this.#options.monotonicMs(), 0);
  }

  /** All are tried at once. */
  clear(): void {
    this.#byName.clear();
  }

  /** Forgets all but these. */
  keepOnly(tables: readonly Collectable[]): void {
    const keys = new Set(tables.map(keyOf));
    for (const known of this.#byName.keys()) if (!keys.has(known)) this.#byName.delete(known);
  }

  /**
   * Skips a table of that name for a while, also if it should be gone already; returns the
   * milliseconds. `now`: the server's UTC clock.
   */
  leave(table: Collectable, outcome: ActionOutcome, now: Date): number {
    const { settings, monotonicMs, log } = this.#options;
    const because = outcome.kind === 'left' ? outcome.because : outcome.kind;
    const before = this.#byName.get(keyOf(table));
    // Its new name contains the time of the try.
    const isNews = before === undefined || masked(before.because) !== masked(because);
    const { checkIntervalMs, purgeCheckIntervalMs } = settings;
    const isSame = outcome.kind === 'left' && !isNews;
    const pauseMs = isSame ? Math.min(2 * before.pauseMs, checkIntervalMs) : purgeCheckIntervalMs;
    const dueInMs = outcome.kind === 'wait' ? outcome.until.getTime() - now.getTime() : pauseMs;
    const inMs = Math.min(pauseMs, dueInMs);
    this.#byName.set(keyOf(table), { atMs: monotonicMs() + inMs, because, pauseMs });
    if (isNews && outcome.kind === 'left') {
      log.warn({ event: 'left', ...logFields(table), because }, 'left a held table unchanged');
    }
    return inMs;
  }
}

/** Without the hold names in it. */
function masked(because: string): string {
  return because.replaceAll(/_vt_[A-Z]+_\w+/g, '');
}

function keyOf({ schema, name }: Collectable): string {
  return `${schema}.${name}`;
}

// ── which tables have their turn ────────────────────────────────────────────────────────────────

interface DueFacts extends StepFacts {
  /** Milliseconds until a table is tried again after a failed try; 0: it may be tried. */
  retryInMs(table: Collectable): number;
}

/**
 * The tables to work on in a round, by their names and by earlier failed tries. `tables`: in the
 * order of the work. `advance`: moved on as far as they can go, in this order; `purge`: already in
 * PURGE, purged one after another, after the others; `againMs`: until the first of the others has
 * its turn. Invariant: a table that waits, by its name or after a try, is not picked.
 */
export function nextDueTables(tables: readonly Collectable[], facts: DueFacts) {
  const { now, retryInMs } = facts;
  const [advance, purge]: [Collectable[], Collectable[]] = [[], []];
  let againMs = Number.POSITIVE_INFINITY;
  for (const table of tables) {
    const step = nextStep({ ...table, facts: null }, facts);
    const inMs = step.kind === 'wait' ? step.until.getTime() - now.getTime() : retryInMs(table);
    if (inMs > 0) againMs = Math.min(againMs, inMs);
    else if (table.state === 'PURGE' && table.early === undefined) purge.push(table);
    else advance.push(table);
  }
  return { advance, purge, againMs };
}

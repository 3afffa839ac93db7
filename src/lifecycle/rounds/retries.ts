/**
 * `Retries` remembers which tables are left alone for a while after a try that failed, and why. In
 * memory only: if it is lost, they are tried again.
 */
import type { Log } from '../../log.js';
import type { ActionOutcome } from '../action-context.js';
import { type Collectable, logFields } from '../collectable.js';
import type { LifecycleSettings } from '../next-step.js';

/** When to try a table again, and the reason for the delay; the pauses grow. */
interface Retry {
  readonly atMs: number;
  readonly because: string;
  readonly pauseMs: number;
}

interface RetriesOptions {
  readonly settings: Pick<LifecycleSettings, 'checkIntervalMs' | 'purgeCheckIntervalMs'>;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

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
   * Leaves a table of that name alone for a while, also one that should be gone by now; returns
   * for how many milliseconds. `now`: the server's UTC clock.
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

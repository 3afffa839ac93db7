/**
 * How long the service lets a client wait for the sake of others: one budget over everything that
 * it tries between a RENAME and its answer. What a server does takes its time; what is counted is
 * the time in which a try was seen waiting for somebody's lock.
 *
 * Invariant: once that is used up nothing waits any more, and hardly anything more is begun; the
 * rest is a debt.
 */

/** How often a try is looked at. */
export const LOOK_MS = 25;
/** So much waiting in all. */
export const WAIT_MS = 75;
/** Nothing more is begun after so long; earlier where a debt is left in any case. */
const WITHIN_MS = 600;
const WITHIN_MS_HELD_UP = 125;

export class LockWaitBudget {
  readonly #nowMs: () => number;
  readonly #startMs: number;
  #leftMs = WAIT_MS;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  /** A try was seen waiting for the last `LOOK_MS`. True: it is to be given up. */
  seenWaiting(): boolean {
    this.#leftMs = Math.max(0, this.#leftMs - LOOK_MS);
    return this.#leftMs === 0;
  }

  /** Whether what isn't begun yet is left to the debts. */
  get isOver(): boolean {
    const withinMs = this.#leftMs === 0 ? WITHIN_MS_HELD_UP : WITHIN_MS;
    return this.#nowMs() - this.#startMs > withinMs;
  }
}

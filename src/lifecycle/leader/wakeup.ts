/**
 * `Wakeup` ends the wait of a leader that has nothing to do.
 */

/** A bell for the collector: any number of rings until the next round are one. */
export class Wakeup {
  #controller = new AbortController();

  /** Rings. */
  wake(): void {
    this.#controller.abort();
  }

  /** Aborted as soon as somebody rings; a new one after each `take`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether it rang since the last `take`. */
  take(): boolean {
    if (!this.#controller.signal.aborted) return false;
    this.#controller = new AbortController();
    return true;
  }
}

/** A bell: any number of rings until somebody looks are one. */
export class Wakeup {
  #controller = new AbortController();
  #because: string | null = null;

  /** Rings. `because` goes to the log. */
  wake(because: string): void {
    this.#because = because;
    this.#controller.abort();
  }

  /** Aborted as soon as somebody rings; a new one after each `take`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why it rang since the last `take`, or null. */
  take(): string | null {
    const because = this.#because;
    if (because !== null) {
      this.#because = null;
      this.#controller = new AbortController();
    }
    return because;
  }
}

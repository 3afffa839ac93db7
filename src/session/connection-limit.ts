/**
 * How many sessions may be open at a time. Who gets no permit is told so (error 1040, as the server
 * would), and the server hears nothing of it.
 *
 * Invariant: every permit that was taken is given back once.
 */
import { assert } from '../assert.js';

/** Where sessions get their permits; with several processes, from one for all of them. */
export interface ConnectionLimit {
  /** At most so many at a time. */
  readonly max: number;
  /** False where all are taken. */
  take(): boolean | Promise<boolean>;
  give(): void;
}

/** ConnectionLimit of one process. */
export class LocalConnectionLimit implements ConnectionLimit {
  #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get max(): number {
    return this.#max;
  }

  /** Holds for the next who comes; nobody who is in is sent away. */
  set max(max: number) {
    this.#max = max;
  }

  take(): boolean {
    if (this.#taken >= this.#max) return false;
    this.#taken++;
    return true;
  }

  give(): void {
    assert(this.#taken > 0, 'only a permit that was taken is given back');
    this.#taken--;
  }
}

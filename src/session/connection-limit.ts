/**
 * How many sessions may be open at a time. A client above the limit gets the server's own error
 * (1040), and the server hears nothing of it.
 *
 * Invariant: every place that was taken is given back once.
 */
import { assert } from '../assert.js';

/** Counts the sessions; with several processes, one of them counts for all. */
export interface ConnectionLimit {
  /** So many may be open at a time. */
  readonly max: number;
  /** False: all places are taken. */
  take(): boolean | Promise<boolean>;
  release(): void;
}

/** ConnectionLimit of one process. */
export class LocalConnectionLimit implements ConnectionLimit {
  /** Holds for the next who comes; nobody who is in is sent away. */
  max: number;
  #taken = 0;

  constructor(max: number) {
    this.max = max;
  }

  take(): boolean {
    if (this.#taken >= this.max) return false;
    this.#taken++;
    return true;
  }

  release(): void {
    assert(this.#taken > 0, 'only a place that was taken is given back');
    this.#taken--;
  }
}

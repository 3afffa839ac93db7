/**
 * The maximum of open sessions. A client above the limit gets the server's own error (1040), and no
 * connection to the server is opened for it.
 *
 * Invariant: every place that was taken is returned once.
 */
import { assert } from '../assert.js';

/** Counts the sessions; with several processes, one of them counts for all. */
export interface ConnectionLimit {
  /** The maximum at a time. */
  readonly max: number;
  /** False: all places are taken. */
  take(): boolean | Promise<boolean>;
  release(): void;
}

/** The limit of one process. */
export class LocalConnectionLimit implements ConnectionLimit {
  /** Applies to new clients; open sessions stay. */
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

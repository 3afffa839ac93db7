/**
 * Permits that another process counts, for all workers together: each is asked for there. Answers
 * come in the order of the questions.
 */
import { assert } from '../assert.js';
import { LocalPermits, type Permits } from '../session/permits.js';

export interface RemotePermitsOptions {
  /** Of all workers together; for the error's text. */
  readonly max: number;
  /** Of this process: what its open files are enough for. */
  readonly ownMax: number;
  ask(): void;
  give(): void;
}

export class RemotePermits implements Permits {
  max: number;
  readonly #options: RemotePermitsOptions;
  readonly #own: LocalPermits;
  readonly #waiting: ((isAllowed: boolean) => void)[] = [];

  constructor(options: RemotePermitsOptions) {
    this.#options = options;
    this.max = options.max;
    this.#own = new LocalPermits(options.ownMax);
  }

  take(): boolean | Promise<boolean> {
    if (!this.#own.take()) return false;
    this.#options.ask();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    this.#own.give();
    this.#options.give();
  }

  onAnswer(isAllowed: boolean): void {
    const resolve = this.#waiting.shift();
    assert(resolve !== undefined, 'only a question is answered');
    if (!isAllowed) this.#own.give();
    resolve(isAllowed);
  }
}

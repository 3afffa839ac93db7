/**
 * ConnectionLimit that another process counts, for all workers together: each is asked for there.
 * Answers come in the order of the questions.
 */
import { assert } from '../../assert.js';
import { type ConnectionLimit, LocalConnectionLimit } from '../../session/connection-limit.js';

export interface RemotePermitsOptions {
  /** Of all workers together; for the error's text. */
  readonly max: number;
  /** Of this process: what its open files are enough for. */
  readonly ownMax: number;
  ask(): void;
  give(): void;
}

export class RemoteConnectionLimit implements ConnectionLimit {
  max: number;
  readonly #options: RemotePermitsOptions;
  readonly #own: LocalConnectionLimit;
  readonly #waiting: ((isAllowed: boolean) => void)[] = [];

  constructor(options: RemotePermitsOptions) {
    this.#options = options;
    this.max = options.max;
    this.#own = new LocalConnectionLimit(options.ownMax);
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

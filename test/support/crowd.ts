/**
 * Clients that come one after another all the time, each for one statement, as behind a load
 * balancer: how many were served, and which were refused.
 */
import { until } from './poll.js';
import { query, type Target } from './servers.js';

export class Crowd implements AsyncDisposable {
  readonly #target: Target;
  readonly #running: Promise<void>;
  readonly #refusals: { readonly nr: number; readonly error: string }[] = [];
  #come = 0;
  #isOver = false;

  constructor(target: Target) {
    this.#target = target;
    this.#running = this.#run();
  }

  /** How many have begun to connect. */
  get come(): number {
    return this.#come;
  }

  /** The errors of those that came after the first `come`. */
  refusedSince(come: number): readonly string[] {
    return this.#refusals.filter(({ nr }) => nr > come).map(({ error }) => error);
  }

  /** Resolves when that many more have come and gone. */
  async goesOn(count: number): Promise<void> {
    const before = this.#come;
    await until(() => this.#come > before + count, 'clients come and go');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const nr = ++this.#come;
      await query(this.#target, 'SELECT 1').catch((error) => {
        this.#refusals.push({ nr, error: String(error) });
      });
    }
  }
}

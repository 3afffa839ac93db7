/**
 * Tells the proxies the names of held tables (drop/steps/held-names.ts): after a drop, and each
 * half minute, because other services and commands hold and restore, too.
 *
 * Invariant: nothing depends on it; whatever fails is tried again.
 */
import { systemClock, withinMs } from '../../clock.js';
import { isServiceError } from '../../connections/errors.js';
import type { ServicePool } from '../../connections/sql.js';
import { type HeldName, readHeldNames } from '../../ledger/overview.js';
import type { Log } from '../../log.js';

const EVERY_MS = 30_000;
/** Many drops are told together. */
const LEAST_MS = 1_000;

interface TellerOptions {
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  onHeldNames(names: readonly HeldName[]): void;
  readonly log: Log;
}

export class HeldNamesTeller {
  readonly #options: TellerOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #waking = new AbortController();

  constructor(options: TellerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  wake(): void {
    this.#waking.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await withinMs(LEAST_MS, this.#running);
  }

  async #run(): Promise<void> {
    const { pool, onHeldNames, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#waking = new AbortController();
      const woken = AbortSignal.any([signal, this.#waking.signal]);
      try {
        onHeldNames(await readHeldNames(pool()));
      } catch (err) {
        const level = isServiceError(err) ? 'debug' : 'error';
        log[level]({ err }, 'cannot read the names of held tables; errors on them have no note');
      }
      await systemClock.sleep(LEAST_MS, signal);
      await systemClock.sleep(EVERY_MS, woken);
    }
  }
}

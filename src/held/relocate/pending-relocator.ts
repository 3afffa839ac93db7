/**
 * What drops of this process had to leave in its own schema is tried again from a moment later on:
 * mostly it waits for the next statement of the session, an UNLOCK TABLES or a COMMIT. Who collects
 * may be another proxy, which hears nothing of it and looks once in UNDROP_CHECK_INTERVAL, or none.
 *
 * Invariant: one try at a time; what isn't done in time is left to whoever collects.
 */
import type { Clock } from '../../clock.js';
import { type Log, silentLog } from '../../log.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { retryPending } from './pending.js';

/** Before each try; from then on the last. */
const PAUSES_MS: readonly number[] = [50, 100, 200, 400, 1_000, 2_000];
const LAST_PAUSE_MS = 5_000;
const GIVEN_UP_MS = 600_000;
/** What is more is left to whoever collects. */
const OWED_MAX = 1_000;

export interface PendingRelocatorOptions {
  readonly pool: ServicePool;
  /** Drops that this process is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted: nothing more is tried. */
  readonly signal: AbortSignal;
}

/** For one server. */
export class PendingRelocator {
  readonly #options: PendingRelocatorOptions;
  /** When each is given up, in milliseconds since the epoch, by id. */
  readonly #owed = new Map<string, number>();
  #tries = 0;
  #paying: Promise<void> | null = null;

  constructor(options: PendingRelocatorOptions) {
    this.#options = options;
  }

  /** Held tables that are in the ledger as such. Resolves when nothing is owed any more. */
  owe(ids: readonly string[]): Promise<void> {
    const givenUpMs = this.#options.clock.nowMs() + GIVEN_UP_MS;
    // A series of drops that owe something each must not keep the pauses short.
    if (this.#owed.size === 0) this.#tries = 0;
    for (const id of ids) if (this.#owed.size < OWED_MAX) this.#owed.set(id, givenUpMs);
    this.#paying ??= this.#pay().finally(() => {
      this.#paying = null;
    });
    return this.#paying;
  }

  async #pay(): Promise<void> {
    const { clock, log, signal } = this.#options;
    while (this.#owed.size > 0) {
      await clock.sleep(PAUSES_MS[this.#tries++] ?? LAST_PAUSE_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#try();
      } catch (error) {
        log.debug({ err: error }, 'what is still in its own schema could not be looked at');
      }
      for (const [id, givenUpMs] of this.#owed) {
        if (clock.nowMs() > givenUpMs) this.#owed.delete(id);
      }
    }
  }

  async #try(): Promise<void> {
    const { pool, activeIds, log } = this.#options;
    const only = new Set(this.#owed.keys());
    // What stays for good is not among `left`.
    const { paid, left } = await retryPending(pool, { activeIds, log: silentLog, only });
    const isLeft = new Set(left.map(({ id }) => id));
    for (const id of only) if (!isLeft.has(id)) this.#owed.delete(id);
    if (paid.length > 0) log.debug({ paid }, 'held tables were taken into the recycle schema');
  }
}

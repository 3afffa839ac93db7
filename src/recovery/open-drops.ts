/**
 * Drops that recovery leaves because they are under way: most are over in a moment, and are looked
 * at again soon; one that lasts is told of once, and then waits for the usual time.
 */
import type { Log } from '../log.js';

/** How soon they are tried again: a live table's foreign key may be waiting for it. */
export const OPEN_RETRY_MS = 5_000;
/** What is under way for so long isn't checked every few seconds any more. */
const LONG_MS = 600_000;
const LONG =
  'under way for long: somebody keeps a drop waiting, or another server began it that this one ' +
  'replicates from; where that is gone for good, STOP REPLICA here lets it be resolved';

export class OpenDrops {
  readonly #log: Log;
  /** By id: since when, by the monotonic clock. */
  #since: ReadonlyMap<string, number> = new Map();
  #long: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Whether one of those that were left is under way for a short time only. */
  areYoung(ids: readonly string[], nowMs: number): boolean {
    const before = this.#since;
    this.#since = new Map(ids.map((id) => [id, before.get(id) ?? nowMs]));
    const long = ids.filter((id) => nowMs - (this.#since.get(id) ?? nowMs) >= LONG_MS);
    const news = long.filter((id) => !this.#long.has(id));
    this.#long = new Set(long);
    if (news.length > 0) this.#log.warn({ event: 'collector', ids: news }, LONG);
    return long.length < ids.length;
  }
}

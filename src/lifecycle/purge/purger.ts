/**
 * Removes rows for as long as it is told, one table at a time, with pauses: after each piece as
 * long as the piece took, so that the server has at least half of the time for others.
 */
import type { Clock } from '../../clock.js';
import type { Log } from '../../log.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { ER_SPECIFIC_ACCESS_DENIED_ERROR } from '../../wire/server-errors.js';
import type { Collectable } from '../collectable.js';
import type { LifecycleSettings } from '../settings.js';
import { type Chunk, isEmpty, PurgeWalk } from './purge.js';

const PAUSE_MS_MAX = 1_000;

export interface PurgerOptions {
  readonly connection: ServicePool;
  readonly settings: Pick<LifecycleSettings, 'purgeChunkRows' | 'purgeBinlog'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly signal: AbortSignal;
}

export class Purger {
  readonly #options: PurgerOptions;
  #walk: PurgeWalk | null = null;
  #mayBeUnlogged = true;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  /** Whether a walk through this table is under way: it has rows, or had a moment ago. */
  isWalking(table: Collectable): boolean {
    return this.#walk?.table.name === table.name && this.#walk.table.schema === table.schema;
  }

  /** Gives up the walk through `table`; the next begins at the start. */
  forget(table: Collectable): void {
    if (this.isWalking(table)) this.#walk = null;
  }

  /**
   * Goes on with `table` until `untilMs`, by the monotonic clock, but for at least one piece.
   * `null`, or why its rows can't be removed.
   */
  async work(table: Collectable, untilMs: number): Promise<string | null> {
    const { connection, clock, log, monotonicMs, signal, settings } = this.#options;
    if (!this.isWalking(table)) {
      this.#walk = await PurgeWalk.begin(connection, table, { chunkRows: settings.purgeChunkRows });
      log.info({ event: 'purge', ...nameOf(table) }, 'rows are being removed');
    }
    const walk = this.#walk;
    if (walk === null) return null;
    do {
      const beganMs = monotonicMs();
      const chunk = await this.#next(walk, table);
      if (chunk.end) return this.#finish(walk, table);
      await clock.sleep(Math.min(monotonicMs() - beganMs, PAUSE_MS_MAX), signal);
    } while (!signal.aborted && monotonicMs() < untilMs);
    return null;
  }

  async #finish(walk: PurgeWalk, table: Collectable): Promise<string | null> {
    const { connection, log } = this.#options;
    this.#walk = null;
    const { rowsRemoved } = walk;
    log.info({ event: 'purge', ...nameOf(table), rowsRemoved }, 'the end of the table is reached');
    if (rowsRemoved > 0 || (await isEmpty(connection, table))) return null;
    return 'its rows do not go away';
  }

  /** Unlogged where it is hinted and allowed; always where replicas don't have the table. */
  async #next(walk: PurgeWalk, table: Collectable): Promise<Chunk> {
    const { connection, settings, log } = this.#options;
    const unlogged = !table.logged || (!settings.purgeBinlog && this.#mayBeUnlogged);
    try {
      return await walk.next(connection, { logged: !unlogged });
    } catch (error) {
      const mayNot = isServerError(error, ER_SPECIFIC_ACCESS_DENIED_ERROR);
      if (!unlogged || !table.logged || !mayNot) throw error;
      this.#mayBeUnlogged = false;
      log.warn({ event: 'purge', err: error }, 'may not switch sql_log_bin off: purge is logged');
      return walk.next(connection, { logged: true });
    }
  }
}

function nameOf({ id, schema, name }: Collectable): object {
  return { id, schema, name };
}

/**
 * Reads the held tables: their names in each round; in a full round also sizes, files to free,
 * limits, and rows that break the keys of restored tables.
 */
import type { ServerFacts } from '../../service/server-facts.js';
import type { ActionContext } from '../action-context.js';
import { type Collectable, type Look, listCollectable } from '../collectable.js';
import { noteLook } from '../figures.js';
import { FileSteps } from '../file-steps.js';
import { LateSearches } from '../late-searches.js';
import { earlyFirst, Limits } from '../limits/limits.js';
import { Sizes } from '../sizes.js';

/** A check also lists tables that are due this soon, so that they need no check of their own. */
const DUE_SOON_MS = 60_000;

interface LooksOptions extends Omit<ActionContext, 'files'> {
  readonly activeIds: ReadonlySet<string>;
  /** How long the log announces an exceeded limit before tables are removed early. */
  readonly noticeMs: number;
}

interface Held {
  readonly count: number;
  /** When the next table is due that isn't due now; null: there is none. */
  readonly nextDue: Date | null;
  /** The due tables, in the order of the work. */
  tables(): Promise<readonly Collectable[]>;
  /** Milliseconds until more can be read; Infinity: nothing more. */
  readonly againMs: number;
}

export class Looks {
  readonly files: FileSteps;
  readonly limits: Limits;
  readonly #options: LooksOptions;
  readonly #sizes: Sizes;
  readonly #searches: LateSearches;

  constructor(options: LooksOptions) {
    this.#options = options;
    this.files = new FileSteps(options);
    this.limits = new Limits(options);
    this.#sizes = new Sizes(options);
    this.#searches = new LateSearches(options);
  }

  /** Resolves when no check is running. */
  get ended(): Promise<void> {
    return this.#searches.ended;
  }

  /**
   * `wallClockMs`: this machine's clock. Limits are checked also while the collector waits, because
   * held tables accumulate nevertheless.
   */
  async look(
    server: ServerFacts,
    { isFull, wallClockMs }: { readonly isFull: boolean; readonly wallClockMs: number },
  ): Promise<Held> {
    if (isFull) this.#searches.begin();
    // Tables that limits have chosen are listed as well, whenever they are due.
    const hasEarly = this.limits.early.size > 0;
    const dueSoon = new Date(server.utcNow.getTime() + DUE_SOON_MS);
    const found = await this.#list(hasEarly ? undefined : dueSoon);
    let whole = hasEarly ? found.tables : null;
    const list = async () => (whole ??= (await this.#list()).tables);
    noteLook(this.#options.figures, found, wallClockMs);
    const count = found.tables.length + found.later.count;
    let againMs = isFull ? await this.#sizes.look(server) : Number.POSITIVE_INFINITY;
    if (isFull) await this.files.look();
    // The choice may be outdated.
    if (isFull || hasEarly) {
      const held = { count, list, comingBytes: this.files.bytes };
      againMs = Math.min(againMs, await this.limits.look(held, server.utcNow));
    }
    const { early } = this.limits;
    const tables = async () => (early.size === 0 ? found.tables : earlyFirst(await list(), early));
    return { count, nextDue: found.later.nextDue, tables, againMs };
  }

  /** A lifecycle without HOLD ignores due times in names. */
  #list(dueBy?: Date): Promise<Look> {
    const { connection, activeIds, settings } = this.#options;
    const waits = settings.lifecycle.includes('HOLD');
    return listCollectable(connection, activeIds, waits ? dueBy : undefined);
  }
}

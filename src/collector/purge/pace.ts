/**
 * The pace of a purge: the number and size of the next chunk's DELETEs, the rest of the server
 * after each, and the pause after the chunk. Alone on a server a chunk is one DELETE; beside other
 * sessions it is many short ones, because others wait for as long as a DELETE has a core for
 * itself, however many cores there are. The goal is UNDROP_PURGE_IMPACT: as long as others' reads
 * come no later than that, the share of the time in which rows are deleted grows step by step, up
 * to all of it; if they do, it is halved. Pure.
 */

/** The measured effect on other sessions, since the last measurement. */
export type Effect =
  /** Less than UNDROP_PURGE_IMPACT. */
  | 'unfelt'
  /** More than that, or the server has much to do. */
  | 'felt'
  /** The purge must stop for a moment. */
  | 'overload'
  /** Too little was measured since. */
  | 'unknown';

export interface Load {
  readonly effect: Effect;
  /** Whether other sessions use the server. */
  readonly isShared: boolean;
}

/** The contents of one text. */
export interface Chunk {
  /** Each is one transaction. */
  readonly deletes: number;
  /** For one DELETE. */
  readonly rows: number;
  /** After each DELETE, on the server, because no timer and no round trip of undrop is as short. */
  readonly restMs: number;
}

export interface PaceSettings {
  /** For the first DELETE. */
  readonly chunkRows: number;
  /** The intended duration of a chunk. */
  readonly chunkMs: number;
  /** UNDROP_PURGE_IMPACT. */
  readonly impactMs: number;
  /** For a DELETE, however long it takes. */
  readonly rowsMin: number;
}

/** A DELETE locks its rows until its end. */
export const CHUNK_ROWS_MAX = 20_000;
export const DELETES_MAX = 32;
/** The maximum ratio of the sizes of two successive DELETEs. */
const STEP = 2;
/**
 * The rows of a DELETE beside other sessions take this part of UNDROP_PURGE_IMPACT;
 * bench/purge-turns measures the effect on them.
 */
const ROWS_PART = 0.5;
/** A shorter rest is none: it costs more than it gives. */
const REST_MS_MIN = 0.1;
/** The share of the time in which rows are deleted, apart from commits: at first, and at least. */
const SHARE_FIRST = 0.4;
const SHARE_MIN = 1 / 25;
/** Added to the share, or what it is multiplied by, with each measurement. */
const MORE = 0.05;
const LESS = 0.7;
/** The weight of the newest measurement in the average duration of a row. */
const NEWS = 0.2;
/** An average of more times the newest is of a stall that is over. */
const STALLED = 4;
/** Measures the duration of a commit and other costs that don't depend on the rows. */
export const COMMIT_SAMPLE: Chunk = { deletes: 8, rows: 1, restMs: 0 };
/** A sample in this many chunks. */
const SAMPLE_EVERY = 64;
/** Smaller changes are ignored. */
const NEAR = 0.15;
/** Alone, a pause is this part of a chunk. */
const PAUSE_ALONE = 0.1;
const PAUSE_MS_MAX = 1_000;

export class Pace {
  readonly #settings: PaceSettings;
  /** The next chunk, apart from samples. */
  #chunk: Chunk;
  #share = SHARE_FIRST;
  /** Others have felt it, and the share is still below the first one. */
  #wasFelt = false;
  #pauseMs = 0;
  #isSample = false;
  #sinceSample = 0;
  #commitMs = 0;
  /** Duration of a row without its commit; and with its part of one, the last time. */
  #rowMs: number | null = null;
  #rowMsAtMost = 0;

  constructor(settings: PaceSettings) {
    this.#settings = settings;
    const rows = Math.min(settings.chunkRows, CHUNK_ROWS_MAX);
    this.#chunk = { deletes: 1, rows, restMs: 0 };
  }

  get chunk(): Chunk {
    return this.#isSample ? COMMIT_SAMPLE : this.#chunk;
  }

  /** Before the next chunk. */
  get pauseMs(): number {
    return this.#pauseMs;
  }

  /** Records the duration of the last chunk. */
  note(tookMs: number, load: Load): void {
    if (this.#isSample) {
      this.#commitMs = Math.max(tookMs / COMMIT_SAMPLE.deletes - this.#rowMsAtMost, 0);
      this.#isSample = false;
      return;
    }
    this.#noteChunk(tookMs, load);
    // Without a key even a single row may take long.
    if (!load.isShared || this.#settings.rowsMin > 1) return;
    this.#isSample = this.#sinceSample === 0;
    this.#sinceSample = (this.#sinceSample + 1) % SAMPLE_EVERY;
  }

  #noteChunk(tookMs: number, { effect, isShared }: Load): void {
    const { deletes, rows, restMs } = this.#chunk;
    const { chunkMs, impactMs } = this.#settings;
    this.#noteEffect(effect);
    const deleteMs = Math.max(tookMs / deletes - restMs, 0.01);
    if (!isShared && !this.#wasFelt) {
      this.#take({ deletes: 1, rows: this.#nextRows(deleteMs, chunkMs), restMs: 0 });
      this.#pauseMs = Math.min(PAUSE_ALONE * tookMs, PAUSE_MS_MAX);
      return;
    }
    const rowsMs = rows * this.#noteRow(deleteMs, rows);
    const nextRows = this.#nextRows(rowsMs, Math.min(ROWS_PART * impactMs, chunkMs));
    const nextMs = (rowsMs * nextRows) / rows;
    const nextRestMs = this.#restAfter(nextMs);
    const eachMs = nextMs + this.#commitMs + nextRestMs;
    if (effect === 'overload' || eachMs > chunkMs) {
      this.#take({ deletes: 1, rows: nextRows, restMs: 0 });
      this.#pauseMs = Math.min(effect === 'overload' ? PAUSE_MS_MAX : nextRestMs, PAUSE_MS_MAX);
      return;
    }
    const fit = Math.floor(chunkMs / eachMs);
    this.#take({ deletes: Math.min(fit, DELETES_MAX), rows: nextRows, restMs: nextRestMs });
    this.#pauseMs = 0;
  }

  #noteEffect(effect: Effect): void {
    if (effect === 'unknown') return;
    const isFelt = effect !== 'unfelt';
    const share = isFelt ? this.#share * LESS : this.#share + MORE;
    this.#share = Math.min(Math.max(share, SHARE_MIN), 1);
    this.#wasFelt = isFelt || (this.#wasFelt && this.#share < SHARE_FIRST);
  }

  /** A commit is a part of the rest, because it mostly waits for the disk or for other nodes. */
  #restAfter(rowsMs: number): number {
    const restMs = rowsMs / this.#share - rowsMs - this.#commitMs;
    return restMs < REST_MS_MIN ? 0 : restMs;
  }

  /** Updates the duration of a row from the duration of a DELETE of `rows`. */
  #noteRow(deleteMs: number, rows: number): number {
    // A sample may have met a stall, but no DELETE is shorter than its commit.
    this.#commitMs = Math.min(this.#commitMs, deleteMs);
    this.#rowMsAtMost = deleteMs / rows;
    const nowMs = Math.max(deleteMs - this.#commitMs, 0.01) / rows;
    const rowMs = (1 - NEWS) * (this.#rowMs ?? nowMs) + NEWS * nowMs;
    this.#rowMs = Math.min(rowMs, STALLED * nowMs);
    return this.#rowMs;
  }

  /** A nearly equal chunk keeps the old size, because its text exists already. */
  #take(next: Chunk): void {
    const { deletes, rows, restMs } = this.#chunk;
    const isNear = (one: number, other: number) => Math.abs(one - other) <= NEAR * other;
    const isSame =
      isNear(next.deletes, deletes) && isNear(next.rows, rows) && isNear(next.restMs, restMs);
    if (!isSame) this.#chunk = next;
  }

  /**
   * `tookMs`: the actual duration of one DELETE of the last chunk, without its commit if known;
   * `aimMs`: the intended one.
   */
  #nextRows(tookMs: number, aimMs: number): number {
    const { chunkMs, chunkRows, rowsMin } = this.#settings;
    const { rows } = this.#chunk;
    const factor = Math.min(Math.max(aimMs / tookMs, 1 / STEP), STEP);
    // A commit has its price, however few rows: below the first size only a DELETE that takes too
    // long shrinks, and one that shrank in a stall grows as soon as there is time for twice as many
    // rows.
    const back = tookMs * STEP > chunkMs ? rows : rows * STEP;
    const least = tookMs > chunkMs ? rowsMin : Math.max(Math.min(chunkRows, back), rowsMin);
    return Math.min(Math.max(Math.round(rows * factor), least), CHUNK_ROWS_MAX);
  }
}

// ── many removals ────────────────────────────────────────────────────────────────────────────────

const TABLES_FIRST = 8;
const TABLES_MAX = 32;
/** The intended duration of a batch. */
const BATCH_MS = 250;
const REMOVAL_SHARE_MIN = 0.5;

/** How many tables go at once, and the pause after them. */
export class RemovalPace {
  tables = TABLES_FIRST;
  pauseMs = 0;
  #share = 1;
  #shareMin = REMOVAL_SHARE_MIN;
  #due = 0;

  /**
   * `due`: the tables that are due now. If those of the last time were many, and these are more,
   * tables are dropped faster than they go: then others' pauses end.
   */
  begin(due: number): void {
    const isBehind = this.#due > TABLES_MAX && due > this.#due;
    this.#shareMin = isBehind ? 1 : REMOVAL_SHARE_MIN;
    this.#share = Math.max(this.#share, this.#shareMin);
    this.#due = due;
  }

  /** Records the duration of the last batch, and what others have felt of it. */
  note(tookMs: number, { effect, isShared }: Load): void {
    const isLong = tookMs > BATCH_MS;
    const tables = isLong ? this.tables / STEP : this.tables * STEP;
    this.tables = Math.min(Math.max(Math.floor(tables), TABLES_FIRST), TABLES_MAX);
    if (effect === 'felt') this.#share = Math.max(this.#share * LESS, this.#shareMin);
    if (effect === 'unfelt') this.#share = Math.min(this.#share + MORE, 1);
    const part = Math.max(isShared ? 1 / this.#share - 1 : 0, PAUSE_ALONE);
    this.pauseMs = effect === 'overload' ? PAUSE_MS_MAX : Math.min(part * tookMs, PAUSE_MS_MAX);
  }
}

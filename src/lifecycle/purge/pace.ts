/**
 * The pace of a purge: the number and size of the next chunk's DELETEs, the rest of the server
 * after each, and the pause after the chunk. A chunk takes about UNDROP_PURGE_CHUNK_TIME. Alone on
 * a server it is one DELETE; beside other sessions it is many DELETEs of a fraction of a
 * millisecond, each with a longer rest: other sessions wait for as long as a DELETE has a core for
 * itself, however many cores there are. Its commit is a part of the rest, because it mostly waits
 * for the disk or for other nodes. Rests grow at once when the server is busy, and shrink slowly.
 * Pure.
 */

/** The measured effect on other sessions. */
export type Pressure =
  /** The same as without a purge. */
  | 'none'
  /** A slight wait: the purge must give way. */
  | 'some'
  /** The purge must stop for a moment. */
  | 'high';

export interface Load {
  readonly pressure: Pressure;
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
  /** For a DELETE, however long it takes. */
  readonly rowsMin: number;
}

/** A DELETE locks its rows until its end. */
export const CHUNK_ROWS_MAX = 20_000;
export const DELETES_MAX = 32;
/** The maximum ratio of the sizes of two successive DELETEs. */
const STEP = 2;
/**
 * The intended duration of the rows of a DELETE beside other sessions; bench/purge-turns measures
 * the effect on them.
 */
const SHARED_ROWS_MS = 0.7;
/**
 * A rest and a commit together take this multiple of the DELETE, and a rest at least these
 * milliseconds.
 */
const REST = 1.5;
const REST_MS_MIN = 0.3;
/** The weight of the newest measurement in the average duration of a row. */
const NEWS = 0.2;
/** Measures the duration of a commit and other costs that don't depend on the rows. */
export const COMMIT_SAMPLE: Chunk = { deletes: 8, rows: 1, restMs: 0 };
/** A sample in this many chunks. */
const SAMPLE_EVERY = 64;
/** The maximum factor by which pressure lengthens the rest: a purge keeps a 25th of the time. */
const BACKOFF_MAX = 16;
const SLOWER = 1.5;
const FASTER = 0.9;
/** Smaller changes are ignored. */
const NEAR = 0.15;
/** Alone, a pause is this part of a chunk. */
const PAUSE_ALONE = 0.1;
const PAUSE_MS_MAX = 1_000;

export class Pace {
  readonly #settings: PaceSettings;
  /** The next chunk, apart from samples. */
  #chunk: Chunk;
  #backoff = 1;
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

  #noteChunk(tookMs: number, { pressure, isShared }: Load): void {
    const { deletes, rows, restMs } = this.#chunk;
    const { chunkMs } = this.#settings;
    const change = pressure === 'none' ? FASTER : SLOWER;
    this.#backoff = Math.min(Math.max(this.#backoff * change, 1), BACKOFF_MAX);
    const deleteMs = Math.max(tookMs / deletes - restMs, 0.01);
    if (!isShared && pressure === 'none') {
      this.#take({ deletes: 1, rows: this.#nextRows(deleteMs, chunkMs), restMs: 0 });
      this.#pauseMs = Math.min(PAUSE_ALONE * tookMs * this.#backoff, PAUSE_MS_MAX);
      return;
    }
    const rowsMs = rows * this.#noteRow(deleteMs, rows);
    const nextRows = this.#nextRows(rowsMs, Math.min(SHARED_ROWS_MS, chunkMs));
    const nextMs = (rowsMs * nextRows) / rows;
    const nextRestMs = Math.max(REST * nextMs - this.#commitMs, REST_MS_MIN) * this.#backoff;
    const eachMs = nextMs + this.#commitMs + nextRestMs;
    if (pressure === 'high' || eachMs > chunkMs) {
      this.#take({ deletes: 1, rows: nextRows, restMs: 0 });
      this.#pauseMs = Math.min(pressure === 'high' ? PAUSE_MS_MAX : nextRestMs, PAUSE_MS_MAX);
      return;
    }
    const fit = Math.floor(chunkMs / eachMs);
    this.#take({ deletes: Math.min(fit, DELETES_MAX), rows: nextRows, restMs: nextRestMs });
    this.#pauseMs = 0;
  }

  /** Updates the duration of a row from the duration of a DELETE of `rows`. */
  #noteRow(deleteMs: number, rows: number): number {
    // A sample may have met a stall, but no DELETE is shorter than its commit.
    this.#commitMs = Math.min(this.#commitMs, deleteMs);
    this.#rowMsAtMost = deleteMs / rows;
    const nowMs = Math.max(deleteMs - this.#commitMs, 0.01) / rows;
    this.#rowMs = (1 - NEWS) * (this.#rowMs ?? nowMs) + NEWS * nowMs;
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

/**
 * How the next chunk of a purge is done: in how many DELETEs of how many rows, how long the server
 * rests after each, and how long the pause after the chunk is. A chunk takes about
 * UNDROP_PURGE_CHUNK_TIME. Alone on a server that is one DELETE; beside others it is many of a
 * fraction of a millisecond, each with a rest that is longer: others wait for as long as a DELETE
 * has a core for itself, however many there are. Its commit is a part of the rest: it mostly waits
 * for the disk or for other nodes. Rests grow at once when the server is busy, and come back
 * slowly. Pure.
 */

/** What others on the server feel, as far as it was measured. */
export type Pressure =
  /** As if there was no purge. */
  | 'none'
  /** Something waits a little: the purge has to give way. */
  | 'some'
  /** The purge has to stop for a moment. */
  | 'high';

export interface Load {
  readonly pressure: Pressure;
  /** Whether others use the server. */
  readonly isShared: boolean;
}

/** What is sent in one text. */
export interface Chunk {
  /** One transaction each. */
  readonly deletes: number;
  /** Of one DELETE. */
  readonly rows: number;
  /** After each DELETE, on the server: no timer and no round trip on our side is as short. */
  readonly restMs: number;
}

export interface PaceSettings {
  /** Of the first DELETE. */
  readonly chunkRows: number;
  /** What a chunk may take. */
  readonly chunkMs: number;
  /** Of a DELETE, however long it takes. */
  readonly rowsMin: number;
}

/** A DELETE locks its rows until its end. */
export const CHUNK_ROWS_MAX = 20_000;
export const DELETES_MAX = 32;
/** So much larger or smaller is one DELETE than the one before, at most. */
const STEP = 2;
/** What the rows of a DELETE should take beside others; bench/purge-turns says what they feel. */
const SHARED_ROWS_MS = 0.7;
/** A rest and a commit are so many times as long together, and a rest so many milliseconds. */
const REST = 1.5;
const REST_MS_MIN = 0.3;
/** What a row takes is what it did before, but for this share of what it takes now. */
const NEWS = 0.2;
/** Shows what a commit takes, and all else that is the same however many rows there are. */
export const COMMIT_SAMPLE: Chunk = { deletes: 8, rows: 1, restMs: 0 };
/** The first of so many chunks. */
const SAMPLE_EVERY = 64;
/** So many times as long it becomes under pressure, at most: a purge keeps a 25th of the time. */
const BACKOFF_MAX = 16;
const SLOWER = 1.5;
const FASTER = 0.9;
/** A change by less is none. */
const NEAR = 0.15;
/** Alone, a pause is such a part of a chunk. */
const PAUSE_ALONE = 0.1;
const PAUSE_MS_MAX = 1_000;

export class Pace {
  readonly #settings: PaceSettings;
  /** The next one, but for samples. */
  #chunk: Chunk;
  #backoff = 1;
  #pauseMs = 0;
  #isSample = false;
  #sinceSample = 0;
  #commitMs = 0;
  /** What a row takes, without a commit; and with its part of one, the last time. */
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

  /** The last chunk took so long. */
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

  /** What a row takes by all that is known, now that a DELETE of so many took so long. */
  #noteRow(deleteMs: number, rows: number): number {
    // A sample may have met a stall, but there is no DELETE without its commit.
    this.#commitMs = Math.min(this.#commitMs, deleteMs);
    this.#rowMsAtMost = deleteMs / rows;
    const nowMs = Math.max(deleteMs - this.#commitMs, 0.01) / rows;
    this.#rowMs = (1 - NEWS) * (this.#rowMs ?? nowMs) + NEWS * nowMs;
    return this.#rowMs;
  }

  /** What is nearly the same stays, because its text is written already. */
  #take(next: Chunk): void {
    const { deletes, rows, restMs } = this.#chunk;
    const isNear = (one: number, other: number) => Math.abs(one - other) <= NEAR * other;
    const isSame =
      isNear(next.deletes, deletes) && isNear(next.rows, rows) && isNear(next.restMs, restMs);
    if (!isSame) this.#chunk = next;
  }

  /** `tookMs`: what one of the last chunk took, without its commit if known; `aimMs`: should. */
  #nextRows(tookMs: number, aimMs: number): number {
    const { chunkMs, chunkRows, rowsMin } = this.#settings;
    const { rows } = this.#chunk;
    const factor = Math.min(Math.max(aimMs / tookMs, 1 / STEP), STEP);
    // A commit has its price, however few rows: below the first size only what takes too long goes,
    // and what went there in a stall comes back as soon as there is time for twice as many.
    const back = tookMs * STEP > chunkMs ? rows : rows * STEP;
    const least = tookMs > chunkMs ? rowsMin : Math.max(Math.min(chunkRows, back), rowsMin);
    return Math.min(Math.max(Math.round(rows * factor), least), CHUNK_ROWS_MAX);
  }
}

/**
 * How many rows the next chunk of a purge has, and how long the pause before it is. Chunks grow
 * and shrink until each takes about UNDROP_PURGE_CHUNK_TIME; pauses grow at once when the server
 * is busy, and shrink slowly when it is not. Pure.
 */

/** What others on the server feel, as far as it was measured. */
export type Pressure =
  /** As if there was no purge. */
  | 'none'
  /** Something waits a little: the purge has to give way. */
  | 'some'
  /** The purge has to stop for a moment. */
  | 'high';

export interface PaceSettings {
  /** Of the first chunk. */
  readonly chunkRows: number;
  /** What a chunk should take. */
  readonly chunkMs: number;
  /** However long it takes. */
  readonly rowsMin: number;
}

/** A chunk locks its rows until its end, and what it has deleted is one transaction. */
export const CHUNK_ROWS_MAX = 20_000;
/** So much larger or smaller is one chunk than the one before, at most. */
const STEP = 2;
/** The length of a pause is so many chunks, at least: others have a part of each moment. */
const PAUSE_MIN = 0.1;
const PAUSE_MAX = 64;
/** The first pauses, before anything was measured. */
const PAUSE_FIRST = 1;
const PAUSE_MS_MAX = 1_000;
const SLOWER = 1.5;
const FASTER = 0.95;

export class Pace {
  readonly #settings: PaceSettings;
  #rows: number;
  #pauseRatio = PAUSE_FIRST;
  #pauseMs = 0;

  constructor(settings: PaceSettings) {
    this.#settings = settings;
    this.#rows = Math.min(settings.chunkRows, CHUNK_ROWS_MAX);
  }

  /** Of the next chunk. */
  get chunkRows(): number {
    return this.#rows;
  }

  /** Before the next chunk. */
  get pauseMs(): number {
    return this.#pauseMs;
  }

  /**
   * A chunk of so many rows took so long. `rows` may be what was due before the last change,
   * because the end of a chunk is looked up with the chunk before.
   */
  note(rows: number, tookMs: number, pressure: Pressure): void {
    const { chunkMs, rowsMin } = this.#settings;
    const factor = Math.min(Math.max(chunkMs / Math.max(tookMs, 0.1), 1 / STEP), STEP);
    this.#rows = Math.min(Math.max(Math.round(rows * factor), rowsMin), CHUNK_ROWS_MAX);
    const change = pressure === 'none' ? FASTER : SLOWER;
    this.#pauseRatio = Math.min(Math.max(this.#pauseRatio * change, PAUSE_MIN), PAUSE_MAX);
    const pauseMs = pressure === 'high' ? PAUSE_MS_MAX : tookMs * this.#pauseRatio;
    this.#pauseMs = Math.min(pauseMs, PAUSE_MS_MAX);
  }
}

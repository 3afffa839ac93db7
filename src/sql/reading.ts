/**
 * Reading in slices: a text is read by a generator that yields after some bytes, so that who reads
 * a long one can let others have their turn. What can be read in many ways is read in so many only
 * as a bound of work allows. Pure.
 *
 * Invariant: whatever a text is, reading it costs a multiple of its length that has a bound.
 */

/** A statement may name so many tables, and so may all statements of a text together. */
export const NAMES_MAX = 1_000;
/** A text with one of ours in it may have so many statements. */
export const STATEMENTS_MAX = 1_000;

/** An ALTER may name so many partitions: no server has more in a table. */
export const PARTITIONS_MAX = 8_192;

/** `T` at the end; it yields where others may have their turn. */
export type Reading<T> = Generator<undefined, T, undefined>;

/** Bytes between two yields. */
export const SLICE_BYTES = 16_384;
/** The same where bytes are only searched. */
export const LONG_SLICE_BYTES = 262_144;
/** A statement may have so many bytes before the end of a block or a program in it is found. */
export const STRUCTURE_BYTES_MAX = 262_144;
/** So many tokens of a statement are kept at most, and so many statements of a text. */
export const KEPT_MAX = 262_144;
/** In all ways in which a text is read, where it is read in several. */
const WORK_BYTES_MAX = 524_288;
/** What a statement costs beside its bytes. */
const STATEMENT_BYTES = 48;

/** Thrown where a text can be read in too many ways, or takes too long; never leaves `sql/`. */
export class TooMuchWork extends Error {}

/** What has been read of a text, over all ways in which it can be read. */
export class Work {
  #bytes = 0;
  #sliceBytes = 0;
  #isBounded = false;

  /** From here on the same bytes may be read more than once: `add` may throw. */
  readAgain(): void {
    this.#isBounded = true;
  }

  /** `bytes` were read as one statement; false: others are to have their turn. */
  add(bytes: number): boolean {
    this.#bytes += bytes + STATEMENT_BYTES;
    if (this.#isBounded && this.#bytes > WORK_BYTES_MAX) throw new TooMuchWork();
    this.#sliceBytes += bytes + STATEMENT_BYTES;
    if (this.#sliceBytes < SLICE_BYTES) return true;
    this.#sliceBytes = 0;
    return false;
  }
}

/** To its end, in one go: for what is short, or where nobody else can have a turn. */
export function readAtOnce<T>(reading: Reading<T>): T {
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
  }
}

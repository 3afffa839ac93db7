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
/** Thrown if a text can be read in too many ways, or takes too long; caught in `sql/`. */
export class Unreadable extends Error {}

/** Reads to the end in one go, if the text is short or nothing else waits for this thread. */
export function readAtOnce<T>(reading: Reading<T>): T {
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
  }
}

/**
 * Reading in slices: a text is read by a generator that yields after some bytes, so that the reader
 * of a long one can let others have their turn. The number of readings of an ambiguous text is
 * bounded. Pure.
 *
 * Invariant: reading any text costs at most a bounded multiple of its length.
 */

/** The maximum of tables in one statement, and in all statements of a text together. */
export const NAMES_MAX = 1_000;
/** The maximum of statements in a text with one of undrop's in it. */
export const STATEMENTS_MAX = 1_000;

/** Returns `T` at the end; yields so that others get their turn. */
export type Reading<T> = Generator<undefined, T, undefined>;

/** Bytes between two yields. */
export const SLICE_BYTES = 16_384;
/** The same where bytes are only searched. */
export const LONG_SLICE_BYTES = 262_144;
/** The maximum of bytes in a statement before the end of a block or a program in it is found. */
export const STRUCTURE_BYTES_MAX = 262_144;
/** The maximum of tokens kept of a statement, and of statements kept of a text. */
export const KEPT_MAX = 262_144;
/** Thrown if a text can be read in too many ways, or takes too long; caught in `sql/`. */
export class Unreadable extends Error {}

/** Reads to the end at once, if the text is short or nothing else waits for this thread. */
export function readAtOnce<T>(reading: Reading<T>): T {
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
  }
}

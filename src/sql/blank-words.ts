/**
 * A statement without some of its words: blanks stand in their place, so that every offset, line
 * and quotation of the rest is what it was. Pure.
 */

const BLANK = 0x20;

/** A copy of `text` with blanks at `words`. */
export function blankWords(
  text: Uint8Array,
  words: readonly { readonly start: number; readonly end: number }[],
): Buffer {
  const changed = Buffer.from(text);
  for (const { start, end } of words) changed.fill(BLANK, start, end);
  return changed;
}

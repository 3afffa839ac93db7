/**
 * What the log shows of a statement: its words and names, up to its first string. Where a string
 * ends depends on how the session reads backslashes and quotes, so nothing behind its beginning is
 * shown at all. Invariant: no literal of a user gets into the log, be it a password or a row.
 */

/** Statements are cut here in any case. */
const TEXT_BYTES_MAX = 200;
/** Of a string, also one between dollars. */
const BEGINNING = /['"]|\$\w*\$/;
const NUMBER = /(?<![\w$@.])\.?\d[\w.]*/g;

/** One line, with a ? for each number; ends with … where something is left out. */
export function loggedText(text: Buffer): string {
  const whole = text.subarray(0, TEXT_BYTES_MAX).toString().trimStart();
  const at = whole.search(BEGINNING);
  const shown = (at === -1 ? whole : whole.slice(0, at)).replaceAll(NUMBER, '?');
  return at === -1 && text.length <= TEXT_BYTES_MAX ? shown : `${shown}…`;
}

/** Patterns with wildcards: those of LIKE, and the names in rules. Pure. */

/** The pattern of LIKE that only this text has. */
export function asLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&');
}

/** Any letters, one letter, or this one. */
export type PatternPart = 'any' | 'one' | { readonly letter: string };

/**
 * Whether the whole text is of that pattern. Backtracks only to the last `any`, so that the time is
 * bounded by the length of the pattern and the square of that of the text.
 */
export function hasPattern(text: string, parts: readonly PatternPart[]): boolean {
  const letters = Array.from(text);
  if (parts.filter((part) => part !== 'any').length > letters.length) return false;
  let [at, next, anyAt, resumeAt] = [0, 0, -1, 0];
  while (at < letters.length) {
    const wanted = parts[next];
    if (wanted === 'any') {
      [anyAt, resumeAt] = [next, at];
      next++;
    } else if (wanted === 'one' || (typeof wanted === 'object' && wanted.letter === letters[at])) {
      at++;
      next++;
    } else if (anyAt >= 0) {
      resumeAt++;
      [at, next] = [resumeAt, anyAt + 1];
    } else return false;
  }
  return parts.slice(next).every((part) => part === 'any');
}

/** Patterns with wildcards: those of LIKE, and the names in rules. Pure. */

/** The pattern of LIKE that only this text has. */
export function asLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&');
}

/**
 * Whether the whole text is of that pattern: `*` is any letters, `?` one. Backtracks only to the
 * last `*`, so that the time is bounded by the length of the pattern and the square of that of the
 * text.
 */
export function hasPattern(text: string, pattern: string): boolean {
  const [letters, parts] = [Array.from(text), Array.from(pattern)];
  if (parts.filter((part) => part !== '*').length > letters.length) return false;
  let [at, next, anyAt, resumeAt] = [0, 0, -1, 0];
  while (at < letters.length) {
    const wanted = parts[next];
    if (wanted === '*') {
      [anyAt, resumeAt] = [next, at];
      next++;
    } else if (wanted === '?' || wanted === letters[at]) {
      at++;
      next++;
    } else if (anyAt >= 0) {
      resumeAt++;
      [at, next] = [resumeAt, anyAt + 1];
    } else return false;
  }
  return parts.slice(next).every((part) => part === '*');
}

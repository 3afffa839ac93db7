/** Finds what a misspelt word means: a command, a flag, a setting or a value. Pure. */

/**
 * The word that was meant; null: none is near enough. A distance alone turns `hold` into `help`.
 */
export function nearest(word: string, words: readonly string[]): string | null {
  const far = (one: string) => {
    const bare = one.replace(/^--/, '');
    return distance(word, bare) + (bare[0] === word[0] ? 0 : 0.5);
  };
  const [best] = [...words].sort((one, other) => far(one) - far(other));
  return best !== undefined && word !== '' && far(best) <= 1 + word.length / 4 ? best : null;
}

/** The number of letters that differ, are missing or are too many. */
function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [row, letter] of Array.from(one).entries()) {
    const next = [row + 1];
    for (let at = 1; at <= other.length; at++) {
      const changed = (above[at - 1] ?? 0) + (letter === other[at - 1] ? 0 : 1);
      next.push(Math.min(changed, (above[at] ?? 0) + 1, (next[at - 1] ?? 0) + 1));
    }
    above = next;
  }
  return above.at(-1) ?? 0;
}

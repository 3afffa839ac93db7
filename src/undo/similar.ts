/** Names that somebody who mistyped one may have meant. Pure. */

const SHOWN_MAX = 3;
const DISTANCE_MAX = 2;

/** At most three of `names` (qualified ones), nearest first. */
export function similarNames(target: string, names: readonly string[]): readonly string[] {
  return names
    .map((name) => ({ name, distance: distanceTo(target.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= DISTANCE_MAX)
    .sort((one, other) => one.distance - other.distance)
    .slice(0, SHOWN_MAX)
    .map(({ name }) => name);
}

/** To the qualified name or to the table's alone; 1 where one is part of the other. */
function distanceTo(target: string, name: string): number {
  const table = name.slice(name.indexOf('.') + 1);
  const bare = target.slice(target.indexOf('.') + 1);
  const part = bare.length > 2 && (table.includes(bare) || bare.includes(table));
  // With every character another one nothing is similar.
  const shares = edits(bare, table) < Math.max(bare.length, table.length);
  const near = shares ? edits(bare, table) : Number.POSITIVE_INFINITY;
  return Math.min(edits(target, name), near, part ? 1 : Number.POSITIVE_INFINITY);
}

/** Characters to insert, remove or replace. */
function edits(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > DISTANCE_MAX) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

/**
 * Which tables one RENAME takes. MariaDB (seen on 10.11 and 11.8): a RENAME of several tables with
 * triggers that is killed takes back what it has done, and empties the .TRG file of the first;
 * nothing can open that table then (error 1343). Pure.
 */

/** In their order; of each group one has triggers at most. */
export function renameGroups<T>(
  tables: readonly T[],
  hasTriggers: (table: T) => boolean,
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (const table of tables) {
    const last = groups.at(-1);
    if (last === undefined || (hasTriggers(table) && last.some(hasTriggers))) groups.push([table]);
    else last.push(table);
  }
  return groups;
}

/**
 * Which tables one RENAME takes. MariaDB (seen on 10.11 and 11.8): a RENAME of several tables that
 * is killed while InnoDB makes it wait (for a transaction that has written to a child of one of
 * them) takes back what it has done, and empties the .TRG file of a table that it had renamed;
 * nothing can open that table then (error 1343). Pure.
 */

/** In their order; behind one that has triggers there is none in its group. */
export function renameGroups<T>(
  tables: readonly T[],
  hasTriggers: (table: T) => boolean,
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (const table of tables) {
    const last = groups.at(-1);
    if (last === undefined || last.some(hasTriggers)) groups.push([table]);
    else last.push(table);
  }
  return groups;
}

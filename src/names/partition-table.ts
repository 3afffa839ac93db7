/**
 * The name under which rows of a partition come back, as a table of its own: `t#p1`, and
 * `t#p1#p1sp0` of a subpartition. Not `t#P#p1`: InnoDB has the statistics of a live partition under
 * that name, and RENAMEs no table to it then (1022). Pure.
 */

/** https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html */
const NAME_CHARACTERS_MAX = 64;

/** Where it would be too long, the table's name is cut, then that of the partition. */
export function partitionTable(
  table: string,
  partition: string,
  subpartition: string | null,
): string {
  const part = `#${partition}${subpartition === null ? '' : `#${subpartition}`}`;
  const suffix = Array.from(part).slice(0, NAME_CHARACTERS_MAX - 1);
  const prefix = Array.from(table).slice(0, NAME_CHARACTERS_MAX - suffix.length);
  // No name of a table may end in a blank.
  return [...prefix, ...suffix].join('').trimEnd();
}

/**
 * The name under which rows of a partition come back, as a table of its own: `t#P#p1`, and
 * `t#P#p1#SP#p1sp0` of a subpartition, as InnoDB has them in its own names. Pure.
 */

/** https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html */
const NAME_CHARACTERS_MAX = 64;

/** Where it would be too long, the table's name is cut, then that of the partition. */
export function partitionTable(
  table: string,
  partition: string,
  subpartition: string | null,
): string {
  const part = `#P#${partition}${subpartition === null ? '' : `#SP#${subpartition}`}`;
  const suffix = Array.from(part).slice(0, NAME_CHARACTERS_MAX - 1);
  const prefix = Array.from(table).slice(0, NAME_CHARACTERS_MAX - suffix.length);
  // No name of a table may end in a blank.
  return [...prefix, ...suffix].join('').trimEnd();
}

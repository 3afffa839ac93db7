/**
 * Small rules of names: when two are the same table, which name stands for a partition, and which
 * tables stand in for parents in the words of the server.
 */
import { foldName } from '../fold-name.js';

/**
 * Whether two names may be one: servers that fold the case of schemas and tables do so wherever
 * they compare them.
 */
export function isSameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}

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

/** Parents of one statement that can be asked for. */
export const FK_ERROR_TABLES_MAX = 8;

/** Refers to all of them. */
export const FK_ERROR_CHILD = 'guard_child';

export function fkErrorTableName(index: number): string {
  return `guard_${index + 1}`;
}

/** MySQL before 8 says more of a parent than an error. */
export function hasFkErrorTables(server: {
  readonly flavour: 'mysql' | 'mariadb';
  readonly versionId: number;
}): boolean {
  return server.flavour === 'mysql' && server.versionId < 80_000;
}

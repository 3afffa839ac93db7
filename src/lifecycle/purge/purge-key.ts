/**
 * Which key a purge walks along. Pure. `DELETE … LIMIT n` alone scans all rows marked as deleted
 * again and again while a snapshot is open elsewhere; a walk along a unique key does not.
 *
 * Invariant: only columns whose values compare in a range exactly as they are ordered by the key.
 * ENUM, SET, BIT and what is not known do not: then the purge falls back to LIMIT.
 */

/** One column of one index, as information_schema.STATISTICS and COLUMNS tell. */
export interface IndexColumn {
  readonly index: string;
  readonly unique: boolean;
  /** `null` for an expression. */
  readonly column: string | null;
  /** Only the first characters of the column are in the index. */
  readonly prefix: boolean;
  readonly nullable: boolean;
  /** DATA_TYPE in lower case: `bigint`, `varchar` … */
  readonly dataType: string | null;
}

/** A unique key without NULLs; its columns in the order of the key. */
export interface PurgeKey {
  readonly index: string;
  readonly columns: readonly string[];
}

const RANGE_TYPES: ReadonlySet<string> = new Set(
  (
    'tinyint smallint mediumint int bigint decimal char varchar binary varbinary ' +
    'date datetime timestamp time year'
  ).split(' '),
);

/** The primary key, else the shortest unique key that can be walked, else `null`. */
export function choosePurgeKey(columns: readonly IndexColumn[]): PurgeKey | null {
  const indexes = new Map<string, IndexColumn[]>();
  for (const column of columns) {
    indexes.set(column.index, [...(indexes.get(column.index) ?? []), column]);
  }
  const keys = [...indexes.values()].filter(isWalkable).map(toKey);
  keys.sort((a, b) => rank(a) - rank(b));
  return keys[0] ?? null;
}

function isWalkable(columns: readonly IndexColumn[]): boolean {
  return columns.every(
    ({ unique, column, prefix, nullable, dataType }) =>
      unique && column !== null && !prefix && !nullable && RANGE_TYPES.has(dataType ?? ''),
  );
}

function toKey(columns: readonly IndexColumn[]): PurgeKey {
  const names = columns.flatMap(({ column }) => (column === null ? [] : [column]));
  return { index: columns[0]?.index ?? '', columns: names };
}

function rank(key: PurgeKey): number {
  return key.index === 'PRIMARY' ? 0 : key.columns.length;
}

/**
 * Filters dropped tables by user, schema and time, and sorts them. Pure.
 *
 * Invariant: a table with an unknown property matches no filter on it.
 */
import { isSameName } from '../names/names.js';
import { type DroppedTable, type EndedTable, type ListedTable, newestFirst } from './list.js';

export interface DropFilter {
  readonly schema: string | null;
  readonly user: string | null;
  /** Dropped then or later. */
  readonly since: Date | null;
  /** Dropped then or before. */
  readonly until: Date | null;
}

export function filterDrops<T extends DroppedTable>(
  tables: readonly T[],
  { schema, user, since, until }: DropFilter,
): readonly T[] {
  const found = tables.filter(({ user: by, droppedAt: at }) => {
    const isBy = user === null || by === user;
    const isSince = since === null || (at !== null && at >= since);
    return isBy && isSince && (until === null || (at !== null && at <= until));
  });
  if (schema === null) return found;
  // The exact name, else without regard to case.
  const same = found.filter(({ origin }) => origin?.schema === schema);
  if (same.length > 0) return same;
  return found.filter(({ origin }) => origin !== null && isSameName(origin.schema, schema));
}

export const SORTS = ['dropped', 'size', 'expires'] as const;
export type Sort = (typeof SORTS)[number];

/** dropped: newest first; size: biggest first; expires: soonest first. Unknown sizes are last. */
export function sortDrops<T extends ListedTable | EndedTable>(
  tables: readonly T[],
  sort: Sort,
): readonly T[] {
  const endOf = (table: ListedTable | EndedTable) =>
    'endedAt' in table ? Number.POSITIVE_INFINITY : table.due.getTime();
  const order = {
    dropped: () => 0,
    size: (one: T, other: T) => (other.byteEstimate ?? -1) - (one.byteEstimate ?? -1),
    expires: (one: T, other: T) => compare(endOf(one), endOf(other)),
  }[sort];
  return [...tables].sort((one, other) => order(one, other) || newestFirst(one, other));
}

function compare(one: number, other: number): number {
  return one === other ? 0 : one - other;
}

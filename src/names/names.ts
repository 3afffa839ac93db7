/**
 * Small rules of names: how servers fold their case, which name stands for a partition, and the
 * names of undrop's own tables: the parents in a foreign key error, and the barrier of a DROP
 * DATABASE.
 */

import type { HoldName } from './hold-name.js';
import { isHoldId } from './hold-name.js';

/**
 * Whether two names may be one: servers that fold the case of schemas and tables do so wherever
 * they compare them.
 */
export function isSameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}

/** https://dev.mysql.com/doc/refman/9.7/en/identifier-length.html */
const NAME_CHARACTERS_MAX = 64;

/** If it would be too long, the table's name is cut, then that of the partition. */
export function partitionTable(table: string, partition: string): string {
  const suffix = Array.from(`#${partition}`).slice(0, NAME_CHARACTERS_MAX - 1);
  const prefix = Array.from(table).slice(0, NAME_CHARACTERS_MAX - suffix.length);
  // No name of a table may end in a blank.
  return [...prefix, ...suffix].join('').trimEnd();
}

/** The comment of the table that a DROP DATABASE waits for (drop-database/barrier.ts). */
export const BARRIER_TABLE_COMMENT = 'undrop: a DROP DATABASE is under way';

export interface BarrierTable {
  /** The id of the DROP DATABASE. */
  readonly groupId: string;
  /** It was made with sql_log_bin on. */
  readonly logged: boolean;
}

/** The name sorts before others, because the server has to come to this table first. */
export function barrierTableName({ groupId, logged }: BarrierTable): string {
  return `!undrop_${groupId}${logged ? '_logged' : ''}`;
}

/** When it is due as a held table, once its drop is over: no user's table is. */
export const RETIRED_BARRIER_DUE = new Date(0);

/** Whether a held table is such a barrier on its way out, and no user's. */
export function isRetiredBarrier({ state, due }: Pick<HoldName, 'state' | 'due'>): boolean {
  return state === 'DROP' && due.getTime() === RETIRED_BARRIER_DUE.getTime();
}

/** Null if it is no such name. */
export function parseBarrierTable(name: string): BarrierTable | null {
  const match = /^!undrop_([0-9a-f]{32})(_logged)?$/i.exec(name);
  const groupId = match?.[1]?.toLowerCase();
  if (groupId === undefined || !isHoldId(groupId)) return null;
  return { groupId, logged: match?.[2] !== undefined };
}

/**
 * A schema's or table's name in lower case, as servers fold it if lower_case_table_names isn't 0:
 * letter by letter, by utf8_general_ci. JavaScript's `toLowerCase` has a sigma of its own for the
 * end of a word, and two characters for a capital I with a dot.
 */
export function foldName(name: string): string {
  return Array.from(name, (letter) => (letter === 'İ' ? 'i' : letter.toLowerCase())).join('');
}

/** `items` in their order, in parts of `size`; the last part may be smaller. */
export function inBatches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

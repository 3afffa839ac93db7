/**
 * What is found in a schema that is being dropped. Pure.
 *
 * Invariant: a table that isn't this drop's own barrier table is never left to the DROP.
 */

import { parseHoldName } from '../../names/hold-name.js';
import { parseBarrierTable } from '../../names/names.js';

/** One row of information_schema.TABLES. */
export interface Listed {
  readonly name: string;
  readonly type: string;
}

export interface Found {
  /** Live tables and sequences, which are to be held. */
  readonly tables: readonly string[];
  /** Tables of an earlier drop, which are held in their own schema. */
  readonly held: readonly string[];
  /** Barrier tables of other drops of this schema. */
  readonly barriers: readonly string[];
  /** This drop's own barrier table is there. */
  readonly hasOwn: boolean;
}

/** What is no view counts as a table, whatever the server calls it. */
export function sortListed(listed: readonly Listed[], groupId: string): Found {
  const bases = listed.filter(({ type }) => type !== 'VIEW').map(({ name }) => name);
  const isBarrier = (name: string) => parseBarrierTable(name) !== null;
  const isOwn = (name: string) => parseBarrierTable(name)?.groupId === groupId;
  const isHeld = (name: string) => parseHoldName(name) !== null;
  return {
    tables: bases.filter((name) => !isBarrier(name) && !isHeld(name)),
    held: bases.filter(isHeld),
    barriers: bases.filter((name) => isBarrier(name) && !isOwn(name)),
    hasOwn: bases.some(isOwn),
  };
}

/** Whether the DROP that waits would destroy nothing but the barrier table. */
export function isEmptied({ tables, held, barriers, hasOwn }: Found): boolean {
  return hasOwn && tables.length + held.length + barriers.length === 0;
}

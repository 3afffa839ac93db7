/**
 * The name of the table of ours that a DROP DATABASE waits for
 * (statements/drop-database/barrier.ts). It sorts before others, so that the server comes to it
 * first; it says whose it is, and whether it is in the binary log. Pure.
 */
import { isHoldId } from './hold-id.js';
import type { HoldName } from './hold-name.js';

/** The comment of the table. */
export const BARRIER_TABLE_COMMENT = 'undrop: a DROP DATABASE is under way';

export interface BarrierTable {
  /** Of the DROP DATABASE. */
  readonly groupId: string;
  /** It was made with sql_log_bin on. */
  readonly logged: boolean;
}

export function barrierTableName({ groupId, logged }: BarrierTable): string {
  return `!undrop_${groupId}${logged ? '_logged' : ''}`;
}

/** When it is due as a held table, once its drop is over: no user's table is. */
export const RETIRED_BARRIER_DUE = new Date(0);

/** Whether a held table is no user's, but such a guard on its way out. */
export function isRetiredBarrier({ state, due }: Pick<HoldName, 'state' | 'due'>): boolean {
  return state === 'DROP' && due.getTime() === RETIRED_BARRIER_DUE.getTime();
}

/** Null where it is no such name. */
export function parseBarrierTable(name: string): BarrierTable | null {
  const match = /^!undrop_([0-9a-f]{32})(_logged)?$/i.exec(name);
  const groupId = match?.[1]?.toLowerCase();
  if (groupId === undefined || !isHoldId(groupId)) return null;
  return { groupId, logged: match?.[2] !== undefined };
}

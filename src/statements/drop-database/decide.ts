/**
 * The decisions of a DROP DATABASE: what a look at its schema means, and what to do behind each try
 * of the DROP. Pure: drop-database.ts acts on them.
 *
 * Invariant: a table that isn't this drop's own guard is never left to the DROP.
 */

import { parseBarrierTable } from '../../names/barrier-table.js';
import { parseHoldName } from '../../names/hold-name.js';
import type { ErrPacket } from '../../wire/response/err.js';
import type { OkPacket } from '../../wire/response/ok.js';
import { ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';

/** One row of information_schema.TABLES. */
export interface Found {
  readonly name: string;
  readonly type: string;
}

export interface Look {
  /** Live tables and sequences, which are to be held. */
  readonly tables: readonly string[];
  /** Held by an earlier drop, and still in their own schema. */
  readonly held: readonly string[];
  /** Of other drops of this schema. */
  readonly guards: readonly string[];
  /** This drop's own is there. */
  readonly isGuarded: boolean;
}

/** What is no view counts as a table, whatever the server calls it. */
export function readLook(found: readonly Found[], groupId: string): Look {
  const bases = found.filter(({ type }) => type !== 'VIEW').map(({ name }) => name);
  const isGuard = (name: string) => parseBarrierTable(name) !== null;
  const isOwn = (name: string) => parseBarrierTable(name)?.groupId === groupId;
  const isHeld = (name: string) => parseHoldName(name) !== null;
  return {
    tables: bases.filter((name) => !isGuard(name) && !isHeld(name)),
    held: bases.filter(isHeld),
    guards: bases.filter((name) => isGuard(name) && !isOwn(name)),
    isGuarded: bases.some(isOwn),
  };
}

/** Whether the DROP that waits would destroy nothing but the guard. */
export function isEmptied({ tables, held, guards, isGuarded }: Look): boolean {
  return isGuarded && tables.length + held.length + guards.length === 0;
}

/** How one try of the DROP ended. */
export type TryEnd =
  | { readonly kind: 'dropped'; readonly ok: OkPacket }
  /** It was stopped, as there is something that it would destroy. */
  | { readonly kind: 'came' }
  /** It was not sent. */
  | { readonly kind: 'late' }
  | { readonly kind: 'failed'; readonly error: ErrPacket };

export type BehindTry =
  | { readonly do: 'answer'; readonly ok: OkPacket }
  | { readonly do: 'again' }
  | { readonly do: 'crowded' }
  | { readonly do: 'error'; readonly error: ErrPacket };

const ROUNDS_MAX = 64;
const ROUNDS_WITHIN_MS = 20_000;

export interface TriesSoFar {
  /** How many of them were stopped. */
  readonly rounds: number;
  /** Since the first. */
  readonly sinceMs: number;
  /** Since the first that was stopped: one that waits for a lock is in nobody's crowd. */
  readonly stoppedMs: number;
  readonly lockWaitMs: number;
}

export function behindTry(end: TryEnd, so: TriesSoFar): BehindTry {
  switch (end.kind) {
    case 'dropped':
      return { do: 'answer', ok: end.ok };
    case 'late':
    case 'came': {
      const isOver = so.rounds >= ROUNDS_MAX || so.stoppedMs > ROUNDS_WITHIN_MS;
      return { do: isOver ? 'crowded' : 'again' };
    }
    case 'failed': {
      // It was given less time than the session gives it.
      const mayWait = end.error.errno === ER_LOCK_WAIT_TIMEOUT && so.sinceMs < so.lockWaitMs;
      return mayWait ? { do: 'again' } : { do: 'error', error: end.error };
    }
  }
}

/** Before a look, so that the drop and who creates in a loop don't go in step. */
export function pauseMs(round: number, random: number): number {
  return Math.min(round * 4, 40) * random;
}

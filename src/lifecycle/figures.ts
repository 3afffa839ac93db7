/**
 * What the collector of a process says of itself to whoever watches it: why nothing is collected,
 * in a word and in a sentence, and plain values, changed where things happen (rounds.ts,
 * purge/purge.ts) and read at any time. Nothing is decided by them.
 */
import { timeText } from '../duration.js';
import type { Pause } from '../ledger/control.js';
import type { LedgerTotals } from '../ledger/read.js';
import { isPinned, type TableState } from '../names/names.js';
import type { Look } from './collectable.js';
import type { Room } from './limits/choose-early.js';

/** Why nothing is collected, in one word. */
export const REST_REASONS = [
  'read_only',
  'replicates',
  'cluster',
  'pause',
  'grace',
  'window',
  'query',
  'replica',
] as const;
export type RestReason = (typeof REST_REASONS)[number];

export const READ_ONLY = 'the server is read-only: nothing is collected';
export const REPLICATES =
  'this server replicates from another: nothing is collected, unless UNDROP_COLLECT is on';

export const OTHER_NODE = 'another node of this cluster collects';

export function pauseText({ until, by }: Pause): string {
  const end = until === null ? '' : `${timeText(until)}, or `;
  return `paused by ${by}: nothing is collected until ${end}\`undrop resume\``;
}

export function throttleText(because: string): string {
  return `throttled, nothing is collected: ${because}`;
}

export interface CollectorFigures {
  /** Whether this process collects. */
  leads: boolean;
  /** When names were last read, by this machine's clock; null: not yet. */
  lastLookMs: number | null;
  /** How long the last full look took, until something could be done; null: not yet. */
  lookMs: number | null;
  restsFor: RestReason | null;
  /** Null: this process has not looked. */
  held: Record<TableState, number> | null;
  /** The next due time of a table in HOLD that is not pinned. */
  nextDue: Date | null;
  rowsPurged: number;
  chunks: number;
  chunksMs: number;
  /** Against the limits; null: there are none, or they are far. */
  room: Room | null;
  /** What the ledger says, by the last full round. */
  ledger: LedgerTotals | null;
}

export function newCollectorFigures(): CollectorFigures {
  return {
    leads: false,
    lastLookMs: null,
    lookMs: null,
    restsFor: null,
    held: null,
    nextDue: null,
    room: null,
    rowsPurged: 0,
    chunks: 0,
    chunksMs: 0,
    ledger: null,
  };
}

/** Another collects now: what this process saw is old. */
export function forgetLook(figures: CollectorFigures): void {
  const unknown = {
    lookMs: null,
    restsFor: null,
    held: null,
    nextDue: null,
    room: null,
    ledger: null,
  };
  Object.assign(figures, { leads: false, ...unknown });
}

/** Names were read. */
export function noteLook(figures: CollectorFigures, { tables, later }: Look, nowMs: number): void {
  const held = { HOLD: later.count, PURGE: 0, EVAC: 0, DROP: 0 };
  let { nextDue } = later;
  for (const { state, due } of tables) {
    held[state]++;
    const isNext = state === 'HOLD' && !isPinned(due) && (nextDue === null || due < nextDue);
    if (isNext) nextDue = due;
  }
  Object.assign(figures, { lastLookMs: nowMs, held, nextDue } satisfies Partial<CollectorFigures>);
}

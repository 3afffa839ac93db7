/**
 * The figures of a process's collector for monitoring: why it waits, in a word and in a sentence,
 * and plain values, updated by rounds.ts and purge/purge.ts and read at any time. No decision
 * depends on them.
 */
import { timeText } from '../duration.js';
import type { Pause } from '../ledger/control.js';
import type { LedgerTotals } from '../ledger/read.js';
import { isPinned, type TableState } from '../names/names.js';
import type { Look } from './collectable.js';
import type { Room } from './limits/choose-early.js';

/** The reasons for which the collector waits, as single words. */
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

export const READ_ONLY = 'the server is read-only: the collector waits';
export const REPLICATES =
  'this server replicates from another: the collector waits, unless UNDROP_COLLECT is on';

export const OTHER_NODE = 'another node of this cluster collects';

export function pauseText({ until, by }: Pause): string {
  const end = until === null ? '' : `${timeText(until)}, or `;
  return `paused by ${by}: the collector waits until ${end}\`undrop resume\``;
}

export function throttleText(because: string): string {
  return `throttled, the collector waits: ${because}`;
}

export interface CollectorFigures {
  /** Whether this process collects. */
  leads: boolean;
  /** The server's id of the connection on which it collects. */
  leaderId: number | null;
  /** Called when this process begins to collect. */
  onLead?: () => void;
  /** When names were last read, by this machine's clock; null: not yet. */
  lastLookMs: number | null;
  /** Duration of the last full check, until the first action; null: not yet. */
  lookMs: number | null;
  restsFor: RestReason | null;
  /** Null: this process has not checked yet. */
  held: Record<TableState, number> | null;
  /** The next due time of a table in HOLD that is not pinned. */
  nextDue: Date | null;
  /** The scan under way; null: none is. By this machine's monotonic clock. */
  purging: {
    readonly id: string;
    readonly sinceMs: number;
    rows: number;
    /** The rows that it had, as the server estimates them; null: not known. */
    readonly rowsBefore: number | null;
  } | null;
  rowsPurged: number;
  chunks: number;
  chunksMs: number;
  /** Relative to the limits; null: there are none, or they are far. */
  room: Room | null;
  /** From the ledger, at the last full round. */
  ledger: LedgerTotals | null;
  /** Counts the DROP TABLEs that this process has sent to remove held tables. */
  readonly sent: { dropsSent: number };
  /** Drops that nobody sent through undrop, since this process collects; null: not known yet. */
  dropsElsewhere: number | null;
}

/** The figures of a process that doesn't collect. */
export const NOT_COLLECTING = {
  leads: false,
  leaderId: null,
  lookMs: null,
  restsFor: null,
  held: null,
  nextDue: null,
  room: null,
  purging: null,
  ledger: null,
  dropsElsewhere: null,
};

export function newCollectorFigures(sent = { dropsSent: 0 }): CollectorFigures {
  return { ...NOT_COLLECTING, lastLookMs: null, rowsPurged: 0, chunks: 0, chunksMs: 0, sent };
}

/** Records that names were read. */
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

/**
 * The known last use of a table, and its text. UNDROP_REQUIRE_IDLE refuses by it, EXPLAIN of a drop
 * shows it. Pure.
 *
 * Invariant: an unknown use counts as none, and never causes a refusal.
 */
import { formatDuration, timeText } from '../../duration.js';

export interface Use {
  readonly utcNow: Date;
  readonly startedAt: Date;
  /** Null: not since the server's start, or not reported. */
  readonly writtenAt: Date | null;
  /** The last statement that names it; null: none is known. */
  readonly namedAt: Date | null;
  /** Since the server's start; null: performance_schema doesn't count them. */
  readonly reads: number | null;
  readonly writes: number | null;
}

export function countOf({ reads, writes }: Use): number {
  return (reads ?? 0) + (writes ?? 0);
}

/** Continues "was in use"; null: it wasn't within that time, or that isn't known. */
export function useWithin(use: Use, idleMs: number): string | null {
  const { writtenAt, namedAt, startedAt, reads, writes } = use;
  const isWithin = (at: Date | null): at is Date =>
    at !== null && use.utcNow.getTime() - at.getTime() <= idleMs;
  const within = `within ${formatDuration(idleMs)}:`;
  if (isWithin(writtenAt)) return `${within} it was written at ${timeText(writtenAt)}`;
  if (isWithin(namedAt)) return `${within} a statement that names it ended at ${timeText(namedAt)}`;
  if (!isWithin(startedAt) || countOf(use) === 0) return null;
  const counted = `${reads ?? 0} reads and ${writes ?? 0} writes`;
  return `${within} ${counted} since the server started at ${timeText(startedAt)}`;
}

/** In words; null: not known. */
export function lastUse({ writtenAt, namedAt, startedAt, reads, writes }: Use): string | null {
  const [last] = [writtenAt, namedAt].flatMap((at) => at ?? []).sort((a, b) => +b - +a);
  if (last !== undefined) return timeText(last);
  if (writes === null) return null;
  if ((reads ?? 0) + writes === 0) return `not since the server started, ${timeText(startedAt)}`;
  return `${reads ?? 0} reads and ${writes} writes since the server started, ${timeText(startedAt)}`;
}

/**
 * When a collector must wait before it touches anything. Pure. A server that was restored from a
 * backup, or whose clock jumped, shows held tables as long overdue that somebody may just be about
 * to bring back; so it is given UNDROP_GRACE first, and says so.
 *
 * Invariant: the wait ends; a restart of the proxy neither shortens it nor begins it anew.
 */

/** What the collector's own table knows about this server, and about any other that had it. */
export interface LastLook {
  /** This server's identity has collected, or waited, before. */
  readonly known: boolean;
  /** When a collector looked last, on any server; `null`: never. */
  readonly at: Date | null;
  /** A wait that was decided before. */
  readonly graceUntil: Date | null;
  /** How far this server's clock was ahead of the proxy's at the last look; `null`: not known. */
  readonly aheadMs: number | null;
}

export interface GraceFacts extends LastLook {
  /** The same now. */
  readonly aheadNowMs: number;
  /** Held tables. */
  readonly heldCount: number;
  /** The server's UTC clock. */
  readonly now: Date;
  /** By how much that clock moved against the proxy's since the last look of this proxy. */
  readonly clockDriftMs: number;
  /** This proxy has been looking all the while, so an old last look means nothing. */
  readonly continuing: boolean;
}

/** `until: null`: nothing to wait for. */
export type Grace =
  | { readonly until: null }
  | { readonly until: Date; readonly because: string; readonly isNew: boolean };

/** A clock that is corrected by less than this did not jump. */
export const CLOCK_DRIFT_MS_MAX = 60_000;

/** Whether to wait, until when by the server's clock, and why. */
export function decideGrace(
  facts: GraceFacts,
  settings: { readonly holdMs: number; readonly graceMs: number },
): Grace {
  const { now } = facts;
  if (settings.graceMs === 0) return { until: null };
  const longest = new Date(now.getTime() + settings.graceMs);
  const because = facts.heldCount === 0 ? null : reason(facts, settings.holdMs);
  if (because !== null) {
    return { until: longest, because, isNew: true };
  }
  if (facts.graceUntil === null || facts.graceUntil <= now) return { until: null };
  const until = facts.graceUntil < longest ? facts.graceUntil : longest;
  return { until, because: 'a wait that began earlier', isNew: false };
}

function reason(facts: GraceFacts, holdMs: number): string | null {
  const { now, at } = facts;
  const waiting = facts.graceUntil !== null && facts.graceUntil > now;
  if (Math.abs(facts.clockDriftMs) > CLOCK_DRIFT_MS_MAX) return "the server's clock jumped";
  if (facts.continuing || waiting) return null;
  if (!facts.known || at === null) return 'this server is new to the ledger';
  const sinceMs = now.getTime() - at.getTime();
  if (sinceMs < -CLOCK_DRIFT_MS_MAX) return "the server's clock went back since the last look";
  const jumpedMs = facts.aheadMs === null ? 0 : facts.aheadNowMs - facts.aheadMs;
  if (Math.abs(jumpedMs) > CLOCK_DRIFT_MS_MAX) {
    return "the server's clock, or the proxy's, jumped since the last look";
  }
  if (sinceMs > holdMs) return 'the last look is older than UNDROP_HOLD';
  return null;
}

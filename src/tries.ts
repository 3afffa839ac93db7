/**
 * How often undrop tries again, and how long it waits between two tries: one policy for each kind
 * of work that may fail in passing. A count includes the first try.
 *
 * Invariant: every loop that tries again takes its bound from here, so that all of them can be
 * compared, and none of them is endless.
 */

/** When a list of pauses is used up, its last pause is repeated. */
export interface PausePolicy {
  readonly pausesMs: readonly number[];
  readonly givenUpMs: number;
}

/** The pause before try number `index`, counted from 0. */
export function pauseBefore({ pausesMs }: PausePolicy, index: number): number {
  return pausesMs[index] ?? pausesMs.at(-1) ?? 0;
}

// ── the ledger ─────────────────────────────────────────────────────────────────────────────────

/** Recording an intent, while the client waits: the second try follows new facts of the server. */
export const INTENT_TRIES = 2;
/** Recording what is taken off a table: another proxy writes once before that, and once after. */
export const DETACHED_RECORD_TRIES = 8;

// ── held tables ────────────────────────────────────────────────────────────────────────────────

/** Adding a foreign key of a restored table that another session has locked. */
export const REATTACH_TRIES = 5;
/** Repointing a foreign key of a live child: between the two statements it has no key at all. */
export const REPOINT_TRIES = 3;
/** The same while a client waits. */
export const REPOINT_TRIES_BESIDE_CLIENT = 1;
/** A held table that a foreign key binds to live ones is tried for so long; a client waits. */
export const FREEING: PausePolicy = { pausesMs: [50], givenUpMs: 10_000 };
/** A relocation that the session's next statement, UNLOCK TABLES or COMMIT may let through. */
export const PENDING_RELOCATION: PausePolicy = {
  pausesMs: [50, 100, 200, 400, 1_000, 2_000, 5_000],
  givenUpMs: 600_000,
};

// ── restores ───────────────────────────────────────────────────────────────────────────────────

/** Renaming a table of a restored schema: another session may have it locked for a moment. */
export const RESTORE_RENAME_TRIES = 5;
/** Waiting for the end of a restore's owner, which may still be in the processlist if it died. */
export const RESTORE_OWNER: PausePolicy = { pausesMs: [50], givenUpMs: 950 };

// ── recovery and the collector ─────────────────────────────────────────────────────────────────

/** Drops that are under way: a live table's foreign key may be waiting for recovery. */
export const OPEN_DROPS: PausePolicy = { pausesMs: [5_000], givenUpMs: 600_000 };
/** Full rounds of the collector that search a restored table for rows that break its keys. */
export const LATE_SEARCH_TRIES = 10;

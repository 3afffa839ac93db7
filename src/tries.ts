/**
 * How often undrop tries again, and how long it waits between two tries: one policy for each kind
 * of work that may fail in passing. A count includes the first try.
 *
 * Invariant: every loop that repeats a change takes its bound from here, so that all of them can be
 * compared, and none of them is endless. A loop that only reads again has its bound beside it.
 */

/** When a list of pauses is used up, its last pause is repeated. */
export interface PausePolicy {
  readonly pausesMs: readonly number[];
  readonly givenUpMs: number;
}

/** The pause before try number `index`, counted from 0. */
export function pauseBefore({ pausesMs }: Pick<PausePolicy, 'pausesMs'>, index: number): number {
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

// ── statements ─────────────────────────────────────────────────────────────────────────────────

/** A statement whose tables keep changing while it runs; 3 were too few for a crowd. */
export const STATEMENT_TRIES = 8;
/** A drop that took longer than this before its RENAME gets a new due time. */
export const LATE_MS = 1_000;
/** Tables that the service account renames: others change them, or are always faster to lock. */
export const SERVICE_RENAME_TRIES = 12;
/** The same where the user's own session renames after that. */
export const SERVICE_RENAME_TRIES_FIRST = 3;
/** CREATE OR REPLACE: tables of others that take the name meanwhile are held as well. */
export const REPLACE_TRIES = 32;
export const REPLACE_PAUSE_MS = 20;
/** DROP DATABASE: rounds in which tables that others create meanwhile are held as well. */
export const SCHEMA_ROUNDS = 64;
/** DROP DATABASE: tries that move no further table out of the schema. */
export const SCHEMA_RELOCATE_TRIES = 40;
export const SCHEMA_RELOCATE_PAUSE_MS = 50;
/** DROP DATABASE: kills of a DROP that waits for the barrier table. */
export const BARRIER_KILL_TRIES = 5;
export const BARRIER_KILL_PAUSE_MS = 100;
/** Putting back the tables of a statement that failed, while others have them locked. */
export const PUT_BACK: PausePolicy = { pausesMs: [100], givenUpMs: 5_000 };
/** Writing the outcome of a drop: for as long as it takes, because no other process writes it. */
export const OUTCOME_PAUSES_MS: readonly number[] = [0, 1_000, 5_000, 10_000];
/** Forgetting the intents of a drop that failed, which recovery does as well. */
export const FORGET_TRIES = 3;

// ── restores ───────────────────────────────────────────────────────────────────────────────────

/** UNDROP right after a DROP DATABASE, whose end is written after its response. */
export const SCHEMA_DROP_END: PausePolicy = { pausesMs: [50], givenUpMs: 3_000 };
/** Changing several rows of the ledger, which another writer may change in another order. */
export const DEADLOCK_TRIES = 5;
/** Renaming a table of a restored schema: another session may have it locked for a moment. */
export const RESTORE_RENAME_TRIES = 5;
/** Waiting for the end of a restore's owner, which may still be in the processlist if it died. */
export const RESTORE_OWNER: PausePolicy = { pausesMs: [50], givenUpMs: 950 };

// ── recovery and the collector ─────────────────────────────────────────────────────────────────

/** Drops that are under way: a live table's foreign key may be waiting for recovery. */
export const OPEN_DROPS: PausePolicy = { pausesMs: [5_000], givenUpMs: 600_000 };

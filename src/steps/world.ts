/**
 * The port of the statements that take tables away: everything that such a statement does outside
 * itself is a method of `World`, or of a small port that only this statement has. A statement is an
 * async function over it and reads from top to bottom. `run.ts` has the world of production; tests
 * have worlds in memory, and break one call after the other.
 *
 * Invariant: a statement awaits nothing but its ports.
 */

import type { UndropError } from '../errors.js';
import type { RelocateTable } from '../held/relocate/blockers.js';
import type { Relocation } from '../held/relocate/relocate.js';
import type { LockedTable } from '../ledger/intents/session-locks.js';
import type { IntentFacts } from '../ledger/write.js';
import type { Ruling } from '../policy/decide.js';
import type { Result } from '../wire/response.js';
import type { NamedTable } from './names/client-names.js';
import type { HeldTable } from './reply.js';
import type { UserFacts } from './request.js';
import type { UserSession } from './session/user-session.js';

/**
 * The world of one try: the user's session (`run`) and the service account. If the user's
 * session breaks, `run` and `rename` reject, nothing more is sent to it, and recovery resolves what
 * was begun; a method of the service that rejects ends the try.
 */
export interface World extends UserSession {
  /** The connection of the user's session ended: no answer reaches the client. */
  readonly isBroken: boolean;
  /** Runs the text on the user's session; it may move tables. */
  rename(text: Uint8Array): Promise<Result>;
  /** From here on the session's settings are known; uses up its hint. Rejects: DestroyHinted. */
  know(facts: UserFacts): Promise<void>;
  /** The service begins to record the intents under the guessed settings; returns at once. */
  beginRecording(): void;
  /** True: the intents wait for a lock of another session; false: they are written, or failed. */
  isRecordingStuck(): Promise<boolean>;
  /** The intents, recorded again if the guess was wrong, or if they were stuck and failed. */
  record(facts: UserFacts): Promise<RecordedIntent>;
  /**
   * New intents, of partitions or of the table; those without a held table are forgotten after the
   * response.
   */
  recordTargets(facts: UserFacts, targets: readonly NamedTable[]): Promise<RecordedIntent>;
  /** Which tables the user's session has locked, read by the service; null: it can't be read. */
  locks(): Promise<readonly LockedTable[] | null>;
  /** The service renames to hold names. */
  take(rename: ServiceRename): Promise<ServiceRenameOutcome>;
  /** The service detaches keys and triggers, if `detach`, and relocates. */
  relocate(tables: readonly RelocateTable[], how: RelocateHow): Promise<readonly Relocation[]>;
  /** The statement fails: its held tables are held for their whole time from now on. */
  keepLonger(
    held: readonly HeldTable[],
    how: { readonly logged: boolean },
  ): Promise<readonly HeldTable[]>;
  /** A port of the statement's own may rename a table next: if it breaks off, recovery looks. */
  mayRename(): void;
}

export interface RelocateHow {
  readonly logged: boolean;
  readonly detach: boolean;
  /**
   * All tables of a schema leave it, or all are put back at the end of the statement, which gives
   * them their due times as well; default: a table that has to stay is held in its own schema.
   */
  readonly mustLeave?: boolean;
}

export type RecordedIntent =
  | {
      readonly intent: IntentFacts;
      readonly intentError: null;
      /** A ruling for each table; empty if there are neither rules nor hints. */
      readonly rulings: readonly Ruling[];
    }
  | { readonly intent: null; readonly intentError: UndropError; readonly rulings: readonly [] };

// ── the RENAME by the service account ────────────────────────────────────────────────────────────

export interface ServiceRenameTable {
  readonly id: string;
  readonly schema: string;
  readonly table: string;
  readonly holdName: string;
  /** Default: its own schema. */
  readonly holdSchema?: string;
  /** The table that takes its name; default: none. */
  readonly ghost?: { readonly schema: string; readonly table: string };
}

export interface ServiceRename {
  readonly tables: readonly ServiceRenameTable[];
  /** sql_log_bin of the user's session. */
  readonly logged: boolean;
  /** foreign_key_checks of it. */
  readonly checksForeignKeys: boolean;
  /** How long others may be waited for, in milliseconds. */
  readonly killAfterMs: number;
}

export type ServiceRenameOutcome =
  /** Done. */
  | { readonly kind: 'renamed' }
  /** Another session has one of the tables locked; `isTimeout`: no KILL has ended the wait. */
  | { readonly kind: 'busy'; readonly isTimeout?: true }
  /** A table, or its intent, no longer exists. */
  | { readonly kind: 'gone' }
  /** The service account may not either. */
  | { readonly kind: 'denied'; readonly cause: string }
  | { readonly kind: 'failed'; readonly cause: string; readonly errno?: number };

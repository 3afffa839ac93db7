/**
 * The options and the result of a drop.
 */
import type { AuditEvent } from '../../audit.js';
import type { ServicePool } from '../../connections/sql.js';
import type { Log } from '../../log.js';
import type { Rule } from '../../policy/rules.js';
import type { AskOperator } from './rules/ask.js';
import type { Answer, DropRequest, UserFacts, UserSession } from './world.js';

/** The service that works for the drops of its sessions, and its settings. */
export interface DropSettings {
  readonly pool: ServicePool;
  readonly proxyId: string;
  /** How long the tables can be restored, in milliseconds. */
  readonly holdMs: number;
  /** The shortest hold that a hint may ask for; default: `holdMs`. */
  readonly hintMsMin?: number;
  /** UNDROP_RULES; default: none. */
  readonly rules?: readonly Rule[];
  /** UNDROP_REQUIRE_IDLE, in milliseconds; default, and null: a table may be in use. */
  readonly requireIdleMs?: number | null;
  /** Ids in progress in this process: recovery skips them. */
  readonly activeIds: Set<string>;
  /** A drop was interrupted, or its outcome could not be written: recovery has work to do. */
  onUnsettled(): void;
  /** Aborted: this process is about to end, and unwritten outcomes are left to recovery. */
  readonly stopping: AbortSignal;
  /** Default: nothing is logged. */
  readonly log?: Log;
}

export interface DropOptions extends DropSettings {
  readonly userSession: UserSession;
  /** The hints in the statement's comments; default: none. */
  readonly hints?: readonly string[];
}

/** The options of each try. */
export interface OptionsOfTry extends DropOptions {
  /** The same answer for all tries. */
  readonly ask: AskOperator;
}

/** The last known state of a session: default schema, charset, and user. */
export interface SessionGuess extends Pick<UserFacts, 'schema' | 'charset' | 'user'> {
  /** The account with its host; default: it isn't known. */
  readonly account?: string;
}

export interface DropResult extends Pick<Answer, 'payload' | 'held' | 'refusal'> {
  /** An audit line for each held table, in the same order. */
  readonly audited: readonly AuditEvent<'held'>[];
  /** The hints of the statement and of the session. */
  readonly hints: readonly string[];
  /** The session's facts; null if they were never read. */
  readonly facts: UserFacts | null;
  /** Writes the outcome into the ledger, after the response; `onLate`: if it takes longer. */
  finish(onLate?: (error: Error) => void): Promise<void>;
}

export type DropStatement = Omit<DropRequest, 'dropId' | 'ids'>;

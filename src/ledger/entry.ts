/**
 * What is read of one row of the ledger: a dropped table and its way back. The lifecycle needs none
 * of it, because the hold name says enough; people, restores and recovery do.
 */
import type { TableState } from '../names/names.js';
import type { Detached } from './detached/detached.js';

/**
 * intent: the RENAME may or may not have happened. restored: under a name of its own again.
 * removed: physically, by us. gone: by somebody else.
 */
export type LedgerState = 'intent' | TableState | 'restored' | 'removed' | 'gone';

/** States in which there is, or may be, a held table. */
export const LIVE_STATES: readonly LedgerState[] = ['intent', 'HOLD', 'PURGE', 'EVAC', 'DROP'];

export type TableKind = 'base' | 'view' | 'sequence' | 'missing';

/** What is recorded of a statement that drops, whatever it drops. */
export interface DroppingStatement {
  readonly groupId: string;
  readonly proxyId: string;
  /** The thread id of the user's session. */
  readonly threadId: number;
  readonly user: string;
  readonly clientAddress: string;
  /** Cut at 4,096 characters. */
  readonly statementText: string;
}

export interface LedgerRow {
  readonly id: string;
  /** One for each statement. */
  readonly groupId: string;
  readonly proxyId: string;
  /** The user session's id on the server. */
  readonly threadId: number;
  /** The port from which the server sees the session come; null over a socket. */
  readonly upstreamPort: number | null;
  /** The name as stored by the server. */
  readonly schema: string;
  readonly table: string;
  /** partition: its rows only; `table` is `partitionTable` (names/) of what they were of. */
  readonly kind: 'base' | 'sequence' | 'partition';
  readonly engine: string | null;
  /** All times in UTC by the server's clock. */
  readonly droppedAt: Date;
  readonly user: string;
  readonly clientAddress: string;
  /** Its beginning alone if it was read without texts. */
  readonly statementText: string;
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
  readonly holdUntil: Date;
  readonly state: LedgerState;
  /** Where it was last known to be held; null while an intent. */
  readonly holdSchema: string | null;
  readonly holdName: string | null;
  /** False: still in its own schema. */
  readonly relocated: boolean;
  /** Columns `todo` and `failure`; null: nothing is to be said. */
  readonly failure: Failure | null;
  readonly definition: string | null;
  /** What was taken off the table, and comes back with it. */
  readonly detached: Detached;
  /** sql_log_bin of the user's session. */
  readonly sqlLogBin: boolean;
  /** Whether this very row is in the binary log; its updates must do the same. */
  readonly rowLogged: boolean;
  readonly endedAt: Date | null;
  /** Under which name it came back, `schema.table`. */
  readonly restoredAs: string | null;
}

/** What is still to be done about the table of a row. */
export type Todo =
  /** Its restore has begun: what was taken off it is to be reattached at `restoredAs`. */
  | 'restoring'
  /** It is back, and the account may not make some of its triggers; held/triggers/missing.ts. */
  | 'triggers'
  /** Of a schema: its restore has ended, and not all of it is back; the same request goes on. */
  | 'partly'
  /** It is restored; rows that break its foreign keys are still to be looked for. */
  | 'look'
  /** It is in pieces (recovery/torn.ts); people are to bring it together. */
  | 'torn'
  /** What binds live tables is to be taken off it. */
  | 'detach'
  /** It is to be moved into the recycle schema. */
  | 'relocate'
  /** The same, once its session has unlocked its tables. */
  | 'unlock'
  /** It stays in its own schema (held/relocate/blockers.ts). */
  | 'blocked_by_file'
  | 'blocked_by_partitions'
  | 'blocked_by_triggers';

/** Why something was not done, and what is to be done about it. */
export interface Failure {
  /** The work that is left, for programs; null: nothing more is done. */
  readonly todo: Todo | null;
  /** The reason, for people. */
  readonly text: string;
  /**
   * A foreign key leads from it to a live table, or from one to it; `passing`: another try may take
   * it off. Not in the ledger.
   */
  readonly binds?: 'passing' | 'lasting';
}

export const RESTORING: Failure = {
  todo: 'restoring',
  text: 'it is being restored',
};

export const LOOKING: Failure = {
  todo: 'look',
  text: 'it is still looked whether rows break its foreign keys',
};

/** Of a schema that is back, or was not dropped: what is not there has its definition here. */
export const PARTLY: Failure = { todo: 'partly', text: 'not all of it is back' };

export const TORN: Failure = {
  todo: 'torn',
  text: 'UNDROP_TORN: the server was killed amid its RENAME; some of its partitions have the hold name',
};

/** A row of the ledger has so much of a statement. */
export const STATEMENT_CHARACTERS_MAX = 4_096;
/** So much of it says what kind of statement it is (how-dropped.ts). */
export const STATEMENT_HEAD_CHARACTERS = 256;
/** Of a longer text the rest isn't decoded; a character is four bytes at most. */
export const STATEMENT_BYTES_MAX = 4 * STATEMENT_CHARACTERS_MAX;

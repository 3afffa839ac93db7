/**
 * The contents of one row of the ledger: a dropped table and its way back. The lifecycle needs none
 * of it, because the hold name is enough; users, restores and recovery do.
 */
import type { TableState } from '../names/names.js';
import type { Detached } from './detached/detached.js';

/**
 * intent: the RENAME may or may not have happened. restored: under a name of its own again.
 * removed: physically, by undrop. gone: removed past undrop.
 */
export type LedgerState = 'intent' | TableState | 'restored' | 'removed' | 'gone';

/** States in which there is, or may be, a held table. */
export const LIVE_STATES: readonly LedgerState[] = ['intent', 'HOLD', 'PURGE', 'EVAC', 'DROP'];

export type TableKind = 'base' | 'view' | 'sequence' | 'missing';

/** Recorded for each statement that drops, whatever it drops. */
export interface DroppingStatement {
  readonly groupId: string;
  readonly proxyId: string;
  /** The thread id of the user's session. */
  readonly threadId: number;
  readonly user: string;
  readonly clientAddress: string;
  /** Cut at 4,096 characters; to its beginning in a row that was read without texts. */
  readonly statementText: string;
  /** The asker may not see the statement. */
  readonly isStatementHidden?: true;
}

/** The group id is shared by the tables of one statement. */
export interface LedgerRow extends DroppingStatement {
  readonly id: string;
  /** The port from which the server sees the session; null over a socket. */
  readonly upstreamPort: number | null;
  /** The name as stored by the server. */
  readonly schema: string;
  readonly table: string;
  readonly engine: string | null;
  /** All times in UTC by the server's clock. */
  readonly droppedAt: Date;
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
  readonly holdUntil: Date;
  readonly state: LedgerState;
  /** Recorded after the change itself, which a DROP DATABASE makes long after `droppedAt`. */
  readonly stateSince: Date;
  /** Its last known schema while held; null while an intent. */
  readonly holdSchema: string | null;
  readonly holdName: string | null;
  /** False: still in its own schema. */
  readonly relocated: boolean;
  /** Columns `todo` and `failure`; null: none. */
  readonly failure: Failure | null;
  readonly definition: string | null;
  /** The parts that were detached from the table, and are reattached on a restore. */
  readonly detached: Detached;
  /** sql_log_bin of the user's session. */
  readonly sqlLogBin: boolean;
  /** Whether this very row is in the binary log; its updates must do the same. */
  readonly rowLogged: boolean;
  readonly endedAt: Date | null;
  /** Its name after the restore, `schema.table`. */
  readonly restoredAs: string | null;
}

/** The work that is left on the table of a row. */
export type Todo =
  /** Its restore has begun: detached parts have to be reattached at `restoredAs`. */
  | 'restoring'
  /**
   * It is restored, but the account may not create some of its triggers (reattach-triggers.ts).
   */
  | 'triggers'
  /** It is restored without a foreign key, until the parent has its name again (make-whole.ts). */
  | 'keys'
  /** For a schema: its restore has ended incomplete; the same request continues it. */
  | 'partly'
  /** It is torn (recovery/resolve-intents.ts); an operator has to repair it. */
  | 'torn'
  /** The parts that bind live tables have to be detached. */
  | 'detach'
  /** It has to be moved into the recycle schema. */
  | 'relocate'
  /** The same, once its session has unlocked its tables. */
  | 'unlock'
  /** It stays in its own schema (held/relocate/blockers.ts). */
  | 'blocked_by_file'
  | 'blocked_by_partitions'
  | 'blocked_by_triggers';

/** Why something was not done, and the work that is left. */
export interface Failure {
  /** The work that is left, for programs; null: none. */
  readonly todo: Todo | null;
  /** The reason, for people. */
  readonly text: string;
  /**
   * A foreign key leads from it to a live table, or from one to it; `passing`: another try may
   * detach it. Not in the ledger.
   */
  readonly binds?: 'passing' | 'lasting';
}

export const RESTORING: Failure = {
  todo: 'restoring',
  text: 'it is being restored',
};

/**
 * For a schema that was restored, or not dropped: this row has the definitions of its missing
 * parts.
 */
export const PARTLY: Failure = { todo: 'partly', text: 'it is not completely restored' };

export const TORN: Failure = {
  todo: 'torn',
  text: 'UNDROP_TORN: the server was killed during its RENAME; some of its partitions have the hold name',
};

/** The maximum of a statement's text in a row. */
export const STATEMENT_CHARACTERS_MAX = 4_096;
/** The part of it that shows the kind of statement (`howDropped`). */
export const STATEMENT_HEAD_CHARACTERS = 256;
/** The rest of a longer text isn't decoded; a character has at most four bytes. */
export const STATEMENT_BYTES_MAX = 4 * STATEMENT_CHARACTERS_MAX;

// ── the kind of statement that dropped a table ───────────────────────────────────────────────────
// Read from the first words of the recorded statement, without comments. A statement that isn't
// understood gives null, and no decision about rows depends on it.

export type HowDropped = 'DROP TABLE' | 'DROP DATABASE' | 'TRUNCATE' | 'REPLACE' | 'SWAP';

const FORMS: readonly (readonly [RegExp, HowDropped])[] = [
  [/^DROP (TABLES?|SEQUENCE)\b/, 'DROP TABLE'],
  [/^DROP (DATABASE|SCHEMA)\b/, 'DROP DATABASE'],
  [/^TRUNCATE\b/, 'TRUNCATE'],
  [/^CREATE OR REPLACE\b/, 'REPLACE'],
  [/^UNDROP\b/, 'SWAP'],
];

/** Null: the beginning of the text isn't enough. */
export function howDropped({ statementText }: Pick<LedgerRow, 'statementText'>): HowDropped | null {
  const words = statementText
    // A version comment is a part of the statement.
    .replaceAll(/\/\*M?!\d*/gi, ' ')
    .replaceAll(/\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/(?:--\s|#).*|\*\//g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toUpperCase();
  return FORMS.find(([form]) => form.test(words))?.[1] ?? null;
}

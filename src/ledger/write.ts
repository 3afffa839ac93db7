/**
 * Writes to the ledger. The intent is written while the client waits: one text, one INSERT, so the
 * rows of one statement are one transaction, and a missing table costs no row.
 */
import type { Rows, ServicePool } from '../service/pools.js';
import type { LedgerState, TableKind } from './entry.js';

export interface DropIntent {
  readonly groupId: string;
  readonly proxyId: string;
  /** Of the user's session with the server. */
  readonly threadId: number;
  /** The local port from which the user's session was dialled; null over a socket. */
  readonly upstreamLocalPort: number | null;
  readonly user: string;
  readonly clientAddress: string;
  /** Cut at 4,096 characters. */
  readonly statementText: string;
  readonly holdMs: number;
  /** sql_log_bin of the user's session; default true. */
  readonly sqlLogBin?: boolean;
  readonly tables: readonly {
    readonly id: string;
    readonly schema: string;
    readonly table: string;
  }[];
}

export interface IntentTable {
  readonly id: string;
  /** As stored, or as asked for where it is missing. */
  readonly schema: string;
  readonly table: string;
  readonly kind: TableKind;
  readonly engine: string | null;
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
  /** What the ledger has and the hold name must say; null where there is no ledger row. */
  readonly holdUntil: Date | null;
  readonly foreignKeysOut: number;
  /** `schema.child.constraint`, without references to itself. */
  readonly foreignKeysIn: readonly string[];
  readonly triggers: readonly string[];
}

export interface IntentFacts {
  readonly utcNow: Date;
  /** The user's session is on this very server: same thread id, same port. */
  readonly sessionFound: boolean;
  readonly lowerCaseTableNames: 0 | 1 | 2;
  /** The user's session holds LOCK TABLES; null where the server can't tell. */
  readonly lockedTables: boolean | null;
  /** In the order asked for. */
  readonly tables: readonly IntentTable[];
}

/** Rejects with UNDROP_LEDGER_UNAVAILABLE; then nothing was recorded. */
export function recordIntent(_pool: ServicePool, _intent: DropIntent): Promise<IntentFacts> {
  throw new Error('not built yet');
}

export interface DropOutcome {
  readonly tables: readonly {
    readonly id: string;
    readonly holdSchema: string;
    readonly holdName: string;
    readonly relocated: boolean;
    /** Why it wasn't relocated. */
    readonly failure?: string;
  }[];
  /** Intents whose RENAME did not happen. */
  readonly forgotten: readonly string[];
  readonly sqlLogBin?: boolean;
}

/** After the answer: state HOLD, the definition, the restore script. May run twice. */
export function recordOutcome(_pool: ServicePool, _outcome: DropOutcome): Promise<void> {
  throw new Error('not built yet');
}

/** Deletes intents (and only intents). May run twice. */
export function forgetIntents(
  _pool: ServicePool,
  _ids: readonly string[],
  _options: { readonly sqlLogBin?: boolean } = {},
): Promise<void> {
  throw new Error('not built yet');
}

export interface StateChange {
  readonly id: string;
  readonly state: LedgerState;
  readonly holdSchema?: string;
  readonly holdName?: string;
  readonly relocated?: boolean;
  /** Null clears it. */
  readonly failure?: string | null;
  /** `schema.table`, with state restored. */
  readonly restoredAs?: string;
  /** Of the row. */
  readonly rowLogged: boolean;
}

/** A transition of the lifecycle, a restore, an end. Of an id without a row: nothing. */
export function recordState(_pool: ServicePool, _change: StateChange): Promise<Rows | null> {
  throw new Error('not built yet');
}

/**
 * The port of the statements that take tables away, and the words of all of them: the request, the
 * user's session, the replies. Everything that such a statement does outside itself is a
 * method of `World`, or of a small port that only this statement has. A statement is an async
 * function over it and reads from top to bottom. `run.ts` has the world of production; tests have
 * worlds in memory, and break one call after the other.
 *
 * Invariant: a statement awaits nothing but its ports.
 */

import { assert, UndropError } from '../../errors.js';
import type { RelocateTable } from '../../held/relocate/blockers.js';
import type { Relocation } from '../../held/relocate/relocate.js';
import { type PendingWork, STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import type { IntentFacts } from '../../ledger/write.js';
import type { QualifiedTable } from '../../names/names.js';
import type { Ruling } from '../../policy/decide.js';
import { type Claims, claimsOf } from '../../sql/comment-tags.js';
import { dotted, type TableName } from '../../sql/grammar/table-name.js';
import type { ClientCharset } from '../../sql/lex/client-charset.js';
import type { DropTableStatement } from '../../sql/verdict.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import { type ErrPacket, encodeErr, type Result } from '../../wire/response.js';

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
  /** No rule, hint or setting may refuse the statement for what its tables are. */
  readonly isUnruled: boolean;
  /** The service begins to record the intents; `meanwhile` is done beside it. */
  record<T>(facts: UserFacts, meanwhile: () => Promise<T>): Promise<Recording<T>>;
  /** New intents; those without a held table are forgotten after the response. */
  recordTargets(facts: UserFacts, targets: readonly QualifiedTable[]): Promise<RecordedIntent>;
  /** Which tables the user's session has locked, read by the service; null: it can't be read. */
  locks(): Promise<readonly QualifiedTable[] | null>;
  /** The service renames to hold names. */
  take(rename: ServiceRename): Promise<ServiceRenameOutcome>;
  /** The service detaches keys and triggers, if `detach`, and relocates. */
  relocate(tables: readonly RelocateTable[], how: RelocateHow): Promise<readonly Relocation[]>;
  /** The statement fails: its held tables are held for their whole time from now on. */
  keepLonger(held: readonly HeldTable[]): Promise<readonly HeldTable[]>;
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
  /** No foreign key was on any of them after their RENAME; default: they are checked. */
  readonly isFree?: boolean;
}

export interface Recording<T> {
  /** The result of what was done meanwhile. */
  readonly done: T;
  /** True: the intents wait for a lock; false: they are written, or failed. */
  readonly isStuck: boolean;
  /** The intents, recorded again if they were stuck and failed. */
  recorded(): Promise<RecordedIntent>;
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

/** `holdSchema`: its own schema, or a recycle schema. */
export interface ServiceRenameTable
  extends QualifiedTable,
    Pick<HeldTable, 'id' | 'holdSchema' | 'holdName'> {
  /** The table that takes its name; default: none. */
  readonly ghost?: QualifiedTable;
}

export interface ServiceRename extends Pick<UserFacts, 'logged' | 'checksForeignKeys'> {
  readonly tables: readonly ServiceRenameTable[];
  /** How long others may be waited for, in milliseconds. */
  readonly killAfterMs: number;
  /**
   * The statement has nothing more to do: looks for foreign keys after it, and the outcome gives
   * the intents back; default: other steps follow.
   */
  readonly isLast?: boolean;
}

export type ServiceRenameOutcome =
  /** Done. `isFree`: no foreign key was on any of them after it; default: it isn't known. */
  | { readonly kind: 'renamed'; readonly isFree?: boolean }
  /** Another session has one of the tables locked; `isTimeout`: no KILL has ended the wait. */
  | { readonly kind: 'busy'; readonly isTimeout?: true }
  /** A table, or its intent, no longer exists. */
  | { readonly kind: 'gone' }
  /** The service account may not either. */
  | { readonly kind: 'denied'; readonly cause: string }
  | { readonly kind: 'failed'; readonly cause: string; readonly errno?: number };

// ── the request ──────────────────────────────────────────────────────────────────────────────────
// The start of a drop: the client's statement, parsed, and the known facts of its session.

export interface DropRequest {
  /** The statement as the client sent it, without query attributes. */
  readonly text: Uint8Array;
  /** The server accepted the text before, when it was prepared; it isn't checked again. */
  readonly isSyntaxChecked?: boolean;
  readonly statement: DropTableStatement;
  /** The kind of statement, for the audit; default: from `statement`. */
  readonly how?: string;
  /** The start of a sentence that goes on with "not dropped"; default: it names the tables. */
  readonly subject?: string;
  readonly server: ServerVersion;
  /** The charset for quotes, as recognition has determined it. */
  readonly charset: ClientCharset;
  readonly session: SessionFacts;
  readonly dropId: string;
  /** An id for each name of the statement, in order. */
  readonly ids: readonly string[];
}

/** The statement of a drop whose tables it doesn't name. */
export const NO_NAMES: DropTableStatement = {
  object: 'table',
  ifExists: false,
  names: [],
  wait: null,
  isDoubtful: false,
};

/** Facts that only the user's session has, read in it. */
export interface UserFacts {
  /** Default schema in UTF-8, or null. */
  readonly schema: string | null;
  readonly sqlMode: string;
  /** character_set_client. */
  readonly charset: string;
  /** character_set_results; empty if it is NULL. */
  readonly resultsCharset: string;
  /** `SERVER_IDENTITY_SQL`, from the user's session. */
  readonly serverIdentity: string;
  /** The present user of the session as it calls itself, without the host: only to be shown. */
  readonly user: string;
  /** The account that the server has for it, with the session's host: decides. */
  readonly account: string;
  /** foreign_key_checks. */
  readonly checksForeignKeys: boolean;
  /** sql_log_bin. */
  readonly logged: boolean;
  /** GTID_NEXT if it is a GTID; null: it is none, or there is no such thing. */
  readonly gtidNext: string | null;
  /**
   * Responses have the GTID of the session's own transaction: session_track_gtids, on MariaDB
   * last_gtid among the tracked variables.
   */
  readonly tracksGtids: boolean;
  readonly inTransaction: boolean;
  /** False: lock_wait_timeout is 0, as MariaDB allows. */
  readonly waitsForLocks: boolean;
  /** sql_if_exists of MariaDB: a drop runs as if it had IF EXISTS. */
  readonly addsIfExists: boolean;
  /** The present offset of its time zone: `+02:00`. */
  readonly zone: string;
  /** The user variable `@undrop`: a hint for the next drop; null: none. */
  readonly hint: string | null;
}

// ── the replies ──────────────────────────────────────────────────────────────────────────────────
// The replies that a statement ends with: the server's own answer, a refusal of undrop's, or "the
// tables changed, try again"; and how a sentence names the tables. Pure.

/** A table that is under its hold name, as the ledger must have it. */
export interface HeldTable {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly relocated: boolean;
  readonly pendingWork: PendingWork | null;
  /** Triggers were taken off it. */
  readonly hadTriggers?: boolean;
}

/** A table that is held after its relocation; `place`: where it was renamed to before that. */
export function heldTable(
  moved: Exclude<Relocation, { readonly outcome: 'put-back' }>,
  place: Pick<HeldTable, 'holdSchema' | 'holdName'>,
): HeldTable {
  const { id, pendingWork = null } = moved;
  // Its name may have another due time now.
  const { holdSchema, holdName } = moved.outcome === 'moved' ? moved : place;
  return { id, holdSchema, holdName, relocated: pendingWork === null, pendingWork };
}

export interface Answer {
  readonly kind: 'answer';
  /** Payload of an OK or ERR packet. */
  readonly payload: Buffer;
  readonly held: readonly HeldTable[];
  /** The refusal, for the log. */
  readonly refusal: UndropError | null;
  /** Writes the outcome into the ledger, after the answer; default: that of each intent. */
  readonly finish?: (onLate?: (error: Error) => void) => Promise<void>;
}

/** The tables changed between two reads: the intents are forgotten, and it is tried again. */
export interface Again {
  readonly kind: 'again';
  readonly because: string;
  /** The response after the last try; null: the error that they keep changing. */
  readonly otherwise: UndropError | null;
}

export type Reply = Answer | Again;

/** The part of a request that names the tables. */
export type Naming = Pick<DropRequest, 'statement' | 'subject'>;

/** The response of the server, unchanged. */
export function answerWith(result: Result): Answer {
  assert(result.kind === 'ok' || result.kind === 'err', 'a DROP answers OK or ERR');
  return { kind: 'answer', payload: result.payload, held: [], refusal: null };
}

/** A refusal of undrop: an ERR with the error's code in front, nothing held. */
export function refuse(error: UndropError): Answer {
  const { errno, sqlState } = error.entry;
  const message = Buffer.from(`${error.code}: ${error.message}`);
  const payload = encodeErr({ errno, sqlState, message });
  return { kind: 'answer', payload, held: [], refusal: error };
}

/** The server would not rename a table; its error is the cause. */
export function holdFailed(request: Naming, { errno, message }: ErrPacket): Answer {
  const cause = `${errno} ${message.toString()}`;
  return refuse(new UndropError('UNDROP_HOLD_FAILED', { tables: sentenceStart(request), cause }));
}

/** Other sessions were faster at each of that many tries. */
export function changedMeanwhile(tables: string, times: number): UndropError {
  return new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times });
}

export function again(because: string, otherwise: UndropError | null = null): Again {
  return { kind: 'again', because, otherwise };
}

/** "Table a was" or "Tables a, b were", the start of a sentence that goes on with "not dropped". */
export function sentenceStart({ subject, statement }: Naming): string {
  return subject ?? listTables(statement.names);
}

export function listTables(names: readonly Pick<TableName, 'schema' | 'table'>[]): string {
  if (names.length === 0) return 'A table that it may name was';
  const listed = names.map(dotted);
  const more = listed.length > 5 ? ` and ${listed.length - 5} more` : '';
  const shown = `${listed.slice(0, 5).join(', ')}${more}`;
  return names.length === 1 ? `Table ${shown} was` : `Tables ${shown} were`;
}

/** Only the names of the statement at `indices`. */
export function namingOnly({ statement }: Naming, indices: readonly number[]): Naming {
  const names = statement.names.filter((_name, index) => indices.includes(index));
  return { statement: { ...statement, names } };
}

// ── the user's session ───────────────────────────────────────────────────────────────────────────
// The user's own session with the server, as the drop uses it: runs these statements of undrop
// there, in one write, and returns their results. session/user-session/wire-user-session.ts does it
// on the wire; a test does it in memory.

export type UserCommand =
  | { readonly kind: 'query'; readonly text: Uint8Array }
  | { readonly kind: 'prepare'; readonly text: Uint8Array }
  /** Without a response. */
  | { readonly kind: 'close'; readonly statementId: number };

export interface UserSession {
  /**
   * Sends all commands in one write and resolves with one result for each that has a response, in
   * order. No deadline: locks are waited for as long as the user's own settings allow. Rejects if
   * the connection ends.
   */
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

export function query(text: Uint8Array): UserCommand {
  return { kind: 'query', text };
}

/** Runs texts on the user's session in one write; one result for each. */
export function ask(
  session: UserSession,
  ...texts: readonly Uint8Array[]
): Promise<readonly Result[]> {
  return session.run(texts.map(query));
}

/** The result of one text. */
export async function askText(session: UserSession, text: Uint8Array): Promise<Result> {
  const [result] = await ask(session, text);
  assert(result !== undefined, 'a query has an answer');
  return result;
}

/** A command of the session beside the drop: another command of the protocol, unchanged. */
export type SessionCommand = UserCommand | { readonly kind: 'packet'; readonly payload: Buffer };

/** A user session that takes any command. */
export interface CommandSession extends UserSession {
  run(commands: readonly SessionCommand[]): Promise<readonly Result[]>;
}

/** The known facts of the session without a query to the server. */
export interface SessionFacts {
  readonly threadId: number;
  /** The local port that the session was dialled from; null over a unix socket. */
  readonly upstreamLocalPort: number | null;
  readonly clientAddress: string;
  /** The attributes of its connection; default: none. */
  readonly attributes?: Claims['attributes'];
}

/** The words of the client about itself, those in its statement among them. */
export function claimsIn(text: Uint8Array, { attributes }: SessionFacts): Claims {
  return claimsOf(attributes, Buffer.from(text.subarray(0, STATEMENT_BYTES_MAX)).toString());
}

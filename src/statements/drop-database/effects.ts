/**
 * What a DROP DATABASE is made of: its request, what its procedures ask of the service, and what
 * they end with. Pure.
 */

import { UndropError } from '../../errors.js';
import type { LastingBlocker } from '../../held/relocate/blockers.js';
import type { RelocateTable, Relocation } from '../../held/relocate/relocate.js';
import type { IntentFacts, IntentTable } from '../../ledger/write.js';
import type { Hint } from '../../policy/rules.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import type { Effect, Steps } from '../../steps/procedure.js';
import { type Answer, refuse } from '../../steps/refuse.js';
import type { ServiceRename, ServiceRenameOutcome } from '../../steps/rename/rename-by-service.js';
import type { UserFacts } from '../../steps/request.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { ErrPacket, OkPacket } from '../../wire/response.js';
import type { Found } from './found.js';

export interface SchemaDropRequest {
  /** The client's statement. */
  readonly text: Uint8Array;
  /** Unescaped bytes in the client's charset, and in UTF-8. */
  readonly schema: Uint8Array;
  readonly name: string;
  readonly ifExists: boolean;
  readonly charset: ClientCharset;
  readonly server: ServerVersion;
  readonly session: SessionFacts;
  readonly facts: UserFacts;
  /** A hint for all of its tables, or why there is no such hint. */
  readonly hint: Hint | null | UndropError;
  readonly groupId: string;
}

/** How one try of the DROP ended. */
export type TryEnd =
  | { readonly kind: 'dropped'; readonly ok: OkPacket }
  /** It was stopped, because there is something that it would destroy. */
  | { readonly kind: 'came' }
  /** It was not sent: the barrier was closed too long ago, or a part of it was killed. */
  | { readonly kind: 'late' }
  /** It was not sent: recovery took the drop for dead and ended it. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly error: ErrPacket };

export type NotMade = { readonly errno: number; readonly cause: string };

/** The service side of one DROP DATABASE. Names are as the server stores them. */
export interface SchemaService {
  /** A clock that is never set back, in milliseconds. */
  now(): Promise<number>;
  pause(ms: number): Promise<void>;
  /** Whether no other one of this proxy is before this one; the first call joins the queue. */
  isTurn(): Promise<boolean>;
  /** Null: there is no such schema, or the service account may not see it. */
  findSchema(name: string): Promise<string | null>;
  /** Owns the group in the server, until the procedure ends. */
  own(): Promise<void>;
  /** Whether the service is on the server of the user's session. */
  seesSession(): Promise<boolean>;
  find(schema: string): Promise<Found>;
  /** Moves what an earlier drop holds in the schema for its partitions. */
  takeOut(schema: string): Promise<void>;
  /** Takes away the barrier table that another drop has left. */
  retire(schema: string, table: string): Promise<'retired' | 'foreign' | 'in-use'>;
  /** Records the schema in the ledger, with its views and programs. False: it is gone. */
  recordSchema(schema: string): Promise<boolean>;
  recordTables(schema: string, tables: readonly string[]): Promise<IntentFacts>;
  stays(tables: readonly IntentTable[]): Promise<readonly (LastingBlocker | null)[]>;
  mayUnlog(): Promise<boolean>;
  makeTable(schema: string, table: string): Promise<NotMade | null>;
  /** A name in the bytes of the client's charset; null: it can't be said there. */
  encode(name: string): Promise<Uint8Array | null>;
  take(rename: ServiceRename): Promise<ServiceRenameOutcome>;
  /** Into the recycle schema; `detach`: keys and triggers are taken off first. */
  relocate(tables: readonly RelocateTable[], detach: boolean): Promise<readonly Relocation[]>;
  closeBarrier(barrierTable: string): Promise<void>;
  /** Sends the DROP, which waits at the barrier until a look has found no other table. */
  drop(rounds: number): Promise<TryEnd>;
  /** Null: everything is as before; or why recovery has to go on. */
  renameBack(): Promise<string | null>;
}

interface Call {
  readonly do: 'call';
  readonly name: keyof SchemaService;
  readonly args: readonly unknown[];
}

export type SchemaEffect = Effect<'user'> | Call;
export type SchemaSteps<T> = Steps<T, SchemaEffect>;

/** Calls the service. */
export function* call<K extends keyof SchemaService>(
  name: K,
  ...args: Parameters<SchemaService[K]>
): SchemaSteps<Awaited<ReturnType<SchemaService[K]>>> {
  return (yield { do: 'call', name, args }) as Awaited<ReturnType<SchemaService[K]>>;
}

/** Its methods need no `this`. */
export function perform(service: SchemaService, { name, args }: Call): Promise<unknown> {
  return (service[name] as (...all: readonly unknown[]) => Promise<unknown>)(...args);
}

export interface SchemaAnswer extends Answer {
  /** The schema is gone. */
  readonly isDropped?: true;
  /** What the session has as a warning is a note. */
  readonly isNote?: boolean;
}

/** Another session has dropped the schema meanwhile. */
export interface Gone {
  readonly kind: 'gone';
}

/** The connection of the user's session ended: nobody hears an answer. */
export class SessionBroken extends Error {}

export function notDropped(schema: string, why: string, instead: string): UndropError {
  return new UndropError('UNDROP_SCHEMA_NOT_DROPPED', { schema, why, instead });
}

/** The start of a sentence that goes on with "not dropped". */
export function tablesOf(schema: string): string {
  return `Schema ${schema} and its tables were`;
}

/** Others keep making tables in it. */
export function crowded(schema: string, times: number): Answer {
  const params = { tables: tablesOf(schema), times };
  return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params));
}

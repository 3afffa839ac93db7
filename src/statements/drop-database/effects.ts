/**
 * The parts of a DROP DATABASE: its request, the calls that its procedures make to the service, and
 * their results. Pure.
 */

import { UndropError } from '../../errors.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import { type Answer, type Effect, refuse, type Steps } from '../../steps/procedure.js';
import { schemaAndTables } from '../../steps/refusals/refusals.js';
import type { UserFacts } from '../../steps/request.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { ErrPacket, OkPacket } from '../../wire/response.js';
import type { SchemaService } from './service.js';

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
  readonly groupId: string;
  /** Adds a note on how to restore the schema (UNDROP_NOTE); default: none. */
  readonly tellsUndo?: boolean;
}

/** How one try of the DROP ended. */
export type TryEnd =
  | { readonly kind: 'dropped'; readonly ok: OkPacket }
  /** It was stopped, because it would destroy a table, or not even sent. */
  | { readonly kind: 'again' }
  | { readonly kind: 'failed'; readonly error: ErrPacket };

interface Call {
  readonly do: 'call';
  readonly name: keyof SchemaService;
  readonly args: readonly unknown[];
}

export type SchemaEffect = Effect<'user'> | Call;
export type SchemaSteps<T> = Steps<T, SchemaEffect>;

/** Calls a method of the service. */
export function* call<K extends keyof SchemaService>(
  name: K,
  ...args: Parameters<SchemaService[K]>
): SchemaSteps<Awaited<ReturnType<SchemaService[K]>>> {
  return (yield { do: 'call', name, args }) as Awaited<ReturnType<SchemaService[K]>>;
}

export function perform(service: SchemaService, { name, args }: Call): Promise<unknown> {
  const method = service[name] as (...all: readonly unknown[]) => Promise<unknown>;
  return method.apply(service, [...args]);
}

export interface SchemaAnswer extends Answer {
  /** The schema is gone. */
  readonly isDropped?: true;
}

/** Another session has dropped the schema meanwhile. */
export interface Gone {
  readonly kind: 'gone';
}

/** The connection of the user's session ended: no response can be sent. */
export class SessionBroken extends Error {}

export function notDropped(schema: string, why: string, instead: string): UndropError {
  return new UndropError('UNDROP_SCHEMA_NOT_DROPPED', { schema, why, instead });
}

/** The start of a sentence that goes on with "not dropped". */
export function tablesOf(schema: string): string {
  return schemaAndTables(Buffer.from(schema));
}

/** Other sessions keep creating tables in it. */
export function crowded(schema: string, times: number): Answer {
  const params = { tables: tablesOf(schema), times };
  return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params));
}

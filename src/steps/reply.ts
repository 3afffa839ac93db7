/**
 * The replies that a statement ends with: the server's own answer, a refusal of undrop's, or "the
 * tables changed, try again"; and how a sentence names the tables. Pure.
 */

import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import type { Failure } from '../ledger/entry.js';
import { dotted, type TableName } from '../sql/grammar/table-name.js';
import { type ErrPacket, encodeErr, type Result } from '../wire/response.js';
import type { DropRequest } from './request.js';

/** A table that is under its hold name, as the ledger must have it. */
export interface HeldTable {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly relocated: boolean;
  readonly failure: Failure | null;
  /** Triggers were taken off it. */
  readonly hadTriggers?: boolean;
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

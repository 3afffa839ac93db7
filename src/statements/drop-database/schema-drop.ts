/** The start of a DROP DATABASE, and its answers. Pure. */

import { UndropError } from '../../errors.js';
import { schemaAndTables } from '../../steps/refusals/refusals.js';
import { type Answer, refuse } from '../../steps/reply.js';
import type { DropRequest, UserFacts } from '../../steps/request.js';
import type { ErrPacket, OkPacket } from '../../wire/response.js';

/** Its statement names no tables: they are those of the schema. */
export interface SchemaDropRequest extends DropRequest {
  /** Unescaped bytes in the client's charset, and in UTF-8. */
  readonly schema: Uint8Array;
  readonly name: string;
  readonly ifExists: boolean;
  readonly facts: UserFacts;
}

/** How one try of the DROP ended. */
export type TryEnd =
  | { readonly kind: 'dropped'; readonly ok: OkPacket }
  /** It was stopped, because it would destroy a table, or not even sent. */
  | { readonly kind: 'again' }
  | { readonly kind: 'failed'; readonly error: ErrPacket };

export interface SchemaAnswer extends Answer {
  /** The schema is gone. */
  readonly isDropped?: true;
}

/** Another session has dropped the schema meanwhile. */
export interface Gone {
  readonly kind: 'gone';
}

export function notDropped(schema: string, why: string, instead: string): UndropError {
  return new UndropError('UNDROP_SCHEMA_NOT_DROPPED', { schema, why, instead });
}

/** The start of a sentence that goes on with "not dropped". */
export function tablesOfSchema(schema: string): string {
  return schemaAndTables(Buffer.from(schema));
}

/** Other sessions keep creating tables in it. */
export function crowded(schema: string, times: number): Answer {
  const params = { tables: tablesOfSchema(schema), times };
  return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', params));
}

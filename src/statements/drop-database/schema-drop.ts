/** The start of a DROP DATABASE, and its answers. Pure. */

import { UndropError } from '../../errors.js';
import { quoteClientName } from '../../sql/lex/client-charset.js';
import { schemaAndTables } from '../../steps/refusals/refusals.js';
import { factText } from '../../steps/session/facts.js';
import { qualified, type Signal } from '../../steps/session/user-session.js';
import { type Answer, type DropRequest, refuse, type UserFacts } from '../../steps/world.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { ErrPacket, OkPacket, Result } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';

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

// ── on the user's session ────────────────────────────────────────────────────────────────────────
// Statements of a DROP DATABASE on the user's session, with its name in the client's own bytes.
// Pure.
//
// Invariant: the DROP is sent only while the barrier in that very schema holds it up (barrier.ts),
// and goes on only after a check under its locks found no other table.

type Named = Pick<SchemaDropRequest, 'schema' | 'charset' | 'groupId'>;

/** Facts of the session for the drop, beside `factsSql`. */
export interface SchemaFacts {
  /** lock_wait_timeout, in seconds. */
  readonly lockWaitS: number;
  /** CURRENT_USER(). */
  readonly account: string;
  /** sql_notes: a note is in SHOW WARNINGS. */
  readonly hasNotes: boolean;
}

/** The lock wait timeout of the DROP; if the proxy dies, it waits no longer than that. */
export const DROP_WAITS_S = 2;

export function schemaFactsSql(): Buffer {
  const values = ['@@lock_wait_timeout', 'CURRENT_USER()', '@@sql_notes + 0'];
  const columns = values.map((value) => `CAST(${value} AS BINARY)`);
  return Buffer.from(
    `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts */ ${columns.join(', ')} LIMIT 1`,
  );
}

export function readSchemaFacts(result: Result | undefined): SchemaFacts | ErrPacket {
  if (result?.kind === 'err') return result;
  const row = result?.kind === 'rows' ? result.rows[0] : undefined;
  const [wait, account, notes] = (row ?? []).map(factText);
  if (wait === undefined || account === undefined || !/^\d+$/.test(wait)) {
    throw new MalformedPacketError('The facts of the session: no row.');
  }
  return { lockWaitS: Number(wait), account, hasNotes: notes !== '0' };
}

export function showSchemaSql({ schema, charset }: Named): Buffer {
  const show = Buffer.from('SHOW /* undrop schema */ CREATE DATABASE ');
  return Buffer.concat([show, quoteClientName(schema, charset)]);
}

/**
 * Drops a view that can't exist, because its name is made for this statement. It needs the
 * privilege to drop the schema, ends the transaction as the DROP does, and always fails.
 */
export function maySchemaSql({ schema, charset, groupId }: Named): Buffer {
  const table = Buffer.from(`_undrop_none_${groupId}`);
  const verb = Buffer.from(`DROP /* undrop rights ${groupId} */ VIEW `);
  return Buffer.concat([verb, qualified({ schema, table }, charset)]);
}

/** Ends the transaction as a drop does, and fails, because the name doesn't exist. */
export const ENDING_SQL = Buffer.from('DROP /* undrop end */ VIEW `_undrop_none`.`_undrop`');

export function dropSchemaSql({ schema, charset, groupId }: Named): Buffer {
  const verb = Buffer.from(`DROP ${schemaComment(groupId)} DATABASE `);
  return Buffer.concat([verb, quoteClientName(schema, charset)]);
}

/** The comment by which other connections find the statement. */
export function schemaComment(groupId: string): string {
  return `/* undrop schema ${groupId} */`;
}

export function lockWaitSql(seconds: number, groupId: string): Buffer {
  return Buffer.from(
    `SET /* undrop lockWaitBudget ${groupId} */ SESSION lock_wait_timeout = ${seconds}`,
  );
}

/** How long `queueSql` sleeps. */
export const QUEUE_WAITS_S = 0.2;

/** MySQL fails after a KILL only if SLEEP decides about a row of a table. */
export function queueSql(groupId: string): Buffer {
  const start = `SELECT /*+ MAX_EXECUTION_TIME(1000000) */ /* undrop queue ${groupId} */ 1`;
  const row = "FROM information_schema.ENGINES WHERE ENGINE = 'MEMORY'";
  return Buffer.from(`${start} ${row} AND SLEEP(${QUEUE_WAITS_S})`);
}

/** The error of DROP DATABASE without the privilege; the account is CURRENT_USER(). */
export function deniedSignal(name: string, account: string): Signal {
  const at = account.lastIndexOf('@');
  const quoted = `'${account.slice(0, Math.max(at, 0))}'@'${account.slice(at + 1)}'`;
  const message = `Access denied for user ${quoted} to database '${name}'`;
  return {
    errno: ER.DBACCESS_DENIED_ERROR,
    sqlState: '42000',
    message: Array.from(message).slice(0, 128).join(''),
  };
}

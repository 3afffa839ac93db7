/**
 * Statements of a DROP DATABASE on the user's session, its name in the client's own bytes. Pure.
 *
 * Invariant: the DROP goes out only while a table of ours in that very schema holds it up
 * (barrier.ts), and is let go only where a look behind its locks found no other.
 */

import { quoteClientName } from '../../sql/lex/client-charset.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import type { Signal } from '../../steps/session/signal.js';
import { qualified } from '../../steps/session/user-session-sql.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { ErrPacket } from '../../wire/response/err.js';
import type { Result } from '../../wire/result-reader.js';
import { ER_DBACCESS_DENIED_ERROR } from '../../wire/server-errors.js';

export interface SchemaName {
  /** Unescaped bytes in the client's charset. */
  readonly schema: Uint8Array;
  readonly charset: ClientCharset;
  readonly groupId: string;
  /** What follows the name in a CREATE OR REPLACE DATABASE; null: it is dropped. */
  readonly options: Uint8Array | null;
}

/** Of the session, beside what `factsSql` asks. */
export interface SchemaFacts {
  /** lock_wait_timeout, in seconds. */
  readonly lockWaitS: number;
  /** CURRENT_USER(). */
  readonly account: string;
}

/** Each lock is waited for so long by the DROP; a proxy that dies leaves it no longer. */
export const DROP_WAITS_S = 2;

export function schemaFactsSql(): Buffer {
  const values = ['@@lock_wait_timeout', 'CURRENT_USER()'];
  const columns = values.map((value) => `CAST(${value} AS BINARY)`);
  return Buffer.from(
    `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts */ ${columns.join(', ')} LIMIT 1`,
  );
}

export function readSchemaFacts(result: Result): SchemaFacts | ErrPacket {
  if (result.kind === 'err') return result;
  const row = result.kind === 'rows' ? result.rows[0] : undefined;
  const [wait, account] = (row ?? []).map((value) => value?.toString('utf8') ?? '');
  if (wait === undefined || account === undefined || !/^\d+$/.test(wait)) {
    throw new MalformedPacketError('The facts of the session: no row.');
  }
  return { lockWaitS: Number(wait), account };
}

/**
 * Of a view that can't be: its name is made for this statement. It asks for the right to drop the
 * schema, ends the transaction as the DROP does, and fails in any case.
 */
export function maySchemaSql({ schema, charset, groupId }: SchemaName): Buffer {
  const table = Buffer.from(`_undrop_none_${groupId}`);
  const verb = Buffer.from(`DROP /* undrop rights ${groupId} */ VIEW `);
  return Buffer.concat([verb, qualified({ schema, table }, charset)]);
}

/** What it destroys is dropped in one step with the making of a new schema, where it replaces. */
export function dropSchemaSql({ schema, charset, groupId, options }: SchemaName): Buffer {
  const [verb, or] = options === null ? ['DROP', ''] : ['CREATE', 'OR REPLACE '];
  return Buffer.concat([
    Buffer.from(`${verb} ${schemaComment(groupId)} ${or}DATABASE `),
    quoteClientName(schema, charset),
    options ?? Buffer.of(),
  ]);
}

/** By which others know the statement. */
export function schemaComment(groupId: string): string {
  return `/* undrop schema ${groupId} */`;
}

/** The same where there is nothing to be replaced; 1007 where there is. */
export function createSchemaSql({ schema, charset, options }: CreatedSchema): Buffer {
  const name = quoteClientName(schema, charset);
  return Buffer.concat([Buffer.from('CREATE DATABASE '), name, options]);
}

export interface CreatedSchema extends Pick<SchemaName, 'schema' | 'charset'> {
  readonly options: Uint8Array;
}

/** MariaDB takes 0 from a session, by which the DROP would not wait for our own guard either. */
export function dropPatienceS(lockWaitS: number): number {
  return Math.min(Math.max(1, lockWaitS), DROP_WAITS_S);
}

export function patienceSql(seconds: number, { groupId }: Pick<SchemaName, 'groupId'>): Buffer {
  return Buffer.from(
    `SET /* undrop lockWaitBudget ${groupId} */ SESSION lock_wait_timeout = ${seconds}`,
  );
}

/** MySQL says 1 where a KILL has ended it, and has no other time limit for it then. */
export function queueSql({ groupId }: Pick<SchemaName, 'groupId'>): Buffer {
  const hint = '/*+ MAX_EXECUTION_TIME(1000000) */';
  const sleep = 'CAST(SLEEP(0.2) AS BINARY) LIMIT 1';
  return Buffer.from(`SELECT ${hint} /* undrop queue ${groupId} */ ${sleep}`);
}

/** A KILL QUERY that came late hits this. */
export function nothingSql({ groupId }: Pick<SchemaName, 'groupId'>): Buffer {
  return Buffer.from(`DO /* undrop clean ${groupId} */ 0`);
}

/** CURRENT_USER() as errors of the server name it. */
export function quoteAccount(account: string): string {
  const at = account.lastIndexOf('@');
  return `'${account.slice(0, Math.max(at, 0))}'@'${account.slice(at + 1)}'`;
}

/** What DROP DATABASE says to those without the right. */
export function deniedSignal(name: string, account: string): Signal {
  const message = `Access denied for user ${quoteAccount(account)} to database '${name}'`;
  return {
    errno: ER_DBACCESS_DENIED_ERROR,
    sqlState: '42000',
    message: Array.from(message).slice(0, 128).join(''),
  };
}

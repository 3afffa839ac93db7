/**
 * The start of a DROP DATABASE, its answers, its statements on the user's session, and its checks
 * before it touches anything.
 */

import { assert, UndropError } from '../../errors.js';
import { SERVER_SCHEMAS } from '../../names/names.js';
import { quoteClientName } from '../../sql/lex/client-charset.js';
import { isRecycleName } from '../../sql/trigger-scan.js';
import * as caps from '../../wire/capabilities.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { type ErrPacket, type OkPacket, okWithStatus, type Result } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { schemaAndTables } from '../steps/refusals/refusals.js';
import { factText } from '../steps/session/facts.js';
import { clean, qualified, type Signal, signal } from '../steps/session/user-session.js';
import type * as steps from '../steps/world.js';
import { answerWith, ask, changedMeanwhile, refuse } from '../steps/world.js';

/** Its statement names no tables: they are those of the schema. */
export interface SchemaDropRequest extends steps.DropRequest {
  /** Unescaped bytes in the client's charset, and in UTF-8. */
  readonly schema: Uint8Array;
  readonly name: string;
  readonly ifExists: boolean;
  readonly facts: steps.UserFacts;
}

/** How one try of the DROP ended. */
export type TryEnd =
  | { readonly kind: 'dropped'; readonly ok: OkPacket }
  /** It was stopped, because it would destroy a table, or not even sent. */
  | { readonly kind: 'again' }
  | { readonly kind: 'failed'; readonly error: ErrPacket };

export interface SchemaAnswer extends steps.Answer {
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
export function crowded(schema: string, times: number): steps.Answer {
  return refuse(changedMeanwhile(tablesOfSchema(schema), times));
}

// ── on the user's session ────────────────────────────────────────────────────────────────────────
// Statements of a DROP DATABASE on the user's session, with its name in the client's own bytes.
// Pure.
//
// Invariant: the DROP is sent only while the barrier in that very schema holds it up (barrier.ts),
// and goes on only after a check under its locks found no other table.

type Named = Pick<SchemaDropRequest, 'schema' | 'charset' | 'dropId'>;

/** Facts of the session for the drop, beside `factsSql`. */
interface SchemaFacts {
  /** lock_wait_timeout, in seconds. */
  readonly lockWaitS: number;
  /** CURRENT_USER(). */
  readonly account: string;
  /** sql_notes: a note is in SHOW WARNINGS. */
  readonly hasNotes: boolean;
}

/** The lock wait timeout of the DROP; if the proxy dies, it waits no longer than that. */
export const DROP_WAITS_S = 2;

function schemaFactsSql(): Buffer {
  const values = ['@@lock_wait_timeout', 'CURRENT_USER()', '@@sql_notes + 0'];
  const columns = values.map((value) => `CAST(${value} AS BINARY)`);
  return Buffer.from(
    `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts */ ${columns.join(', ')} LIMIT 1`,
  );
}

function readSchemaFacts(result: Result | undefined): SchemaFacts | ErrPacket {
  if (result?.kind === 'err') return result;
  const row = result?.kind === 'rows' ? result.rows[0] : undefined;
  const [wait, account, notes] = (row ?? []).map(factText);
  if (wait === undefined || account === undefined || !/^\d+$/.test(wait)) {
    throw new MalformedPacketError('The facts of the session: no row.');
  }
  return { lockWaitS: Number(wait), account, hasNotes: notes !== '0' };
}

function showSchemaSql({ schema, charset }: Named): Buffer {
  const show = Buffer.from('SHOW /* undrop schema */ CREATE DATABASE ');
  return Buffer.concat([show, quoteClientName(schema, charset)]);
}

/**
 * Drops a view that can't exist, because its name is made for this statement. It needs the
 * privilege to drop the schema, ends the transaction as the DROP does, and always fails.
 */
function maySchemaSql({ schema, charset, dropId }: Named): Buffer {
  const table = Buffer.from(`_undrop_none_${dropId}`);
  const verb = Buffer.from(`DROP /* undrop rights ${dropId} */ VIEW `);
  return Buffer.concat([verb, qualified({ schema, table }, charset)]);
}

/** Ends the transaction as a drop does, and fails, because the name doesn't exist. */
const ENDING_SQL = Buffer.from('DROP /* undrop end */ VIEW `_undrop_none`.`_undrop`');

export function dropSchemaSql({ schema, charset, dropId }: Named): Buffer {
  const verb = Buffer.from(`DROP ${schemaComment(dropId)} DATABASE `);
  return Buffer.concat([verb, quoteClientName(schema, charset)]);
}

/** The comment by which other connections find the statement. */
export function schemaComment(dropId: string): string {
  return `/* undrop schema ${dropId} */`;
}

/** The error of DROP DATABASE without the privilege; the account is CURRENT_USER(). */
function deniedSignal(name: string, account: string): Signal {
  const at = account.lastIndexOf('@');
  const quoted = `'${account.slice(0, Math.max(at, 0))}'@'${account.slice(at + 1)}'`;
  const message = `Access denied for user ${quoted} to database '${name}'`;
  return {
    errno: ER.DBACCESS_DENIED_ERROR,
    sqlState: '42000',
    message: Array.from(message).slice(0, 128).join(''),
  };
}

// ── before anything is touched ───────────────────────────────────────────────────────────────────
// In the user's session: whether there is such a schema, whether the user may drop it, and its lock
// wait timeout; by the service, the stored name of the schema. If there is none, the session raises
// the error of DROP DATABASE for that by SIGNAL, with IF EXISTS as a warning, which becomes a note
// on its way to the client (after-drop-database.ts).
//
// Invariant: no DROP DATABASE is sent here. A schema that another session creates meanwhile stays.

/** DROP DATABASE would have ended with the same error, word for word. */
const SAME_AS_DROP_DATABASE: readonly number[] = [
  ...ER.DDL_FORBIDDEN,
  ...ER.GAVE_UP,
  ...ER.OWN_GLOBAL_LOCK,
  ER.DBACCESS_DENIED_ERROR,
  ER.TOO_LONG_IDENT,
  ER.WRONG_DB_NAME,
  ER.LOCK_OR_ACTIVE_TRANSACTION,
];

/** The part of the port that is needed; see `SchemaServer`. */
interface SchemaFinder {
  findSchema(name: string): Promise<string | null>;
}

/** No session can drop it, or have a transaction ended by a statement that names it. */
const CLOSED_SCHEMA = 'information_schema';

export interface There {
  readonly kind: 'there';
  /** The name as the server stores it. */
  readonly schema: string;
  readonly lockWaitS: number;
}

/** An answer: the statement ends here, and nothing was changed. */
export async function checkRights(
  session: steps.UserSession,
  port: SchemaFinder,
  request: SchemaDropRequest,
): Promise<There | SchemaAnswer | Gone> {
  const { name } = request;
  const [asked, shown] = await ask(session, schemaFactsSql(), showSchemaSql(request));
  const facts = readSchemaFacts(asked);
  if ('errno' in facts) return answerWith(facts);
  const isAbsent = shown?.kind === 'err' && shown.errno === ER.BAD_DB_ERROR;
  const refusal = isAbsent ? null : refusalOf(request);
  if (refusal !== null) return refuse(refusal);
  if (name === CLOSED_SCHEMA) await ask(session, ENDING_SQL);
  const [right] = await ask(session, maySchemaSql(request));
  assert(right?.kind === 'err', 'DROP VIEW of a view that can not exist fails');
  if (SAME_AS_DROP_DATABASE.includes(right.errno)) return answerWith(right);
  if (right.errno === ER.TABLEACCESS_DENIED_ERROR) {
    return answerWith(await signal(session, deniedSignal(name, facts.account)));
  }
  if (!ER.ABSENT_TO_DROP_VIEW.includes(right.errno)) {
    const cause = `undrop cannot check the privilege to drop it: ${right.message.toString()}`;
    return refuse(notDropped(name, cause, 'Ask an operator of undrop.'));
  }
  if (isAbsent) return sayAbsent(session, request, facts);
  return right.errno === ER.BAD_DB_ERROR ? { kind: 'gone' } : findSchema(port, request, facts);
}

/** The refusal, whatever the user's privileges are; null: none. */
function refusalOf({ name, facts }: SchemaDropRequest): UndropError | null {
  if (isRecycleName(name)) {
    const instead = 'See `undrop list` for what is held.';
    return notDropped(name, 'undrop keeps dropped tables in it', instead);
  }
  if (facts.gtidNext === null) return null;
  const instead = "SET SESSION gtid_next = 'AUTOMATIC', then drop.";
  return notDropped(name, 'the session has set GTID_NEXT', instead);
}

async function findSchema(
  port: SchemaFinder,
  { name }: SchemaDropRequest,
  { lockWaitS }: SchemaFacts,
): Promise<There | SchemaAnswer> {
  const schema = await port.findSchema(name);
  if (schema === null) {
    const params = { tables: tablesOfSchema(name), table: name };
    return refuse(new UndropError('UNDROP_NOT_SEEN', params));
  }
  // The name as stored, because MYSQL is a user's under lower_case_table_names=0.
  if (SERVER_SCHEMAS.includes(schema)) {
    const instead = 'Ask an operator of undrop to drop it.';
    return refuse(notDropped(name, 'it is a schema of the server itself', instead));
  }
  return { kind: 'there', schema, lockWaitS };
}

/** The last statement in the session, so that SHOW WARNINGS is about it. */
async function sayAbsent(
  session: steps.UserSession,
  { name, ifExists, dropId }: SchemaDropRequest,
  { hasNotes }: SchemaFacts,
): Promise<SchemaAnswer> {
  const message = `Can't drop database '${name}'; database doesn't exist`;
  const absent = { errno: ER.DB_DROP_EXISTS, sqlState: ifExists ? '01000' : 'HY000', message };
  const isSilent = ifExists && !hasNotes;
  const said = isSilent ? await clean(session, { dropId }) : await signal(session, absent);
  if (said.kind !== 'ok') return answerWith(said);
  const payload = okWithStatus(said.payload, caps.SERVER_STATUS_DB_DROPPED);
  return { ...answerWith(said), payload };
}

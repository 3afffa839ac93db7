/**
 * Statements of undrop on the user's session, built with names as the client's own bytes, and the
 * responses that it gives after them.
 *
 * Invariant: no statement built here can destroy a base table. The reports on names that aren't
 * base tables come from DROP TEMPORARY TABLE, which touches nothing but temporary tables of this
 * very session and returns the texts, counts and language of DROP TABLE.
 */

import { assert, type ClientError } from '../../../errors.js';
import type { QualifiedTable } from '../../../names/names.js';
import type { TableName } from '../../../sql/grammar/table-name.js';
import { type ClientCharset, quoteClientName } from '../../../sql/lex/client-charset.js';
import type { DropTableStatement, LockWait } from '../../../sql/verdict.js';
import type { ServerVersion } from '../../../wire/connection/handshake-v10.js';
import type { ErrPacket, OkPacket, Result } from '../../../wire/response.js';
import { decodeErr, encodeErr } from '../../../wire/response.js';
import * as ER from '../../../wire/server-errors.js';
import type * as steps from '../world.js';
import { answerWith, ask, query } from '../world.js';

/**
 * A name of the statement, for statements of undrop. A schema of null: the session's default
 * schema, if it can't be written in the client's charset.
 */
export type QualifiedName = Pick<TableName, 'schema' | 'table'>;

/** `schema`.`table` in the client's own bytes. */
export function qualified(name: QualifiedName, charset: ClientCharset): Buffer {
  const table = quoteClientName(name.table, charset);
  if (name.schema === null) return Buffer.from(table);
  return Buffer.concat([quoteClientName(name.schema, charset), Buffer.from('.'), table]);
}

/** A text of words and names. */
function textOf(charset: ClientCharset, ...parts: readonly (string | QualifiedName)[]): Buffer {
  const bytes = parts.map((part) =>
    typeof part === 'string' ? Buffer.from(part) : qualified(part, charset),
  );
  return Buffer.concat(bytes);
}

type StatementOptions = Pick<steps.DropRequest, 'dropId' | 'charset'>;

interface Moved {
  readonly name: QualifiedName;
  readonly holdName: string;
}

/** A statement about one name. `$none` is the name of nothing. */
function about(text: string): (name: QualifiedName, options: StatementOptions) => Buffer {
  return (name, { dropId, charset }) => {
    const none = `\`_undrop_none_${dropId}\``;
    const [before = '', after] = text
      .replaceAll('$none', none)
      .replace('$id', dropId)
      .split('$name');
    return textOf(charset, before, name, after ?? '');
  };
}

export function showCreateSql(name: QualifiedName, charset: ClientCharset): Buffer {
  return textOf(charset, 'SHOW /* undrop kind */ CREATE TABLE ', name);
}

/** MariaDB's WAIT n or NOWAIT, as in a statement; null: none. */
export function waitText({ wait }: { readonly wait: LockWait | null }): string | null {
  if (wait === null) return null;
  return wait.kind === 'nowait' ? 'NOWAIT' : `WAIT ${wait.text}`;
}

/** A single atomic RENAME; `wait` is MariaDB's WAIT n or NOWAIT, in RENAME's own place. */
export function renameSql(
  moves: readonly Moved[],
  { dropId, charset, wait }: StatementOptions & { readonly wait: string | null },
): Buffer {
  const parts = moves.flatMap(({ name, holdName }, index) => {
    const first = wait === null ? '' : ` ${wait}`;
    const to = { schema: name.schema, table: Buffer.from(holdName) };
    return [index === 0 ? '' : ', ', name, `${index === 0 ? first : ''} TO `, to];
  });
  return textOf(charset, `RENAME /* undrop hold ${dropId} */ TABLE `, ...parts);
}

/**
 * A RENAME that never succeeds, because its target schema doesn't exist: it ends the transaction as
 * the DROP would, and returns the errors for read-only, XA and missing privileges.
 */
export const probeSql = about('RENAME /* undrop probe $id */ TABLE $name TO $none.`t`');

/** The RENAME of one table, for servers that refuse RENAME under LOCK TABLES. */
export function alterNameSql(
  { name, holdName }: Moved,
  { dropId, charset }: StatementOptions,
): Buffer {
  const to = { schema: name.schema, table: Buffer.from(holdName) };
  return textOf(charset, `ALTER /* undrop hold ${dropId} */ TABLE `, name, ' RENAME TO ', to);
}

/**
 * Drops temporary tables. `own`: without the word TEMPORARY, as in the client's statement; that
 * commits, and works in a read-only transaction. It is only for names that are temporary tables of
 * this very session, each of them checked there; no other session can change that.
 */
export function dropTemporarySql(
  names: readonly QualifiedName[],
  { dropId, charset, own = false, ...words }: DropTemporaryOptions,
): Buffer {
  const step = own ? `/* undrop temporary ${dropId} */` : `/* undrop words ${dropId} */ TEMPORARY`;
  const parts = names.flatMap((name, index) => [index === 0 ? '' : ', ', name]);
  const verb = `DROP ${step} ${words.object.toUpperCase()} ${words.ifExists ? 'IF EXISTS ' : ''}`;
  return textOf(charset, verb, ...parts);
}

/** `object`: the word for the tables; a temporary sequence is a temporary table. */
interface DropTemporaryOptions
  extends StatementOptions,
    Pick<DropTableStatement, 'object' | 'ifExists'> {
  /** Default: false. */
  readonly own?: boolean;
}

/**
 * For a temporary table of this very session, checked there; or for counters of the server itself
 * (performance_schema).
 */
export const truncateOwnSql = about('TRUNCATE /* undrop temporary $id */ TABLE $name');

/**
 * Waits until no other session has the table locked, as DROP TABLE would, and fails then, because
 * the partition doesn't exist. It needs the privilege DROP alone. `wait` is MariaDB's WAIT n or
 * NOWAIT, in seconds; default: as long as the session's settings allow.
 */
export function waitForLockSql(
  name: QualifiedName,
  options: StatementOptions & { readonly wait?: string | null },
): Buffer {
  const { wait = null } = options;
  const within = wait === null ? '' : `SET STATEMENT lock_wait_timeout = ${wait} FOR `;
  return about(
    `${within}ALTER /* undrop wait-for-lock $id */ TABLE $name TRUNCATE PARTITION $none`,
  )(name, options);
}

/**
 * Returns the errors of CREATE TABLE for the privilege CREATE, for the state of the session and the
 * server, and commits as it would; two columns of one name keep it from creating anything.
 */
export const mayCreateSql = about(
  'CREATE /* undrop may-create $id */ TABLE $name ($none INT, $none INT)',
);

/**
 * To be prepared, which commits nothing: returns an error if CREATE or INSERT is denied, else one
 * for the missing column.
 */
export const mayFillSql = about('CREATE /* undrop may-fill $id */ TABLE $name SELECT $none');

/** To be prepared, as `mayFillSql` is: returns an error if CREATE VIEW is denied. */
export const mayViewSql = about('CREATE /* undrop may-view $id */ VIEW $name AS SELECT $none');

/** A RENAME checks DROP and ALTER; this checks each of them separately, without its lock. */
export function mayRenameSql(
  name: QualifiedName,
  what: 'PARTITION' | 'COLUMN',
  options: StatementOptions,
): Buffer {
  return about(`ALTER /* undrop may-rename $id */ TABLE $name DROP ${what} $none`)(name, options);
}

/**
 * To be prepared: under LOCK TABLES of the table it returns 1100, because no session has locked it
 * by this alias. A user who could lock it may select from it.
 */
export const ownLockSql = about('SELECT /* undrop own $id */ 1 FROM $name AS $none LIMIT 0');

/**
 * Resets the session's diagnostics after errors that statements of undrop have raised: no warnings,
 * no row count, and the OK of a statement that changed nothing. It is one statement, because
 * session tracking reports all changes in the first OK; and it reads a table, because MySQL 5.6 and
 * MariaDB keep the old diagnostics otherwise.
 */
export function cleanSql(dropId: string): Buffer {
  const read = 'SELECT 1 FROM (SELECT 1 AS one) AS one LIMIT 1';
  return Buffer.from(`DO /* undrop clean ${dropId} */ (${read})`);
}

/** MariaDB's error for a view in DROP TABLE, which no harmless statement causes. */
export function viewSignal({ schema, table }: QualifiedTable): Signal {
  return { errno: ER.IT_IS_A_VIEW, sqlState: '42S02', message: `'${schema}.${table}' is a view` };
}

/** The same for a table in DROP SEQUENCE. */
export function notSequenceSignal({ schema, table }: QualifiedTable): Signal {
  const message = `'${schema}.${table}' is not a SEQUENCE`;
  return { errno: ER.NOT_SEQUENCE2, sqlState: '42S02', message };
}

// ── errors that are raised ───────────────────────────────────────────────────────────────────────

/** Its message is limited to `signalCharactersMax`. */
export type Signal = ClientError;

/** MESSAGE_TEXT of MySQL. */
const SIGNAL_CHARACTERS_MAX = 128;

/** The maximum length of MESSAGE_TEXT; a longer one causes 1648. */
export function signalCharactersMax({ flavour }: Pick<ServerVersion, 'flavour'>): number {
  return flavour === 'mysql' ? SIGNAL_CHARACTERS_MAX : 512;
}

/** The text in hex, because the session's charset and sql_mode may be anything. */
export function signalSql({ errno, sqlState, message }: Signal): Buffer {
  const text = `_utf8mb4 X'${Buffer.from(message).toString('hex')}'`;
  const set = `SET MYSQL_ERRNO = ${errno}, MESSAGE_TEXT = ${text}`;
  return Buffer.from(`SIGNAL SQLSTATE '${sqlState}' ${set}`);
}

// ── responses as after a statement of the client ─────────────────────────────────────────────────
/** OK and no diagnostics, as after a statement without rows. */
export async function clean(
  session: steps.UserSession,
  { dropId }: Pick<steps.DropRequest, 'dropId'>,
): Promise<OkPacket> {
  const text = cleanSql(dropId);
  const [first] = await ask(session, text);
  if (first?.kind === 'ok') return first;
  // A KILL QUERY has hit it, and the taken tables are held.
  const said = (await ask(session, text, text)).find(({ kind }) => kind === 'ok');
  assert(said?.kind === 'ok', 'DO answers OK');
  return said;
}

/**
 * The response to a SIGNAL. In a connection of UTF-16 and the like the server can't read SQLSTATE
 * (1407): then it is the same response, and SHOW WARNINGS doesn't have it.
 */
export async function signal(
  session: steps.UserSession,
  signal: Signal,
): Promise<OkPacket | ErrPacket> {
  const [said] = await ask(session, signalSql(signal));
  assert(said?.kind === 'ok' || said?.kind === 'err', 'SIGNAL answers OK or ERR');
  if (said.kind === 'ok' || said.errno !== ER.SP_BAD_SQLSTATE) return said;
  if (signal.sqlState.startsWith('01')) return clean(session, { dropId: 'raise' });
  return decodeErr(encodeErr({ ...signal, message: Buffer.from(signal.message) }));
}

/**
 * An error of the server, raised in the session so that SHOW WARNINGS has it too; cut there if it
 * is too long for MySQL.
 */
export async function raise(
  session: steps.UserSession,
  { server }: Pick<steps.DropRequest, 'server'>,
  { errno, sqlState, message }: Signal,
): Promise<steps.Answer> {
  const characters = Array.from(message);
  const charactersMax = signalCharactersMax(server);
  const isCut = characters.length > charactersMax;
  const raised = isCut ? characters.slice(0, charactersMax).join('') : message;
  const said = await signal(session, { errno, sqlState, message: raised });
  if (said.kind === 'err' && !(isCut && said.errno === errno)) return answerWith(said);
  return answerWith(decodeErr(encodeErr({ errno, sqlState, message: Buffer.from(message) })));
}

// ── the rights on names ──────────────────────────────────────────────────────────────────────────
// Checks in the user's session, before a drop, how the server would answer the DROP of a table:
// whether the user may drop it, whether this or another session has it locked, whether any table
// may be dropped now. The check is an ALTER TABLE … TRUNCATE PARTITION of a partition that doesn't
// exist. It needs the privilege DROP alone, waits for the same lock as DROP TABLE, as long as the
// session's own settings and KILL allow, and returns 1142, 1099 and 1100 with the texts of DROP
// TABLE (tried on all four servers, on tables, views and missing names).
//
// Invariant: it can't succeed, so nothing is destroyed.

/** Errors of a statement of undrop that the DROP would have returned too, word for word. */
export const SAME_AS_DROP: readonly number[] = [
  ...ER.GAVE_UP,
  ...ER.OWN_GLOBAL_LOCK,
  ...ER.DDL_FORBIDDEN,
  ER.BAD_LOG_STATEMENT,
];

/** Errors of the check about the table, with the texts of DROP TABLE. */
const NOT_TO_BE_DROPPED: readonly number[] = [
  ER.DBACCESS_DENIED_ERROR,
  ER.TABLEACCESS_DENIED_ERROR,
  ER.TABLE_NOT_LOCKED_FOR_WRITE,
  ER.TABLE_NOT_LOCKED,
];

/**
 * Null: the server would drop all of them, or they don't exist; `onAbsent` is called for each of
 * the latter. `before` goes out with the first; its answers are for `onBefore`.
 */
export async function askToDrop(
  session: steps.UserSession,
  request: steps.DropRequest,
  names: readonly QualifiedName[],
  { onAbsent = () => undefined, before = [], onBefore = () => undefined }: AskOptions = {},
): Promise<steps.Answer | null> {
  const { wait } = request.statement;
  const seconds = wait?.kind === 'nowait' ? '0' : (wait?.text ?? null);
  let first = before;
  // In turn, because after one wait has ended the next must not begin.
  for (const name of names) {
    const asked = query(waitForLockSql(name, { ...request, wait: seconds }));
    const answers = await session.run([...first, asked]);
    if (first.length > 0) onBefore(answers.slice(0, first.length));
    first = [];
    const said = answers.at(-1);
    assert(said?.kind === 'err', 'there is no such partition');
    const isEnd = [...SAME_AS_DROP, ...NOT_TO_BE_DROPPED].includes(said.errno);
    if (isEnd) return answerWith(said);
    if (ER.ABSENT_TABLE.includes(said.errno)) onAbsent(name);
  }
  return null;
}

interface AskOptions {
  readonly onAbsent?: (name: QualifiedName) => void;
  readonly before?: readonly steps.UserCommand[];
  readonly onBefore?: (answers: readonly Result[]) => void;
}

/**
 * Facts that are read in the user's session, and the decoding of the results. Everything is cast to
 * BINARY, because character_set_results may be anything; with LIMIT, because sql_select_limit may
 * be 0.
 */

import { UndropError } from '../../../errors.js';
import { isRecycleName } from '../../../sql/trigger-scan.js';
import * as caps from '../../../wire/capabilities.js';
import { SERVER_IDENTITY_SQL, type ServerVersion } from '../../../wire/connection/handshake-v10.js';
import { MalformedPacketError } from '../../../wire/packet-reader.js';
import { decodeErr, type ErrPacket, encodeErr, type Result } from '../../../wire/response.js';
import * as ER from '../../../wire/server-errors.js';
import type { UserFacts } from '../world.js';

/**
 * The same before the client's own statements: the server forgets the marker's error. After a
 * SELECT without a table MySQL 5.6 and MariaDB keep the diagnostics of the one before it.
 */
export function cleanFactsSql(server: ServerVersion): Buffer {
  return factsSql(server, 'FROM (SELECT 1 AS one) AS one ');
}

/** The statement that reads `UserFacts`. */
export function factsSql(server: ServerVersion, from = ''): Buffer {
  // MariaDB has no GTID_NEXT; its gtid_seq_no survives all statements of undrop.
  const gtidNext = server.flavour === 'mysql' && server.versionId >= 50605 ? '@@gtid_next' : "''";
  // Since MariaDB 10.5.2.
  const hasIfExists = server.flavour === 'mariadb' && server.versionId >= 100_502;
  const values = [
    'DATABASE()',
    '@@sql_mode',
    '@@character_set_client',
    // MariaDB's would be ON or OFF as text.
    '@@sql_log_bin + 0',
    gtidNext,
    SERVER_IDENTITY_SQL[server.flavour],
    'USER()',
    '@@foreign_key_checks + 0',
    '@@character_set_results',
    // Its user may set it to max_allowed_packet bytes.
    `LEFT(@undrop, ${HINT_CHARACTERS_MAX + 1})`,
    hasIfExists ? '@@sql_if_exists + 0' : '0',
    trackedGtids(server),
    server.flavour === 'mariadb' ? '@@lock_wait_timeout > 0' : '1',
    // The bearer of an anonymous account chooses the name in USER().
    'CURRENT_USER()',
    // The offset of its time zone.
    "TIME_FORMAT(TIMEDIFF(NOW(), UTC_TIMESTAMP()), '%H:%i')",
  ];
  const columns = values.map((value) => `CAST(${value} AS BINARY)`);
  return Buffer.from(`${FACTS}${columns.join(', ')} ${from}LIMIT 1`);
}

/** A longer hint is no hint. */
const HINT_CHARACTERS_MAX = 256;

/** Empty, or OFF: none. */
function trackedGtids({ flavour, versionId }: ServerVersion): string {
  if (flavour === 'mysql') return versionId >= 50706 ? '@@session_track_gtids' : "''";
  // last_gtid, since MariaDB 10.2.2.
  if (versionId < 100_202) return "''";
  return "IF(@@session_track_system_variables REGEXP '[*]|last_gtid', 'ON', 'OFF')";
}

/** Without the session's time limit (MySQL 5.7.8 and later), because a DROP has none. */
const FACTS = 'SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts */ ';

/**
 * A fact as text. Numbers that the server converts to text are in character_set_connection, which
 * may be UTF-16 and the like: then it has NULs in it.
 */
export function factText(value: Buffer | null | undefined): string {
  return withoutNuls(value ?? Buffer.alloc(0)).toString('utf8');
}

/** The letters of a text that may be in UTF-16 and the like. */
export function withoutNuls(bytes: Buffer): Buffer {
  return bytes.includes(0) ? Buffer.from(bytes.filter((byte) => byte !== 0)) : bytes;
}

/**
 * Reads the result of `factsSql` and the like; an error of the server is passed on. A session whose
 * results are in UTF-16 and the like is refused, because errors and definitions have NULs in them
 * there.
 */
export function readFacts(result: Result): UserFacts | ErrPacket {
  if (result.kind === 'err') return result;
  const row = result.kind === 'rows' ? result.rows[0] : undefined;
  if (result.kind !== 'rows' || row === undefined)
    throw new MalformedPacketError('The facts of the session: no row.');
  const values = row.map(factText);
  const [, sqlMode = '', charset = '', logged, gtidNext = ''] = values;
  const [serverIdentity = '', bearer = '', checked, results = '', hint = ''] = values.slice(5);
  const [addsIfExists, tracked = '', waitS, account = bearer, offset = ''] = values.slice(10);
  if (isWide(results)) return notReadIn(results);
  const user = accountNameOf(bearer);
  // In the server's own UTF-8; MySQL 5.6 reads no further than a NUL in it, so such a name stays.
  const schema = row[0]?.toString('utf8') ?? null;
  // Each way there is refused; a session that got there in an unknown way drops nothing.
  if (isRecycleName(schema ?? '')) return asErr(new UndropError('UNDROP_RECYCLE_SCHEMA_USE'));
  return {
    schema,
    sqlMode,
    charset,
    resultsCharset: results,
    serverIdentity,
    // After COM_CHANGE_USER it differs from the one that logged in.
    user,
    account: `${accountNameOf(account)}${bearer.slice(user.length)}`,
    logged: logged !== '0',
    checksForeignKeys: checked !== '0',
    gtidNext: ['', 'AUTOMATIC', 'ANONYMOUS'].includes(gtidNext) ? null : gtidNext,
    tracksGtids: !['', 'OFF'].includes(tracked),
    inTransaction: (result.statusFlags & caps.SERVER_STATUS_IN_TRANS) !== 0,
    waitsForLocks: waitS !== '0',
    addsIfExists: addsIfExists === '1',
    // Blanks that go on behind the part that was read may end with a hint: refused as none.
    zone: offset.startsWith('-') ? offset : `+${offset || '00:00'}`,
    hint: hint.trim() || (hint.length > HINT_CHARACTERS_MAX ? hint : null),
  };
}

/** The name in `name@host`, which may have that letter, too. */
export function accountNameOf(account: string): string {
  return account.replace(/@[^@]*$/s, '');
}

/** Whether the letters of SQL have NULs in that character set. */
export function isWide(charset: string): boolean {
  return /^(ucs2|utf16|utf16le|utf32)$/.test(charset);
}

/** The refusal of a text in such a character set. */
export function notReadIn(charset: string): ErrPacket {
  return asErr(new UndropError('UNDROP_NAME_CHARSET', { charset }));
}

function asErr({ code, message, entry }: UndropError): ErrPacket {
  return decodeErr(encodeErr({ ...entry, message: Buffer.from(`${code}: ${message}`) }));
}

/** The kind of each name; an error that shows nothing about the kind (a lock wait, a kill). */
export function readKinds(shown: readonly Result[]): readonly NameKind[] | ErrPacket {
  const kinds: NameKind[] = [];
  for (const kind of shown.map(readKind)) {
    if (typeof kind === 'object') return kind;
    kinds.push(kind);
  }
  return kinds;
}

/** The kind of a name in the user's session. */
export type NameKind = 'temporary' | 'view' | 'base' | 'missing' | 'unlocked' | 'denied';

/**
 * Reads the result of SHOW CREATE TABLE. An error that shows nothing about the kind (a lock wait, a
 * kill) is passed on.
 */
export function readKind(result: Result): NameKind | ErrPacket {
  if (result.kind === 'err') return kindOfError(result);
  if (result.kind !== 'rows') throw new MalformedPacketError('SHOW CREATE TABLE: no rows.');
  if (result.columns[0]?.toString('latin1') === 'View') return 'view';
  return /^CREATE\s+TEMPORARY\s/i.test(definitionIn(result)) ? 'temporary' : 'base';
}

/**
 * Whether the session's SHOW CREATE TABLE leaves out the places of files: then the service reads
 * them. A SET STATEMENT around it would be reported to a client that tracks sql_mode.
 * https://mariadb.com/docs/server/server-management/variables-and-modes/sql_mode
 */
export function hidesDirectories({ sqlMode }: UserFacts, { flavour }: ServerVersion): boolean {
  return flavour === 'mariadb' && sqlMode.split(',').some((mode) => HIDING.has(mode));
}

const HIDING: ReadonlySet<string> = new Set([
  ...['NO_DIR_IN_CREATE', 'NO_TABLE_OPTIONS', 'MYSQL323', 'MYSQL40'],
  ...['ANSI', 'DB2', 'MAXDB', 'MSSQL', 'ORACLE', 'POSTGRESQL'],
]);

/** The definition in SHOW CREATE TABLE, its words in ASCII; empty for an error. */
export function definitionIn(result: Result): string {
  return (result.kind === 'rows' && result.rows[0]?.[1]?.toString('latin1')) || '';
}

function kindOfError(error: ErrPacket): NameKind | ErrPacket {
  switch (error.errno) {
    case ER.BAD_DB_ERROR:
    case ER.UNKNOWN_TABLE: // in information_schema
    case ER.NO_SUCH_TABLE:
      return 'missing';
    case ER.TABLE_NOT_LOCKED:
      return 'unlocked';
    case ER.DBACCESS_DENIED_ERROR:
    case ER.TABLEACCESS_DENIED_ERROR:
    case ER.SPECIFIC_ACCESS_DENIED_ERROR:
      return 'denied';
    default:
      return BROKEN_TABLE.includes(error.errno) ? 'base' : error;
  }
}

/** The table exists, but can't be opened: the RENAME reports the error. */
const BROKEN_TABLE: readonly number[] = [
  ...ER.CANT_BE_OPENED,
  ER.WRONG_MRG_TABLE,
  ER.CRASHED_ON_USAGE,
  ER.CRASHED_ON_REPAIR,
  ER.UNKNOWN_STORAGE_ENGINE,
];

/**
 * Facts that are read in the user's session, and how their answers are to be understood. Everything
 * is cast to BINARY, as character_set_results may be anything; LIMIT, as sql_select_limit may be
 * 0.
 */

import { assert } from '../assert.js';
import { type LastingStay, lastingStay } from '../moves/stays.js';
import { serverIdentitySql } from '../service/server-identity.js';
import { MalformedPacketError } from '../wire/packet-reader.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { Result } from '../wire/result-reader.js';
import {
  CANT_BE_OPENED,
  ER_BAD_DB_ERROR,
  ER_CRASHED_ON_REPAIR,
  ER_CRASHED_ON_USAGE,
  ER_DATA_OUT_OF_RANGE,
  ER_DBACCESS_DENIED_ERROR,
  ER_NO_SUCH_TABLE,
  ER_SPECIFIC_ACCESS_DENIED_ERROR,
  ER_TABLE_NOT_LOCKED,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_UNKNOWN_STORAGE_ENGINE,
  ER_UNKNOWN_TABLE,
  ER_WRONG_MRG_TABLE,
} from '../wire/server-errors.js';
import type { ServerVersion } from '../wire/server-version.js';
import type { UserFacts } from './request.js';
import type { UserSession } from './user-session.js';

/** The statement that reads `UserFacts`. */
export function factsSql(server: ServerVersion): Buffer {
  return selectFacts(server, '');
}

/**
 * Asks for them where the client's own statement follows. An error of the server is passed on. A
 * GTID of the session's own would be used up by a statement that fails.
 */
export async function readFactsBeforeText(
  session: UserSession,
  server: ServerVersion,
  gtidMayBeSet: boolean,
): Promise<UserFacts | ErrPacket> {
  const ask = async (text: Buffer) => {
    const [answer] = await session.run([{ kind: 'query', text }]);
    assert(answer !== undefined, 'the facts of the session have an answer');
    return readFacts(answer);
  };
  const facts = await ask(gtidMayBeSet ? factsSql(server) : failingFactsSql(server));
  // Settings of the session may be against its two rows (max_join_size, sql_buffer_result).
  return 'errno' in facts ? ask(factsSql(server)) : facts;
}

/**
 * `factsSql` with an error behind its row: so what MySQL still has to say of session tracking (a
 * CALL that failed may have changed a lot) goes to the client, as an ERR_Packet has no room for it.
 * MariaDB never says what comes behind an error.
 */
export function failingFactsSql(server: ServerVersion): Buffer {
  if (server.flavour !== 'mysql' || !tracksSchemas(server)) return factsSql(server);
  return selectFacts(server, 'FROM (SELECT 1 AS n UNION ALL SELECT 2) AS twice ', FAILING);
}

/** BIGINT's largest value: twice that is ER_DATA_OUT_OF_RANGE, in every sql_mode. */
const FAILING = { columns: ', n * 9223372036854775807', rows: 2 };

/**
 * The same for what the client's own statements follow: the server forgets the marker's error. Of a
 * SELECT without a table MySQL 5.6 and MariaDB keep the diagnostics of the statement before.
 */
export function cleanFactsSql(server: ServerVersion): Buffer {
  return selectFacts(server, 'FROM (SELECT 1 AS one) AS one ');
}

function selectFacts(
  server: ServerVersion,
  from: string,
  more: { readonly columns: string; readonly rows: number } = { columns: '', rows: 1 },
): Buffer {
  // MariaDB has no GTID_NEXT; its gtid_seq_no survives everything that we send.
  const gtidNext = server.flavour === 'mysql' && server.versionId >= 50605 ? '@@gtid_next' : "''";
  const identity = serverIdentitySql(server);
  const values = [
    'DATABASE()',
    '@@sql_mode',
    '@@character_set_client',
    // MariaDB's would be ON or OFF as text.
    '@@sql_log_bin + 0',
    gtidNext,
    identity,
    'USER()',
    '@@foreign_key_checks + 0',
    tracksSchemas(server) ? '@@session_track_schema + 0' : '0',
    tracksGtids(server) ? '@@session_track_gtids' : "'OFF'",
    '@@character_set_results',
    '@undrop',
    hasSqlIfExists(server) ? '@@sql_if_exists + 0' : '0',
    tracksSchemas(server) ? '@@session_track_state_change + 0' : '0',
    '@@collation_connection',
  ];
  const columns = values.map((value) => `CAST(${value} AS BINARY)`);
  return Buffer.from(`${FACTS}${columns.join(', ')}${more.columns} ${from}LIMIT ${more.rows}`);
}

/** Whether the answer to a text is one for `readFacts`. */
export function isFactsSql(text: Uint8Array): boolean {
  return Buffer.from(text).toString('latin1').startsWith(FACTS);
}

/** No time limit of the session's (MySQL 5.7.8 and later): a DROP has none. */
const FACTS = 'SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts */ ';

/** Servers with session tracking. */
function tracksSchemas({ flavour, versionId }: ServerVersion): boolean {
  return versionId >= (flavour === 'mysql' ? 50_704 : 100_202);
}

/**
 * Since MariaDB 10.5.2.
 * https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables
 */
function hasSqlIfExists({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mariadb' && versionId >= 100_502;
}

function tracksGtids({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mysql' && versionId >= 50_706;
}

/** Reads the answer to `factsSql` and its like; an error of the server is passed on. */
export function readFacts(result: Result): UserFacts | ErrPacket {
  if (result.kind === 'err' && result.errno !== ER_DATA_OUT_OF_RANGE) return result;
  const rows = result.kind === 'rows' || result.kind === 'err' ? result.rows : undefined;
  const row = rows?.[0];
  if (row === undefined && result.kind === 'err') return result;
  if (row === undefined) throw new MalformedPacketError('The facts of the session: no row.');
  const text = (index: number) => row[index]?.toString('utf8') ?? null;
  const gtidNext = text(4) ?? '';
  return {
    schema: text(0),
    sqlMode: text(1) ?? '',
    charset: text(2) ?? '',
    serverIdentity: text(5) ?? '',
    user: userName(text(6) ?? ''),
    account: text(6) ?? '',
    logged: text(3) !== '0',
    checksForeignKeys: text(7) !== '0',
    tracksSchema: text(8) === '1',
    tracksState: text(13) === '1',
    tracksGtids: (text(9) ?? 'OFF') !== 'OFF',
    resultsCharset: text(10),
    collation: text(14) ?? '',
    gtidNext: ['', 'AUTOMATIC', 'ANONYMOUS'].includes(gtidNext) ? null : gtidNext,
    addsIfExists: text(12) === '1',
    wish: text(11)?.trim() || null,
  };
}

/** The name in `name@host`; after COM_CHANGE_USER it isn't the one that logged in. */
function userName(account: string): string {
  const at = account.lastIndexOf('@');
  return at < 0 ? account : account.slice(0, at);
}

/** What answers to a name in the user's session. */
export type NameKind = 'temporary' | 'view' | 'base' | 'missing' | 'unlocked' | 'denied';

/**
 * Reads the answer to SHOW CREATE TABLE. Under character_set_results=utf16 and the like NULs stand
 * between the letters. An error that says nothing on the kind (a lock wait, a kill) is passed on.
 */
export function readKind(result: Result): NameKind | ErrPacket {
  if (result.kind === 'err') return kindOfError(result);
  if (result.kind !== 'rows') throw new MalformedPacketError('SHOW CREATE TABLE: no rows.');
  if (ascii(result.columns[0]) === 'View') return 'view';
  const definition = ascii(result.rows[0]?.[1]);
  return /^CREATE\s+TEMPORARY\s/i.test(definition) ? 'temporary' : 'base';
}

/** Why it is to be held in its own schema; or null. */
export function readLastingStay(result: Result, server: ServerVersion): LastingStay | null {
  return result.kind === 'rows' ? lastingStay(ascii(result.rows[0]?.[1]), server) : null;
}

/**
 * Whether the session's SHOW CREATE TABLE leaves out where files are: then the service is asked.
 * https://mariadb.com/docs/server/server-management/variables-and-modes/sql_mode
 */
export function hidesDirectories({ sqlMode }: UserFacts, { flavour }: ServerVersion): boolean {
  return flavour === 'mariadb' && sqlMode.split(',').some((mode) => HIDING.has(mode));
}

const HIDING: ReadonlySet<string> = new Set([
  ...['NO_DIR_IN_CREATE', 'NO_TABLE_OPTIONS', 'MYSQL323', 'MYSQL40'],
  ...['ANSI', 'DB2', 'MAXDB', 'MSSQL', 'ORACLE', 'POSTGRESQL'],
]);

/** Whether what answers to the name is a sequence of MariaDB's; no line ends within a literal. */
export function readIsSequence(result: Result): boolean {
  if (result.kind !== 'rows') return false;
  return /\n\) ENGINE=\w+ SEQUENCE=1(?: COMMENT='.*)?$/.test(ascii(result.rows[0]?.[1]));
}

function kindOfError(error: ErrPacket): NameKind | ErrPacket {
  switch (error.errno) {
    case ER_BAD_DB_ERROR:
    case ER_UNKNOWN_TABLE: // in information_schema
    case ER_NO_SUCH_TABLE:
      return 'missing';
    case ER_TABLE_NOT_LOCKED:
      return 'unlocked';
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
      return 'denied';
    default:
      return BROKEN_TABLE.includes(error.errno) ? 'base' : error;
  }
}

/** The table is there, but can't be opened: RENAME will say what it thinks of it. */
const BROKEN_TABLE: readonly number[] = [
  ...CANT_BE_OPENED,
  ER_WRONG_MRG_TABLE,
  ER_CRASHED_ON_USAGE,
  ER_CRASHED_ON_REPAIR,
  ER_UNKNOWN_STORAGE_ENGINE,
];

function ascii(bytes: Buffer | null | undefined): string {
  return Buffer.from((bytes ?? Buffer.alloc(0)).filter((byte) => byte !== 0)).toString('latin1');
}

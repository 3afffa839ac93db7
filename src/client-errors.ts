/**
 * The errors that a client can act on: statements that are refused, and what is wrong with them.
 */

/** An error as the registry describes it; its SQLSTATE follows from its errno. */
export interface DescribedError {
  /** Error number of the ERR packet; default: ER_UNKNOWN_ERROR. */
  readonly errno?: number;
  /** Expected and found; `{name}` is replaced by a parameter. */
  readonly text: string;
  /** The text for a client that may be unknown: no address, no cause, but a `{reference}`. */
  readonly forClients?: string;
  /** Instructions, in a sentence or two. */
  readonly remedy: string;
}

export const CLIENT_ERRORS = {
  UNDROP_PACKET_TOO_LARGE: {
    errno: 1153,
    text: 'Got a packet of {bytes} bytes, expected at most {bytesMax}; nothing of it was executed.',
    remedy: 'Send the statement in smaller pieces, or on a direct connection.',
  },
  UNDROP_MALFORMED_PACKET: {
    errno: 1835,
    text: 'Malformed communication packet: {problem}; nothing of it was executed.',
    remedy: 'Update the client library, or report the packet.',
  },
  UNDROP_UNKNOWN_COMMAND: {
    errno: 1047,
    text: 'Unknown command 0x{command}; it was not passed on, because it might destroy a table.',
    remedy: 'Use a direct connection for this command.',
  },
  UNDROP_TLS_NOT_OFFERED: {
    text: 'The client requested TLS, but this proxy does not offer it.',
    remedy:
      'Set UNDROP_TLS to offered, or connect without TLS (--ssl-mode=PREFERRED or DISABLED; --skip-ssl for mariadb).',
  },
  UNDROP_TLS_REQUIRED: {
    errno: 3159,
    text: 'Connections using insecure transport are prohibited: this proxy accepts only clients with TLS.',
    remedy: 'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.',
  },
  UNDROP_NO_TLS_BEHIND_REQUEST: {
    errno: 1043,
    text: 'The client requested TLS and sent more bytes before the TLS handshake; undrop read none of them.',
    remedy:
      'Find what inserts bytes between the client and this proxy: an attack, or a faulty relay.',
  },
  UNDROP_ACCOUNT_REQUIRES: {
    errno: 1045,
    text: 'Access denied: {why}.',
    remedy:
      'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb); for a login by client certificate, use a direct connection.',
  },
  UNDROP_SECURE_TRANSPORT: {
    errno: 3159,
    text: 'Connections using insecure transport are prohibited while --require_secure_transport=ON{why}.',
    remedy: 'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.',
  },
  UNDROP_PASSWORD_KEY: {
    errno: 1045,
    text: 'Access denied: the password was encrypted with a key other than that of this proxy.',
    remedy:
      'Let the client request the key (--get-server-public-key) instead of reading it from a file, or connect with TLS.',
  },
  UNDROP_OLD_CLIENT: {
    errno: 1043,
    text: 'Bad handshake: expected a HandshakeResponse41 (CLIENT_PROTOCOL_41), got something older.',
    remedy: 'Use a client library of MySQL 4.1 or later.',
  },
  UNDROP_LOGIN_TIMEOUT: {
    errno: 1159,
    text: 'Got timeout reading communication packets: the client did not answer within {loginTimeoutMs} ms during the login.',
    remedy: 'Answer sooner; the server itself waits for its connect_timeout at most.',
  },
  UNDROP_LONG_TEXT: {
    errno: 1235,
    text: 'The query was not executed, and the connection is closed: undrop must hold a query above 256 KiB that might drop a table in memory, and {why} in time.',
    remedy: 'Send its statements one by one, try again later, or use a direct connection.',
  },
  UNDROP_NOT_UNDERSTOOD: {
    errno: 1235,
    text: 'Nothing was dropped: the statement might drop a table or its rows, and undrop does not understand it ({why}).',
    remedy:
      'Write it in its plainest form (DROP TABLE [IF EXISTS] name [, name …]; TRUNCATE TABLE name), alone in its statement, or use a direct connection.',
  },
  UNDROP_TOO_MANY: {
    errno: 1235,
    text: 'Nothing was dropped: the query may drop tables, and has more than {max} {what}.',
    remedy: 'Split it into smaller queries, or use a direct connection.',
  },
  UNDROP_TOO_MANY_PREPARED: {
    errno: 1461,
    text: '{tables} not prepared: the prepared drops of this session have used up the memory for them.',
    remedy: 'Close prepared drops, or send this one as a query.',
  },
  UNDROP_NOT_UNDONE: {
    errno: 1235,
    text: 'Nothing was brought back: {why}.',
    remedy: '{instead}',
  },
  UNDROP_PARTLY: {
    text: '{failed} of {count} tables were not restored; the others were. {why}',
    remedy: 'Fix the causes, then restore the tables that are left.',
  },
  UNDROP_HINT: {
    errno: 1235,
    text: '{tables} not dropped: expected the hint {expected}, found {found}.',
    remedy:
      'Write /* undrop: pin */ into the statement, or SET @undrop before it; SET @undrop = NULL cancels it.',
  },
  UNDROP_IN_USE: {
    errno: 1142,
    text: '{tables} not dropped, still there: {table} was in use {seen}.',
    remedy:
      "Find the sessions that use it; to drop it nevertheless, write /* undrop: insist */ into the statement, or SET @undrop = 'insist' before it.",
  },
  UNDROP_RECYCLE_SCHEMA: {
    errno: 1142,
    text: 'Table {table} was not dropped: it is {what}.',
    remedy: 'See `undrop list`; `undrop restore` brings a table back.',
  },
  UNDROP_RECYCLE_SCHEMA_WRITE: {
    errno: 1142,
    text: 'The statement was not executed: {why}.',
    remedy:
      '{instead} `undrop list` shows what is held, `undrop restore` brings it back; for anything else use a direct connection.',
  },
  UNDROP_RECYCLE_SCHEMA_USE: {
    errno: 1044,
    text: 'A schema of undrop itself cannot be the default schema.',
    remedy:
      'Name it in each statement (SHOW TABLES FROM _undrop, SELECT * FROM _undrop.name); leave it out of dumps.',
  },
  UNDROP_CHANGED_MEANWHILE: {
    errno: 1205,
    text: '{tables} not dropped: other sessions changed the tables meanwhile (tries: {times}).',
    remedy: 'Run the statement again.',
  },
  UNDROP_NAME_CHARSET: {
    errno: 1235,
    text: 'Nothing was dropped: undrop cannot read a name in the character set {charset}.',
    remedy: 'SET NAMES utf8mb4, then drop.',
  },
  UNDROP_BAD_NAME: {
    errno: 1103,
    text: 'Expected a name of 1 to 64 characters without NUL, found {name}.',
    remedy: 'Use a name that the server accepts.',
  },
  UNDROP_NAME_TAKEN: {
    errno: 1050,
    text: 'Held table {id} was not restored: {table} exists.',
    remedy:
      'Swap the two (SWAP; --swap), restore under another name (TO; --to), or move the live table.',
  },
  UNDROP_NOT_SWAPPED: {
    text: 'Held table {id} was not swapped with {table}, and nothing was changed: {why}.',
    remedy: 'Restore it under another name (--to), and rename both by hand.',
  },
  UNDROP_CHECK_TAKEN: {
    errno: 3822,
    text: 'Held table {id} was not restored, and nothing was changed: in {schema} a live table has a CHECK of the same name ({cause}).',
    remedy:
      'Drop the live table through undrop, which holds it too, then restore this one; ' +
      'or restore it into another schema (--to other.t; TO in SQL), which keeps both.',
  },
  UNDROP_STATISTICS_LEFT: {
    errno: 1022,
    text: 'Held table {id} was not restored: the server keeps index statistics under the name {table}.',
    remedy:
      'Restore under another name (--to). mysql.innodb_table_stats and innodb_index_stats show ' +
      'whether they belong to a partition, or to a table that is gone.',
  },
  UNDROP_NOT_HELD: {
    errno: 1146,
    text: 'Expected held table {id} as {table}; it is not there.',
    remedy: 'It was restored, collected or renamed meanwhile: see `undrop list`.',
  },
  UNDROP_TRIGGERS_STAY: {
    errno: 1435,
    text: 'Held table {id} was not restored, and nothing was changed: it is held as {held} with its triggers, and the server moves no table with triggers to another schema.',
    remedy:
      'Restore it within its present schema: leave the schema out of --to or TO. To move it later, drop its triggers, move it, and create them again; `undrop show` has them.',
  },
  UNDROP_LEDGER_ROW: {
    text: 'Row {id} of _undrop.ledger cannot be read, so nothing was changed: its column detached holds a text that undrop did not write ({cause}).',
    remedy:
      'Correct it by means of the column restore_script; or set it to NULL, and the table comes back without foreign keys, triggers and CHECKs.',
  },
  UNDROP_NOT_RESTORABLE: {
    text: 'Held table {id} is in state {state}: some of its rows may be gone.',
    remedy: 'Restore a backup, or rename it by hand to see which rows are left.',
  },
  UNDROP_BUSY: {
    errno: 1205,
    text: 'Table {table} is locked by another session, so nothing was changed ({cause}).',
    remedy: 'Try again, or find the session in the processlist.',
  },
  UNDROP_HOLD_NOT_CHANGED: {
    text: 'The hold of table {table} ({id}) was not changed: {why}.',
    remedy: '{instead}',
  },
  UNDROP_NO_SUCH_HELD: {
    errno: 1146,
    text: 'No held table matches "{target}".{fate}',
    remedy:
      '`undrop list` and SHOW DROPPED TABLES show what can be restored. Give the first or last 4 ' +
      'digits of an id, or more; put a name with a dot in backticks. The id of a drop of several ' +
      'tables goes to `undrop restore --drop`.',
  },
  UNDROP_AMBIGUOUS: {
    text: 'Expected {target} to match one drop, found {found}.',
    remedy: 'Give schema.table, the id, or more digits of the id.',
  },
  UNDROP_API_SIGN_IN: {
    errno: 1045,
    text: 'Expected an account that the server accepts, by HTTP Basic.',
    remedy: 'Give the user and the password of an account of the server.',
  },
  UNDROP_API_DENIED: {
    errno: 1142,
    text: 'The server denied it to this account: {cause}.',
    remedy: 'Sign in with an account that may do it; docs/undo.md lists the privileges.',
  },
  UNDROP_API_REQUEST: {
    text: 'Expected in {name} {expected}, found {found}.',
    remedy: 'GET /api/v1/openapi.json lists all requests.',
  },
  UNDROP_API_ROUTE: {
    text: 'There is no {route}.',
    remedy: 'GET /api/v1/openapi.json lists all requests.',
  },
  UNDROP_API_BUSY: {
    text: 'Too many requests are open, or too many tries to sign in have failed.',
    remedy: 'Try again in a minute.',
  },
  UNDROP_API_SERVER: {
    text: 'The server refused the statement: {cause}.',
    remedy: 'Correct what it names, and try again.',
  },
  UNDROP_API_AWAY: {
    text: 'The proxy did not answer: {cause}.',
    remedy: 'Try again in a minute; the log of undrop says more.',
  },
  UNDROP_NO_ORIGIN: {
    text: 'The original name of held table {id} is not in the ledger.',
    remedy: 'Give it a name: --to schema.name.',
  },
  UNDROP_BAD_TARGET: {
    text: 'Expected [schema.]name outside the schemas of undrop and the server, found "{target}".',
    remedy:
      'Give --to a name like orders_old or shop.orders_old, of 64 characters at most; quote with ' +
      'backticks where needed.',
  },
  UNDROP_NO_SUCH_SCHEMA: {
    errno: 1049,
    text: 'No dropped schema "{schema}" can be restored.{fate}',
    remedy:
      '`undrop list` shows what can be restored. UNDROP DATABASE takes the whole name, and restores its newest drop; `undrop restore --schema` also takes a drop id.',
  },
  UNDROP_SCHEMA_BUSY: {
    errno: 1205,
    text: 'Schema {schema} was not restored, and nothing was changed: {why}.',
    remedy: 'Try again in a moment.',
  },
  UNDROP_SCHEMA_MISSING: {
    errno: 1049,
    text: 'Held table {id} was not restored: there is no schema {schema}, or the service account has no privilege on it.',
    remedy:
      'If the schema was dropped through undrop, restore all of it (UNDROP DATABASE, or `undrop restore --schema`); otherwise create it, or restore into another one (--to schema.name; TO in SQL). `undrop doctor` lists the schemas of the account.',
  },
} as const satisfies Record<string, DescribedError>;

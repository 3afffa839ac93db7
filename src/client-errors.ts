/**
 * The errors that a client can act on: statements that are refused, and what is wrong with them.
 * Each has errno and SQLSTATE, a text (expected and found; `{name}` is replaced by a parameter), a
 * remedy of a sentence or two, and where the client may be unknown the text for it: without address
 * and cause, but with a `{reference}`.
 */
export const CLIENT_ERRORS = {
  UNDROP_PACKET_TOO_LARGE: `1153 08S01
    Got a packet of {bytes} bytes, expected at most {bytesMax}; nothing of it was executed.
    Send the statement in smaller pieces, or on a direct connection.`,
  UNDROP_MALFORMED_PACKET: `1835 HY000
    Malformed communication packet: {problem}; nothing of it was executed.
    Update the client library, or report the packet.`,
  UNDROP_UNKNOWN_COMMAND: `1047 08S01
    Unknown command 0x{command}; it was not passed on, because it might destroy a table.
    Use a direct connection for this command.`,
  UNDROP_TLS_NOT_OFFERED: `1105 HY000
    The client requested TLS, but this proxy does not offer it.
    Set UNDROP_TLS to offered, or connect without TLS (--ssl-mode=PREFERRED or DISABLED; --skip-ssl for mariadb).`,
  UNDROP_TLS_REQUIRED: `3159 HY000
    Connections using insecure transport are prohibited: this proxy accepts only clients with TLS.
    Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.`,
  UNDROP_NO_TLS_BEHIND_REQUEST: `1043 08S01
    The client requested TLS and sent more bytes before the TLS handshake; undrop read none of them.
    Find what inserts bytes between the client and this proxy: an attack, or a faulty relay.`,
  UNDROP_ACCOUNT_REQUIRES: `1045 28000
    Access denied: {why}.
    Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb); for a login by client certificate, use a direct connection.`,
  UNDROP_SECURE_TRANSPORT: `3159 HY000
    Connections using insecure transport are prohibited while --require_secure_transport=ON{why}.
    Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.`,
  UNDROP_PASSWORD_KEY: `1045 28000
    Access denied: the password was encrypted with a key other than that of this proxy.
    Let the client request the key (--get-server-public-key) instead of reading it from a file, or connect with TLS.`,
  UNDROP_OLD_CLIENT: `1043 08S01
    Bad handshake: expected a HandshakeResponse41 (CLIENT_PROTOCOL_41), got something older.
    Use a client library of MySQL 4.1 or later.`,
  UNDROP_LOGIN_TIMEOUT: `1159 08S01
    Got timeout reading communication packets: the client did not answer within {loginTimeoutMs} ms during the login.
    Answer sooner; the server itself waits for its connect_timeout at most.`,
  UNDROP_LONG_TEXT: `1235 42000
    The query was not executed, and the connection is closed: undrop must hold a query above 256 KiB that might drop a table in memory, and {why} in time.
    Send its statements one by one, or try again later.`,
  UNDROP_NOT_UNDERSTOOD: `1235 42000
    Nothing was dropped: the statement might drop a table or its rows, and undrop does not understand it ({why}).
    Write it in its plainest form (DROP TABLE [IF EXISTS] name [, name …]; TRUNCATE TABLE name), alone in its statement, or ask an operator of undrop.`,
  UNDROP_TOO_MANY: `1235 42000
    Nothing was dropped: the query may drop tables, and has more than {max} {what}.
    Split it into smaller queries.`,
  UNDROP_TOO_MANY_PREPARED: `1461 42000
    {tables} not prepared: the prepared drops of this session have used up the memory for them.
    Close prepared drops, or send this one as a query.`,
  UNDROP_NOT_UNDONE: `1235 42000
    Nothing was brought back: {why}.
    {instead}`,
  UNDROP_PARTLY: `1105 HY000
    {failed} of {count} tables were not restored. {why}
    Fix the causes, then restore the tables that are left.`,
  UNDROP_HINT: `1235 42000
    {tables} not dropped: expected the hint {expected}, found {found}.
    Write /* undrop: pin */ into the statement, or SET @undrop before it; SET @undrop = NULL cancels it.`,
  UNDROP_IN_USE: `1142 42000
    {tables} not dropped, still there: {table} was in use {seen}.
    Find the sessions that use it; to drop it nevertheless, write /* undrop: insist */ into the statement, or SET @undrop = 'insist' before it.`,
  UNDROP_RECYCLE_SCHEMA: `1142 42000
    Table {table} was not dropped: it is {what}.
    See \`undrop list\`; \`undrop restore\` brings a table back.`,
  UNDROP_RECYCLE_SCHEMA_WRITE: `1142 42000
    The statement was not executed: {why}.
    {instead} \`undrop list\` shows what is held, \`undrop restore\` brings it back.`,
  UNDROP_RECYCLE_SCHEMA_USE: `1044 42000
    A schema of undrop itself cannot be the default schema.
    Name it in each statement (SHOW TABLES FROM _undrop, SELECT * FROM _undrop.name); leave it out of dumps.`,
  UNDROP_CHANGED_MEANWHILE: `1205 HY000
    {tables} not dropped: other sessions changed the tables meanwhile (tries: {times}).
    Run the statement again.`,
  UNDROP_NAME_CHARSET: `1235 42000
    Nothing was dropped: undrop cannot read a name in the character set {charset}.
    SET NAMES utf8mb4, then drop.`,
  UNDROP_BAD_NAME: `1103 42000
    Expected a name of 1 to 64 characters without NUL, found {name}.
    Use a name that the server accepts.`,
  UNDROP_NAME_TAKEN: `1050 42S01
    Held table {id} was not restored: {table} exists.
    Swap the two (SWAP; --swap), restore under another name (TO; --to), or move the live table.`,
  UNDROP_NOT_ALL: `1105 HY000
    Nothing was restored: {count} stand in the way. {why}
    PARTIAL (--partial) restores the others.{instead}`,
  UNDROP_NOT_SWAPPED: `1105 HY000
    Held table {id} was not swapped with {table}, and nothing was changed: {why}.
    Restore it under another name (--to), and rename both by hand.`,
  UNDROP_CHECK_TAKEN: `3822 HY000
    Held table {id} was not restored, and nothing was changed: in {schema} a live table has a CHECK of the same name ({cause}).
    Drop the live table through undrop, which holds it too, then restore this one; or restore it into another schema (--to other.t; TO in SQL), which keeps both.`,
  UNDROP_STATISTICS_LEFT: `1022 23000
    Held table {id} was not restored: the server keeps index statistics under the name {table}.
    Restore under another name (--to). mysql.innodb_table_stats and innodb_index_stats show whether they belong to a partition, or to a table that is gone.`,
  UNDROP_NOT_HELD: `1146 42S02
    Expected held table {id} as {table}; it is not there.
    It was restored, collected or renamed meanwhile: see \`undrop list\`.`,
  UNDROP_TRIGGERS_STAY: `1435 HY000
    Held table {id} was not restored, and nothing was changed: it is held as {held} with its triggers, and the server moves no table with triggers to another schema.
    Restore it within its present schema: leave the schema out of --to or TO. To move it later, drop its triggers, move it, and create them again; \`undrop show\` has them.`,
  UNDROP_LEDGER_ROW: `1105 HY000
    Row {id} of _undrop.ledger cannot be read, so nothing was changed: its column detached holds a text that undrop did not write ({cause}).
    Correct it by means of the column restore_script; or set it to NULL, and the table comes back without foreign keys, triggers and CHECKs.`,
  UNDROP_NOT_RESTORABLE: `1105 HY000
    Held table {id} is in state {state}: some of its rows may be gone.
    Restore a backup, or rename it by hand to see which rows are left.`,
  UNDROP_BUSY: `1205 HY000
    Table {table} is locked by another session, so nothing was changed ({cause}).
    Try again, or find the session in the processlist.`,
  UNDROP_HOLD_NOT_CHANGED: `1105 HY000
    The hold of table {table} ({id}) was not changed: {why}.
    {instead}`,
  UNDROP_NO_SUCH_HELD: `1146 42S02
    No held table matches "{target}".{fate}
    \`undrop list\` and SHOW DROPPED TABLES show what can be restored. Give the first or last 4 digits of an id, or more; put a name with a dot in backticks. The id of a drop of several tables goes to \`undrop restore --drop\`.`,
  UNDROP_AMBIGUOUS: `1105 HY000
    Expected {target} to match one drop, found {found}.
    Give schema.table, the id, or more digits of the id.`,
  UNDROP_API_SIGN_IN: `1045 28000
    Expected an account that the server accepts, by HTTP Basic.
    Give the user and the password of an account of the server.`,
  UNDROP_API_DENIED: `1142 42000
    The server denied it to this account: {cause}.
    Sign in with an account that may do it; docs/undo.md lists the privileges.`,
  UNDROP_API_REQUEST: `1105 HY000
    Expected in {name} {expected}, found {found}.
    GET /api/v1/openapi.json lists all requests.`,
  UNDROP_API_ROUTE: `1105 HY000
    There is no {route}.
    GET /api/v1/openapi.json lists all requests.`,
  UNDROP_API_BUSY: `1105 HY000
    Too many requests are open, or too many tries to sign in have failed.
    Try again in a minute.`,
  UNDROP_API_SERVER: `1105 HY000
    The server refused the statement: {cause}.
    Correct what it names, and try again.`,
  UNDROP_API_AWAY: `1105 HY000
    The proxy did not answer: {cause}.
    Try again in a minute; the log of undrop says more.`,
  UNDROP_NO_ORIGIN: `1105 HY000
    The original name of held table {id} is not in the ledger.
    Give it a name: --to schema.name.`,
  UNDROP_BAD_TARGET: `1105 HY000
    Expected [schema.]name outside the schemas of undrop and the server, found "{target}".
    Give --to a name like orders_old or shop.orders_old, of 64 characters at most; quote with backticks where needed.`,
  UNDROP_NO_SUCH_SCHEMA: `1049 42000
    No dropped schema "{schema}" can be restored.{fate}
    \`undrop list\` shows what can be restored. UNDROP DATABASE takes the whole name, and restores its newest drop; \`undrop restore --schema\` also takes a drop id.`,
  UNDROP_SCHEMA_BUSY: `1205 HY000
    Schema {schema} was not restored, and nothing was changed: {why}.
    Try again in a moment.`,
  UNDROP_SCHEMA_MISSING: `1049 42000
    Held table {id} was not restored: there is no schema {schema}, or the service account has no privilege on it.
    If the schema was dropped through undrop, restore all of it (UNDROP DATABASE, or \`undrop restore --schema\`); otherwise create it, or restore into another one (--to schema.name; TO in SQL). \`undrop doctor\` lists the schemas of the account.`,
} as const satisfies Record<string, string>;

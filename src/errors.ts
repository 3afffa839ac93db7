/**
 * The error registry: every error that undrop itself answers with, declared once. docs/errors.md is
 * generated from this table (`UPDATE_GOLDEN=1 npm test -- errors`).
 *
 * Invariant: what a client may see of our own errors is exactly what stands here; anything else
 * reaches it as UNDROP_INTERNAL with a reference to the log (`toClientError`).
 * errno and SQLSTATE are of the server's ranges (1000–1999 and from 3000 on; 2000–2999 belongs to
 * client libraries).
 */

/** Who has to act: the one who sent it, the server, who runs undrop, or its developers. */
export type Fault = 'client' | 'upstream' | 'operator' | 'us';

/** The level at which the log has an error, by its fault; `metrics.ts` counts refusals by it. */
export const LOG_LEVELS = {
  client: 'warn',
  upstream: 'warn',
  operator: 'warn',
  us: 'error',
} as const satisfies Record<Fault, 'warn' | 'error'>;

export interface ErrorEntry {
  readonly fault: Fault;
  /** Error number of the ERR packet. */
  readonly errno: number;
  /** Five characters. */
  readonly sqlState: string;
  /** What was expected and what came; `{name}` is replaced by a parameter. */
  readonly text: string;
  /** What a client gets instead, who may be anybody: no address, no cause, but a `{reference}`. */
  readonly forClients?: string;
  /** One sentence on what to do. */
  readonly remedy: string;
}

export const ERRORS = {
  UNDROP_INTERNAL: {
    fault: 'us',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Internal error of undrop (reference {reference}); no table was destroyed.',
    remedy: 'Look for the reference in the log of undrop and report it.',
  },
  UNDROP_CONFIG: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: '{problems}',
    remedy: 'Run the command with `--help` for its settings, with unit, range and default.',
  },
  UNDROP_PACKET_TOO_LARGE: {
    fault: 'client',
    errno: 1153,
    sqlState: '08S01',
    text: 'Got a packet of {bytes} bytes, expected at most {bytesMax}; nothing of it was executed.',
    remedy: 'Send the statement in smaller pieces, or on a direct connection to the server.',
  },
  UNDROP_MALFORMED_PACKET: {
    fault: 'client',
    errno: 1835,
    sqlState: 'HY000',
    text: 'Malformed communication packet: {problem}; nothing of it was executed.',
    remedy: 'Update the client library, or report the packet.',
  },
  UNDROP_UNKNOWN_COMMAND: {
    fault: 'client',
    errno: 1047,
    sqlState: '08S01',
    text: 'Unknown command 0x{command}; it was not passed on, because it might destroy a table.',
    remedy: 'Use a direct connection to the server for this command.',
  },
  UNDROP_TLS_NOT_OFFERED: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The client asked for TLS, which this proxy does not offer.',
    remedy:
      'Set UNDROP_TLS to offered, or connect without TLS (--ssl-mode=PREFERRED or DISABLED; --skip-ssl for mariadb).',
  },
  UNDROP_TLS_REQUIRED: {
    fault: 'client',
    errno: 3159,
    sqlState: 'HY000',
    text: 'Connections using insecure transport are prohibited: this proxy accepts only clients with TLS.',
    remedy: 'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.',
  },
  UNDROP_NO_TLS_BEHIND_REQUEST: {
    fault: 'client',
    errno: 1043,
    sqlState: '08S01',
    text: 'The client asked for TLS, and sent something else after its request, which was not read.',
    remedy: 'Look for what put bytes between the client and this proxy: an attack, or a bad relay.',
  },
  UNDROP_UPSTREAM_TLS: {
    fault: 'upstream',
    errno: 1043,
    sqlState: '08S01',
    text: 'No TLS with the server at {upstream}: {cause}.',
    forClients: 'No TLS with the server; the log of undrop says why (reference {reference}).',
    remedy: 'Check UNDROP_UPSTREAM_TLS, UNDROP_UPSTREAM_CA and the certificate of the server.',
  },
  UNDROP_CLEARTEXT_PASSWORD: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'Access denied: {plugin} would send the password in clear over the connection to the server, which is not encrypted, although yours is.',
    remedy: 'Set UNDROP_UPSTREAM_TLS to required or stricter.',
  },
  UNDROP_SERVER_KEY: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'Access denied: the password was not sent to the server, because others on the way could read it: {problem}.',
    remedy:
      'Set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca, or UNDROP_UPSTREAM_PUBLIC_KEY to the public_key.pem of the server.',
  },
  UNDROP_OS_USER: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'Access denied for this account over the unix socket through which undrop reaches the server: {why}.',
    remedy:
      'Set UNDROP_UPSTREAM to host:port, or let the account log in by a password only; on a direct connection it works.',
  },
  UNDROP_ACCOUNT_REQUIRES: {
    fault: 'client',
    errno: 1045,
    sqlState: '28000',
    text: 'Access denied: {why}.',
    remedy:
      'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb); with a certificate of your own, to the server directly.',
  },
  UNDROP_SECURE_TRANSPORT: {
    fault: 'client',
    errno: 3159,
    sqlState: 'HY000',
    text: 'Connections using insecure transport are prohibited while --require_secure_transport=ON{why}.',
    remedy: 'Connect with TLS (--ssl-mode=REQUIRED; --ssl for mariadb), or by a unix socket.',
  },
  UNDROP_PASSWORD_KEY: {
    fault: 'client',
    errno: 1045,
    sqlState: '28000',
    text: 'Access denied: the password was encrypted with a key other than that of this proxy.',
    remedy:
      'Let the client ask for the key (--get-server-public-key) instead of reading the key of the server from a file, or connect with TLS.',
  },
  UNDROP_OLD_CLIENT: {
    fault: 'client',
    errno: 1043,
    sqlState: '08S01',
    text: 'Bad handshake: expected a HandshakeResponse41 (CLIENT_PROTOCOL_41), got something older.',
    remedy: 'Use a client library of MySQL 4.1 or later.',
  },
  UNDROP_LOGIN_TIMEOUT: {
    fault: 'client',
    errno: 1159,
    sqlState: '08S01',
    text: 'Got timeout reading communication packets: the login waited {loginTimeoutMs} ms for the client.',
    remedy: 'Answer sooner, or raise UNDROP_LOGIN_TIMEOUT and connect_timeout of the server.',
  },
  UNDROP_TOO_MANY_CONNECTIONS: {
    fault: 'operator',
    errno: 1040,
    sqlState: '08004',
    text: 'Too many connections: undrop takes {connectionsMax} at a time.',
    remedy: 'Close some, or raise UNDROP_MAX_CONNECTIONS.',
  },
  UNDROP_OPEN_FILES: {
    fault: 'operator',
    errno: 1040,
    sqlState: '08004',
    text: 'Too many connections: undrop may open no more files ({cause}).',
    forClients: 'Too many connections; the log of undrop says why (reference {reference}).',
    remedy: 'Raise its limit of open files (ulimit -n), or lower UNDROP_MAX_CONNECTIONS.',
  },
  UNDROP_PROXY_HEADER: {
    fault: 'operator',
    errno: 1043,
    sqlState: '08S01',
    text: 'Expected a header of the PROXY protocol: {problem}.',
    remedy: 'Let the load balancer send one, or remove its address from UNDROP_PROXY_PROTOCOL.',
  },
  UNDROP_UPSTREAM_UNREACHABLE: {
    fault: 'upstream',
    errno: 1053,
    sqlState: '08S01',
    text: 'The server at {upstream} could not be reached: {cause}.',
    forClients:
      'The server could not be reached; the log of undrop says why (reference {reference}).',
    remedy: 'Check UNDROP_UPSTREAM and that the server runs.',
  },
  UNDROP_SHUTTING_DOWN: {
    fault: 'operator',
    errno: 1053,
    sqlState: '08S01',
    text: 'The proxy is shutting down.',
    remedy: 'Connect again.',
  },
  UNDROP_NOT_DONE_YET: {
    fault: 'operator',
    errno: 1235,
    sqlState: '42000',
    text: '{tables} not dropped, and nothing of the statement was executed: this version of undrop cannot hold what is dropped {how}.',
    remedy: '{instead}',
  },
  UNDROP_LONG_TEXT: {
    fault: 'client',
    errno: 1235,
    sqlState: '42000',
    text: 'Nothing of this query was executed, and the connection ends here: a query above 256 KiB that might drop a table must be held in memory, and {why} in time.',
    remedy:
      'Send its statements one by one, try again later, or use a direct connection to the server.',
  },
  UNDROP_NOT_UNDERSTOOD: {
    fault: 'client',
    errno: 1235,
    sqlState: '42000',
    text: 'Nothing was dropped: the statement might drop a table or its rows, and undrop does not understand it ({why}).',
    remedy:
      'Write it in its plainest form (DROP TABLE [IF EXISTS] name [, name …]; TRUNCATE TABLE name), alone in its statement, or use a direct connection.',
  },
  UNDROP_TOO_MANY: {
    fault: 'client',
    errno: 1235,
    sqlState: '42000',
    text: 'Nothing was dropped: the query may drop tables, and has more than {max} {what}.',
    remedy: 'Split it into smaller queries, or use a direct connection.',
  },
  UNDROP_TOO_MANY_PREPARED: {
    fault: 'client',
    errno: 1461,
    sqlState: '42000',
    text: '{tables} not prepared to be dropped: the prepared drops of {whose} have used up the memory for them.',
    remedy: 'Close prepared drops that are not needed any more, or send this one as a query.',
  },
  UNDROP_NOT_JUDGED: {
    fault: 'operator',
    errno: 1461,
    sqlState: '42000',
    text: 'Nothing was dropped: undrop has the server check each drop by preparing it, and the server can prepare no more statements.',
    remedy:
      'Raise max_prepared_stmt_count, or close prepared statements that are not needed any more.',
  },
  UNDROP_RULE: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text: '{tables} not dropped: UNDROP_RULES says of {table}: {rule}.',
    remedy: 'Ask who runs undrop; the rule can be changed while it runs.',
  },
  UNDROP_RULE_NOT_JUDGED: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text:
      '{tables} not dropped, still there: the hint destroy is not allowed if a rule of ' +
      'UNDROP_RULES may refuse it, and the service account does not see enough to tell: {rule}.',
    remedy:
      'Drop it without the hint; or grant the service account what `undrop doctor` says it lacks. ' +
      'Only MySQL 8 and later know the age of a table.',
  },
  UNDROP_HINT: {
    fault: 'client',
    errno: 1235,
    sqlState: '42000',
    text: '{tables} not dropped: expected as a hint {expected}, found {found}.',
    remedy:
      'Write /* undrop: pin */ into the statement, or SET @undrop before it; SET @undrop = NULL cancels it.',
  },
  UNDROP_DESTROY: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text: '{tables} not dropped, still there: the hint destroy is not allowed {why}.',
    remedy: '{instead}',
  },
  UNDROP_HINT_TOO_SHORT: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text:
      '{tables} not dropped, still there: the hint {hint} is shorter than {min}, ' +
      'the shortest hold that a hint may ask for here.',
    remedy:
      'Drop it without the hint, or with a longer hold; or set UNDROP_MIN_HOLD, ' +
      'UNDROP_ALLOW_DESTROY to users, or a rule for such tables.',
  },
  UNDROP_RECYCLE_SCHEMA: {
    fault: 'client',
    errno: 1142,
    sqlState: '42000',
    text: 'Table {table} was not dropped: it is {what}.',
    remedy: 'See `undrop list`; use `undrop restore` to bring a table back.',
  },
  UNDROP_RECYCLE_SCHEMA_WRITE: {
    fault: 'client',
    errno: 1142,
    sqlState: '42000',
    text: 'The statement was not executed: {why}, and what undrop keeps there is only read through it.',
    remedy:
      '{instead} `undrop list` shows what is held and `undrop restore` brings it back; for anything else use a direct connection to the server.',
  },
  UNDROP_LOCKED_TABLES: {
    fault: 'operator',
    errno: 1235,
    sqlState: '42000',
    text: '{tables} not dropped, still there: the session holds LOCK TABLES, under which it can’t be held: that takes the privileges ALTER, CREATE and INSERT on it, and no GTID_NEXT.',
    remedy: 'UNLOCK TABLES first.',
  },
  UNDROP_PRIVILEGES: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text: '{tables} not dropped, still there: neither you nor the service account of undrop may rename it: {cause}.',
    remedy:
      'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account; for DROP PARTITION on MySQL also LOCK TABLES.',
  },
  UNDROP_HOLD_FAILED: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: '{tables} not dropped, still there: undrop could not hold it: {cause}.',
    remedy:
      'Repair what is named (a trigger with an error in its body: DROP TRIGGER; a discarded tablespace: IMPORT TABLESPACE), or drop the table on a direct connection if its rows are not needed.',
  },
  UNDROP_CHANGED_MEANWHILE: {
    fault: 'client',
    errno: 1205,
    sqlState: 'HY000',
    text: '{tables} not dropped: other sessions changed the tables meanwhile (tries: {times}).',
    remedy: 'Run the statement again.',
  },
  UNDROP_SCHEMA_NOT_DROPPED: {
    fault: 'operator',
    errno: 1235,
    sqlState: '42000',
    text: 'Schema {schema} was not dropped, nor any of its tables: {why}.',
    remedy: '{instead}',
  },
  UNDROP_SCHEMA_IN_BETWEEN: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Schema {schema} was not dropped, but not all of its tables are back yet: {why}.',
    remedy:
      'Nothing is lost, and undrop goes on with it; `undrop list` shows what is held, and `undrop restore` brings it back.',
  },
  UNDROP_FATE_UNKNOWN: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: '{tables} dropped, or not: the connection to the server broke meanwhile ({cause}).',
    remedy: 'Check whether they are there; what was dropped is held, and `undrop list` shows it.',
  },
  UNDROP_PARTITIONS_LEFT: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Not all partitions of {table} were done: the rows of {names} are held, all others are where they were ({cause}).',
    remedy: 'Run the statement again for the others; `undrop list` shows what is held.',
  },
  UNDROP_NAME_CHARSET: {
    fault: 'client',
    errno: 1235,
    sqlState: '42000',
    text: 'Nothing was dropped: undrop cannot read a name in the character set {charset}.',
    remedy: 'SET NAMES utf8mb4, then drop.',
  },
  UNDROP_NOT_RECORDED: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: '{tables} not dropped, nothing was changed: the way back could not be recorded ({cause}).',
    remedy: 'Check that the service account can write to the schema _undrop of this server.',
  },
  UNDROP_NOT_SEEN: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: '{tables} not dropped, still there: the service account does not see {table}.',
    remedy:
      'Check that its grants cover the schema (UNDROP_SCHEMAS with the tier least; `undrop doctor` lists them), or run the statement again if another session has changed the table.',
  },
  UNDROP_SESSION_NOT_FOUND: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: '{tables} not dropped, still there: the service account does not see your session {threadId} on its server.',
    remedy:
      'Check that UNDROP_UPSTREAM leads to one server, and grant PROCESS to the service account.',
  },
  UNDROP_ACCOUNT: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'The server at {server} refuses the service account: {cause}.',
    remedy: 'Check UNDROP_USER and UNDROP_PASSWORD, and from where the account may connect.',
  },
  UNDROP_ADMIN_ACCOUNT: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'The server at {server} refuses the account of the administrator: {cause}.',
    remedy:
      'Check UNDROP_ADMIN_USER and UNDROP_ADMIN_PASSWORD, and from where that account may connect.',
  },
  UNDROP_MISSING_RIGHT: {
    fault: 'operator',
    errno: 1142,
    sqlState: '42000',
    text: 'The server denies {account} a privilege that this needs: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_READ_ONLY: {
    fault: 'operator',
    errno: 1290,
    sqlState: 'HY000',
    text: 'Held table {id} was not restored: this server is read-only ({cause}).',
    remedy: 'Restore it on the source of this replica, which follows; or make the server writable.',
  },
  UNDROP_ACCOUNT_UNFINISHED: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The account {account} was made, {what}: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_OTHER_PASSWORD: {
    fault: 'operator',
    errno: 1045,
    sqlState: '28000',
    text: 'The account {account} was there already: it has the privileges of the tier {tier} now, its password was not changed, and the server at {server} refuses UNDROP_PASSWORD: {cause}.',
    remedy:
      'Set UNDROP_PASSWORD to the password that the account has, or give it this one: ALTER USER … IDENTIFIED BY (MySQL 5.6: SET PASSWORD).',
  },
  UNDROP_LISTEN: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Could not listen on {address}: {cause}.',
    remedy: 'Choose a free address with UNDROP_LISTEN.',
  },
  UNDROP_WORKER: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'A worker process could not serve: {cause}',
    remedy: 'Try UNDROP_WORKERS=1, which serves in one process.',
  },
  UNDROP_SERVICE_FAILED: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The service account could not {step} on {server}: {cause}.',
    remedy: 'Check UNDROP_USER, its password and its grants, and that the server is reachable.',
  },
  UNDROP_DEADLINE: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The server {server} gave the service connection no answer within {deadlineMs} ms.',
    remedy: 'Look at the load of the server and at the network between it and undrop.',
  },
  UNDROP_BAD_NAME: {
    fault: 'client',
    errno: 1103,
    sqlState: '42000',
    text: 'Expected a name of 1 to 64 characters without NUL, found {name}.',
    remedy: 'Use a name that the server takes.',
  },
  UNDROP_LEDGER_UNAVAILABLE: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The ledger could not be written on {server} ({cause}), so nothing was dropped.',
    remedy: 'Check the grants of the service account on _undrop and the free disk space.',
  },
  UNDROP_NAME_TAKEN: {
    fault: 'client',
    errno: 1050,
    sqlState: '42S01',
    text: 'Held table {id} was not restored: {table} exists.',
    remedy: 'Restore under another name (--to), or move the live table out of the way first.',
  },
  UNDROP_STATISTICS_LEFT: {
    fault: 'client',
    errno: 1022,
    sqlState: '23000',
    text: 'Held table {id} was not restored: the server keeps index statistics under the name {table}.',
    remedy:
      'Restore under another name (--to). They belong to a partition, or to a table that is gone: ' +
      'mysql.innodb_table_stats and innodb_index_stats show which.',
  },
  UNDROP_NOT_HELD: {
    fault: 'client',
    errno: 1146,
    sqlState: '42S02',
    text: 'Expected held table {id} as {table}; it is not there.',
    remedy: 'Look at `undrop list`: it was restored, collected or renamed meanwhile.',
  },
  UNDROP_NOT_RESTORABLE: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Held table {id} is in state {state}: rows of it may be gone.',
    remedy: 'Bring it back from a backup, or rename it by hand to see what is left.',
  },
  UNDROP_TORN: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Table {table} is torn: the server was killed during its RENAME, and some of its partitions have the hold name. Nothing was changed.',
    remedy: 'Repair it as docs/what-if.md says, "A partitioned table is torn".',
  },
  UNDROP_BUSY: {
    fault: 'client',
    errno: 1205,
    sqlState: 'HY000',
    text: 'Table {table} is locked by another session, so nothing was changed ({cause}).',
    remedy: 'Try again, or find the session in the processlist.',
  },
  UNDROP_NOT_COLLECTOR: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'This proxy does not have the collector lock of the server any more.',
    remedy: 'Nothing: another proxy collects, or this one as soon as it gets the lock again.',
  },
  UNDROP_NO_SUCH_HELD: {
    fault: 'client',
    errno: 1146,
    sqlState: '42S02',
    text: 'No table is held under the name or id "{target}".{similar}',
    remedy:
      'Look at `undrop list` for everything that can be brought back; of an id at least the first ' +
      '4 digits are needed.',
  },
  UNDROP_AMBIGUOUS: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Expected one held table for {target}, found {found}.',
    remedy: 'Name it as schema.table, or by more digits of its id.',
  },
  UNDROP_NO_ORIGIN: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Held table {id} has no row in the ledger, so its original name is not known.',
    remedy: 'Give it a name: --to schema.name.',
  },
  UNDROP_BAD_TARGET: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Expected [schema.]name outside the schemas of undrop and the server, found "{target}".',
    remedy:
      'Give --to a name like orders_old or shop.orders_old, of 64 characters at most; quote with ' +
      'backticks where needed.',
  },
  UNDROP_SCHEMA_MISSING: {
    fault: 'client',
    errno: 1049,
    sqlState: '42000',
    text: 'Held table {id} was not restored: there is no schema {schema}, or the service account has no privilege on it.',
    remedy:
      'Create the schema first, by the script that the ledger has if it was dropped through undrop (docs/what-if.md), or restore into another one (--to schema.name). `undrop doctor` lists the schemas that the account has privileges on.',
  },
  UNDROP_DEMO_NO_SERVER: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'No throwaway server could be started here: {problems}.',
    remedy:
      'Set UNDROP_UPSTREAM to a server you have, or install mysqld or mariadbd, or start docker or podman.',
  },
  UNDROP_DEMO_STEP: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The throwaway server could not be made ready; `{step}` failed: {cause}.',
    remedy: 'Try again, or set UNDROP_UPSTREAM to a server you have.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** An error with an entry in the registry. `message` is the text and the remedy, filled in. */
export class UndropError extends Error {
  override readonly name = 'UndropError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, params: Record<string, string | number> = {}, cause?: unknown) {
    const { text, remedy } = ERRORS[code];
    super(`${fill(text, params)} ${fill(remedy, params)}`, cause === undefined ? {} : { cause });
    this.code = code;
  }

  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }
}

/** Whose fault an error is; whatever isn't in the registry is ours. */
export function faultOf(error: unknown): Fault {
  return error instanceof UndropError ? error.entry.fault : 'us';
}

/** What an ERR packet needs. */
export interface ClientError {
  readonly errno: number;
  readonly sqlState: string;
  readonly message: string;
}

/**
 * The white-list: an `UndropError` is shown as it is, after its code; anything else becomes
 * UNDROP_INTERNAL with `reference`, under which the caller logs it.
 */
export function toClientError(error: unknown, reference: string): ClientError {
  const known =
    error instanceof UndropError ? error : new UndropError('UNDROP_INTERNAL', { reference });
  const { errno, sqlState, forClients } = known.entry;
  const words = forClients === undefined ? known.message : fill(forClients, { reference });
  return { errno, sqlState, message: `${known.code}: ${words}` };
}

function fill(template: string, params: Record<string, string | number>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}

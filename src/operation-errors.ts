/**
 * The errors that operators and administrators can act on: settings, privileges, the ledger, TLS,
 * and failures of undrop itself. client-errors.ts describes the fields.
 */
import type { DescribedError } from './client-errors.js';

/** For the operator of undrop. */
export const OPERATOR_ERRORS = {
  UNDROP_CONFIG: {
    text: '{problems}',
    remedy: 'Run the command with `--help` for its settings, with unit, range and default.',
  },
  UNDROP_CLEARTEXT_PASSWORD: {
    errno: 1045,
    text: 'Access denied: {why}.',
    remedy: 'Set UNDROP_UPSTREAM_TLS to required or stricter, and connect with TLS.',
  },
  UNDROP_SERVER_KEY: {
    errno: 1045,
    text: 'Access denied: the server has no such user, or undrop did not send the password, because others could read it on the way: {problem}.',
    remedy:
      'Check the user, or set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca, or UNDROP_UPSTREAM_PUBLIC_KEY to the public_key.pem of the server.',
  },
  UNDROP_OS_USER: {
    errno: 1045,
    text: 'Access denied for this account over the unix socket through which undrop reaches the server: {why}.',
    remedy:
      'Set UNDROP_UPSTREAM to host:port, let the account log in by password only, or use a direct connection.',
  },
  UNDROP_TOO_MANY_CONNECTIONS: {
    errno: 1040,
    text: 'Too many connections: a worker of undrop accepts {connectionsMax} at a time.',
    remedy: 'Close some, or raise UNDROP_MAX_CONNECTIONS.',
  },
  UNDROP_OPEN_FILES: {
    errno: 1040,
    text: 'Too many connections: undrop cannot open more files ({cause}).',
    forClients: 'Too many connections; the log of undrop says why (reference {reference}).',
    remedy: 'Raise its limit of open files (ulimit -n), or lower UNDROP_MAX_CONNECTIONS.',
  },
  UNDROP_PROXY_HEADER: {
    errno: 1043,
    text: 'Expected a header of the PROXY protocol: {problem}.',
    remedy: 'Let the load balancer send one, or remove its address from UNDROP_PROXY_PROTOCOL.',
  },
  UNDROP_SHUTTING_DOWN: {
    errno: 1053,
    text: 'The proxy is shutting down.',
    remedy: 'Connect again.',
  },
  UNDROP_NOT_DONE_YET: {
    errno: 1235,
    text: '{tables} not dropped, and nothing of the statement was executed: this version of undrop cannot hold what is dropped {how}.',
    remedy: '{instead}',
  },
  UNDROP_SYNTAX_NOT_CHECKED: {
    errno: 1461,
    text: 'Nothing was dropped: undrop prepares each drop so that the server checks it, and the server cannot prepare more statements.',
    remedy: 'Raise max_prepared_stmt_count, or close prepared statements.',
  },
  UNDROP_RULE: {
    errno: 1142,
    text: '{tables} not dropped: a rule of UNDROP_RULES refuses {table}: {rule}.',
    remedy: 'Ask the operator of undrop to change the rule, or to drop it on a direct connection.',
  },
  UNDROP_RULE_NOT_EVALUATED: {
    errno: 1142,
    text:
      '{tables} not dropped, still there: the hint destroy is not allowed where a rule of ' +
      'UNDROP_RULES may refuse it, and undrop cannot read enough to evaluate the rule: {rule}.',
    remedy:
      'Drop it without the hint; or grant the service account the privileges that `undrop doctor` ' +
      'lists as missing. Only MySQL 8 and later report the age of a table.',
  },
  UNDROP_DESTROY: {
    errno: 1142,
    text: '{tables} not dropped, still there: the hint destroy is not allowed {why}.',
    remedy: '{instead}',
  },
  UNDROP_HINT_TOO_SHORT: {
    errno: 1142,
    text:
      '{tables} not dropped, still there: the hint {hint} is shorter than {min}, ' +
      'the shortest hold that a hint may ask for here.',
    remedy:
      'Drop it without the hint, or with a longer hold; or set UNDROP_MIN_HOLD, ' +
      'UNDROP_ALLOW_DESTROY to users, or a rule for such tables.',
  },
  UNDROP_LOCKED_TABLES: {
    errno: 1235,
    text: '{tables} not dropped, still there: the session has LOCK TABLES, under which undrop cannot hold it: {why}.',
    remedy: 'Run UNLOCK TABLES first.',
  },
  UNDROP_PRIVILEGES: {
    errno: 1142,
    text: '{tables} not dropped, still there: neither you nor the service account of undrop may rename it: {cause}.',
    remedy:
      'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account; see `undrop doctor`.',
  },
  UNDROP_SCHEMA_NOT_DROPPED: {
    errno: 1235,
    text: 'Schema {schema} was not dropped, nor any of its tables: {why}.',
    remedy: '{instead}',
  },
  UNDROP_NOT_RECORDED: {
    text: '{tables} not dropped, nothing was changed: undrop could not record the drop in its ledger ({cause}).',
    remedy: 'Check that the service account can write to the schema _undrop of this server.',
  },
  UNDROP_NOT_SEEN: {
    text: '{tables} not dropped, still there: the service account cannot see {table}.',
    remedy:
      'Check that its grants cover the schema (with the tier least: UNDROP_SCHEMAS; see `undrop doctor`); if another session changed the table, run the statement again.',
  },
  UNDROP_SESSION_NOT_FOUND: {
    text: '{tables} not dropped, still there: the service account cannot find your session {threadId} on its server.',
    remedy:
      'Check that UNDROP_UPSTREAM leads to one server, and grant PROCESS to the service account.',
  },
  UNDROP_ACCOUNT: {
    errno: 1045,
    text: 'The server at {server} refuses the service account: {cause}.',
    remedy:
      'Check UNDROP_USER (--user) and UNDROP_PASSWORD, and the hosts from which the account may ' +
      'connect. A list of what one user dropped: --dropped-by.',
  },
  UNDROP_ADMIN_ACCOUNT: {
    errno: 1045,
    text: 'The server at {server} refuses the account of the administrator: {cause}.',
    remedy: 'Check --admin-user, its password, and from which hosts that account may connect.',
  },
  UNDROP_MISSING_RIGHT: {
    errno: 1142,
    text: 'The server denies {account} a privilege that is needed: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_READ_ONLY: {
    errno: 1290,
    text: 'Held table {id} was not changed: this server is read-only ({cause}).',
    remedy: 'Run the command on the source of this replica, or make this server writable.',
  },
  UNDROP_SERVER_READ_ONLY: {
    errno: 1290,
    text: 'Nothing was changed: this server is read-only, so undrop collects nothing here.',
    remedy: 'Run the command on the server that takes writes; replicas follow it.',
  },
  UNDROP_ACCOUNT_UNFINISHED: {
    text: 'The account {account} was created, {what}: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_OTHER_PASSWORD: {
    errno: 1045,
    text: 'The account {account} existed already: it now has the privileges of the tier {tier}, its password was not changed, and the server at {server} refuses UNDROP_PASSWORD: {cause}.',
    remedy:
      'Set UNDROP_PASSWORD to the password of the account, or change that one: ALTER USER … IDENTIFIED BY (MySQL 5.6: SET PASSWORD).',
  },
  UNDROP_LISTEN: {
    text: 'Could not listen on {address}: {cause}.',
    remedy: 'Choose a free address with UNDROP_LISTEN.',
  },
  UNDROP_ADMIN_LISTEN: {
    text: 'Could not listen on {address} for /healthz, /readyz and /metrics: {cause}.',
    remedy:
      'Choose a free address with UNDROP_ADMIN_LISTEN, another for each proxy of a machine, or leave it empty.',
  },
  UNDROP_WORKER: {
    text: 'A process could not serve: {cause}',
    remedy: 'The log of undrop says more. If the program was replaced, restart undrop.',
  },
  UNDROP_NOT_UNINSTALLED: {
    text: 'undrop cannot be uninstalled now: {cause}.',
    remedy: 'Run it on the writable server, without proxies.',
  },
  UNDROP_NOT_RUNNING: {
    text: 'No service takes commands at {path}: {cause}.',
    remedy: 'Run it as the OS account of `undrop serve`, with the same UNDROP_LISTEN.',
  },
  UNDROP_LEDGER_UNAVAILABLE: {
    text: 'The ledger could not be written on {server} ({cause}), so nothing was dropped.',
    remedy: 'Check the grants of the service account on _undrop and the free disk space.',
  },
  UNDROP_TORN: {
    text: 'Nothing was changed: table {table} is torn, because the server was killed during its RENAME, and only some of its partitions have the hold name.',
    remedy: 'Repair it as described in docs/runbook.md, "A partitioned table is torn".',
  },
  UNDROP_DEMO_NO_SERVER: {
    text: 'No throwaway server could be started here: {problems}.',
    remedy:
      'Set UNDROP_UPSTREAM to a server of your own, install mysqld or mariadbd, or start docker or podman.',
  },
  UNDROP_DEMO_STEP: {
    text: 'The throwaway server could not be prepared; `{step}` failed: {cause}.',
    remedy: 'Try again, or set UNDROP_UPSTREAM to a server of your own.',
  },
} as const satisfies Record<string, DescribedError>;

/** The server, or the way to it, is at fault. */
export const UPSTREAM_ERRORS = {
  UNDROP_UPSTREAM_TLS: {
    errno: 1043,
    text: 'No TLS with the server at {upstream}: {cause}.',
    forClients: 'No TLS with the server; the log of undrop says why (reference {reference}).',
    remedy: 'Check UNDROP_UPSTREAM_TLS, UNDROP_UPSTREAM_CA and the certificate of the server.',
  },
  UNDROP_UPSTREAM_UNREACHABLE: {
    errno: 1053,
    text: 'The server at {upstream} could not be reached: {cause}.',
    forClients:
      'The server could not be reached; the log of undrop says why (reference {reference}).',
    remedy: 'Check UNDROP_UPSTREAM and that the server runs.',
  },
  UNDROP_HOLD_FAILED: {
    text: '{tables} not dropped, still there: undrop could not hold it: {cause}.',
    remedy:
      'Repair the cause (a trigger with an error: DROP TRIGGER; a discarded tablespace: IMPORT TABLESPACE); if a session has a table locked, try again; if the rows are not needed, drop it on a direct connection.',
  },
  UNDROP_KEYS_LEFT: {
    text: '{tables} held, but a foreign key still binds it to a live table and may change its rows: {why}.',
    remedy:
      'End the session that has one of the tables locked: undrop keeps trying to detach the key. `undrop restore` brings the table back.',
  },
  UNDROP_SCHEMA_IN_BETWEEN: {
    text: 'Schema {schema} was not dropped, but some of its tables are still held: {why}.',
    remedy:
      'Nothing is lost, and undrop keeps trying to put them back; `undrop list` shows them, and `undrop restore` brings them back.',
  },
  UNDROP_FATE_UNKNOWN: {
    text: '{tables} dropped, or not: the connection to the server broke during the statement ({cause}).',
    remedy: 'Check which tables are there; dropped ones are held, and `undrop list` shows them.',
  },
  UNDROP_SERVICE_FAILED: {
    text: 'The service account could not {step} on {server}: {cause}.',
    remedy: 'Check UNDROP_USER, its password and grants, and that the server is reachable.',
  },
  UNDROP_DEADLINE: {
    text: 'The server {server} did not answer the service connection within {deadlineMs} ms.',
    remedy: 'Check the load of the server and the network between it and undrop.',
  },
  UNDROP_NOT_COLLECTOR: {
    text: 'This proxy no longer has the collector lock of the server.',
    remedy: 'No action needed: another proxy collects, or this one will again.',
  },
} as const satisfies Record<string, DescribedError>;

/** Undrop itself is at fault. */
export const OUR_ERRORS = {
  UNDROP_INTERNAL: {
    text: 'Internal error of undrop (reference {reference}); no table was destroyed.',
    remedy: 'Look for the reference in the log of undrop and report it.',
  },
} as const satisfies Record<string, DescribedError>;

/**
 * The errors for who runs undrop or looks after the server: settings, privileges, the ledger, TLS,
 * and failures of undrop itself. errors.ts says what the fields are.
 */
import type { Described } from './errors.js';

/** Who runs undrop can do something about these. */
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
    text: 'Access denied: the server has no such user, or the password was not sent to it, because others on the way could read it: {problem}.',
    remedy:
      'Check the name of the user, or set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca, or UNDROP_UPSTREAM_PUBLIC_KEY to the public_key.pem of the server.',
  },
  UNDROP_OS_USER: {
    errno: 1045,
    text: 'Access denied for this account over the unix socket through which undrop reaches the server: {why}.',
    remedy:
      'Set UNDROP_UPSTREAM to host:port, or let the account log in by a password only; on a direct connection it works.',
  },
  UNDROP_TOO_MANY_CONNECTIONS: {
    errno: 1040,
    text: 'Too many connections: undrop takes {connectionsMax} at a time.',
    remedy: 'Close some, or raise UNDROP_MAX_CONNECTIONS.',
  },
  UNDROP_OPEN_FILES: {
    errno: 1040,
    text: 'Too many connections: undrop may open no more files ({cause}).',
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
    text: 'Nothing was dropped: undrop has the server check each drop by preparing it, and the server can prepare no more statements.',
    remedy:
      'Raise max_prepared_stmt_count, or close prepared statements that are not needed any more.',
  },
  UNDROP_RULE: {
    errno: 1142,
    text: '{tables} not dropped: UNDROP_RULES says of {table}: {rule}.',
    remedy: 'Ask who runs undrop to change the rule, or to drop the table on a direct connection.',
  },
  UNDROP_RULE_NOT_EVALUATED: {
    errno: 1142,
    text:
      '{tables} not dropped, still there: the hint destroy is not allowed if a rule of ' +
      'UNDROP_RULES may refuse it, and the service account does not see enough to tell: {rule}.',
    remedy:
      'Drop it without the hint; or grant the service account what `undrop doctor` says it lacks. ' +
      'Only MySQL 8 and later know the age of a table.',
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
    text: '{tables} not dropped, still there: the session holds LOCK TABLES, under which it can’t be held: {why}.',
    remedy: 'UNLOCK TABLES first.',
  },
  UNDROP_PRIVILEGES: {
    errno: 1142,
    text: '{tables} not dropped, still there: neither you nor the service account of undrop may rename it: {cause}.',
    remedy:
      'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account; for DROP PARTITION on MySQL also LOCK TABLES.',
  },
  UNDROP_SCHEMA_NOT_DROPPED: {
    errno: 1235,
    text: 'Schema {schema} was not dropped, nor any of its tables: {why}.',
    remedy: '{instead}',
  },
  UNDROP_PARTITIONS_LEFT: {
    text: 'Not all partitions of {table} were done: the rows of {names} are held, all others are where they were ({cause}).',
    remedy: 'Run the statement again for the others; `undrop list` shows what is held.',
  },
  UNDROP_NOT_RECORDED: {
    text: '{tables} not dropped, nothing was changed: the way back could not be recorded ({cause}).',
    remedy: 'Check that the service account can write to the schema _undrop of this server.',
  },
  UNDROP_NOT_SEEN: {
    text: '{tables} not dropped, still there: the service account does not see {table}.',
    remedy:
      'Check that its grants cover the schema (UNDROP_SCHEMAS with the tier least; `undrop doctor` lists them), or run the statement again if another session has changed the table.',
  },
  UNDROP_SESSION_NOT_FOUND: {
    text: '{tables} not dropped, still there: the service account does not see your session {threadId} on its server.',
    remedy:
      'Check that UNDROP_UPSTREAM leads to one server, and grant PROCESS to the service account.',
  },
  UNDROP_ACCOUNT: {
    errno: 1045,
    text: 'The server at {server} refuses the service account: {cause}.',
    remedy: 'Check UNDROP_USER and UNDROP_PASSWORD, and from where the account may connect.',
  },
  UNDROP_ADMIN_ACCOUNT: {
    errno: 1045,
    text: 'The server at {server} refuses the account of the administrator: {cause}.',
    remedy:
      'Check UNDROP_ADMIN_USER and UNDROP_ADMIN_PASSWORD, and from where that account may connect.',
  },
  UNDROP_MISSING_RIGHT: {
    errno: 1142,
    text: 'The server denies {account} a privilege that this needs: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_READ_ONLY: {
    errno: 1290,
    text: 'Held table {id} was left as it is: this server is read-only ({cause}).',
    remedy:
      'Run the command on the source of this replica, which follows; or make the server writable.',
  },
  UNDROP_SERVER_READ_ONLY: {
    errno: 1290,
    text: 'Nothing was changed: this server is read-only, and nothing is collected here.',
    remedy: 'Run the command on the server that takes writes; replicas follow it.',
  },
  UNDROP_ACCOUNT_UNFINISHED: {
    text: 'The account {account} was made, {what}: {cause}.',
    remedy: '{instead}',
  },
  UNDROP_OTHER_PASSWORD: {
    errno: 1045,
    text: 'The account {account} was there already: it has the privileges of the tier {tier} now, its password was not changed, and the server at {server} refuses UNDROP_PASSWORD: {cause}.',
    remedy:
      'Set UNDROP_PASSWORD to the password that the account has, or give it this one: ALTER USER … IDENTIFIED BY (MySQL 5.6: SET PASSWORD).',
  },
  UNDROP_LISTEN: {
    text: 'Could not listen on {address}: {cause}.',
    remedy: 'Choose a free address with UNDROP_LISTEN.',
  },
  UNDROP_ADMIN_LISTEN: {
    text: 'Could not listen on {address} for /healthz, /readyz and /metrics: {cause}.',
    remedy:
      'Choose a free address with UNDROP_ADMIN_LISTEN, another one for each proxy of a machine, or leave it empty to have none.',
  },
  UNDROP_WORKER: {
    text: 'A worker process could not serve: {cause}',
    remedy: 'Try UNDROP_WORKERS=1, which serves in one process.',
  },
  UNDROP_LEDGER_UNAVAILABLE: {
    text: 'The ledger could not be written on {server} ({cause}), so nothing was dropped.',
    remedy: 'Check the grants of the service account on _undrop and the free disk space.',
  },
  UNDROP_TORN: {
    text: 'Table {table} is torn: the server was killed during its RENAME, and some of its partitions have the hold name. Nothing was changed.',
    remedy: 'Repair it as docs/what-if.md says, "A partitioned table is torn".',
  },
  UNDROP_DEMO_NO_SERVER: {
    text: 'No throwaway server could be started here: {problems}.',
    remedy:
      'Set UNDROP_UPSTREAM to a server you have, or install mysqld or mariadbd, or start docker or podman.',
  },
  UNDROP_DEMO_STEP: {
    text: 'The throwaway server could not be made ready; `{step}` failed: {cause}.',
    remedy: 'Try again, or set UNDROP_UPSTREAM to a server you have.',
  },
} as const satisfies Record<string, Described>;

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
      'Repair what is named (a trigger with an error in its body: DROP TRIGGER; a discarded tablespace: IMPORT TABLESPACE), try again if another session has a table locked, or drop the table on a direct connection if its rows are not needed.',
  },
  UNDROP_KEYS_LEFT: {
    text: '{tables} held, and bound to a live table by a foreign key still, through which it may be changed: {why}.',
    remedy:
      'End the session that has one of the tables locked: undrop goes on taking the key off. `undrop restore` brings the table back.',
  },
  UNDROP_SCHEMA_IN_BETWEEN: {
    text: 'Schema {schema} was not dropped, but not all of its tables are back yet: {why}.',
    remedy:
      'Nothing is lost, and undrop goes on with it; `undrop list` shows what is held, and `undrop restore` brings it back.',
  },
  UNDROP_FATE_UNKNOWN: {
    text: '{tables} dropped, or not: the connection to the server broke meanwhile ({cause}).',
    remedy: 'Check whether they are there; what was dropped is held, and `undrop list` shows it.',
  },
  UNDROP_SERVICE_FAILED: {
    text: 'The service account could not {step} on {server}: {cause}.',
    remedy: 'Check UNDROP_USER, its password and its grants, and that the server is reachable.',
  },
  UNDROP_DEADLINE: {
    text: 'The server {server} gave the service connection no answer within {deadlineMs} ms.',
    remedy: 'Look at the load of the server and at the network between it and undrop.',
  },
  UNDROP_NOT_COLLECTOR: {
    text: 'This proxy does not have the collector lock of the server any more.',
    remedy: 'Nothing: another proxy collects, or this one as soon as it gets the lock again.',
  },
} as const satisfies Record<string, Described>;

/** Undrop itself is at fault. */
export const OUR_ERRORS = {
  UNDROP_INTERNAL: {
    text: 'Internal error of undrop (reference {reference}); no table was destroyed.',
    remedy: 'Look for the reference in the log of undrop and report it.',
  },
} as const satisfies Record<string, Described>;

/**
 * The errors that operators and administrators can act on: settings, privileges, the ledger, TLS,
 * and failures of undrop itself; written as in client-errors.ts.
 */

/** For the operator of undrop. */
export const OPERATOR_ERRORS = {
  UNDROP_CONFIG: `1105 HY000
    {problems}
    Run the command with \`--help\` for its settings, with unit, range and default.`,
  UNDROP_CLEARTEXT_PASSWORD: `1045 28000
    Access denied: {why}.
    Set UNDROP_UPSTREAM_TLS to required or stricter, and connect with TLS.`,
  UNDROP_SERVER_KEY: `1045 28000
    Access denied: the server has no such user, or undrop did not send the password, because others could read it on the way: {problem}.
    Check the user, or set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca, or UNDROP_UPSTREAM_PUBLIC_KEY to the public_key.pem of the server.`,
  UNDROP_OS_USER: `1045 28000
    Access denied for this account over the unix socket through which undrop reaches the server: {why}.
    Set UNDROP_UPSTREAM to host:port, let the account log in by password only, or use a direct connection.`,
  UNDROP_TOO_MANY_CONNECTIONS: `1040 08004
    Too many connections: a worker of undrop accepts {connectionsMax} at a time.
    Close some, or raise UNDROP_MAX_CONNECTIONS.`,
  UNDROP_OPEN_FILES: `1040 08004
    Too many connections: undrop cannot open more files ({cause}).
    Raise its limit of open files (ulimit -n), or lower UNDROP_MAX_CONNECTIONS.
    Too many connections; the log of undrop says why (reference {reference}).`,
  UNDROP_PROXY_HEADER: `1043 08S01
    Expected a header of the PROXY protocol: {problem}.
    Let the load balancer send one, or remove its address from UNDROP_PROXY_PROTOCOL.`,
  UNDROP_SHUTTING_DOWN: `1053 08S01
    The proxy is shutting down.
    Connect again.`,
  UNDROP_NOT_DONE_YET: `1235 42000
    {tables} not dropped, and nothing of the statement was executed: this version of undrop cannot hold what is dropped {how}.
    {instead}`,
  UNDROP_SYNTAX_NOT_CHECKED: `1461 42000
    Nothing was dropped: undrop prepares each drop so that the server checks it, and the server cannot prepare more statements.
    Raise max_prepared_stmt_count, or close prepared statements.`,
  UNDROP_RULE: `1142 42000
    {tables} not dropped: a rule of UNDROP_RULES refuses {table}: {rule}.
    If it has to go, ask the operator of undrop.`,
  UNDROP_ASK: `1142 42000
    {tables} not dropped, still there: a rule of UNDROP_RULES asks an operator first: {rule}.
    {instead}`,
  UNDROP_RULE_NOT_EVALUATED: `1142 42000
    {tables} not dropped, still there: the hint destroy is not allowed where a rule of UNDROP_RULES may refuse it, and undrop cannot read enough to evaluate the rule: {rule}.
    Drop it without the hint; or grant the service account the privileges that \`undrop doctor\` lists as missing. Only MySQL 8 and later report the age of a table.`,
  UNDROP_DESTROY: `1142 42000
    {tables} not dropped, still there: the hint destroy is not allowed {why}.
    {instead}`,
  UNDROP_HINT_TOO_SHORT: `1142 42000
    {tables} not dropped, still there: the hint {hint} is shorter than {min}, the shortest hold that a hint may ask for here.
    Drop it without the hint, or with a longer hold.`,
  UNDROP_LOCKED_TABLES: `1235 42000
    {tables} not dropped, still there: the session has LOCK TABLES, under which undrop cannot hold it: {why}.
    Run UNLOCK TABLES first.`,
  UNDROP_PRIVILEGES: `1142 42000
    {tables} not dropped, still there: neither you nor the service account of undrop may rename it: {cause}.
    Grant ALTER, DROP, CREATE and INSERT on the schema to the service account; see \`undrop doctor\`.`,
  UNDROP_SCHEMA_NOT_DROPPED: `1235 42000
    Schema {schema} was not dropped, nor any of its tables: {why}.
    {instead}`,
  UNDROP_NOT_RECORDED: `1105 HY000
    {tables} not dropped, nothing was changed: undrop could not record the drop in its ledger ({cause}).
    Check that the service account can write to the schema _undrop of this server.`,
  UNDROP_NOT_SEEN: `1105 HY000
    {tables} not dropped, still there: the service account cannot see {table}.
    Check that its grants cover the schema (with the tier least: UNDROP_SCHEMAS; see \`undrop doctor\`); if another session changed the table, run the statement again.`,
  UNDROP_SESSION_NOT_FOUND: `1105 HY000
    {tables} not dropped, still there: the service account cannot find your session {threadId} on its server.
    Check that UNDROP_UPSTREAM leads to one server, and grant PROCESS to the service account.`,
  UNDROP_ACCOUNT: `1045 28000
    The server at {server} refuses the service account: {cause}.
    Check UNDROP_USER (--user) and UNDROP_PASSWORD, and the hosts from which the account may connect. A list of what one user dropped: --dropped-by.`,
  UNDROP_ADMIN_ACCOUNT: `1045 28000
    The server at {server} refuses the account of the administrator: {cause}.
    Check --admin-user, its password, and from which hosts that account may connect.`,
  UNDROP_MISSING_RIGHT: `1142 42000
    The server denies {account} a privilege that is needed: {cause}.
    {instead}`,
  UNDROP_READ_ONLY: `1290 HY000
    Held table {id} was not changed: this server is read-only ({cause}).
    Run the command on the source of this replica, or make this server writable.`,
  UNDROP_SERVER_READ_ONLY: `1290 HY000
    Nothing was changed: this server is read-only, so undrop collects nothing here.
    Run the command on the server that takes writes; replicas follow it.`,
  UNDROP_ACCOUNT_UNFINISHED: `1105 HY000
    The account {account} was created, {what}: {cause}.
    {instead}`,
  UNDROP_OTHER_PASSWORD: `1045 28000
    The account {account} existed already: it now has the privileges of the tier {tier}, its password was not changed, and the server at {server} refuses UNDROP_PASSWORD: {cause}.
    Set UNDROP_PASSWORD to the password of the account, or change that one: ALTER USER … IDENTIFIED BY (MySQL 5.6: SET PASSWORD).`,
  UNDROP_LISTEN: `1105 HY000
    Could not listen on {address}: {cause}.
    Choose a free address with UNDROP_LISTEN.`,
  UNDROP_ADMIN_LISTEN: `1105 HY000
    Could not listen on {address} for /healthz, /readyz and /metrics: {cause}.
    Choose a free address with UNDROP_ADMIN_LISTEN, another for each proxy of a machine, or leave it empty.`,
  UNDROP_WORKER: `1105 HY000
    A process could not serve: {cause}
    The log of undrop says more. If the program was replaced, restart undrop.`,
  UNDROP_NOT_UNINSTALLED: `1105 HY000
    undrop cannot be uninstalled now: {cause}.
    Run it on the writable server, without proxies.`,
  UNDROP_NOT_RUNNING: `1105 HY000
    No service takes commands at {path}: {cause}.
    Run it as the OS account of \`undrop serve\`, with the same UNDROP_LISTEN.`,
  UNDROP_LEDGER_UNAVAILABLE: `1105 HY000
    The ledger could not be written on {server} ({cause}), so nothing was dropped.
    Check the grants of the service account on _undrop and the free disk space.`,
  UNDROP_TORN: `1105 HY000
    Nothing was changed: table {table} is torn, because the server was killed during its RENAME, and only some of its partitions have the hold name.
    Repair it as described in docs/runbook.md, "A partitioned table is torn".`,
  UNDROP_DEMO_NO_SERVER: `1105 HY000
    No throwaway server could be started here: {problems}.
    Set UNDROP_UPSTREAM to a server of your own, install mysqld or mariadbd, or start docker or podman.`,
  UNDROP_DEMO_STEP: `1105 HY000
    The throwaway server could not be prepared; \`{step}\` failed: {cause}.
    Try again, or set UNDROP_UPSTREAM to a server of your own.`,
} as const satisfies Record<string, string>;

/** The server, or the way to it, is at fault. */
export const UPSTREAM_ERRORS = {
  UNDROP_UPSTREAM_TLS: `1043 08S01
    No TLS with the server at {upstream}: {cause}.
    Check UNDROP_UPSTREAM_TLS, UNDROP_UPSTREAM_CA and the certificate of the server.
    No TLS with the server; the log of undrop says why (reference {reference}).`,
  UNDROP_UPSTREAM_UNREACHABLE: `1053 08S01
    The server at {upstream} could not be reached: {cause}.
    Check UNDROP_UPSTREAM and that the server runs.
    The server could not be reached; the log of undrop says why (reference {reference}).`,
  UNDROP_HOLD_FAILED: `1105 HY000
    {tables} not dropped, still there: undrop could not hold it: {cause}.
    Repair the cause (a trigger with an error: DROP TRIGGER; a discarded tablespace: IMPORT TABLESPACE); if a session has a table locked, try again; otherwise ask the operator of undrop.`,
  UNDROP_KEYS_LEFT: `1105 HY000
    {tables} held, but a foreign key still binds it to a live table and may change its rows: {why}.
    End the session that has one of the tables locked: undrop keeps trying to detach the key. \`undrop restore\` brings the table back.`,
  UNDROP_SCHEMA_IN_BETWEEN: `1105 HY000
    Schema {schema} was not dropped, but some of its tables are still held: {why}.
    Nothing is lost, and undrop keeps trying to put them back; \`undrop list\` shows them, and \`undrop restore\` brings them back.`,
  UNDROP_FATE_UNKNOWN: `1105 HY000
    {tables} dropped, or not: the connection to the server broke during the statement ({cause}).
    Check which tables are there; dropped ones are held, and \`undrop list\` shows them.`,
  UNDROP_SERVICE_FAILED: `1105 HY000
    The service account could not {step} on {server}: {cause}.
    Check UNDROP_USER, its password and grants, and that the server is reachable.`,
  UNDROP_DEADLINE: `1105 HY000
    The server {server} did not answer the service connection within {deadlineMs} ms.
    Check the load of the server and the network between it and undrop.`,
  UNDROP_NOT_COLLECTOR: `1105 HY000
    This proxy no longer has the collector lock of the server.
    No action needed: another proxy collects, or this one will again.`,
} as const satisfies Record<string, string>;

/** Undrop itself is at fault. */
export const OUR_ERRORS = {
  UNDROP_INTERNAL: `1105 HY000
    Internal error of undrop (reference {reference}); no table was destroyed.
    Look for the reference in the log of undrop and report it.`,
} as const satisfies Record<string, string>;

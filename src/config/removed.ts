/** Settings, values and commands of earlier versions, and what to use instead of each. */

const NEWS =
  'read the lines with `event` in the log or UNDROP_AUDIT_FILE, and use docs/prometheus-alerts.yml';

/** By the setting's key: a clause for the warning at the start, without a period. */
export const REMOVED_SETTINGS: Readonly<Record<string, string>> = {
  listenMode: 'unix sockets have the mode 0660; give clients the group of undrop',
  controlSocket: 'the socket for commands is found by UNDROP_LISTEN',
  accountHost: 'use --account-host of `undrop init`',
  adminUser: 'use --admin-user of `undrop init`',
  adminPassword: 'use --admin-password-file of `undrop init`, or type it',
  adminPasswordFile: 'use --admin-password-file of `undrop init`',
  lendOsUser: 'logins by the OS user of undrop are refused; run it as an OS user of its own',
  lendTls: 'clients use TLS where the account or the server requires it',
  purgeBinlog: 'the DELETEs of a purge stay out of the binary log where the account allows it',
  fileStep: 'files are freed in steps of 64M',
  ledgerKeep: 'rows of ended tables are kept for 90 days',
  adminTlsCert: 'use UNDROP_TLS_CERT',
  adminTlsKey: 'use UNDROP_TLS_KEY',
  relay: 'raw handles of sockets are used if a trial at the start succeeds',
  connectTimeout: 'undrop waits 10 seconds for a connection, and for a greeting',
  loginTimeout: 'clients have 9 seconds for each packet of a login',
  drain: 'idle sessions are answered once more; UNDROP_DRAIN_TIMEOUT bounds that',
  reloadTimeout: 'sessions stay for an hour; `undrop reload --force` ends the oldest',
  webhook: NEWS,
  webhookSecretFile: NEWS,
  webhookSecret: NEWS,
  webhookEvents: NEWS,
  webhookDropSize: NEWS,
  webhookFormat: NEWS,
};

/** By the key of the setting and the value. */
export const REMOVED_VALUES: ReadonlyMap<string, string> = new Map([
  ['mode replay', 'load a binary log on a direct connection to the server'],
]);

/** By the flag, of what isn't a setting: a clause, too. */
export const REMOVED_FLAGS: ReadonlyMap<string, string> = new Map([
  ['restore', 'run `undrop restore` before `undrop uninstall`'],
]);

/** By the name of the command: a clause, too. */
export const REMOVED_COMMANDS: ReadonlyMap<string, string> = new Map([
  [
    'drain',
    'set UNDROP_DRAIN_WAIT, and send SIGTERM: /readyz answers 503 while clients are accepted',
  ],
  ['undrain', 'start the proxy again'],
  [
    'gc',
    'a proxy with UNDROP_COLLECT=auto removes what is due; `undrop status` says what it waits for',
  ],
]);

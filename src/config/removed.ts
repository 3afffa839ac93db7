/** Settings and values of 0.1.0, and what to use instead of each. */

/** By the setting's key: a clause for the warning at the start, without a period. */
export const REMOVED_SETTINGS: Readonly<Record<string, string>> = {
  listenMode: 'unix sockets have the mode 0660; give clients the group of undrop',
  accountHost: 'use --account-host of `undrop init`',
  adminUser: 'use --admin-user of `undrop init`',
  adminPassword: 'use --admin-password-file of `undrop init`, or type it',
  adminPasswordFile: 'use --admin-password-file of `undrop init`',
  lendOsUser: 'logins by the OS user of undrop are refused; run it as an OS user of its own',
  lendTls: 'clients use TLS where the account or the server requires it',
  purgeBinlog: 'the DELETEs of a purge stay out of the binary log where the account allows it',
  ledgerKeep: 'rows of ended tables are kept for 90 days',
  relay: 'raw handles of sockets are used if a trial at the start succeeds',
  connectTimeout: 'undrop waits 10 seconds for a connection, and for a greeting',
  loginTimeout: 'clients have 9 seconds for each packet of a login',
};

/** By the key of the setting and the value. */
export const REMOVED_VALUES: ReadonlyMap<string, string> = new Map([
  ['mode replay', 'load a binary log on a direct connection to the server'],
]);

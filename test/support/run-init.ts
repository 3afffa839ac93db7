/** `undrop init`, for an account with the given settings. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folders.js';
import { runUndrop, type Variables } from './proxy.js';
import type { Target } from './servers.js';

/** `schema`: of the tier least. The account may come from anywhere. */
export function initVariables(account: {
  readonly user: string;
  readonly password: string;
  readonly tier: string;
  readonly schema: string;
}): Variables {
  const { user, password, tier, schema } = account;
  const schemas = tier === 'least' ? { SCHEMAS: schema } : {};
  return { USER: user, PASSWORD: password, TIER: tier, ACCOUNT_HOST: '%', ...schemas };
}

/**
 * Runs it by the administrator of the server, unless `variables` have another one: ADMIN_USER,
 * ADMIN_PASSWORD and ACCOUNT_HOST become flags.
 */
export async function runInit(server: Target, args: readonly string[], variables: Variables) {
  const {
    ADMIN_USER: user = server.user,
    ADMIN_PASSWORD: password = server.password,
    ACCOUNT_HOST: host,
    ...settings
  } = variables;
  await using folder = await temporaryFolder('init');
  const file = join(folder.path, 'admin-password');
  await writeFile(file, `${password}\n`);
  const admin = ['--admin-user', user, '--admin-password-file', file];
  const from = host === undefined ? [] : ['--account-host', host];
  return await runUndrop(server, ['init', ...args, ...admin, ...from], settings);
}

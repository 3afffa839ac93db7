/**
 * The service account that proxies of the tests have: made on each server by what `undrop init`
 * does, with the rights of its tier and no others.
 */
import { applyAccount } from '../../src/account/apply.js';
import type { Tier } from '../../src/account/grants.js';
import type { Target } from './servers.js';
import { poolOn } from './service-pool.js';

export const SERVICE_ACCOUNT = { user: 'undrop', password: 'only for tests' } as const;

/** May run twice. `target`: with an account that may do everything. */
export async function makeServiceAccount(
  target: Target,
  more: { readonly user?: string; readonly tier?: Tier; readonly schemas?: readonly string[] } = {},
): Promise<void> {
  const { tier = 'full', schemas = [] } = more;
  await using admin = poolOn(target, 2);
  const account = { user: more.user ?? SERVICE_ACCOUNT.user, host: '%' };
  const { password: own } = SERVICE_ACCOUNT;
  await applyAccount(admin, { account, password: own, tier, schemas });
}

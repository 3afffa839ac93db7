/** The settings of an `undrop init`: the account that it is for, and the administrator's. */
import type { Variables } from './proxy.js';
import type { Target } from './servers.js';

/** `schema`: of the tier least. */
export function initVariables(
  server: Target,
  account: {
    readonly user: string;
    readonly password: string;
    readonly tier: string;
    readonly schema: string;
  },
): Variables {
  const { user, password, tier, schema } = account;
  return {
    USER: user,
    PASSWORD: password,
    TIER: tier,
    ACCOUNT_HOST: '%',
    ADMIN_USER: server.user,
    ADMIN_PASSWORD: server.password,
    ...(tier === 'least' ? { SCHEMAS: schema } : {}),
  };
}

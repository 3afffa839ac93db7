/** Service connections of a test, as a proxy has them. */

import { openServicePool } from '../../src/connections/pool/open-pool.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { silentLog } from '../../src/log.js';
import type { Target } from './servers.js';

/** The caller disposes of it. */
export function poolOn(target: Target, connectionsMax = 4): ServicePool & AsyncDisposable {
  const { host, port, user, password } = target;
  const address = { host, port };
  const pool = openServicePool({ address, user, password, connectionsMax, log: silentLog });
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.dispose() });
}

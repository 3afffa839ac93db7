/** Creates what undrop keeps on the server: its schemas, the ledger. May run twice, and at once. */
import type { ServicePool } from '../service/pools.js';

/** Version of the ledger's tables; two neighbouring versions can run side by side. */
export const LEDGER_VERSION = 1;

/** Rejects with UNDROP_LEDGER_UNAVAILABLE where the account may not, or a newer version made it. */
export function ensureLedger(_pool: ServicePool): Promise<void> {
  throw new Error('not built yet');
}

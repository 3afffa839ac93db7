/** What could not be relocated at once: tried again, a moment each. May run twice. */
import type { Log } from '../log.js';
import type { ServicePool } from '../service/pools.js';

export interface DebtReport {
  readonly paid: readonly string[];
  readonly left: readonly { readonly id: string; readonly failure: string }[];
}

export function payDebts(
  _pool: ServicePool,
  _options: { readonly activeIds: ReadonlySet<string>; readonly log: Log },
): Promise<DebtReport> {
  throw new Error('not built yet');
}

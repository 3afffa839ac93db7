/** Reads the ledger. */
import type { ServiceConnection } from '../service/pools.js';
import type { LedgerRow } from './entry.js';

export type RowFilter =
  /** Every row whose table is, or may be, held. */
  | { readonly by: 'live' }
  /** Those of that id, or whose id begins so (hex digits); also ended ones. */
  | { readonly by: 'id'; readonly prefix: string }
  /** Live ones that were dropped under that name, newest first. */
  | { readonly by: 'name'; readonly schema?: string; readonly table: string }
  | { readonly by: 'intent' }
  /** Held, but something is still to be done. */
  | { readonly by: 'debt' };

/** Newest first; at most `rowsMax` (default 100,000). */
export function findRows(
  _connection: ServiceConnection,
  _filter: RowFilter,
  _options: { readonly rowsMax?: number } = {},
): Promise<readonly LedgerRow[]> {
  throw new Error('not built yet');
}

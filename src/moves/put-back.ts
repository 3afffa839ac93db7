/** Gives a held table a name of its own again: one atomic RENAME. */
import type { ServicePool } from '../service/pools.js';

export interface PutBack {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly toSchema: string;
  readonly toTable: string;
  /** sql_log_bin of the drop. */
  readonly logged: boolean;
}

/**
 * Rejects with UNDROP_NAME_TAKEN, UNDROP_NOT_HELD (somebody was faster), UNDROP_NOT_RESTORABLE (its
 * rows may be gone) or UNDROP_BUSY (locked by others); then nothing was changed.
 */
export function putBack(_pool: ServicePool, _what: PutBack): Promise<void> {
  throw new Error('not built yet');
}

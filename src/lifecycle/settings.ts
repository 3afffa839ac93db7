/**
 * What operators can set of the lifecycle, as the collector takes it. Read from the environment and
 * checked elsewhere; here only the shape, with units.
 */
import type { TableState } from '../names/hold-name.js';

/** `auto` follows the version rule (removal-way.ts), the others force it. */
export type FastDrop = 'auto' | 'always' | 'never';

/**
 * `auto` and `on` collect where the server is writable, one proxy at a time; `auto` not where it
 * replicates from another, which may collect, too. `off` never.
 */
export type Collect = 'auto' | 'on' | 'off';

export interface LifecycleSettings {
  /** Any subset of the states; DROP is always implied, the order is fixed. */
  readonly lifecycle: readonly TableState[];
  /** How long a table can be brought back whole. Its due time is already in its name. */
  readonly holdMs: number;
  /** How long an emptied table waits for its pages to leave the buffer pool, at most. */
  readonly evacMs: number;
  /** The longest time between two looks at the names. */
  readonly checkIntervalMs: number;
  /** The longest time between two looks while rows are still to be removed. */
  readonly purgeCheckIntervalMs: number;
  /** Rows of one DELETE. */
  readonly purgeChunkRows: number;
  /** Whether the removal of rows is written to the binary log. */
  readonly purgeBinlog: boolean;
  readonly collect: Collect;
  /** How long a collector waits that may be looking at a restored backup; 0: not at all. */
  readonly graceMs: number;
  readonly fastDrop: FastDrop;
  /** How long ledger rows are kept after the end of their table. */
  readonly ledgerKeepMs: number;
}

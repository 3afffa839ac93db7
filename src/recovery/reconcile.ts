/**
 * Ledger against server. Completes what follows a RENAME that has happened, forgets the intent
 * whose RENAME did not, notices what others did with held tables, pays debts. May run twice, in two
 * proxies at once, and may be killed at any statement.
 *
 * Invariant: never renames a live table away; touches an intent only when its owner is gone.
 */
import type { Log } from '../log.js';
import type { ServicePool } from '../service/pools.js';

export interface ReconcileOptions {
  readonly proxyId: string;
  /** Ids of the drops that this proxy is in the middle of. */
  readonly activeIds: ReadonlySet<string>;
  readonly log: Log;
}

export interface ReconcileReport {
  /** Intents whose RENAME had happened. */
  readonly completed: readonly string[];
  /** Intents whose RENAME had not happened. */
  readonly forgotten: readonly string[];
  /** Intents whose owner is still there. */
  readonly untouched: readonly string[];
  readonly restoredByHand: readonly string[];
  readonly gone: readonly string[];
  readonly debtsPaid: readonly string[];
  readonly debtsLeft: readonly string[];
}

export function reconcile(
  _pool: ServicePool,
  _options: ReconcileOptions,
): Promise<ReconcileReport> {
  throw new Error('not built yet');
}

/**
 * The parts that all actions of the collector use, and the result of an action on a table.
 */
import type { Clock } from '../clock.js';
import type { ServicePool } from '../connections/sql.js';
import type { Log } from '../log.js';
import type { Collectable } from './collectable.js';
import type { CollectorFigures } from './figures.js';
import type { FileSteps } from './file-steps.js';
import type { LifecycleSettings } from './next-step.js';
import type { Throttle, Wait } from './throttle/throttle.js';

/** The context of every action of the collector. */
export interface ActionContext {
  /** The lock's own connection. */
  readonly connection: ServicePool;
  /** For queries beside it. */
  readonly pool: ServicePool;
  readonly figures: CollectorFigures;
  readonly files: FileSteps;
  /** Whether this proxy still has the lease of the cluster (leader/collector-lock.ts). */
  readonly lease: { readonly isFresh: boolean };
  /** Notes when a table was removed early (limits/limits.ts). */
  readonly limits: { went(): void };
  /** Checked before each step and each chunk. */
  readonly throttle: Throttle;
  readonly proxyId: string;
  readonly settings: LifecycleSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly monotonicMs: () => number;
  /** If it is aborted, the work ends at the next pause. */
  readonly signal: AbortSignal;
}

/** The progress of a table. */
export type ActionOutcome =
  /** Moved on, removed, or found gone; or some of its rows are deleted. */
  | { readonly kind: 'progress' }
  /** Its rows have to be deleted. */
  | { readonly kind: 'purge'; readonly table: Collectable }
  | { readonly kind: 'wait'; readonly until: Date }
  /** A pause has begun (ledger/control.ts), and nothing was done. */
  | { readonly kind: 'paused' }
  /** Nothing more is done for now. */
  | { readonly kind: 'throttled'; readonly wait: Wait }
  /** It can't go on until something changes, on the server or by an operator. */
  | { readonly kind: 'left'; readonly because: string };

export const PROGRESS: ActionOutcome = { kind: 'progress' };

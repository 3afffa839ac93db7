/**
 * `moveTable` does one transition of the lifecycle: it renames a held table to the same id in
 * another state, in the same schema, by one atomic RENAME. The ledger follows; it is never needed.
 *
 * Invariant: if a table is not under the expected name any more, somebody else restored it or
 * moved it on; then nothing happens.
 */
import type { Clock } from '../clock.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import type { LedgerRow, LedgerState } from '../ledger/entry.js';
import { reportAndKeep } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { formatHoldName, ghostIdOf, isRetiredBarrier, shownDue } from '../names/names.js';
import { isServerError, type ServicePool, unlessRefused } from '../service/pool/pools.js';
import { ident, note, sql } from '../service/sql.js';
import { ABSENT_TO_RENAME } from '../wire/server-errors.js';
import type { Collectable } from './collectable.js';
import type { CollectorFigures } from './figures.js';
import type { FileSteps } from './file-steps.js';
import type { LifecycleSettings, StateChange } from './next-step.js';
import type { Throttle, Wait } from './throttle/throttle.js';

/** What every action of the collector works with. */
export interface ActionContext {
  /** The lock's own connection. */
  readonly connection: ServicePool;
  /** For what is asked beside it. */
  readonly pool: ServicePool;
  readonly figures: CollectorFigures;
  readonly files: FileSteps;
  /** Asked before each step and each chunk. */
  readonly throttle: Throttle;
  readonly proxyId: string;
  readonly settings: LifecycleSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonicMs: () => number;
  /** If it is aborted, the work ends at the next pause. */
  readonly signal: AbortSignal;
}

/** How far a table has come. */
export type ActionOutcome =
  /** Moved on, removed, or found gone; or some of its rows are deleted. */
  | { readonly kind: 'progress' }
  /** Its rows are to be removed. */
  | { readonly kind: 'purge'; readonly table: Collectable }
  | { readonly kind: 'wait'; readonly until: Date }
  /** A pause has begun (ledger/control.ts), and nothing was done. */
  | { readonly kind: 'paused' }
  /** Nothing more is done for now. */
  | { readonly kind: 'throttled'; readonly wait: Wait }
  /** It can't go on until somebody changes something, or the server does. */
  | { readonly kind: 'left'; readonly because: string };

export const PROGRESS: ActionOutcome = { kind: 'progress' };

const RENAME_DEADLINE_MS = 30_000;

/** Resolves to the table under its new name, or to `null` if it wasn't there any more. */
export async function moveTable(
  context: ActionContext,
  table: Collectable,
  { to, due, because }: StateChange,
): Promise<Collectable | null> {
  const name = formatHoldName({ state: to, id: table.id, due });
  const from = ident(table.schema, table.name);
  const renamed = context.connection.run(
    [
      UNLESS_PAUSED,
      sql`RENAME ${note('move', table.id)} TABLE ${from} TO ${ident(table.schema, name)}`,
    ],
    { deadlineMs: RENAME_DEADLINE_MS, logged: table.logged },
  );
  if ((await unlessRefused(renamed, null, ...ABSENT_TO_RENAME)) === null) return null;
  const row = await followInLedger(context, table, { state: to, holdName: name });
  const moved = { ...table, state: to, due, name };
  if (isOwnTable(moved, row)) return moved;
  const change = { from: table.state, to, because, until: shownDue(name) };
  const event = { event: 'transition', ...auditFields(context, moved, row), ...change } as const;
  await reportAndKeep(context, [event], { rowLogged: row?.rowLogged ?? table.logged });
  return moved;
}

/**
 * Whether the table never was a user's, so that the audit has no line for it: the barrier table of
 * a DROP DATABASE, or the ghost of a statement that was refused.
 */
export function isOwnTable(table: Collectable, row: LedgerRow | null): boolean {
  return isRetiredBarrier(table) || (row === null && ghostIdOf(table.id) === table.id);
}

/** What the audit says of a table that is held. */
export function auditFields(
  { proxyId }: Pick<ActionContext, 'proxyId'>,
  { id, schema: holdSchema, name: holdName }: Collectable,
  row: LedgerRow | null,
) {
  const { groupId: dropId = null, schema = null, table = null } = row ?? {};
  return { proxyId, id, dropId, schema, table, holdSchema, holdName };
}

/**
 * Tells the ledger, if there is one; its row of the table, if it has one. A ledger that fails does
 * not stop the lifecycle.
 */
export async function followInLedger(
  { connection, log }: ActionContext,
  { id, schema }: Collectable,
  change: { readonly state: LedgerState; readonly holdName?: string },
): Promise<LedgerRow | null> {
  let row: LedgerRow | undefined;
  try {
    [row] = await findRows(connection, { by: 'id', prefix: id }, { texts: false });
    if (row === undefined) return null;
    await recordState(connection, { id, holdSchema: schema, rowLogged: row.rowLogged, ...change });
  } catch (error) {
    if (!isServerError(error)) throw error;
    log.warn({ event: 'collector', id, err: error }, 'the ledger could not follow the lifecycle');
  }
  return row ?? null;
}

/**
 * `moveTable` performs one transition of the lifecycle: it renames a held table to the same id in
 * another state, in the same schema, by one atomic RENAME. The ledger follows; it is never needed.
 *
 * Invariant: if a table no longer has the expected name, it was restored or moved on meanwhile;
 * then nothing happens.
 */
import { UNLESS_PAUSED } from '../ledger/control.js';
import type { LedgerRow, LedgerState } from '../ledger/entry.js';
import { reportAndKeep } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import { formatHoldName, ghostIdOf, isRetiredBarrier, shownDue } from '../names/names.js';
import { isServerError, unlessRefused } from '../service/errors.js';
import { ident, note, sql } from '../service/sql.js';
import { ABSENT_TO_RENAME } from '../wire/server-errors.js';
import type { ActionContext } from './action-context.js';
import type { Collectable } from './collectable.js';
import type { StateChange } from './next-step.js';

const RENAME_DEADLINE_MS = 30_000;

/** Resolves to the table under its new name, or to `null` if it no longer existed. */
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
 * a DROP DATABASE, or the ghost table of a refused statement.
 */
export function isOwnTable(table: Collectable, row: LedgerRow | null): boolean {
  return isRetiredBarrier(table) || (row === null && ghostIdOf(table.id) === table.id);
}

/** The audit fields of a held table. */
export function auditFields(
  { proxyId }: Pick<ActionContext, 'proxyId'>,
  { id, schema: holdSchema, name: holdName }: Collectable,
  row: LedgerRow | null,
) {
  const { groupId: dropId = null, schema = null, table = null } = row ?? {};
  return { proxyId, id, dropId, schema, table, holdSchema, holdName };
}

/**
 * Records the change in the row of the table, if there is one. An error of the ledger does not stop
 * the lifecycle.
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
    log.warn(
      { event: 'collector', id, err: error },
      'cannot record the new state of a held table; recovery will',
    );
  }
  return row ?? null;
}

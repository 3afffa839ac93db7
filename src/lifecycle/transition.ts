/**
 * `moveTable` performs one transition of the lifecycle: it renames a held table to the same id in
 * another state, in the same schema, by one atomic RENAME. `removeTable` is the last: the DROP. The
 * ledger follows; it is never needed.
 *
 * Invariant: if a table no longer has the expected name, it was restored or moved on meanwhile;
 * then nothing happens.
 */
import { assert } from '../assert.js';
import { UNLESS_PAUSED } from '../ledger/control.js';
import { type LedgerRow, type LedgerState, LIVE_STATES } from '../ledger/entry.js';
import { reportAndKeep } from '../ledger/history.js';
import { findRows } from '../ledger/read.js';
import { recordState } from '../ledger/write.js';
import {
  formatHoldName,
  ghostIdOf,
  isRecycleSchema,
  isRetiredBarrier,
  parseHoldName,
  shownDue,
} from '../names/names.js';
import { isServerError, unlessRefused } from '../service/errors.js';
import { ident, note, sql } from '../service/sql.js';
import { ABSENT_TO_RENAME } from '../wire/server-errors.js';
import type { ActionContext } from './action-context.js';
import type { Collectable } from './collectable.js';
import type { StateChange, TableFacts } from './next-step.js';

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
function isOwnTable(table: Collectable, row: LedgerRow | null): boolean {
  return isRetiredBarrier(table) || (row === null && ghostIdOf(table.id) === table.id);
}

/** The audit fields of a held table. */
function auditFields(
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
async function followInLedger(
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

// ── the DROP ────────────────────────────────────────────────────────────────────────────────────

/** A table of terabytes on an old server takes long; other proxies then wait for the lock. */
const DROP_DEADLINE_MS = 600_000;

/**
 * Drops the table for good: the one physical DROP of the whole product. `facts`: read just now. May
 * run twice.
 *
 * Invariant: the dropped table has a strict hold name in state DROP (or a due one, of a table that
 * its engine has lost and that can't be renamed), is in a schema of undrop (or in the schema that
 * the ledger's live row of that id has), and a fresh read finds no obstacle: no foreign key of
 * another table, and in a recycle schema no trigger. The server checks foreign keys, too:
 * foreign_key_checks is on.
 */
export async function removeTable(
  context: ActionContext,
  table: Collectable,
  facts: TableFacts,
): Promise<void> {
  const { connection, files } = context;
  if (!isRecycleSchema(table.schema)) {
    const rows = await findRows(connection, { by: 'id', prefix: table.id }, { texts: false });
    const isKnown = rows.some(
      (row) =>
        row.id === table.id && row.holdSchema === table.schema && LIVE_STATES.includes(row.state),
    );
    assert(isKnown, 'a table outside our schemas is removed only on the word of the ledger');
  }
  assert(facts.obstacles.length === 0, 'what live rows depend on is not dropped');
  assertRemovable(table, facts);
  if (facts.isLost !== true) await files.keep(table);
  context.figures.sent.dropsSent++;
  await connection.run(
    [
      UNLESS_PAUSED,
      sql`SET SESSION foreign_key_checks = 1`,
      sql`DROP ${note('remove', table.id)} TABLE IF EXISTS ${ident(table.schema, table.name)}`,
    ],
    { deadlineMs: DROP_DEADLINE_MS, logged: table.logged },
  );
  const change = { state: 'removed', holdName: table.name } as const;
  const row = await followInLedger(context, table, change);
  if (isOwnTable(table, row)) {
    context.log.debug({ id: table.id }, 'removed a table of undrop itself');
    return;
  }
  const event = { event: 'removal', ...auditFields(context, table, row) } as const;
  await reportAndKeep(context, [event], { rowLogged: row?.rowLogged ?? table.logged });
}

function assertRemovable({ name, id }: Collectable, { isLost = false }: TableFacts): void {
  const parsed = parseHoldName(name);
  assert(parsed !== null, `only a hold name is ever dropped, not ${name}`);
  const isOver = parsed.state === 'DROP' || isLost;
  assert(isOver && parsed.id === id, 'only a table in DROP is dropped, or one that is lost');
}

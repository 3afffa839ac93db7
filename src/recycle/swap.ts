/**
 * `exchange` brings a held table back where the name is taken: the live table of that name goes
 * into HOLD and the held one takes the name, in one atomic RENAME. It is also the way back after a
 * TRUNCATE and a CREATE OR REPLACE.
 *
 * Invariants: the RENAME follows the live table's intent in the ledger, which the connection of the
 * RENAME owns. After any interruption, recovery finds both tables: an intent whose RENAME did not
 * happen is forgotten, and what follows one that did is completed.
 */
import { randomBytes } from 'node:crypto';
import type { HistoryEvent } from '../audit.js';
import { isServerError, type ServerError } from '../connections/errors.js';
import { findHoldTables } from '../connections/hold-tables.js';
import { runWithTimeoutOn, SHORT_INNODB_WAIT } from '../connections/pool/statement-timeout.js';
import { ident, note, type ServicePool, sql, type TaskConnection } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { detachAndRelocate } from '../held/relocate/relocate.js';
import { untilFree } from '../held/relocate/until-free.js';
import { reportAndKeep } from '../ledger/history.js';
import { recordIntent } from '../ledger/intents/record-intent.js';
import { forgetIntents, type IntentTable, recordOutcome } from '../ledger/write.js';
import { type Log, silentLog } from '../log.js';
import { formatHoldName, newHoldId, type QualifiedTable, writtenName } from '../names/names.js';
import type { HoldTime } from '../policy/rules.js';
import { commentTags } from '../sql/comment-tags.js';
import type { DroppedTable } from './held-tables.js';
import type { Placed, Placing } from './place-tables.js';
import type { HeldPlan } from './plan-restore.js';
import { explainRename } from './rename-back.js';

/** The actor of a swap, for the ledger's row of the live table. */
export interface SwapBy {
  readonly proxyId: string;
  readonly user: string;
  /** The name of its account; default: `user`. */
  readonly accountName?: string;
  readonly clientAddress: string;
  readonly statementText: string;
  /** How long the live table is held. */
  readonly hold: HoldTime;
  /** Gets the audit line for the live table; default: none. */
  readonly log?: Log;
}

/**
 * Resolves to null if there is no live table. Rejects as `Placing.place` does, with
 * UNDROP_NOT_SWAPPED if the live table can't be held, and with UNDROP_LEDGER_UNAVAILABLE; then
 * nothing was renamed. The pool needs four connections.
 */
export async function exchange(
  pool: ServicePool,
  placing: Placing,
  { plan, by }: { readonly plan: HeldPlan; readonly by: SwapBy },
): Promise<Placed | null> {
  const { table, to } = plan;
  const { hold, log = silentLog, ...who } = by;
  // A RENAME that isn't in the binary log would remove the live table on the source alone.
  if (!table.logged) throw notSwapped(table, to, { why: 'it was dropped under sql_log_bin = 0' });
  return pool.task(async (connection) => {
    // Its end ends the ownership of the intent.
    connection.discard();
    const id = newHoldId(Date.now(), randomBytes);
    const intent = { ...who, dropId: id, threadId: connection.threadId, holdMs: 0 };
    const { tables } = await recordIntent(pool, { ...intent, tables: [{ id, ...to, hold }] });
    const [live] = tables;
    if (live === undefined || live.kind === 'missing') return null;
    if (live.holdUntil === null)
      throw notSwapped(table, to, { why: `${writtenName(to)} is a view` });
    if (live.crash !== null) throw notSwapped(table, to, { why: live.crash });
    const holdName = formatHoldName({ state: 'HOLD', id, due: live.holdUntil });
    await renameBoth(connection, pool, { placing, plan, live, holdName });
    const held = { id, fromSchema: live.schema, holdName, table: live.table };
    const first = await detachAndRelocate(pool, [held]);
    const [relocation] = await untilFree(pool, [held], first);
    const outcome =
      relocation?.outcome === 'moved'
        ? { ...relocation, relocated: true }
        : { id, holdSchema: live.schema, holdName, relocated: false };
    const pendingWork =
      relocation?.outcome === 'put-back' ? null : (relocation?.pendingWork ?? null);
    await recordOutcome(pool, { tables: [{ ...outcome, pendingWork }] });
    const event = heldEvent(live, outcome, by);
    await reportAndKeep({ connection: pool, log }, [event]);
    return { plan, recorded: await placing.record(plan), swapped: id, left: pendingWork };
  });
}

function heldEvent(
  { id, schema, table, byteEstimate: bytes, holdUntil }: IntentTable,
  { holdSchema, holdName }: { readonly holdSchema: string; readonly holdName: string },
  by: SwapBy,
): HistoryEvent {
  const { user, clientAddress: client } = by;
  const where = { id, dropId: id, schema, table, holdSchema, holdName };
  const until = holdUntil?.toISOString() ?? null;
  const tags = commentTags(by.statementText);
  return { event: 'held', user, client, ...where, how: 'SWAP', bytes, until, because: null, tags };
}

interface Exchange {
  readonly placing: Placing;
  readonly plan: HeldPlan;
  readonly live: IntentTable;
  readonly holdName: string;
}

/**
 * On the intent's own connection, so that recovery skips the intent while the RENAME may happen.
 * Rejects with the server's refusal as an `UndropError`; then both tables are unchanged.
 */
async function renameBoth(
  connection: TaskConnection,
  pool: ServicePool,
  what: Exchange,
): Promise<void> {
  const { placing, plan, live, holdName } = what;
  const { table } = plan;
  const { schema, table: name } = live;
  const takeBack = await placing.mark(plan);
  const own = ident(schema, name);
  const rename = sql`RENAME ${note('swap', live.id)} TABLE ${own} TO ${ident(schema, holdName)},
    ${ident(table.holdSchema, table.holdName)} TO ${own}`;
  try {
    await runWithTimeoutOn({ connection, pool }, [SHORT_INNODB_WAIT, rename]);
  } catch (error) {
    if (!isServerError(error)) throw error;
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if ((await findHoldTables(pool, [schema], live.id)).length > 0) return;
    await takeBack();
    await forgetIntents(pool, [live.id]);
    throw explain(what, error);
  }
}

function explain({ plan: { table }, live }: Exchange, error: ServerError): UndropError {
  const held = `${table.holdSchema}.${table.holdName}`;
  const what = { id: table.id, schema: live.schema, busy: writtenName(live), held };
  const why = error.sqlMessage.replace(/\.$/, '');
  return explainRename(error, what) ?? notSwapped(table, live, { why, cause: error });
}

function notSwapped(
  { id }: DroppedTable,
  live: QualifiedTable,
  { why, cause }: { readonly why: string; readonly cause?: Error },
): UndropError {
  return new UndropError('UNDROP_NOT_SWAPPED', { id, table: writtenName(live), why }, cause);
}

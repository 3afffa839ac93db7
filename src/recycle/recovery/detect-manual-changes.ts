/**
 * Detects changes to held tables past undrop: a DBA renamed one back on a direct connection, or
 * removed it; or a proxy died between a RENAME and its ledger row. Changes the ledger only, never a
 * table.
 *
 * Invariant: a row is changed only from the state in which it was read, and ended only after a
 * second check of that one table, which must confirm that it is absent.
 */

import { isRowLevelError } from '../../connections/errors.js';
import {
  type HoldTable,
  idsAmong,
  isHeldAnywhere,
  mapHoldTables,
} from '../../connections/hold-tables.js';
import type { ServicePool } from '../../connections/sql.js';
import { isCertainlyAbsent } from '../../held/locate.js';
import type { LedgerRow, LedgerState } from '../../ledger/entry.js';
import { isRenaming, liveOwners } from '../../ledger/owner.js';
import { findPage, findRows, type LedgerCursor } from '../../ledger/read.js';
import { recordOutcome, recordState } from '../../ledger/write.js';
import type { Log } from '../../log.js';
import { isRecycleSchema } from '../../names/names.js';
import { findRenamed, isRestored } from '../rename-back.js';

/** The maximum of vanished tables in one round, with a few statements each; the others wait. */
const ENDED_MAX = 1_000;
/**
 * The maximum of rows in one round: a row of the ledger takes kilobytes, and most are unchanged.
 */
const ROWS_MAX = 5_000;

export interface RoundOptions {
  /** Ids of drops in progress in this proxy. */
  readonly activeIds: ReadonlySet<string>;
  readonly log: Log;
  /** Where the last round stopped. */
  readonly cursor: LedgerCursor;
}

export async function detectManualChanges(
  pool: ServicePool,
  { activeIds, log, cursor }: RoundOptions,
) {
  // The rows before the names: a drop that ends meanwhile is then not yet among the rows.
  const isFirstPage = cursor.after === null;
  const live = await findPage(pool, { by: 'selection' }, { cursor, rowsMax: ROWS_MAX });
  const rows = live.filter(({ id, state }) => state !== 'intent' && !activeIds.has(id));
  const schemas = rows.flatMap(({ holdSchema }) => holdSchema ?? []);
  const elsewhere = new Set(schemas.filter((schema) => !isRecycleSchema(schema)));
  // For one page of several; if there is one page, all names are read.
  const isAll = isFirstPage && cursor.after === null;
  const among = isAll ? null : idsAmong(rows.map(({ id }) => id));
  const held = rows.length === 0 ? new Map() : await mapHoldTables(pool, elsewhere, among);
  /** Ids of tables that were renamed back. */
  const restoredByHand: string[] = [];
  /** Ids of tables that no longer exist. */
  const gone: string[] = [];
  let ended = 0;
  let last: string | null = null;
  for (const row of rows) {
    const there = held.get(row.id);
    if (there === undefined && ended++ >= ENDED_MAX) {
      cursor.after = last;
      break;
    }
    const { id, schema, table } = row;
    last = id;
    try {
      if (there !== undefined) await follow(pool, row, there);
      const state = there === undefined ? await endStateOf(pool, row) : null;
      if (state === null) continue;
      if (state === 'restored') restoredByHand.push(id);
      if (state === 'gone') gone.push(id);
      log.info(
        { id, table: `${schema}.${table}`, state },
        'found a held table that was restored or removed by hand',
      );
    } catch (error) {
      if (!isRowLevelError(error)) throw error;
      log.warn(
        { id, table: `${schema}.${table}`, err: error },
        'cannot compare a row of the ledger with the server; will try again',
      );
    }
  }
  return { restoredByHand, gone };
}

/** The name is the truth, and the ledger follows it. */
export async function follow(pool: ServicePool, row: LedgerRow, table: HoldTable): Promise<void> {
  const isSame =
    row.state === table.state && row.holdSchema === table.schema && row.holdName === table.name;
  if (isSame) return;
  const isRelocated = isRecycleSchema(table.schema);
  if (row.state === 'HOLD' && table.state === 'HOLD') {
    const place = { holdSchema: table.schema, holdName: table.name };
    const why = row.pendingWork === null || isRelocated ? {} : { pendingWork: row.pendingWork };
    const outcome = { id: row.id, ...place, relocated: isRelocated || row.relocated, ...why };
    await recordOutcome(pool, { tables: [outcome] });
    return;
  }
  await recordState(pool, {
    id: row.id,
    state: table.state,
    holdSchema: table.schema,
    holdName: table.name,
    ...(isRelocated ? { relocated: true, pendingWork: null } : {}),
    rowLogged: row.rowLogged,
    onlyFrom: row.state,
  });
}

/** Until a RENAME of several is over, some have their names, and all may be taken back. */
async function isUnderWay(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  return (await liveOwners(pool, [row])).size > 0 || isRenaming(pool, row.id);
}

/** The end state of a row whose table wasn't found; null if it hasn't ended. */
async function endStateOf(pool: ServicePool, row: LedgerRow): Promise<LedgerState | null> {
  const [now] = await findRows(pool, { by: 'id', prefix: row.id });
  if (now === undefined || now.state !== row.state || now.holdName !== row.holdName) return null;
  if (now.pendingWork?.todo === 'restoring' && (await isUnderWay(pool, now))) return null;
  const schemas = new Set([now.schema, now.holdSchema ?? now.schema]);
  if (await isHeldAnywhere(pool, [...schemas], row.id)) return null;
  const { id, schema, table, rowLogged, holdSchema, holdName } = now;
  const isPlaced = holdSchema !== null && holdName !== null;
  if (isPlaced && !(await isCertainlyAbsent(pool, holdSchema, holdName))) return null;
  // An interrupted restore: its remaining parts are left for the next step.
  if ((await findRenamed(pool, now)) !== null) {
    await recordState(pool, { id, state: 'restored', rowLogged, onlyFrom: now.state });
    return 'restored';
  }
  // A table that was about to be dropped was removed by undrop, before the ledger could record it.
  const isRemoved = now.state === 'DROP';
  const wasBack = !isRemoved && (await isRestored(pool, now));
  const unseen = isRemoved ? 'removed' : 'gone';
  const state = wasBack ? 'restored' : unseen;
  await recordState(pool, {
    id,
    state,
    ...(state === 'restored' ? { restoredAs: `${schema}.${table}` } : {}),
    ...(now.pendingWork?.todo === 'restoring' ? { pendingWork: null } : {}),
    rowLogged,
    onlyFrom: now.state,
  });
  return state;
}

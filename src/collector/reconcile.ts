/**
 * Compares the ledger with the server. Completes the steps after a RENAME that happened, forgets
 * the intent whose RENAME did not, tries pending relocations, detects changes to held tables past
 * undrop. May run twice, in two proxies at once, and may be killed at any statement: every step
 * checks first and is safe to repeat. A failure affects nothing else: neither other rows, nor other
 * kinds of rows.
 *
 * Invariant: never renames a live table; touches an intent only when its owner is gone.
 */

import { withinMs } from '../clock.js';
import { isRowLevelError, unlessRefused } from '../connections/errors.js';
import { isHeldAnywhere } from '../connections/hold-tables.js';
import { readServerFacts, type ServicePool } from '../connections/sql.js';
import { recoverSchemas } from '../drop/drop-database/recover-drop-database.js';
import { retryPending } from '../held/relocate/pending.js';
import { hasDetached } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { isRenaming, liveOwners } from '../ledger/owner.js';
import { findRows, type LedgerCursor } from '../ledger/read.js';
import { type DroppedSchema, findDroppedSchemas } from '../ledger/schema-restores.js';
import { asRestorer, leaveRestore, takeOverRestore, toCome } from '../ledger/table-restores.js';
import { recordOutcome, recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { addWaitingKeys, finishRestore } from '../recycle/make-whole.js';
import { detectManualChanges } from '../recycle/recovery/detect-manual-changes.js';
import { resolveIntents } from '../recycle/recovery/resolve-intents.js';
import { findRenamed, findRestoring } from '../recycle/rename-back.js';
import { finishSchemaRestore } from '../recycle/undo/undo-many.js';
import * as ER from '../wire/server-errors.js';

export interface ReconcileOptions {
  readonly proxyId: string;
  /** Ids of drops in progress in this proxy. */
  readonly activeIds: ReadonlySet<string>;
  readonly log: Log;
  /** Where its last round stopped; default: at the beginning. */
  readonly cursors?: ReturnType<typeof newRecoveryCursors>;
}

export type ReconcileReport = Readonly<Awaited<ReturnType<typeof reconcile>>>;

/** `reconcile`, for callers that only need to know whether work is left. */
export type Reconcile = (
  pool: ServicePool,
  options: ReconcileOptions,
) => Promise<{ readonly pending: readonly string[]; readonly untouched: readonly string[] }>;

/** Rejects if the server can't be reached; then the next run continues. */
export async function reconcile(pool: ServicePool, options: ReconcileOptions) {
  const { activeIds, log, proxyId, cursors = newRecoveryCursors() } = options;
  const how = { activeIds, log };
  const failures: unknown[] = [];
  const orElse = async <T>(work: Promise<T>, nothing: T): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!isRowLevelError(error)) throw error;
      failures.push(error);
      return nothing;
    }
  };
  const { open, ...schemas } = await orElse(recoverSchemas(pool, log), NO_SCHEMAS);
  const resolving = resolveIntents(pool, { ...how, cursor: cursors.intents });
  const { untouched, ...intents } = await orElse(resolving, NO_INTENTS);
  const retrying = retryPending(pool, { ...how, cursor: cursors.pending });
  const { relocated, left } = await orElse(retrying, NO_PENDING);
  const detecting = detectManualChanges(pool, { ...how, cursor: cursors.changes });
  const changes = await orElse(detecting, NO_CHANGES);
  const described = await orElse(writeMissingOutcomes(pool, activeIds), []);
  const report = {
    ...schemas,
    /** Held tables whose definition the ledger lacked. */
    described,
    ...intents,
    /** Also groups of a DROP DATABASE whose owner is still there. */
    untouched: [...open, ...untouched],
    ...changes,
    /** Held tables that were still in their own schema, and were moved. */
    relocated,
    /** Tables that still are. */
    pending: left.map(({ id }) => id),
  };
  const { untouched: _untouched, pending: _left, ...done } = report;
  if (Object.values(done).some((ids) => ids.length > 0)) {
    log.info({ proxyId, ...report }, 'reconciled the ledger with the server');
  }
  const [failure] = failures;
  if (failure !== undefined) throw failure;
  return report;
}

const NO_SCHEMAS = { schemasBack: [], schemasGone: [], open: [] };
const NO_INTENTS = { completed: [], forgotten: [], untouched: [] };
const NO_PENDING = { relocated: [], left: [] };
const NO_CHANGES = { restoredByHand: [], gone: [] };

/** Held tables that one round describes; the others wait for the next. */
const DESCRIBED_MAX = 1_000;

/**
 * Writes the definition and the restore script of held tables that the ledger doesn't have, because
 * the proxy ended between the answer to a DROP DATABASE and the last of them, or the table was
 * taken over from Vitess. Resolves to their ids.
 */
async function writeMissingOutcomes(
  pool: ServicePool,
  activeIds: ReadonlySet<string>,
): Promise<readonly string[]> {
  const rows = await findRows(pool, { by: 'unsettled' }, { rowsMax: DESCRIBED_MAX, texts: false });
  const tables = rows.flatMap(({ id, holdSchema, holdName, relocated, pendingWork }) => {
    if (activeIds.has(id) || holdSchema === null || holdName === null) return [];
    return [{ id, holdSchema, holdName, relocated, pendingWork }];
  });
  await recordOutcome(pool, { tables });
  return tables.map(({ id }) => id);
}

/**
 * The positions of recovery's rounds in the ledger, for each kind of rows: one round handles a
 * number of rows, and the next continues after them, so that hopeless rows don't block others. In
 * memory only: a lost cursor starts over.
 */
export function newRecoveryCursors() {
  const cursor = (): LedgerCursor => ({ after: null });
  return { intents: cursor(), pending: cursor(), changes: cursor() };
}

/**
 * Runs the recoveries of one process one after another, because its start recovers, and so does its
 * collector. Two at once are safe for the tables, but each may drop the key of a child that the
 * other has just repointed, and if the server is busy neither adds it again.
 */
export function serialize<Args extends readonly unknown[], Result>(
  work: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const turn = last.then(() => work(...args));
    last = turn.catch(() => undefined);
    return turn;
  };
}

// ── interrupted restores ─────────────────────────────────────────────────────────────────────────
// Reattaches the remaining keys, triggers and CHECKs of each table. A collecting proxy does so on
// connections of the pool, because the collector's own must not be silent while rows are copied.
//
// Invariants: a restore is taken over only from an owner that is gone. A table that is still held
// is not touched: its restore did not happen. Nothing is added to another table that has the name
// now; that is logged once.

const ROUND_WAITS_MS = 5_000;
/** Stands for ids: restores are in progress. */
const UNDER_WAY = ['restores'];

/** `recover`, and then this; unfinished work counts as pending. The pool needs four connections. */
export function finishing(pool: ServicePool, recover: Reconcile): Reconcile {
  let running: Promise<readonly string[]> | null = null;
  return async (connection, options) => {
    const report = await recover(connection, options);
    running ??= finishAll(pool, options.log).finally(() => {
      running = null;
    });
    const left = (await withinMs(ROUND_WAITS_MS, running)) ?? UNDER_WAY;
    return { ...report, pending: [...report.pending, ...left] };
  };
}

/** Ids of restores to try again. Rejects if the server can't be reached. */
export async function finishAll(pool: ServicePool, log: Log): Promise<readonly string[]> {
  const found = await unlessRefused(findBrokenSchemas(pool), [], ...ER.ABSENT_TABLE);
  const left: string[] = [];
  for (const drop of found) {
    const { id, dropId, schema, restoredAs } = drop;
    if ((await readServerFacts(pool)).readOnly) continue;
    try {
      const isComplete = (await finishSchemaRestore(pool, drop))?.isComplete;
      const what = { dropId, schema, restoredAs };
      if (isComplete === true) log.info(what, 'finished an interrupted restore of a schema');
      if (isComplete === false)
        log.warn(what, 'ended an interrupted restore of a schema; some parts are missing');
    } catch (error) {
      if (!isRowLevelError(error)) throw error;
      left.push(id);
      log.warn(
        { dropId, schema, err: error },
        'cannot finish an interrupted restore of a schema; will try again',
      );
    }
  }
  left.push(...(await finishRestores(pool, log)));
  if ((await readServerFacts(pool)).readOnly) return left;
  for (const { name, table, problem } of await addWaitingKeys(pool, null)) {
    if (problem === null) log.info({ table, key: name }, 'added a foreign key; its parent is back');
    else log.warn({ table, key: name, problem }, 'cannot add a foreign key; its parent is back');
  }
  return left;
}

/** Restores of schemas without an owner; the drops of a replica's source have theirs there. */
async function findBrokenSchemas(pool: ServicePool): Promise<readonly DroppedSchema[]> {
  const begun = await findDroppedSchemas(pool, 'restoring');
  const owned = await liveOwners(pool, begun);
  return begun.filter(({ id }) => !owned.has(id));
}

/** Resolves to the ids of those to try again. The pool needs two connections. */
async function finishRestores(pool: ServicePool, log: Log): Promise<readonly string[]> {
  const rows = await findBrokenOff(pool);
  if (rows.length === 0 || (await readServerFacts(pool)).readOnly) return [];
  const left: string[] = [];
  await asRestorer(pool, async (owner) => {
    for (const row of rows) {
      const { id, schema, table } = row;
      try {
        if (!(await takeOverRestore(pool, row, owner))) continue;
        if (!(await finish(pool, row, log))) left.push(id);
      } catch (error) {
        if (!isRowLevelError(error)) throw error;
        left.push(id);
        log.warn(
          { id, table: `${schema}.${table}`, err: error },
          'cannot finish an interrupted restore; will try again',
        );
      }
    }
  });
  return left;
}

/** Restores of tables without an owner that don't belong to an unfinished restore of a schema. */
async function findBrokenOff(pool: ServicePool): Promise<readonly LedgerRow[]> {
  const begun = await findRows(pool, { by: 'broken-off' });
  const owned = await liveOwners(pool, begun);
  return begun.filter(({ id }) => !owned.has(id));
}

export interface Unfinished {
  readonly id: string;
  /** The name of the table or schema. */
  readonly what: string;
  readonly missing: string;
}

/** Incomplete restores without an owner. Changes nothing. */
export async function findUnfinishedRestores(pool: ServicePool): Promise<readonly Unfinished[]> {
  const schemas = await findBrokenSchemas(pool);
  const tables = await findBrokenOff(pool);
  const found: Unfinished[] = schemas.map(({ id, restoredAs }) => {
    return { id, what: `schema ${restoredAs}`, missing: 'its restore was interrupted' };
  });
  for (const row of tables) {
    const { id, restoredAs, pendingWork } = row;
    if (row.state === 'HOLD' && (await findRenamed(pool, row)) === null) continue;
    found.push({ id, what: restoredAs ?? id, missing: pendingWork?.text ?? '' });
  }
  return found;
}

/** False: try again later. */
async function finish(pool: ServicePool, row: LedgerRow, log: Log): Promise<boolean> {
  const { id, schema, table, rowLogged, detached } = row;
  const what = { id, table: `${schema}.${table}` };
  const renamed = await findRenamed(pool, row);
  if (renamed === null && (await isHeldAnywhere(pool, [row.holdSchema ?? schema], id))) {
    if (await isRenaming(pool, id)) return false;
    await leaveRestore(pool, row, null);
    log.info(what, 'discarded an interrupted restore; the table was not renamed');
    return true;
  }
  if (renamed !== null && row.state === 'HOLD') {
    await recordState(pool, { id, state: 'restored', rowLogged, onlyFrom: 'HOLD' });
  }
  const [now = row] = await findRows(pool, { by: 'id', prefix: id });
  if (hasDetached(detached) && (await findRestoring(pool, now)) === null) {
    const text = `it was dropped or altered meanwhile: ${toCome(detached)}`;
    await leaveRestore(pool, now, { todo: null, text });
    log.warn(what, text);
    return true;
  }
  const isDone = await finishRestore(pool, id);
  const [{ pendingWork } = now] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  if (pendingWork === null) log.info(what, 'finished an interrupted restore');
  else
    log.warn(
      { ...what, missing: pendingWork.text },
      'finished an interrupted restore in part; will try again',
    );
  return isDone;
}

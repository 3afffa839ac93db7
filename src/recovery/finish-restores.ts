/**
 * Finishes interrupted restores of schemas and tables: reattaches the remaining keys, triggers and
 * CHECKs of each table. A collecting proxy does so on connections of the pool, because the
 * collector's own must not be silent while rows are copied.
 *
 * Invariants: a restore is taken over only from an owner that is gone. A table that is still held
 * is not touched: its restore did not happen. Nothing is added to another table that has the name
 * now; that is logged once.
 */
import { withinMs } from '../clock.js';
import { hasDetached } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { isRenaming, liveOwners, writtenElsewhere } from '../ledger/owner.js';
import { findRows } from '../ledger/read.js';
import { findBrokenRestores } from '../ledger/schema-restores.js';
import { asRestorer, leaveRestore, takeOverRestore, toCome } from '../ledger/table-restores.js';
import { recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { finishRestore } from '../restore/make-whole.js';
import { findRenamed, findRestoring } from '../restore/rename-back.js';
import { finishSchemaRestore } from '../restore/schema/restore-schema.js';
import { isRowLevelError, unlessRefused } from '../service/errors.js';
import { isHeldAnywhere } from '../service/hold-tables.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { ABSENT_TABLE } from '../wire/server-errors.js';
import type { Reconcile } from './reconcile.js';

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
  const found = await unlessRefused(findBrokenRestores(pool), [], ...ABSENT_TABLE);
  const elsewhere = await writtenElsewhere(pool, found);
  const left: string[] = [];
  for (const restore of found) {
    const { id, groupId, schema, to } = restore;
    if (elsewhere.has(id) || (await readServerFacts(pool)).readOnly) continue;
    try {
      const isComplete = await finishSchemaRestore(pool, restore);
      const what = { groupId, schema, restoredAs: to };
      if (isComplete === true) log.info(what, 'finished an interrupted restore of a schema');
      if (isComplete === false)
        log.warn(what, 'ended an interrupted restore of a schema; some parts are missing');
    } catch (error) {
      if (!isRowLevelError(error)) throw error;
      left.push(id);
      log.warn(
        { groupId, schema, err: error },
        'cannot finish an interrupted restore of a schema; will try again',
      );
    }
  }
  return [...left, ...(await finishRestores(pool, log))];
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
  const schemas = await findBrokenRestores(pool);
  const tables = await findBrokenOff(pool);
  const found: Unfinished[] = schemas.map(({ id, to }) => {
    return { id, what: `schema ${to}`, missing: 'its restore was interrupted' };
  });
  for (const row of tables) {
    const { id, restoredAs, failure } = row;
    if (row.state === 'HOLD' && (await findRenamed(pool, row)) === null) continue;
    found.push({ id, what: restoredAs ?? id, missing: failure?.text ?? '' });
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
  const [{ failure } = now] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  if (failure === null) log.info(what, 'finished an interrupted restore');
  else
    log.warn(
      { ...what, missing: failure.text },
      'finished an interrupted restore in part; will try again',
    );
  return isDone;
}

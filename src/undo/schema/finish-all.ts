/**
 * Finishes interrupted restores of schemas and tables, in a collecting proxy beside its recovery.
 *
 * Invariant: runs on connections of the pool, not on the collector's, which must not be silent
 * while rows are copied; so the collector's round goes on during a restore.
 */
import { withinMs } from '../../clock.js';
import { writtenElsewhere } from '../../ledger/owner.js';
import { findBrokenRestores } from '../../ledger/schema-restores.js';
import type { Log } from '../../log.js';
import { finishRestores } from '../../recovery/finish-restores.js';
import type { Reconcile } from '../../recovery/reconcile.js';
import { isRowLevelError } from '../../service/errors.js';
import { type ServicePool, unlessRefused } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { finishSchemaRestore } from './restore-schema.js';

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

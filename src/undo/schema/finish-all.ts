/**
 * What a collecting proxy does beside its recovery: it finishes the restores of schemas and tables
 * that broke off.
 *
 * Invariant: on connections of the pool, not on the collector's, which must not be silent for as
 * long as rows are copied; so its round goes on while a restore lasts.
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
/** In the place of ids: they are not over. */
const UNDER_WAY = ['restores'];

/** `recover`, and then this; what is left is pending. The pool needs four connections. */
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

/** Ids of what is to be tried again. Rejects if the server can't be asked. */
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
      if (isComplete === true) log.info(what, 'a restore of a schema that broke off was finished');
      if (isComplete === false) log.warn(what, 'a restore of a schema ended: not all is back');
    } catch (error) {
      if (!isRowLevelError(error)) throw error;
      left.push(id);
      log.warn({ groupId, schema, err: error }, 'a restore of a schema could not be finished');
    }
  }
  return [...left, ...(await finishRestores(pool, log))];
}

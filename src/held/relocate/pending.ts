/**
 * What could not be relocated at once: held tables that are still in their own schema. Each is
 * tried again for a moment; what still can't be moved stays a debt. May run twice, and at once with
 * another proxy.
 */

import { type LedgerCursor, nextPage } from '../../ledger/cursor.js';
import type { Failure, LedgerRow } from '../../ledger/entry.js';
import { writtenElsewhere } from '../../ledger/owner.js';
import { findRows } from '../../ledger/read.js';
import { recordOutcome, recordState } from '../../ledger/write.js';
import type { Log } from '../../log.js';
import { parseHoldName } from '../../names/hold-name.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { NOT_TRIED } from './blockers.js';
import { whyItStays } from './data-directory.js';
import { detachAndRelocate } from './detach-and-relocate.js';

export interface PendingReport {
  readonly paid: readonly string[];
  readonly left: readonly { readonly id: string; readonly failure: string }[];
}

/** So many are read at once, and behind so many tries the others wait for the next round. */
const DEBTS_MAX = 1_000;

export async function retryPending(
  pool: ServicePool,
  options: {
    readonly activeIds: ReadonlySet<string>;
    readonly log: Log;
    /** Ids; default: all. */
    readonly only?: ReadonlySet<string>;
    /** Where the last round has stopped; default: from the newest on. */
    readonly walk?: LedgerCursor;
  },
): Promise<PendingReport> {
  const { activeIds, log, only, walk = { behind: null } } = options;
  const paid: string[] = [];
  const left: { readonly id: string; readonly failure: string }[] = [];
  const filter = { by: 'debt', ...(only === undefined ? {} : { only: [...only] }) } as const;
  let tries = 0;
  for (let isMore = true; isMore && tries < DEBTS_MAX; ) {
    const how = { rowsMax: DEBTS_MAX, behind: walk.behind, texts: false };
    const rows = await findRows(pool, filter, how);
    isMore = nextPage(walk, rows, DEBTS_MAX);
    // A source that has become a replica: its debts are the new source's.
    if (rows.length > 0 && (await readServerFacts(pool)).readOnly) break;
    const elsewhere = await writtenElsewhere(pool, rows);
    for (const row of rows) {
      if (elsewhere.has(row.id)) continue;
      if (activeIds.has(row.id) || staysForGood(row)) continue;
      tries++;
      const failure = await pay(pool, row).catch(wordsOf);
      if (failure === null) paid.push(row.id);
      // Of use once the account has another right: there is no hurry, and it was said before.
      else if (failure.todo !== 'stays_triggers') left.push({ id: row.id, failure: failure.text });
    }
  }
  if (left.length > 0) log.warn({ left }, 'held tables that are still in their own schema');
  return { paid, left };
}

function staysForGood({ failure }: LedgerRow): boolean {
  return failure?.todo === 'stays_file' || failure?.todo === 'stays_partitions';
}

/**
 * Takes what stays in a schema for its partitions out of it, as the schema is about to be dropped:
 * by another RENAME. What can't be moved is there still. May run twice.
 */
export async function takeOut(pool: ServicePool, schema: string): Promise<void> {
  const rows = await findRows(pool, { by: 'debt' }, { texts: false });
  for (const row of rows) {
    if (row.holdSchema !== schema || row.failure?.todo !== 'stays_partitions') continue;
    await pay(pool, row, { leaves: true }).catch(wordsOf);
  }
}

/** One that fails keeps the others from nothing. */
function wordsOf(error: unknown): Failure {
  if (!isServerError(error)) throw error;
  return { todo: 'relocate', text: error.message };
}

/** Null when paid, else what stands in the way. */
async function pay(
  pool: ServicePool,
  row: LedgerRow,
  { leaves = false }: { readonly leaves?: boolean } = {},
): Promise<Failure | null> {
  const { id, holdSchema, holdName, table, rowLogged } = row;
  if (holdSchema === null || holdName === null || parseHoldName(holdName)?.id !== id) {
    return { todo: 'relocate', text: 'the ledger has no hold name of it' };
  }
  const stays = await whyItStays(pool, { id, schema: holdSchema, name: holdName });
  const from = {
    ...{ id, fromSchema: holdSchema, holdName, table },
    stays: leaves && stays?.todo === 'stays_partitions' ? null : stays,
  };
  const [relocation] = await detachAndRelocate(pool, [from], { logged: row.sqlLogBin });
  switch (relocation?.outcome) {
    case 'moved':
      await recordOutcome(pool, {
        tables: [
          { id, holdSchema: relocation.holdSchema, holdName: relocation.holdName, relocated: true },
        ],
        forgotten: [],
      });
      return null;
    case 'put-back': {
      const restoredAs = `${holdSchema}.${table}`;
      await recordState(pool, { id, state: 'restored', restoredAs, rowLogged });
      return null;
    }
    default: {
      const failure = relocation?.failure ?? NOT_TRIED;
      if (failure.todo !== row.failure?.todo || failure.text !== row.failure.text) {
        await recordState(pool, { id, state: 'HOLD', onlyFrom: 'HOLD', failure, rowLogged });
      }
      return failure;
    }
  }
}

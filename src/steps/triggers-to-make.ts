/**
 * Reads which triggers of restored tables are missing, as statements for a session that may create
 * them (make-triggers.ts): in the bytes of their own charset, and with the names of their schema if
 * the session has another one.
 */

import { qualifiedStatementOf, setModes, statementOf } from '../held/triggers/definition.js';
import { findMissing } from '../held/triggers/reattach-triggers.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { tolerantly } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { renderQuery } from '../service/sql.js';
import type { TriggerToMake } from './make-triggers.js';
import type { UserFacts } from './world.js';

/** `rows`: with their texts. None if they are of drops that the session would log otherwise. */
export async function triggersToMake(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  facts: UserFacts,
): Promise<readonly TriggerToMake[]> {
  const all: TriggerToMake[] = [];
  for (const row of rows) {
    const missing = row.sqlLogBin === facts.logged ? await findMissing(pool, row) : null;
    if (missing === null) continue;
    const { at, triggers } = missing;
    const isNear = facts.schema === at.schema;
    for (const trigger of triggers) {
      const create = isNear
        ? await statementOf(pool, trigger, at.table)
        : await qualifiedStatementOf(pool, trigger, at);
      // Triggers after it would fire before it.
      if (create === null) break;
      const set = Buffer.from(renderQuery(setModes(trigger, row.id)));
      all.push({ event: `${row.id} ${trigger.event}`, set, create });
    }
  }
  return all;
}

/**
 * For tables that a failed drop has put back, or a restore of its schema; none if it can't be read.
 */
export async function triggersOfDrop(
  pool: ServicePool,
  { groupId, facts }: { readonly groupId: string; readonly facts: UserFacts },
): Promise<readonly TriggerToMake[]> {
  const { value } = await tolerantly(async () => {
    const rows = await findRows(pool, { by: 'triggers' });
    const own = rows.filter((row) => row.groupId === groupId);
    return triggersToMake(pool, own.toReversed(), facts);
  });
  return value;
}

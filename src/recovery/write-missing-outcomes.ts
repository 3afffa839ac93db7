/**
 * Writes the definition and the restore script of held tables that the ledger doesn't have: the
 * proxy ended between the answer to a DROP DATABASE and the last of them, or the table was taken
 * over from Vitess. May run twice, and in two proxies at once.
 */
import { findRows } from '../ledger/read.js';
import { recordOutcome } from '../ledger/write.js';
import type { ServicePool } from '../service/pool/pools.js';

/** Of one round; the others wait for the next. */
const ROWS_MAX = 1_000;

/** Resolves to the ids of those tables. */
export async function writeMissingOutcomes(
  pool: ServicePool,
  activeIds: ReadonlySet<string>,
): Promise<readonly string[]> {
  const rows = await findRows(pool, { by: 'unsettled' }, { rowsMax: ROWS_MAX, texts: false });
  const tables = rows.flatMap(({ id, holdSchema, holdName, relocated, failure }) => {
    if (activeIds.has(id) || holdSchema === null || holdName === null) return [];
    return [{ id, holdSchema, holdName, relocated, failure }];
  });
  await recordOutcome(pool, { tables });
  return tables.map(({ id }) => id);
}

/**
 * What a table in one of our own schemas is, for whoever wanted to drop it there. Pure. Invariant:
 * that a table is removed is said of held ones alone.
 */
import { parseHoldName } from '../../names/hold-name.js';
import { RECYCLE_SCHEMA } from '../../names/recycle-schema.js';

const LEDGER = ['ledger', 'ledger_version'];

/** Goes on behind "it is". `schema`: one of ours, in whatever case. */
export function whatIsRecycled(name: { readonly schema: string; readonly table: string }): string {
  const schema = name.schema.toLowerCase();
  if (schema === RECYCLE_SCHEMA && LEDGER.includes(name.table.toLowerCase())) {
    return 'the ledger of undrop, which stays';
  }
  const where = 'in the recycle schema of undrop';
  if (parseHoldName(name.table) === null) return `${where}, where no client drops anything`;
  return `${where}, which removes it in its time`;
}

/**
 * Makes a dropped view anew from its definition: with the name, definer, algorithm, security, check
 * option and charsets that it had. Invariant: what has the name stays as it is.
 */
import { UndropError } from '../errors.js';
import { recordViewRestored } from '../ledger/views.js';
import { createView } from '../moves/view-definition.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { BAD_NAME, ER_TABLE_EXISTS_ERROR } from '../wire/server-errors.js';
import type { HeldView, TableName } from './list.js';

/**
 * False: the ledger could not be told. Rejects with UNDROP_NAME_TAKEN,
 * UNDROP_BAD_TARGET, or UNDROP_VIEW_NOT_MADE: what it reads isn't there, or the account may not.
 */
export async function restoreView(
  pool: ServicePool,
  { id, row, logged }: HeldView,
  { schema, table: view }: TableName,
): Promise<boolean> {
  const { definition } = row;
  try {
    await createView(pool, id, { schema, view }, { definition, logged });
  } catch (error) {
    if (!isServerError(error)) throw error;
    if (error.errno === ER_TABLE_EXISTS_ERROR) {
      throw new UndropError('UNDROP_NAME_TAKEN', { id, table: `${schema}.${view}` }, error);
    }
    const cause = error.sqlMessage;
    if (BAD_NAME.includes(error.errno)) {
      throw new UndropError('UNDROP_BAD_TARGET', { target: `${schema}.${view}` }, error);
    }
    throw new UndropError('UNDROP_VIEW_NOT_MADE', { view: `${schema}.${view}`, cause }, error);
  }
  try {
    await recordViewRestored(pool, row, `${schema}.${view}`);
    return true;
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return false;
  }
}

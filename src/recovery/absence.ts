/**
 * Whether a table is really not there. What information_schema doesn't list may only be out of this
 * account's sight, when rights were taken from it; a ledger row that is given up then is the way
 * back of a table that still exists.
 */
import { isServerError, type ServiceConnection } from '../service/pools.js';
import { ident, note, sql } from '../service/sql.js';

/** No such table, or no such schema; 1017 of MySQL 5.6 where the file is missing. */
const NOT_THERE = [1146, 1049, 1017] as const;

/** True only where the server itself says so; a right that is missing (1142) says nothing. */
export async function isSurelyAbsent(
  connection: ServiceConnection,
  schema: string,
  name: string,
): Promise<boolean> {
  try {
    await connection.run(sql`SHOW CREATE TABLE ${note('absence')} ${ident(schema, name)}`);
    return false;
  } catch (error) {
    if (!isServerError(error)) throw error;
    return isServerError(error, ...NOT_THERE);
  }
}

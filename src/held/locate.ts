/**
 * Locates a table, or asserts that it is absent. A table that information_schema doesn't list may
 * only be invisible to this account, if privileges were revoked; giving up its ledger row would
 * lose the way back of a table that still exists.
 */

import { isServerError } from '../connections/errors.js';
import type { ServiceConnection } from '../connections/sql.js';
import { col, ident, note, readServerFacts, sql } from '../connections/sql.js';
import { fileNameOf } from '../ledger/intents/intent-text.js';
import type { QualifiedTable } from '../names/names.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';

/** No table has that name, as far as this account can see. */
export async function isMissing(
  pool: ServiceConnection,
  id: string,
  { schema, table }: QualifiedTable,
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', id)} COUNT(*) AS n FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${table}`,
  );
  return col.number(rows[0] ?? {}, 'n') === 0;
}

/** True only if the server itself reports that; a missing privilege (1142) proves nothing. */
export async function isCertainlyAbsent(
  connection: ServiceConnection,
  schema: string,
  name: string,
): Promise<boolean> {
  try {
    await connection.run(sql`SHOW CREATE TABLE ${note('absent')} ${ident(schema, name)}`);
    return false;
  } catch (error) {
    if (!isServerError(error)) throw error;
    const isAbsent = isServerError(error, ...ER.ABSENT_TABLE);
    return isAbsent && !(await isHalfRenamed(connection, schema, name));
  }
}

/**
 * MySQL before 8 has two dictionaries. If it was killed during a RENAME, InnoDB has the new name
 * and the table's .frm file the old one; nothing can open the table, and its rows are there.
 */
async function isHalfRenamed(connection: ServiceConnection, schema: string, name: string) {
  const server = await readServerFacts(connection);
  if (server.flavour !== 'mysql' || isMysql8(server)) return false;
  const [rows = []] = await connection.run(
    sql`SELECT ${note('absent')} COUNT(*) AS n FROM information_schema.INNODB_SYS_TABLES
        WHERE CAST(NAME AS BINARY) = CONCAT(${fileNameOf(schema)}, '/', ${fileNameOf(name)})`,
  );
  return col.number(rows[0] ?? {}, 'n') > 0;
}

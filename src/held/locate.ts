/**
 * Locates a table, or asserts that it is absent. A table that information_schema doesn't list may
 * only be invisible to this account, if privileges were revoked; giving up its ledger row would
 * lose the way back of a table that still exists.
 */
import { fileNameOf } from '../ledger/intents/intent-text.js';
import * as col from '../service/columns.js';
import { isServerError } from '../service/errors.js';
import type { ServiceConnection } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { ident, note, sql } from '../service/sql.js';
import * as ER from '../wire/server-errors.js';

interface Location {
  readonly schema: string;
  readonly name: string;
  readonly isView: boolean;
}

/** Each of `schemas` that has a table or view of that name. */
export async function locateHoldTable(
  connection: ServiceConnection,
  schemas: readonly string[],
  name: string,
): Promise<readonly Location[]> {
  const answers = await connection.run(
    schemas.map(
      (schema) => sql`SELECT ${note('locate')} TABLE_SCHEMA AS schemaName,
          TABLE_NAME AS tableName, TABLE_TYPE AS type
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
    ),
  );
  return answers.flat().map((row) => ({
    schema: col.text(row, 'schemaName'),
    name: col.text(row, 'tableName'),
    isView: col.text(row, 'type') === 'VIEW',
  }));
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
    return (
      isServerError(error, ...ER.ABSENT_TABLE) && !(await isHalfRenamed(connection, schema, name))
    );
  }
}

/**
 * MySQL before 8 has two dictionaries. If it was killed during a RENAME, InnoDB has the new name
 * and the table's .frm file the old one; nothing can open the table, and its rows are there.
 */
async function isHalfRenamed(
  connection: ServiceConnection,
  schema: string,
  name: string,
): Promise<boolean> {
  const { flavour, versionId } = await readServerFacts(connection);
  if (flavour !== 'mysql' || versionId >= 80_000) return false;
  const [rows = []] = await connection.run(
    sql`SELECT ${note('absent')} COUNT(*) AS n FROM information_schema.INNODB_SYS_TABLES
        WHERE CAST(NAME AS BINARY) = CONCAT(${fileNameOf(schema)}, '/', ${fileNameOf(name)})`,
  );
  return col.number(rows[0] ?? {}, 'n') > 0;
}

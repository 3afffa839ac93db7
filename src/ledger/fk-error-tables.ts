/**
 * Tables of ours that can't be dropped, as one of ours refers to them. What MySQL before 8 says of
 * a parent has no names in it, but a row for each parent before the error, which nothing else
 * brings: so it is asked to drop these, in the user's session.
 *
 * Invariant: they are empty and nobody's. Should one be dropped after all, nothing is lost.
 */
import {
  FK_ERROR_CHILD,
  FK_ERROR_TABLES_MAX,
  fkErrorTableName,
  hasFkErrorTables,
} from '../names/names.js';
import { RECYCLE_SCHEMA } from '../names/recycle-schema.js';
import { isServerError, type ServiceConnection } from '../service/pool/pools.js';
import { numberOf, textOf } from '../service/row.js';
import { versionIdOf } from '../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../service/sql.js';

/** Looks first, as everything that creates is written to the binary log. May run twice. */
export async function ensureFkErrorTables(
  connection: ServiceConnection,
  options: { readonly tolerate: readonly number[] },
): Promise<void> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} @@version AS version, COUNT(*) AS n FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${RECYCLE_SCHEMA} AND TABLE_NAME = ${FK_ERROR_CHILD}`,
  );
  const [row = {}] = rows;
  const version = textOf(row, 'version');
  const flavour = /mariadb/i.test(version) ? 'mariadb' : 'mysql';
  if (!hasFkErrorTables({ flavour, versionId: versionIdOf(version) }) || numberOf(row, 'n') > 0)
    return;
  try {
    await connection.run([...parents(), child()]);
  } catch (error) {
    if (!isServerError(error, ...options.tolerate)) throw error;
  }
}

function parents(): readonly SQLQuery[] {
  return Array.from(
    { length: FK_ERROR_TABLES_MAX },
    (_, index) =>
      sql`CREATE TABLE IF NOT EXISTS ${ident(RECYCLE_SCHEMA, fkErrorTableName(index))} (
        id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB`,
  );
}

function child(): SQLQuery {
  const columns = Array.from({ length: FK_ERROR_TABLES_MAX }, (_, index) => {
    const column = ident(`id_${index + 1}`);
    return sql`${column} INT NULL, FOREIGN KEY (${column})
      REFERENCES ${ident(RECYCLE_SCHEMA, fkErrorTableName(index))} (id)`;
  });
  return sql`CREATE TABLE IF NOT EXISTS ${ident(RECYCLE_SCHEMA, FK_ERROR_CHILD)} (
    ${sql.join(columns, ', ')}) ENGINE=InnoDB`;
}

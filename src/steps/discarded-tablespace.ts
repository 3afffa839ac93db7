/**
 * Tables of MariaDB whose tablespace is discarded (ALTER TABLE … DISCARD TABLESPACE). A RENAME
 * leaves the .ibd file where it is that somebody has put beside the table for an IMPORT, and then
 * neither CREATE TABLE of that name (1005) nor DROP DATABASE (1010) works. No statement tells
 * whether there is such a file, so these tables are not held.
 */
import { UndropError } from '../errors.js';
import type { IntentFacts } from '../ledger/write.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, type SQLQuery, sql } from '../service/sql.js';

/** The refusal, or null. `subject`: the beginning of its sentence. */
export async function refusalOfDiscarded(
  pool: ServicePool,
  { tables }: IntentFacts,
  subject: string,
): Promise<UndropError | null> {
  // The server counts at least one page for every other table of InnoDB.
  const suspects = tables.filter((table) => table.engine === 'InnoDB' && table.byteEstimate === 0);
  if (suspects.length === 0) return null;
  const { flavour, lowerCaseTableNames } = await readServerFacts(pool);
  if (flavour !== 'mariadb') return null;
  const inFile = (part: string): SQLQuery => {
    const folded = lowerCaseTableNames === 0 ? part : part.toLowerCase();
    return sql`CAST(CONVERT(${folded} USING filename) AS BINARY)`;
  };
  for (const { id, schema, table } of suspects) {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('look', id)} 1 FROM information_schema.INNODB_SYS_TABLES
          WHERE CAST(NAME AS BINARY) = CONCAT(${inFile(schema)}, '/', ${inFile(table)})
            AND SPACE NOT IN (SELECT SPACE FROM information_schema.INNODB_SYS_TABLESPACES)`,
    );
    if (rows.length === 0) continue;
    const cause = `the tablespace of ${schema}.${table} is discarded, and a RENAME on this server leaves a file behind that is there for its IMPORT`;
    return new UndropError('UNDROP_HOLD_FAILED', { tables: subject, cause });
  }
  return null;
}

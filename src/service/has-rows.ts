/** Whether a table has any row, as this account sees it. Rejects with the server's error. */
import type { ServicePool } from './pool/pools.js';
import { ident, note, sql } from './sql.js';

export async function hasRows(
  pool: ServicePool,
  { id, schema, name }: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('rows', id)} 1 AS one FROM ${ident(schema, name)} LIMIT 1`,
  );
  return rows.length > 0;
}

/** Asks whether a held table stays in its own schema, for a DATA DIRECTORY or its partitions. */
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { textOf } from '../../service/row.js';
import { ident, note, sql } from '../../service/sql.js';
import { parseServerVersion } from '../../wire/connection/handshake-v10.js';
import { type LastingBlocker, lastingBlocker } from './blockers.js';

/** Why the table, under whatever name, isn't to be relocated once it is held; or null. */
export async function whyItStays(
  pool: ServicePool,
  table: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<LastingBlocker | null> {
  try {
    const [versions = [], definitions = []] = await pool.run([
      sql`SELECT ${note('whereabouts', table.id)} @@version AS version`,
      sql`SHOW CREATE TABLE ${note('whereabouts', table.id)} ${ident(table.schema, table.name)}`,
    ]);
    const [version, definition] = [versions[0], definitions[0]];
    if (version === undefined || definition === undefined) return null;
    const server = parseServerVersion(textOf(version, 'version'));
    // A view has no such column.
    const text = definition['Create Table'];
    return typeof text === 'string' ? lastingBlocker(text, server) : null;
  } catch (error) {
    // It is a view, or gone: relocating it will say so.
    if (isServerError(error)) return null;
    throw error;
  }
}

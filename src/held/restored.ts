/**
 * Finds out whether a held table has a name of its own again, and which name an interrupted restore
 * has given it. Changes nothing.
 */

import { definitionLines } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { FOREIGN_KEY_LINE, ownDefinition } from '../ledger/write.js';
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { dateOrNullOf, ident, note, sql, textOf } from '../service/sql.js';
import { isRenamedBack } from './rename-back.js';

export interface LiveName {
  readonly schema: string;
  readonly table: string;
}

/** Its restore was interrupted, or left triggers out. */
export function isUnfinished({ failure }: Pick<LedgerRow, 'failure'>): boolean {
  return failure?.todo === 'restoring' || failure?.todo === 'triggers';
}

/**
 * The name that an unfinished restore has given the table: one check finds a table of that name,
 * and none under its hold name. Null: there is no such restore, or it did not get that far.
 */
export async function findRenamed(pool: ServicePool, row: LedgerRow): Promise<LiveName | null> {
  const { id, restoredAs } = row;
  if (!isUnfinished(row) || restoredAs === null) return null;
  const holdSchema = row.holdSchema ?? row.schema;
  const parts = restoredAs.split('.');
  // A name may contain dots.
  for (let at = 1; at < parts.length; at++) {
    const place = { schema: parts.slice(0, at).join('.'), table: parts.slice(at).join('.') };
    const { schema: toSchema, table: toTable } = place;
    if (await isRenamedBack(pool, { id, holdSchema, toSchema, toTable })) return place;
  }
  return null;
}

/**
 * The same if it still is the table that was dropped, not another one with that name: only then
 * anything is added to it. `row`: with its texts.
 */
export async function findRestoring(pool: ServicePool, row: LedgerRow): Promise<LiveName | null> {
  const at = await findRenamed(pool, row);
  if (at === null || !(await isRestored(pool, row, at))) return null;
  const { id, endedAt } = row;
  const drops = await findRows(pool, { by: 'name', ...at }, { texts: false });
  const isNewer = (drop: LedgerRow) => endedAt !== null && drop.droppedAt > endedAt;
  return drops.some((drop) => drop.id !== id && isNewer(drop)) ? null : at;
}

/**
 * Whether the table at that place is the one that was dropped, not a new one: it has the same
 * definition, and on MySQL 8 and later, where a RENAME keeps the creation time, it was created
 * before the drop. An ALTER TABLE of the restore script changes that time, so it isn't compared if
 * the script has one.
 */
export async function isRestored(
  pool: ServicePool,
  row: LedgerRow,
  at: LiveName = row,
): Promise<boolean> {
  const own = ident(at.schema, at.table);
  try {
    const server = await readServerFacts(pool);
    const [shown = [], born = []] = await pool.run([
      sql`SHOW CREATE TABLE ${note('notice', row.id)} ${own}`,
      sql`SELECT CREATE_TIME AS bornAt FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = ${at.schema} AND TABLE_NAME = ${at.table}`,
    ]);
    const bornAt = dateOrNullOf(born[0] ?? { bornAt: null }, 'bornAt');
    const { keysOut, checks } = row.detached;
    const isKept = keysOut.length + checks.length === 0;
    const keepsBirth = isKept && server.flavour === 'mysql' && server.versionId >= 80_000;
    if (keepsBirth && bornAt !== null && bornAt > row.droppedAt) return false;
    const definition = ownDefinition(textOf(shown[0] ?? {}, 'Create Table'), at.table, row.table);
    if (row.definition === null) return true;
    const off = new Set(checks.map(({ clause }) => `  ${clause}`));
    return comparable(definition, off) === comparable(row.definition, off);
  } catch (error) {
    // No such table, or a view: in both cases not the dropped one.
    if (isServerError(error)) return false;
    throw error;
  }
}

/**
 * A table that is restored by hand may lack its foreign keys, and the CHECKs `off`; with keys the
 * server reorders their indexes, and names them after the keys. The names that MySQL gives to
 * CHECKs begin with that of the table, also while it is held.
 */
function comparable(definition: string, off: ReadonlySet<string>): string {
  return definitionLines(definition.replace(/ AUTO_INCREMENT=\d+/, ''))
    .filter((line) => !FOREIGN_KEY_LINE.test(line))
    .map((line) => line.replace(/,$/, ''))
    .filter((line) => !off.has(line))
    .map((line) =>
      line
        .replace(/^( {2}KEY )`(?:[^`]|``)*`/, '$1')
        .replace(/^( {2}CONSTRAINT `).*(_chk_\d+` CHECK )/s, '$1$2'),
    )
    .sort()
    .join('\n');
}

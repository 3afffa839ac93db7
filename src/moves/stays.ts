/**
 * Why a held table stays in its own schema: on MariaDB a RENAME into another schema leaves the link
 * to a DATA DIRECTORY behind under the old schema, which then can't be dropped (1010), and the
 * server may not find the file when it starts again. Pure.
 */

/** Why such a table isn't relocated, as the ledger has it. */
export const STAYS_FOR_ITS_FILE = 'it has a DATA DIRECTORY, so it stays in its own schema';

/** Why it isn't relocated for now. */
export const STAYS_LOCKED = 'the session that dropped it holds LOCK TABLES';

/** Of a table's definition; also where only a partition has one, or a comment says so. */
export function hasDataDirectory(definition: string): boolean {
  return definition.includes('DATA DIRECTORY');
}

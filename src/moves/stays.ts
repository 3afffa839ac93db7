/**
 * Why a held table stays in its own schema. On MariaDB a RENAME into another schema leaves the link
 * to a DATA DIRECTORY behind under the old schema, which then can't be dropped (1010), and the
 * server may not find the file when it starts again. Triggers that this account could not make
 * again stay on their table, and no server renames one with triggers into another schema. Pure.
 */

/** Why such a table isn't relocated, as the ledger has it. */
export const STAYS_FOR_ITS_FILE = 'it has a DATA DIRECTORY, so it stays in its own schema';

/** Why it isn't relocated for now. */
export const STAYS_LOCKED = 'the session that dropped it holds LOCK TABLES';

/** The beginning of why; what the server says comes behind it. */
export const STAYS_WITH_TRIGGERS =
  'it stays in its own schema with its triggers, which the service account could not make again';

/** Of a table's definition; also where only a partition has one, or a comment says so. */
export function hasDataDirectory(definition: string): boolean {
  return definition.includes('DATA DIRECTORY');
}

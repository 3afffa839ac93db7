/**
 * Why a held table stays in its own schema. On MariaDB a RENAME into another schema leaves the link
 * to a DATA DIRECTORY behind under the old schema, which then can't be dropped (1010), and the
 * server may not find the file when it starts again. MariaDB and MySQL before 8 rename a table
 * partition by partition, and one that is killed amid that leaves it torn, so there is one RENAME
 * only. Triggers that this account could not make again stay on their table, and no server renames
 * one with triggers into another schema. Pure.
 */
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';

/** Why such a table isn't relocated, as the ledger has it. */
export const BLOCKED_BY_DATA_DIRECTORY = 'it has a DATA DIRECTORY, so it stays in its own schema';

/** The same of one with partitions. */
export const BLOCKED_BY_PARTITIONS =
  'it has partitions, which this server renames one by one, so it stays in its own schema';

/** Why it isn't relocated for now. */
export const BLOCKED_BY_LOCK = 'the session that dropped it holds LOCK TABLES';

/** The beginning of why; what the server says comes behind it. */
export const BLOCKED_BY_TRIGGERS =
  'it stays in its own schema with its triggers, which the service account could not make again';

export type LastingBlocker = typeof BLOCKED_BY_DATA_DIRECTORY | typeof BLOCKED_BY_PARTITIONS;

/** Whether nothing else is to be done with it, as long as it is held. */
export function isBlockedForGood(failure: string | null): boolean {
  return failure === BLOCKED_BY_DATA_DIRECTORY || failure === BLOCKED_BY_PARTITIONS;
}

type Server = Pick<ServerVersion, 'flavour' | 'versionId'>;

/** Why a table of this definition is not to be relocated; or null. */
export function lastingBlocker(definition: string, server: Server): LastingBlocker | null {
  // Also where only a partition has one, or a comment says so.
  const hasFile = server.flavour === 'mariadb' && definition.includes('DATA DIRECTORY');
  if (hasFile) return BLOCKED_BY_DATA_DIRECTORY;
  return renamesInPieces(server) && hasPartitions(definition) ? BLOCKED_BY_PARTITIONS : null;
}

/** Whether a RENAME of a table with partitions is not rolled back where the server is killed. */
export function renamesInPieces({ flavour, versionId }: Server): boolean {
  return flavour === 'mariadb' || versionId < 80_000;
}

/** No line of a definition ends within a literal. MySQL 5.6 has it in a comment with a version. */
function hasPartitions(definition: string): boolean {
  return /\n(?: |\/\*!50[0-9]{3} )PARTITION BY /.test(definition);
}

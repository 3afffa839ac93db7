/**
 * The reasons for which a held table stays in its own schema. On MariaDB a RENAME into another
 * schema leaves the link to a DATA DIRECTORY under the old schema, which then can't be dropped
 * (1010), and the server may not find the file when it starts again. MariaDB and MySQL before 8
 * rename a table partition by partition, and a server that is killed meanwhile leaves the table
 * torn: a drop moves such a table, but after that it isn't renamed. Triggers whose definition this
 * account can't read, or which it may not drop, stay on their table, and no server renames a table
 * with triggers into another schema. Pure.
 */
import type { PendingWork } from '../../ledger/entry.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';

/** A table under its hold name, on its way into a recycle schema. */
export interface RelocateTable {
  readonly id: string;
  readonly fromSchema: string;
  readonly holdName: string;
  /** Its next hold name (due-times.ts); default: the same. */
  readonly newName?: string;
  /** Its own name, under which a view that was renamed by mistake is put back. */
  readonly table: string;
  /** A copy has its name (TRUNCATE), which gets its triggers and the names of its CHECKs. */
  readonly isEmptied?: boolean;
  /** Why it must stay in its own schema; default null: it is moved. */
  readonly blocker?: PendingWork | null;
}

/** A reason that lasts as long as the table is held. */
export interface LastingBlocker extends PendingWork {
  readonly todo: 'blocked_by_file' | 'blocked_by_partitions';
}

const BLOCKED_BY_DATA_DIRECTORY: LastingBlocker = {
  todo: 'blocked_by_file',
  text: 'it has a DATA DIRECTORY, so it stays in its own schema',
};

const BLOCKED_BY_PARTITIONS: LastingBlocker = {
  todo: 'blocked_by_partitions',
  text: 'it has partitions, which this server renames one by one, so it stays in its own schema',
};

export const BLOCKED_BY_LOCK: PendingWork = {
  todo: 'unlock',
  text: 'the session that dropped it holds LOCK TABLES',
};

export const NOT_TRIED: PendingWork = { todo: 'relocate', text: 'undrop has not tried yet' };

/** `problem`: why the service account can't record or drop the triggers. */
export function blockedByTriggers(problem: string): PendingWork {
  const text = `it stays in its own schema with its triggers: ${problem}`;
  return { todo: 'blocked_by_triggers', text };
}

/** The privileges of the service account on triggers of others (triggers/detach-triggers.ts). */
export interface TriggerRights {
  readonly mayDrop: boolean;
  /** Including those of other definers. */
  readonly mayMake: boolean;
}

export const TRIGGERS_STAY: PendingWork = blockedByTriggers(
  'with the binary log on and log_bin_trust_function_creators off DROP TRIGGER takes SUPER',
);

export const TRIGGERS_LEFT =
  'its triggers come back by UNDROP of a user who may create them, or by hand';

/** Why a table with this definition stays in its own schema; or null. */
export function lastingBlocker(definition: string, server: ServerVersion): LastingBlocker | null {
  // Also if only a partition or a comment contains it.
  const hasFile = server.flavour === 'mariadb' && definition.includes('DATA DIRECTORY');
  if (hasFile) return BLOCKED_BY_DATA_DIRECTORY;
  // No line of a definition ends within a literal. MySQL 5.6 prints it in a version comment.
  const hasPartitions = /\n(?: |\/\*!50[0-9]{3} )PARTITION BY /.test(definition);
  return hasPartitions && renamesInPieces(server) ? BLOCKED_BY_PARTITIONS : null;
}

/** The blocker during the drop itself, which moves tables with partitions. */
export function blockerOfDrop(blocker: PendingWork | null): PendingWork | null {
  return blocker?.todo === 'blocked_by_partitions' ? null : blocker;
}

/**
 * Whether a drop is one RENAME, straight into the recycle schema. Not for a table with triggers or
 * foreign keys: with the former it can't move to another schema, and odd names of the latter lose
 * their schema there on MySQL 5.6, which then ends with an assertion (in dict0dict.cc).
 */
export function isRenamedOnce(table: {
  readonly blocker: PendingWork | null;
  readonly isBound: boolean;
}): boolean {
  return !table.isBound && blockerOfDrop(table.blocker) === null;
}

/** Whether a RENAME of a table with partitions is left half done if the server is killed. */
export function renamesInPieces(server: ServerVersion): boolean {
  return !isMysql8(server);
}

/**
 * Why a table isn't truncated, by the facts of the service: the server's own error if it would not
 * empty the table either, else a refusal of undrop. Pure.
 */
import { UndropError } from '../../errors.js';
import type { ForeignKeyName, IntentTable } from '../../ledger/write.js';
import { parseHoldName } from '../../names/names.js';
import type { Signal } from '../../steps/session/user-session-sql.js';
import {
  ER_ILLEGAL_HA,
  ER_NO_SUCH_TABLE,
  ER_TRUNCATE_ILLEGAL_FK,
  ER_VERS_NOT_SUPPORTED,
} from '../../wire/server-errors.js';

interface Name {
  readonly schema: string;
  readonly table: string;
}

interface Context {
  readonly checksForeignKeys: boolean;
  readonly hasBackupLock: boolean;
  /** The session has locked the table by LOCK TABLES. */
  readonly isLocked: boolean;
}

/** A signal: the server's own error. Null: no reason. */
export function whyNotTruncated(
  seen: IntentTable,
  { checksForeignKeys, hasBackupLock, isLocked }: Context,
): UndropError | Signal | null {
  const { engine, triggers, kind } = seen;
  if (kind === 'sequence') {
    const message = `Storage engine SEQUENCE of the table ${inFull(seen)} doesn't have this option`;
    return { errno: ER_ILLEGAL_HA, sqlState: 'HY000', message };
  }
  // A held child was dropped before, and is about to lose its key.
  const child = seen.foreignKeysIn.find(({ table }) => parseHoldName(table) === null);
  if (child !== undefined && checksForeignKeys) return parentSignal(child);
  if (engine?.toLowerCase() !== 'innodb') {
    const instead = isLog(seen) ? INSTEAD_OF_LOG : INSTEAD;
    return notTruncated(seen, 'of another engine than InnoDB', instead);
  }
  if (triggers.length > 0) return notTruncated(seen, 'with triggers');
  if (hasBackupLock) return notTruncated(seen, 'beside LOCK INSTANCE FOR BACKUP');
  return isLocked ? notTruncated(seen, 'under LOCK TABLES', 'Run UNLOCK TABLES first.') : null;
}

/** `how`: continues the sentence "a table that is dropped by TRUNCATE …". */
export function notTruncated({ schema, table }: Name, how: string, instead = INSTEAD): UndropError {
  const tables = `Table ${schema}.${table} was not emptied and`;
  return new UndropError('UNDROP_NOT_DONE_YET', { tables, how: `by TRUNCATE ${how}`, instead });
}

/** The table is unchanged. */
export function notServed({ schema, table }: Name, why: string): UndropError {
  const step = `truncate ${schema}.${table}`;
  const cause = `${why}; the table is unchanged: run the statement again`;
  return new UndropError('UNDROP_SERVICE_FAILED', { step, server: 'the server', cause });
}

const INSTEAD = 'Use DELETE, or a direct connection; neither of them holds the rows.';

/** The server accepts no DELETE from its own logs (1556). */
const INSTEAD_OF_LOG = 'Use a direct connection.';

function isLog({ schema, table }: Name): boolean {
  return schema === 'mysql' && (table === 'slow_log' || table === 'general_log');
}

export const VERSIONED: Signal = {
  errno: ER_VERS_NOT_SUPPORTED,
  sqlState: 'HY000',
  message: 'System-versioned tables do not support TRUNCATE TABLE',
};

export function sayMissing({ schema, table }: Name): Signal {
  return {
    errno: ER_NO_SUCH_TABLE,
    sqlState: '42S02',
    message: `Table '${schema}.${table}' doesn't exist`,
  };
}

function parentSignal({ schema, table, name }: ForeignKeyName): Signal {
  const what = `${inFull({ schema, table })}, CONSTRAINT ${quoted(name)}`;
  const message = `Cannot truncate a table referenced in a foreign key constraint (${what})`;
  return { errno: ER_TRUNCATE_ILLEGAL_FK, sqlState: '42000', message };
}

function inFull({ schema, table }: Name): string {
  return `${quoted(schema)}.${quoted(table)}`;
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/**
 * Runs a TRUNCATE (drop/run-truncate.ts), with what only the session can say of its LOCK TABLES.
 * Invariant: where nobody can tell that a lock is the only one, and that nobody waits for it, it is
 * not given up.
 */

import type { DropOptions, DropResult, DropStatement } from '../drop/drop-options.js';
import type { TableInUtf8 } from '../drop/one-table.js';
import { runTruncate } from '../drop/run-truncate.js';
import { readTablesInUse } from '../ledger/session-locks.js';
import type { IntentFacts } from '../ledger/write.js';
import type { InterceptOptions } from './intercept.js';
import { isOnlyLock } from './only-lock.js';

export function emptyAndHold(
  drop: DropStatement,
  how: DropOptions,
  options: InterceptOptions,
): Promise<DropResult> {
  const { charset } = drop;
  const mayUnlock = (table: TableInUtf8, intent: IntentFacts) =>
    mayGiveUp({ table, charset }, intent, options);
  return runTruncate(drop, { ...how, mayUnlock });
}

async function mayGiveUp(
  locked: Parameters<typeof isOnlyLock>[0],
  { lockedTables }: IntentFacts,
  options: InterceptOptions,
): Promise<boolean> {
  const { server, service, session } = options;
  if (server.flavour === 'mariadb') return isOnlyLock(locked, options);
  const { table } = locked;
  const isIt = (one: TableInUtf8) => one.schema === table.schema && one.table === table.table;
  const { tables, isWaitedFor } = await readTablesInUse(service.pool, session.threadId);
  if (tables === null || isWaitedFor) return false;
  // Before MySQL 8 nobody says whose locks these are.
  if (lockedTables === null) return server.versionId < 80_000 && tables.every(isIt);
  return lockedTables.every((one) => isIt(one) && one.isWrite) && lockedTables.length === 1;
}

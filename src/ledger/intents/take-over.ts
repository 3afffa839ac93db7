/**
 * Makes a service connection the owner of intents for as long as it renames for a user: then
 * recovery leaves them alone while that connection is in the processlist, even if the session of
 * the user, or this process, is gone before.
 *
 * Invariant: an intent is taken over, or forgotten by recovery, never both: each is one statement
 * that changes the row only as it was seen.
 */
import type { ServiceConnection, TaskConnection } from '../../service/pool/pools.js';
import { numberOf, numberOrNullOf } from '../../service/row.js';
import { readServerFacts } from '../../service/server-facts.js';
import { note, sql, valueList } from '../../service/sql.js';
import { processlistOf } from '../owner.js';
import { LEDGER } from '../tables.js';

/** The user's session, as it stands in the intents. */
export interface Owner {
  readonly threadId: number;
  readonly upstreamPort: number | null;
}

export interface IntentSet {
  readonly ids: readonly string[];
  readonly rowLogged: boolean;
}

/** Null if one of the intents isn't there any more: then nothing may be renamed. */
export async function takeOver(
  connection: TaskConnection,
  { ids, rowLogged }: IntentSet,
): Promise<Owner | null> {
  const server = await readServerFacts(connection);
  const [, rows = [], changed] = await connection.run(
    [
      sql`SET @undrop_host = (SELECT ${note('owner')} HOST FROM ${processlistOf(server)}
            WHERE ID = ${connection.threadId})`,
      sql`SELECT thread_id, upstream_port FROM ${LEDGER} WHERE ${areIntents(ids)} LIMIT 1`,
      sql`UPDATE ${note('take-over', ids[0])} ${LEDGER} SET thread_id = ${connection.threadId},
            upstream_port =
              IF(@undrop_host LIKE '%:%', SUBSTRING_INDEX(@undrop_host, ':', -1), NULL)
          WHERE ${areIntents(ids)}`,
    ],
    { logged: rowLogged },
  );
  const [row] = rows;
  if (row === undefined || changed?.affectedRows !== ids.length) return null;
  return {
    threadId: numberOf(row, 'thread_id'),
    upstreamPort: numberOrNullOf(row, 'upstream_port'),
  };
}

/** The RENAME will not happen any more, or is done; and the user's session goes on. */
export async function releaseOwnership(
  connection: ServiceConnection,
  { ids, rowLogged }: IntentSet,
  { threadId, upstreamPort }: Owner,
): Promise<void> {
  await connection.run(
    sql`UPDATE ${note('release', ids[0])} ${LEDGER}
        SET thread_id = ${threadId}, upstream_port = ${upstreamPort} WHERE ${areIntents(ids)}`,
    { logged: rowLogged },
  );
}

function areIntents(ids: readonly string[]) {
  return sql`state = 'intent' AND id IN (${valueList(ids)})`;
}

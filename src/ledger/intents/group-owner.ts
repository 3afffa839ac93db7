/**
 * Who is in the middle of a DROP DATABASE: the process that has the group's lock, on a connection
 * that ends with it. Not the user's session: that stays in the server, in its DROP, when the proxy
 * is killed.
 *
 * Invariant: the lock is taken before the schema's row is written, and never again for that group;
 * so a row without a lock is an interrupted drop.
 */
import { assert } from '../../assert.js';
import type { ServiceConnection, ServicePool, TaskConnection } from '../../service/pool/pools.js';
import { numberOf, numberOrNullOf } from '../../service/row.js';
import { note, type SQLQuery, sql } from '../../service/sql.js';

function lockOf(groupId: string): SQLQuery {
  return sql`${`undrop:schema:${groupId}`}`;
}

/**
 * Runs `work` as the owner of the group. The connection is for `work`, too; it takes no other lock
 * on it (MySQL 5.6 has one for each session), and its end is the end of the ownership.
 */
export async function asGroupOwner<T>(
  pool: ServicePool,
  groupId: string,
  work: (connection: TaskConnection) => Promise<T>,
): Promise<T> {
  return pool.task(async (connection) => {
    // Ours for as long as it lives, and nobody's afterwards.
    connection.discard();
    const [rows = []] = await connection.run(
      sql`SELECT ${note('owner', groupId)} GET_LOCK(${lockOf(groupId)}, 0) AS got`,
    );
    assert(numberOrNullOf(rows[0] ?? {}, 'got') === 1, 'a new group has no owner');
    return work(connection);
  });
}

/** Whether somebody is in the middle of it. */
export async function hasOwner(connection: ServiceConnection, groupId: string): Promise<boolean> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('owner', groupId)} IS_FREE_LOCK(${lockOf(groupId)}) AS isFree`,
  );
  return numberOf(rows[0] ?? {}, 'isFree') !== 1;
}

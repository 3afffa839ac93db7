/**
 * The ledger's record of restoring a dropped schema. Its row records by `todo` and `restored_as`
 * that a restore has begun, and the new name; the rows of its tables record the progress of each.
 *
 * Invariants: a restore is marked before anything is renamed or created, and the mark is removed
 * only when all of it is restored. Only the holder of the group's lock, on a connection that ends
 * with it, restores.
 */
import type { ServicePool } from '../service/pool/pools.js';
import * as col from '../service/columns.js';
import { note, type SQLQuery, sql, valueList } from '../service/sql.js';
import { type LedgerRow, PARTLY, RESTORING } from './entry.js';
import { parseSchemaDetails, type SchemaDetails } from './schema-details.js';
import type { SchemaDropKey } from './schema-drops.js';
import { isLike, isOfDrop, OF_TABLE, sameName } from './selection.js';
import { LEDGER } from './tables.js';
import { assignFailure } from './write.js';

export interface DroppedSchema
  extends SchemaDropKey,
    Pick<LedgerRow, 'schema' | 'droppedAt' | 'user' | 'sqlLogBin'> {
  /** The DROP DATABASE has not ended yet. */
  readonly isOpen: boolean;
  /** The name of the restored schema; null: no restore has begun. */
  readonly restoredAs: string | null;
  /** Its restore has begun, and isn't complete. */
  readonly isRestoring: boolean;
  /** The number of its tables, and of those that are held or live again. */
  readonly tables: number;
  readonly kept: number;
  /** The number of held ones. */
  readonly held: number;
}

const ROWS_MAX = 1_000;

/**
 * Drops of a schema of that name, or of a name like that, or the one with that group id, or those
 * with an id, or a table's id, that begins or ends so, or all of them; newest first.
 */
export async function findDroppedSchemas(
  pool: ServicePool,
  target:
    | { readonly name: string }
    | { readonly like: string }
    | { readonly groupId: string }
    | { readonly digits: string }
    | 'all',
): Promise<readonly DroppedSchema[]> {
  const isMeant = isDropOf(target);
  const ofIt = sql`FROM ${LEDGER} AS t WHERE t.group_id = s.group_id AND ${OF_TABLE}`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('read')} id, group_id, schema_name, dropped_at, user_name, sql_log_bin,
          row_logged, state, todo, restored_as, (SELECT COUNT(*) ${ofIt}) AS n,
          (SELECT COUNT(*) ${ofIt} AND t.state IN ('HOLD', 'restored')) AS kept,
          (SELECT COUNT(*) ${ofIt} AND t.state = 'HOLD') AS held
        FROM ${LEDGER} AS s WHERE kind = 'schema'
          AND ${isMeant}
        ORDER BY id DESC LIMIT ${ROWS_MAX}`,
  );
  return rows.map((row) => ({
    id: col.text(row, 'id'),
    groupId: col.text(row, 'group_id'),
    schema: col.text(row, 'schema_name'),
    droppedAt: col.date(row, 'dropped_at'),
    user: col.text(row, 'user_name'),
    sqlLogBin: col.number(row, 'sql_log_bin') !== 0,
    rowLogged: col.number(row, 'row_logged') !== 0,
    isOpen: col.text(row, 'state') !== 'removed',
    restoredAs: col.textOrNull(row, 'restored_as'),
    isRestoring: ['restoring', 'partly'].includes(col.textOrNull(row, 'todo') ?? ''),
    tables: col.number(row, 'n'),
    kept: col.number(row, 'kept'),
    held: col.number(row, 'held'),
  }));
}

function isDropOf(target: Parameters<typeof findDroppedSchemas>[1]): SQLQuery {
  if (target === 'all') return sql`TRUE`;
  if ('name' in target) return sameName(sql`schema_name`, target.name);
  if ('like' in target) return isLike(sql`schema_name`, target.like);
  if ('groupId' in target) return sql`group_id = ${target.groupId}`;
  return isOfDrop(target.digits);
}

/** The number of held tables of that schema that were dropped individually. */
export async function countSingles(pool: ServicePool, schema: string): Promise<number> {
  const [[row = {}] = []] = await pool.run(
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER} AS t
        WHERE state = 'HOLD' AND ${sameName(sql`schema_name`, schema)} AND NOT EXISTS (
          SELECT 1 FROM ${LEDGER} AS s WHERE s.kind = 'schema' AND s.group_id = t.group_id)`,
  );
  return col.number(row, 'found');
}

/** Its properties beside its tables. */
export async function readDetails(pool: ServicePool, id: string): Promise<SchemaDetails> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('read', id)} definition FROM ${LEDGER} WHERE id = ${id}`,
  );
  return parseSchemaDetails(col.text(rows[0] ?? {}, 'definition'));
}

/** Its restore begins. May run twice. */
export async function markSchemaRestore(
  pool: ServicePool,
  { id, rowLogged }: SchemaDropKey,
  restoredAs: string,
): Promise<void> {
  await pool.run(
    sql`UPDATE ${note('schema', id)} ${LEDGER}
        SET ${assignFailure(RESTORING)}, restored_as = ${restoredAs} WHERE id = ${id}`,
    { logged: rowLogged },
  );
}

/** It has ended. Missing parts are restored only if the request is repeated. */
export async function endSchemaRestore(
  pool: ServicePool,
  { id, rowLogged }: SchemaDropKey,
  { isComplete }: { readonly isComplete: boolean },
): Promise<void> {
  const failure = isComplete ? null : PARTLY;
  await pool.run(
    sql`UPDATE ${note('schema', id)} ${LEDGER} SET ${assignFailure(failure)} WHERE id = ${id}`,
    { logged: rowLogged },
  );
}

/** Groups whose restore was interrupted. */
export async function findBrokenRestores(pool: ServicePool): Promise<readonly SchemaRestore[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('read')} id, group_id, proxy_id, schema_name, restored_as FROM ${LEDGER}
        WHERE ${IS_BROKEN}`,
  );
  return rows.map((row) => ({
    id: col.text(row, 'id'),
    groupId: col.text(row, 'group_id'),
    proxyId: col.text(row, 'proxy_id'),
    schema: col.text(row, 'schema_name'),
    to: col.text(row, 'restored_as'),
  }));
}

export interface SchemaRestore extends Pick<LedgerRow, 'id' | 'groupId' | 'proxyId' | 'schema'> {
  readonly to: string;
}

const LOCK = 'undrop:restore:';

/** A condition on rows of schemas. */
export const IS_BROKEN = sql`kind = 'schema' AND todo = 'restoring' AND state = 'removed'
  AND IS_FREE_LOCK(CONCAT(${LOCK}, group_id)) = 1`;

/** A connection that died a moment ago may still have it; others of this process take turns. */
const LOCK_WAIT_S = 1;

/** `owner`: nothing is done, because that connection of the server restores it. */
export async function asSchemaRestorer<T>(
  pool: ServicePool,
  groupId: string,
  work: () => Promise<T>,
): Promise<{ readonly done: T } | { readonly owner: number | null }> {
  const lock = sql`${LOCK + groupId}`;
  return pool.task(async (connection) => {
    connection.discard();
    const [[got = {}] = [], [used = {}] = []] = await connection.run([
      sql`SELECT ${note('owner', groupId)} GET_LOCK(${lock}, ${LOCK_WAIT_S}) AS got`,
      sql`SELECT IS_USED_LOCK(${lock}) AS owner`,
    ]);
    if (col.numberOrNull(got, 'got') === 1) return { done: await work() };
    return { owner: col.numberOrNull(used, 'owner') };
  });
}

/**
 * Marks tables of one drop that are about to get their names in that schema, with keys and triggers
 * to follow; before their RENAME. May run twice.
 */
export async function markTablesRestoring(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  schema: string,
): Promise<void> {
  await updateRows(pool, rows, (ids) => {
    return sql`UPDATE ${note('state')} ${LEDGER} SET ${assignFailure(RESTORING)},
        thread_id = 0, upstream_port = NULL,
        restored_as = LEFT(CONCAT(${schema}, '.', table_name), 255)
      WHERE id IN (${ids}) AND state = 'HOLD'`;
  });
}

/** The same tables have their names. May run twice. */
export async function recordTablesRestored(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  schema: string,
): Promise<void> {
  await updateRows(pool, rows, (ids) => {
    return sql`UPDATE ${note('state')} ${LEDGER} SET state = 'restored',
        state_since = UTC_TIMESTAMP(), ended_at = COALESCE(ended_at, UTC_TIMESTAMP()),
        restored_as = LEFT(CONCAT(${schema}, '.', table_name), 255),
        failure = IF(detached IS NULL, NULL, failure), todo = IF(detached IS NULL, NULL, todo)
      WHERE id IN (${ids}) AND state <> 'restored'`;
  });
}

async function updateRows(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  update: (ids: ReturnType<typeof valueList>) => ReturnType<typeof note>,
): Promise<void> {
  for (const logged of [true, false]) {
    const ids = rows.filter(({ rowLogged }) => rowLogged === logged).map(({ id }) => id);
    if (ids.length > 0) await pool.run(update(valueList(ids)), { logged });
  }
}

/**
 * The ledger's record of restoring a dropped schema. Its row records by `todo` and `restored_as`
 * that a restore has begun, and the new name; the rows of its tables record the progress of each.
 *
 * Invariants: a restore is marked before anything is renamed or created, and the mark is removed
 * only when all of it is restored. Only the connection that the row names restores, and it is taken
 * over only from one that is gone, as the restore of a table (table-restores.ts).
 */

import * as col from '../service/columns.js';
import type { ServicePool } from '../service/pool/pools.js';
import { note, type SQLQuery, sql } from '../service/sql.js';
import { type Failure, type LedgerRow, PARTLY, RESTORING } from './entry.js';
import { parseSchemaDetails, type SchemaDetails } from './schema-details.js';
import type { SchemaDropKey } from './schema-drops.js';
import { isLike, isOfDrop, OF_TABLE, sameName } from './selection.js';
import { hostOf } from './table-restores.js';
import { LEDGER, PORT_OF_HOST } from './tables.js';
import { assignFailure } from './write.js';

export interface DroppedSchema
  extends SchemaDropKey,
    Pick<LedgerRow, 'schema' | 'droppedAt' | 'user' | 'sqlLogBin'>,
    Pick<LedgerRow, 'proxyId' | 'threadId' | 'upstreamPort'> {
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
    /** Their restore has begun, and is under way or was interrupted. */
    | 'restoring'
    | 'all',
): Promise<readonly DroppedSchema[]> {
  const isMeant = isDropOf(target);
  const ofIt = sql`FROM ${LEDGER} AS t WHERE t.group_id = s.group_id AND ${OF_TABLE}`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('read')} id, group_id, schema_name, dropped_at, user_name, sql_log_bin,
          proxy_id, thread_id, upstream_port, row_logged, state, todo, restored_as, (SELECT COUNT(*) ${ofIt}) AS n,
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
    proxyId: col.text(row, 'proxy_id'),
    threadId: col.number(row, 'thread_id'),
    upstreamPort: col.numberOrNull(row, 'upstream_port'),
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
  if (target === 'restoring') return IS_RESTORING;
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

/** A condition on rows of schemas. */
export const IS_RESTORING = sql`kind = 'schema' AND todo = 'restoring' AND state = 'removed'`;

/** Its restore begins, or goes on. False: another connection was faster. */
export async function takeSchemaRestore(
  pool: ServicePool,
  drop: DroppedSchema,
  { to, owner }: { readonly to: string; readonly owner: number },
): Promise<boolean> {
  const where = sql`AND thread_id = ${drop.threadId}`;
  return change(pool, drop, { failure: RESTORING, owner, more: sql`, restored_as = ${to}`, where });
}

/** It has ended. Missing parts are restored only if the request is repeated. */
export async function endSchemaRestore(
  pool: ServicePool,
  key: SchemaDropKey,
  { isComplete }: { readonly isComplete: boolean },
): Promise<void> {
  await change(pool, key, { failure: isComplete ? null : PARTLY, owner: 0 });
}

async function change(
  pool: ServicePool,
  { id, rowLogged }: SchemaDropKey,
  how: {
    readonly failure: Failure | null;
    readonly owner: number;
    readonly more?: SQLQuery;
    readonly where?: SQLQuery;
  },
): Promise<boolean> {
  const { failure, owner, more = sql``, where = sql`` } = how;
  const [, changed] = await pool.run(
    [
      await hostOf(pool, owner),
      sql`UPDATE ${note('schema', id)} ${LEDGER} SET ${assignFailure(failure)},
            thread_id = ${owner}, upstream_port = ${PORT_OF_HOST}${more}
          WHERE id = ${id} ${where}`,
    ],
    { logged: rowLogged },
  );
  return (changed?.affectedRows ?? 0) > 0;
}

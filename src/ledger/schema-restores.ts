/**
 * The ledger's record of restoring a dropped schema. Its row records by `todo` and `restored_as`
 * that a restore has begun, and the new name; the rows of its tables record the progress of each.
 *
 * Invariants: a restore is marked before anything is renamed or created, and the mark is removed
 * only when all of it is restored. Only the connection that the row names restores, and it is taken
 * over only from one that is gone, as the restore of a table (table-restores.ts).
 */

import { col, note, type Row, type ServicePool, type SQLQuery, sql } from '../connections/sql.js';
import { cellsOf, PARTLY, RESTORING, rowColumns } from './entry.js';
import { readIfAny } from './read.js';
import { parseSchemaDetails, type SchemaDetails } from './schema-details.js';
import type { SchemaDropKey } from './schema-drops.js';
import { isLike, isOfDrop, OF_TABLE, sameName } from './selection.js';
import { changeRestore, ofOwner } from './table-restores.js';
import { hostOfSession, LEDGER } from './tables.js';
import { assignPendingWork, shapeOf } from './write.js';

/** `restoredAs`: the name of the restored schema; null: no restore has begun. */
const PROPERTIES = [
  ...(['id', 'dropId', 'schema', 'droppedAt', 'user', 'program', 'sqlLogBin'] as const),
  ...(['rowLogged', 'proxyId', 'threadId', 'upstreamPort', 'restoredAs'] as const),
];

export type DroppedSchema = Readonly<ReturnType<typeof droppedSchemaOf>>;

const ROWS_MAX = 1_000;

const IS_DROP_OF = {
  name: (name: string) => sameName(sql`schema_name`, name),
  like: (pattern: string) => isLike(sql`schema_name`, pattern),
  dropId: (dropId: string) => sql`group_id = ${dropId}`,
  digits: isOfDrop,
};

/**
 * Drops of a schema of that name, or of a name like that, or the one with that drop id, or those
 * with an id, or a table's id, that begins or ends so, or all of them,
 * or those whose restore is under way or was interrupted; newest first. None if
 * there is no ledger.
 */
export async function findDroppedSchemas(
  pool: ServicePool,
  target: 'restoring' | 'all' | Partial<Record<keyof typeof IS_DROP_OF, string>>,
): Promise<readonly DroppedSchema[]> {
  const named = Object.entries(typeof target === 'string' ? {} : target);
  const conditions = [
    target === 'restoring' ? IS_RESTORING : sql`kind = 'schema'`,
    ...named.map(([by, words]) => IS_DROP_OF[by as keyof typeof IS_DROP_OF](words)),
  ];
  const ofIt = sql`FROM ${LEDGER} AS t WHERE t.group_id = s.group_id AND ${OF_TABLE}`;
  const rows = await readIfAny(
    pool,
    sql`SELECT ${note('read')} ${rowColumns(PROPERTIES)}, state, todo,
          (SELECT COUNT(*) ${ofIt}) AS n,
          (SELECT COUNT(*) ${ofIt} AND t.state IN ('HOLD', 'restored')) AS kept,
          (SELECT COUNT(*) ${ofIt} AND t.state = 'HOLD') AS held
        FROM ${LEDGER} AS s WHERE ${sql.join(conditions, ' AND ')}
        ORDER BY id DESC LIMIT ${ROWS_MAX}`,
  );
  return rows.map(droppedSchemaOf);
}

function droppedSchemaOf(row: Row) {
  return {
    ...cellsOf(row, PROPERTIES),
    /** The DROP DATABASE has not ended yet. */
    isOpen: col.text(row, 'state') !== 'removed',
    /** Its restore has begun, and isn't complete. */
    isRestoring: ['restoring', 'partly'].includes(col.textOrNull(row, 'todo') ?? ''),
    /** The number of its tables, of those that are held or live again, and of held ones. */
    tables: col.number(row, 'n'),
    kept: col.number(row, 'kept'),
    held: col.number(row, 'held'),
  };
}

/** The number of held tables of a schema of that name that another statement dropped. */
export async function countOthers(
  pool: ServicePool,
  { schema, dropId }: Pick<DroppedSchema, 'schema' | 'dropId'>,
): Promise<number> {
  const [[row = {}] = []] = await pool.run(
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER}
        WHERE state = 'HOLD' AND ${sameName(sql`schema_name`, schema)} AND group_id <> ${dropId}`,
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
  const sets = sql`${assignPendingWork(RESTORING)}, restored_as = ${to}`;
  const where = sql` AND thread_id = ${drop.threadId}`;
  return changeRestore(pool, { ...drop, state: 'removed' }, { sets, owner, where });
}

/** The same as statements for a text that brings the tables back; `drops` are in the log. */
export async function schemaMarks(
  pool: ServicePool,
  drops: readonly { readonly id: string; readonly to: string }[],
  owner: number,
): Promise<readonly SQLQuery[]> {
  const marks = drops.map(
    ({ id, to }) => sql`UPDATE ${note('restore', id)} ${LEDGER}
      SET ${assignPendingWork(RESTORING)}, restored_as = ${to}, ${ofOwner(owner)}
      WHERE id = ${id} AND state = 'removed'`,
  );
  return [sql`SET ${hostOfSession(await shapeOf(pool), owner)}`, ...marks];
}

/** It has ended. Missing parts are restored only if the request is repeated. */
export async function endSchemaRestore(
  pool: ServicePool,
  key: SchemaDropKey,
  { isComplete }: { readonly isComplete: boolean },
): Promise<void> {
  const sets = assignPendingWork(isComplete ? null : PARTLY);
  await changeRestore(pool, { ...key, state: 'removed' }, { sets, owner: 0 });
}

/**
 * Gives a held table a name of its own again: one atomic RENAME. A collection at the same time is a
 * RENAME as well: one succeeds, the other finds no table.
 *
 * Invariant: if the server returns an error, the table has its previous name; if the connection
 * breaks, the result is unknown.
 */
import { UndropError } from '../errors.js';
import { parseHoldName, type TableState } from '../names/names.js';
import { findHoldTables, readRecycleSchemas } from '../service/hold-tables.js';
import { isServerError, type ServicePool } from '../service/pool/pools.js';
import { isKilled, runWithTimeout } from '../service/pool/statement-timeout.js';
import { ident, note, numberOf, sql } from '../service/sql.js';
import {
  ABSENT_TO_RENAME,
  ER_CHECK_CONSTRAINT_DUP_NAME,
  ER_DUP_KEY,
  ER_TABLE_EXISTS_ERROR,
  ER_TRG_IN_WRONG_SCHEMA,
} from '../wire/server-errors.js';
import { readTable } from './foreign-keys/read-table.js';

interface RenamedBack {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly toSchema: string;
  readonly toTable: string;
  /** sql_log_bin of the drop. */
  readonly logged: boolean;
  /** States in which all rows are still there; default HOLD alone. */
  readonly states?: readonly TableState[];
}

/**
 * Rejects with UNDROP_NAME_TAKEN, UNDROP_CHECK_TAKEN, UNDROP_TRIGGERS_STAY, UNDROP_STATISTICS_LEFT,
 * UNDROP_SCHEMA_MISSING, UNDROP_NOT_HELD (another proxy or session was faster),
 * UNDROP_NOT_RESTORABLE (its rows may be gone), UNDROP_BUSY (locked by others), or
 * UNDROP_SERVICE_FAILED.
 */
export async function renameBack(pool: ServicePool, what: RenamedBack): Promise<void> {
  const { id, holdSchema, holdName, toSchema, toTable, logged, states = ['HOLD'] } = what;
  const held = parseHoldName(holdName);
  if (held?.id !== id) throw notHeld(what);
  if (!states.includes(held.state)) {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id, state: held.state });
  }
  const from = ident(holdSchema, holdName);
  const to = ident(toSchema, toTable);
  const rename = sql`RENAME ${note('put-back', id)} TABLE ${from} TO ${to}`;
  try {
    await runWithTimeout(pool, rename, { logged });
  } catch (error) {
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if (isKilled(error) && (await isRenamedBack(pool, what))) return;
    const moved = isServerError(error, ...ABSENT_TO_RENAME) ? await findMoved(pool, what) : null;
    if (moved !== null) return renameBack(pool, { ...what, ...moved });
    throw await explain(pool, what, error);
  }
}

/** Where the relocation that follows a drop has taken it since it was found; null: nowhere. */
async function findMoved(
  pool: ServicePool,
  { id, holdSchema }: RenamedBack,
): Promise<Pick<RenamedBack, 'holdSchema' | 'holdName'> | null> {
  const schemas = await readRecycleSchemas(pool);
  // It is taken there once.
  if (schemas.includes(holdSchema)) return null;
  const [found] = await findHoldTables(pool, schemas, id);
  return found === undefined ? null : { holdSchema: found.schema, holdName: found.name };
}

/** `ER_DUP_KEY` names the table in which the key is. */
const STATISTICS = /innodb_(table|index)_stats/;

/** Whether it has the name, and is no longer held. A pending relocation may move it meanwhile. */
export async function isRenamedBack(
  pool: ServicePool,
  { id, holdSchema, ...to }: Pick<RenamedBack, 'id' | 'holdSchema' | 'toSchema' | 'toTable'>,
): Promise<boolean> {
  // In this order: a table that is relocated meanwhile would be seen in neither schema otherwise.
  const away = await findHoldTables(pool, [holdSchema], id);
  const recycled = await findHoldTables(pool, await readRecycleSchemas(pool), id);
  if (away.length + recycled.length > 0) return false;
  return (await readTable(pool, { id, schema: to.toSchema, table: to.toTable })) !== 'missing';
}

async function explain(pool: ServicePool, what: RenamedBack, error: unknown): Promise<unknown> {
  if (!isServerError(error)) return error;
  const { id, toSchema, toTable } = what;
  const cause = error.sqlMessage;
  const busy = `${what.holdSchema}.${what.holdName}`;
  const refusal = explainRename(error, { id, schema: toSchema, busy });
  if (refusal !== null) return refusal;
  if (isServerError(error, ER_TRG_IN_WRONG_SCHEMA)) {
    return new UndropError('UNDROP_TRIGGERS_STAY', { id, held: busy }, error);
  }
  if (isServerError(error, ER_TABLE_EXISTS_ERROR)) {
    return new UndropError('UNDROP_NAME_TAKEN', { id, table: `${toSchema}.${toTable}` }, error);
  }
  if (isServerError(error, ER_DUP_KEY) && STATISTICS.test(cause)) {
    return new UndropError(
      'UNDROP_STATISTICS_LEFT',
      { id, table: `${toSchema}.${toTable}` },
      error,
    );
  }
  // A missing schema is 1049 on MySQL 8 and later, and 1025 or even 1146 elsewhere.
  if (!(await schemaExists(pool, toSchema))) {
    return new UndropError('UNDROP_SCHEMA_MISSING', { id, schema: toSchema }, error);
  }
  if (isServerError(error, ...ABSENT_TO_RENAME)) return notHeld(what, error);
  const step = `restore held table ${id}`;
  return new UndropError('UNDROP_SERVICE_FAILED', { step, server: 'the server', cause }, error);
}

/**
 * The usual errors of a RENAME of held table `id` into `schema`: a lock on `busy`, or the name of a
 * CHECK. Null: another error.
 */
export function explainRename(
  error: unknown,
  { id, schema, busy }: { readonly id: string; readonly schema: string; readonly busy: string },
): UndropError | null {
  if (!isServerError(error)) return null;
  const cause = error.sqlMessage;
  if (isKilled(error)) return new UndropError('UNDROP_BUSY', { table: busy, cause }, error);
  if (isServerError(error, ER_CHECK_CONSTRAINT_DUP_NAME)) {
    return new UndropError('UNDROP_CHECK_TAKEN', { id, schema, cause }, error);
  }
  return null;
}

/** True if it exists and is visible to the account. */
export async function schemaExists(pool: ServicePool, schema: string): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} COUNT(*) AS n FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  );
  return numberOf(rows[0] ?? {}, 'n') > 0;
}

function notHeld({ id, holdSchema, holdName }: RenamedBack, cause?: unknown): UndropError {
  return new UndropError('UNDROP_NOT_HELD', { id, table: `${holdSchema}.${holdName}` }, cause);
}

/**
 * Brings an interrupted DROP DATABASE to its end. It has left a row of the schema in the ledger,
 * tables that are held, or not yet, and perhaps a DROP that still waits for the barrier table.
 *
 * Invariants: it first checks whether a process is running it, then reads the rows, then checks
 * whether their sessions are gone; from then on nothing of it can happen, and only then is the
 * barrier opened. Drops nothing, and puts tables back only into a schema that was certainly not
 * dropped.
 */
import { renewHeld } from '../held/relocate/due-times.js';
import { findBarrierTables } from '../held/relocate/retire-barrier-table.js';
import { liveOwners } from '../ledger/live-owners.js';
import { findRows } from '../ledger/read.js';
import {
  endSchemaDrop,
  findSchemaDrops,
  hasOwner,
  leaveSchemaDrop,
  type SchemaDropRow,
} from '../ledger/schema-drops.js';
import type { Log } from '../log.js';
import { isRowLevelError, isServerError } from '../service/errors.js';
import type { ServiceConnection, ServicePool } from '../service/pool/pools.js';
import { ident, note, sql } from '../service/sql.js';
import { ER_BAD_DB_ERROR } from '../wire/server-errors.js';
import { putSchemaBack } from './put-schema-back.js';
import { resolve } from './resolve-intents.js';

export interface RecoveredSchemas {
  /** Names of schemas that exist as before. */
  readonly schemasBack: readonly string[];
  /** Names of dropped schemas; their tables are held. */
  readonly schemasGone: readonly string[];
  /** Ids of groups that a process is running, or that could not be brought to an end. */
  readonly open: readonly string[];
}

export async function recoverSchemas(pool: ServicePool, log: Log): Promise<RecoveredSchemas> {
  const schemasBack: string[] = [];
  const schemasGone: string[] = [];
  const open: string[] = [];
  for (const { id, groupId, schema } of await findSchemaDrops(pool)) {
    if (await hasOwner(pool, groupId)) {
      open.push(groupId);
      continue;
    }
    // After the check for an owner, so that the owner's last changes are seen.
    const [drop] = await findSchemaDrops(pool, id);
    if (drop === undefined) continue;
    const ended = await tryToRecover(pool, drop, log);
    if (ended === 'back') schemasBack.push(schema);
    else if (ended === 'gone') schemasGone.push(schema);
    else open.push(groupId);
  }
  return { schemasBack, schemasGone, open };
}

/** A failure for one doesn't affect the others. */
async function tryToRecover(
  pool: ServicePool,
  drop: SchemaDropRow,
  log: Log,
): ReturnType<typeof recover> {
  try {
    return await recover(pool, drop, log);
  } catch (error) {
    if (!isRowLevelError(error)) throw error;
    const { groupId, schema } = drop;
    log.warn(
      { groupId, schema, err: error },
      'cannot resolve an interrupted DROP DATABASE; will try again',
    );
    return null;
  }
}

/** Null: a process is running it, or it has to be tried again. */
async function recover(
  pool: ServicePool,
  drop: SchemaDropRow,
  log: Log,
): Promise<'back' | 'gone' | null> {
  const { groupId, schema } = drop;
  const rows = await findRows(pool, { by: 'group', groupId }, { texts: false });
  const intents = rows.filter(({ state }) => state === 'intent');
  // Its session, or a connection that renames for it, is still there.
  if ((await liveOwners(pool, [drop, ...intents])).size > 0) return null;
  if (await isGone(pool, drop)) {
    // The time of the DROP is unknown, so their hold starts now.
    const holds = intents.map(({ id, holdUntil, droppedAt }) => {
      return [id, holdUntil.getTime() - droppedAt.getTime()] as const;
    });
    if (holds.length > 0) await renewHeld(pool, new Map(holds));
    const { left } = await resolve(pool, intents, { log });
    if (left.length > 0) return null;
    await endSchemaDrop(pool, drop);
    log.info({ groupId, schema }, 'completed an interrupted DROP DATABASE; its tables are held');
    return 'gone';
  }
  // From here on a missing barrier table doesn't mean that the schema is another one.
  await leaveSchemaDrop(pool, drop, { ...drop, hasFailed: true });
  if (!(await putSchemaBack(pool, drop, log))) return null;
  log.info({ groupId, schema }, 'rolled back an interrupted DROP DATABASE; its tables are back');
  return 'back';
}

/**
 * Whether the DROP has happened. A schema of that name without undrop's barrier table was created
 * by others later: the held tables aren't of it.
 */
async function isGone(connection: ServiceConnection, drop: SchemaDropRow): Promise<boolean> {
  if (!(await isThere(connection, drop.schema))) return true;
  if (drop.state === 'emptying') return false;
  return (await findBarrierTables(connection, drop)).length === 0;
}

/** Rejects if the account may not see it. */
async function isThere(connection: ServiceConnection, schema: string): Promise<boolean> {
  try {
    await connection.run(sql`SHOW CREATE DATABASE ${note('absent')} ${ident(schema)}`);
    return true;
  } catch (error) {
    if (!isServerError(error, ER_BAD_DB_ERROR)) throw error;
    return false;
  }
}

/**
 * Brings an interrupted DROP DATABASE to its end. It has left a row of the schema in the ledger,
 * tables that are held, or not yet, and perhaps a DROP that still waits for the barrier table.
 *
 * Invariants: looks first whether somebody is in the middle of it, then at the rows, then whether
 * their sessions are gone; from then on nothing of it can happen any more, and only then is the
 * barrier opened. Drops nothing, and puts tables back only into a schema that it can tell was not
 * dropped.
 */
import { renewHeld } from '../held/relocate/due-times.js';
import { findBarrierTables } from '../held/relocate/retire-barrier-table.js';
import { findRows } from '../ledger/read.js';
import {
  endSchemaDrop,
  findSchemaDrops,
  hasOwner,
  leaveSchemaDrop,
  type SchemaDropRow,
} from '../ledger/schema-drops.js';
import type { Log } from '../log.js';
import { isRowLevelError } from '../service/errors.js';
import { isServerError, type ServiceConnection, type ServicePool } from '../service/pool/pools.js';
import { ident, note, sql } from '../service/sql.js';
import { ER_BAD_DB_ERROR } from '../wire/server-errors.js';
import { liveOwners } from './live-owners.js';
import { putSchemaBack } from './put-schema-back.js';
import { resolve } from './resolve-intents.js';

export interface RecoveredSchemas {
  /** Names of schemas that are there as before. */
  readonly schemasBack: readonly string[];
  /** Names of schemas that are gone; their tables are held. */
  readonly schemasGone: readonly string[];
  /** Ids of groups that somebody is in the middle of, or that could not be brought to an end. */
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
    // After the look at its owner, because what an owner has changed last is seen now.
    const [drop] = await findSchemaDrops(pool, id);
    if (drop === undefined) continue;
    const ended = await tryToRecover(pool, drop, log);
    if (ended === 'back') schemasBack.push(schema);
    else if (ended === 'gone') schemasGone.push(schema);
    else open.push(groupId);
  }
  return { schemasBack, schemasGone, open };
}

/** If one can't be brought to an end the others are. */
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
    log.warn({ groupId, schema, err: error }, 'an interrupted DROP DATABASE could not be ended');
    return null;
  }
}

/** Null: somebody is in the middle of it, or it is to be tried again. */
async function recover(
  pool: ServicePool,
  drop: SchemaDropRow,
  log: Log,
): Promise<'back' | 'gone' | null> {
  const { groupId, schema } = drop;
  const rows = await findRows(pool, { by: 'group', groupId }, { texts: false });
  const intents = rows.filter(({ state }) => state === 'intent');
  // Its session, or a connection that renames for it, is there still.
  if ((await liveOwners(pool, [drop, ...intents])).size > 0) return null;
  if (await isGone(pool, drop)) {
    // Nobody knows when the DROP was done: they are held from now on.
    const holds = intents.map(({ id, holdUntil, droppedAt }) => {
      return [id, holdUntil.getTime() - droppedAt.getTime()] as const;
    });
    if (holds.length > 0) await renewHeld(pool, new Map(holds));
    const { left } = await resolve(pool, intents, { log });
    if (left.length > 0) return null;
    await endSchemaDrop(pool, drop);
    log.info({ groupId, schema }, 'an interrupted DROP DATABASE was done: its tables are held');
    return 'gone';
  }
  // From here on a missing barrier table doesn't mean that the schema is another one.
  await leaveSchemaDrop(pool, drop, { ...drop, hasFailed: true });
  if (!(await putSchemaBack(pool, drop, log))) return null;
  log.info({ groupId, schema }, 'an interrupted DROP DATABASE was not done: its tables are back');
  return 'back';
}

/**
 * Whether the DROP has happened. A schema of that name without our barrier table was made anew by
 * others: what is held is none of its tables.
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

/**
 * What an interrupted DROP DATABASE left: a row of the schema in the ledger, tables that are held,
 * or not yet, and perhaps a DROP that still waits for the guard.
 *
 * Invariants: looks first whether somebody is in the middle of it, then at the rows, then whether
 * their sessions are gone; from then on nothing of it can happen any more, and only then is the
 * gate opened. Drops nothing, and puts tables back only into a schema that it can tell was not
 * dropped.
 */
import { renewHeld } from '../held/relocate/due-times.js';
import { findBarrierTables } from '../held/relocate/retire-barrier-table.js';
import { findRows, type LedgerCursor, nextPage } from '../ledger/read.js';
import {
  endSchemaDrop,
  findSchemaDrop,
  findSchemaDrops,
  giveUpSchemaDrop,
  hasOwner,
  SCHEMA_DROPS_MAX,
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

interface RecoveredSchemas {
  /** Names of schemas that are there as before. */
  readonly schemasBack: readonly string[];
  /** Names of schemas that are gone; their tables are held. */
  readonly schemasGone: readonly string[];
  /** Ids of groups that somebody is in the middle of, or that could not be brought to an end. */
  readonly open: readonly string[];
}

export async function recoverSchemas(
  pool: ServicePool,
  {
    log,
    cursor = { after: null },
  }: {
    readonly log: Log;
    /** Where the last round has stopped; default: from the oldest on. */
    readonly cursor?: LedgerCursor;
  },
): Promise<RecoveredSchemas> {
  const schemasBack: string[] = [];
  const schemasGone: string[] = [];
  const open: string[] = [];
  const drops = await findSchemaDrops(pool, cursor);
  nextPage(cursor, drops, SCHEMA_DROPS_MAX);
  for (const { id, groupId, schema } of drops) {
    if (await hasOwner(pool, groupId)) {
      open.push(groupId);
      continue;
    }
    // After the look at its owner: what an owner has changed last is seen now.
    const drop = await findSchemaDrop(pool, id);
    if (drop === null) continue;
    const ended = (await isUnderWay(pool, drop)) ? null : await tryToRecover(pool, drop, log);
    if (ended === 'back') schemasBack.push(schema);
    else if (ended === 'gone') schemasGone.push(schema);
    else open.push(groupId);
  }
  return { schemasBack, schemasGone, open };
}

/** Its session, or a connection that renames for it, is there still. */
async function isUnderWay(pool: ServicePool, drop: SchemaDropRow): Promise<boolean> {
  const { groupId } = drop;
  const rows = await findRows(pool, { by: 'group', groupId }, { texts: false });
  const intents = rows.filter(({ state }) => state === 'intent');
  return (await liveOwners(pool, [drop, ...intents])).size > 0;
}

/** Where one can't be brought to an end the others are. */
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

/** Null: to be tried again. */
async function recover(
  pool: ServicePool,
  drop: SchemaDropRow,
  log: Log,
): Promise<'back' | 'gone' | null> {
  const { groupId, schema } = drop;
  if (await isGone(pool, drop)) {
    const rows = await findRows(pool, { by: 'group', groupId }, { texts: false });
    const intents = rows.filter(({ state }) => state === 'intent');
    // Nobody knows when the DROP was done: they are held from now on.
    const holds = intents.map(({ id, holdUntil, droppedAt }) => {
      return [id, holdUntil.getTime() - droppedAt.getTime()] as const;
    });
    if (holds.length > 0) await renewHeld(pool, new Map(holds));
    const { left } = await resolve(pool, intents, log);
    if (left.length > 0) return null;
    await endSchemaDrop(pool, drop);
    log.info({ groupId, schema }, 'an interrupted DROP DATABASE was done: its tables are held');
    return 'gone';
  }
  // From here on a missing guard doesn't mean that the schema is another one.
  await giveUpSchemaDrop(pool, drop, drop);
  if (!(await putSchemaBack(pool, drop, log))) return null;
  log.info({ groupId, schema }, 'an interrupted DROP DATABASE was not done: its tables are back');
  return 'back';
}

/**
 * Whether the DROP has happened. A schema of that name without our guard was made anew by others:
 * what is held is none of its tables.
 */
async function isGone(connection: ServiceConnection, drop: SchemaDropRow): Promise<boolean> {
  if (!(await isThere(connection, drop.schema))) return true;
  if (drop.state === 'emptying') return false;
  return (await findBarrierTables(connection, drop)).length === 0;
}

/** Rejects where the account may not see it. */
async function isThere(connection: ServiceConnection, schema: string): Promise<boolean> {
  try {
    await connection.run(sql`SHOW CREATE DATABASE ${note('absence')} ${ident(schema)}`);
    return true;
  } catch (error) {
    if (!isServerError(error, ER_BAD_DB_ERROR)) throw error;
    return false;
  }
}

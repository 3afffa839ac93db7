/**
 * The RENAME to hold names by the service account: for a user who may drop a table but not rename
 * it; for a table that the server may tear; and for every TRUNCATE, whose empty ghost table takes
 * the name in the same statement. The server has confirmed in the user's own session before that
 * the user may drop it; that session holds no lock of a transaction now.
 *
 * Invariant: meanwhile the intents belong to its own connection, so that recovery doesn't give them
 * up: neither the end of the user's session nor that of this process ends the statement.
 */
import {
  type IntentSet,
  type Owner,
  releaseOwnership,
  takeOver,
} from '../../ledger/intents/record-intent.js';
import { mayUnlog } from '../../ledger/tables.js';
import { shapeOf } from '../../ledger/write.js';
import { isServerError, isServiceError } from '../../service/errors.js';
import type { ServiceConnection, ServicePool, TaskConnection } from '../../service/pool/pools.js';
import { runWithTimeoutOn } from '../../service/pool/statement-timeout.js';
import { ident, note, numberOf, type SQLQuery, sql } from '../../service/sql.js';
import {
  ABSENT_TO_RENAME,
  ACCESS_DENIED,
  ER_LOCK_DEADLOCK,
  ER_LOCK_WAIT_TIMEOUT,
  ER_QUERY_INTERRUPTED,
  ER_TOO_LONG_IDENT,
} from '../../wire/server-errors.js';
import type { ServiceRename, ServiceRenameOutcome } from '../world.js';
import { prepareAlter } from './rename-by-alter.js';
import { INNODB_WAIT_S } from './take-by-service.js';

/**
 * Rejects if the result is unknown: the connection broke. An error of the server isn't proof: a
 * KILL that hits a RENAME at its end returns 1317 although it is done.
 */
export async function renameByService(
  pool: ServicePool,
  rename: ServiceRename,
): Promise<ServiceRenameOutcome> {
  const { tables, logged, killAfterMs } = rename;
  const ids = tables.map(({ id }) => id);
  const renameOn = async (connection: TaskConnection) => {
    const run = (text: readonly SQLQuery[]) =>
      runWithTimeoutOn(connection, pool, text, { killAfterMs, logged });
    const [settings, statement] = renameText(rename);
    await run([settings, statement]).catch(async (error: unknown) => {
      const [only] = tables.length === 1 && isServerError(error, ER_TOO_LONG_IDENT) ? tables : [];
      const isAlone = only !== undefined && only.ghost === undefined;
      const alter = isAlone ? await prepareAlter(pool, only, { logged }) : null;
      if (alter === null) throw error;
      await run([settings, alter]);
    });
  };
  let outcome = await asOwner(pool, { ids, logged }, renameOn);
  // The account may have been granted the privilege since the connection was opened.
  if (outcome.kind === 'denied') {
    outcome = await asOwner(pool, { ids, logged, fresh: true }, renameOn);
  }
  if (outcome.kind === 'renamed' || !(await areHeld(pool, tables))) return outcome;
  return { kind: 'renamed' };
}

async function areHeld(pool: ServicePool, tables: ServiceRename['tables']): Promise<boolean> {
  const names = tables.map(({ schema, holdSchema = schema, holdName }) => {
    return sql`(TABLE_SCHEMA = ${holdSchema} AND TABLE_NAME = ${holdName})`;
  });
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', tables[0]?.id)} COUNT(*) AS n FROM information_schema.TABLES
        WHERE ${sql.join(names, ' OR ')}`,
  );
  return numberOf(rows[0] ?? {}, 'n') === tables.length;
}

export interface OwnedIntents {
  readonly ids: readonly string[];
  readonly logged: boolean;
  /** Further errors for missing objects. */
  readonly gone?: readonly number[];
  /** Default false: a connection of the pool does. */
  readonly fresh?: boolean;
}

/**
 * The connection of `work` owns the intents meanwhile; it is used again only after it has released
 * them. If there is none, or it broke before, nothing was done.
 */
export async function asOwner(
  pool: ServicePool,
  { ids, logged, gone = [], fresh = false }: OwnedIntents,
  work: (connection: TaskConnection) => Promise<void>,
): Promise<ServiceRenameOutcome> {
  if (!logged && !(await mayUnlog(pool))) {
    return { kind: 'denied', cause: 'it may not switch sql_log_bin off' };
  }
  const intents = { ids, rowLogged: logged };
  let owner: Owner | null = null;
  let isWorking = false;
  try {
    const own = async (connection: TaskConnection): Promise<ServiceRenameOutcome> => {
      owner = ids.length === 0 ? null : await takeOver(connection, intents, await shapeOf(pool));
      if (owner === null && ids.length > 0) {
        // Some of them may be its own.
        connection.discard();
        return { kind: 'gone' };
      }
      isWorking = true;
      await work(connection);
      // The statement goes on, and its tables must not be collected before it has ended.
      const isReleased = owner === null || (await tryToRelease(connection, intents, owner));
      // While it lives, the intents have no other owner.
      if (!isReleased) connection.discard();
      return { kind: 'renamed' };
    };
    return await pool.task(own, { fresh });
  } catch (error) {
    if (!isServerError(error) && (isWorking || !isServiceError(error))) throw error;
    if (owner !== null) await tryToRelease(pool, intents, owner);
    return serviceRenameOutcomeOf(error, gone);
  }
}

/** False: recovery may resolve the intents, and then they are gone at the next try. */
async function tryToRelease(
  pool: ServiceConnection,
  intents: IntentSet,
  owner: Owner,
): Promise<boolean> {
  try {
    await releaseOwnership(pool, intents, owner);
    return true;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return false;
  }
}

function renameText(rename: ServiceRename): readonly [settings: SQLQuery, rename: SQLQuery] {
  const { tables, checksForeignKeys } = rename;
  const pairs = tables.flatMap(({ schema, table, holdName, holdSchema = schema, ghost }) => {
    const name = ident(schema, table);
    const held = sql`${name} TO ${ident(holdSchema, holdName)}`;
    return ghost === undefined
      ? [held]
      : [held, sql`${ident(ghost.schema, ghost.table)} TO ${name}`];
  });
  const step = note('hold-by-service', tables[0]?.id);
  return [
    sql`SET foreign_key_checks = ${checksForeignKeys ? 1 : 0},
      SESSION innodb_lock_wait_timeout = ${INNODB_WAIT_S}`,
    sql`RENAME ${step} TABLE ${sql.join(pairs, ', ')}`,
  ];
}

/** The outcome for the user, from an error of the server. */
export function serviceRenameOutcomeOf(
  error: Error,
  gone: readonly number[] = [],
): ServiceRenameOutcome {
  if (isServerError(error, ER_LOCK_WAIT_TIMEOUT)) return { kind: 'busy', isTimeout: true };
  if (isServerError(error, ER_QUERY_INTERRUPTED, ER_LOCK_DEADLOCK)) return { kind: 'busy' };
  if (isServerError(error, ...ABSENT_TO_RENAME, ...gone)) return { kind: 'gone' };
  const cause = error.message;
  if (isServerError(error, ...ACCESS_DENIED)) return { kind: 'denied', cause };
  return { kind: 'failed', cause, ...(isServerError(error) ? { errno: error.errno } : {}) };
}

/**
 * The RENAME to hold names by the service account: for a user who may drop a table but not rename
 * it; for a table that the server may tear; and for every TRUNCATE, whose empty ghost table takes
 * the name in the same statement. The server has confirmed in the user's own session before that
 * the user may drop it; that session holds no lock of a transaction now.
 *
 * Invariant: meanwhile the intents belong to its own connection, so that recovery doesn't give them
 * up: neither the end of the user's session nor that of this process ends the statement.
 */
import { systemClock } from '../../../clock.js';
import { isServerError, isServiceError, tolerantly } from '../../../connections/errors.js';
import { runWithTimeoutOn } from '../../../connections/pool/statement-timeout.js';
import type {
  Rows,
  ServerFacts,
  ServicePool,
  SQLQuery,
  TaskConnection,
} from '../../../connections/sql.js';
import { col, ident, note, processlistOf, sql } from '../../../connections/sql.js';
import { dropKey, readTable } from '../../../held/foreign-keys/add-keys.js';
import { withOriginalNames } from '../../../held/foreign-keys/detach.js';
import { isPlainCheck } from '../../../held/relocate/checks.js';
import * as parts from '../../../ledger/detached/detached.js';
import { foreignKeysOf } from '../../../ledger/intents/intent-text.js';
import { releaseText, takeOverText } from '../../../ledger/intents/record-intent.js';
import { mayUnlog } from '../../../ledger/tables.js';
import { shapeOf } from '../../../ledger/write.js';
import { NAME_CHARACTERS_MAX } from '../../../names/names.js';
import * as ER from '../../../wire/server-errors.js';
import type { ServiceRename, ServiceRenameOutcome, ServiceRenameTable } from '../world.js';
import { INNODB_WAIT_S } from './take-by-service.js';

/**
 * A single text takes the intents over, renames, and looks for foreign keys on the tables. Rejects
 * if the result is unknown: the connection broke, and the server still has it. An error of the
 * server isn't proof: a KILL that hits a RENAME at its end returns 1317 although it is done.
 */
export async function renameByService(
  pool: ServicePool,
  rename: ServiceRename & Pick<OwnedIntents, 'sessionId'>,
): Promise<ServiceRenameOutcome> {
  const { tables, killAfterMs, sessionId, isLast = false } = rename;
  const ids = tables.map(({ id }) => id);
  const server = await shapeOf(pool);
  const places = tables.map(({ holdSchema: schema, holdName: table }) => ({ schema, table }));
  const look = isLast ? [foreignKeysOf(places, server)] : [];
  let isFree = false;
  const renameOn: OwnersWork = async (connection, { takeOver, release }) => {
    const run = (text: readonly SQLQuery[]): Promise<readonly Rows[]> =>
      runWithTimeoutOn({ connection, pool }, text, { killAfterMs });
    const [settings, statement] = renameText(rename);
    try {
      const end = look.length > 0 ? look : release;
      const answers = await run([...takeOver, settings, statement, ...end]);
      isFree = look.length > 0 && answers.at(-1)?.length === 0;
    } catch (error) {
      const [only] = tables.length === 1 && isServerError(error, ER.TOO_LONG_IDENT) ? tables : [];
      const isAlone = only !== undefined && only.ghost === undefined;
      const alter = isAlone ? await prepareAlter(pool, only) : null;
      if (alter === null) throw error;
      await run([settings, alter, ...release]);
    }
  };
  const owned = { ids, sessionId, isDone: () => areHeld(pool, tables) };
  let outcome = await asOwner(pool, owned, renameOn);
  // The account may have been granted the privilege since the connection was opened.
  if (outcome.kind === 'denied') outcome = await asOwner(pool, { ...owned, fresh: true }, renameOn);
  if (outcome.kind === 'renamed') return { ...outcome, isFree };
  return (await areHeld(pool, tables)) ? { kind: 'renamed' } : outcome;
}

async function areHeld(pool: ServicePool, tables: ServiceRename['tables']): Promise<boolean> {
  const names = tables.map(({ holdSchema, holdName }) => {
    return sql`(TABLE_SCHEMA = ${holdSchema} AND TABLE_NAME = ${holdName})`;
  });
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', tables[0]?.id)} COUNT(*) AS n FROM information_schema.TABLES
        WHERE ${sql.join(names, ' OR ')}`,
  );
  return col.number(rows[0] ?? {}, 'n') === tables.length;
}

interface OwnedIntents {
  readonly ids: readonly string[];
  /** The id of the user's session, which gets the intents back after a failure. */
  readonly sessionId: number;
  /** Whether the work was done, by a look at the names. */
  readonly isDone: () => Promise<boolean>;
  /** Default false: a connection of the pool does. */
  readonly fresh?: boolean;
}

/** The work of the owner; its text begins with `takeOver`, and ends with `release` or a look. */
type OwnersWork = (
  connection: TaskConnection,
  texts: { readonly takeOver: readonly SQLQuery[]; readonly release: readonly SQLQuery[] },
) => Promise<void>;

/**
 * The connection of `work` owns the intents until a text releases them. If there is no connection,
 * or it ended before, nothing was done.
 */
async function asOwner(
  pool: ServicePool,
  { ids, sessionId, isDone, fresh = false }: OwnedIntents,
  work: OwnersWork,
): Promise<ServiceRenameOutcome> {
  if (!pool.isLogged && !(await mayUnlog(pool))) {
    return { kind: 'denied', cause: 'it may not switch sql_log_bin off' };
  }
  const server = await shapeOf(pool);
  const release = releaseText(ids, sessionId, server);
  let workerId: number | null = null;
  try {
    const own = (connection: TaskConnection) => {
      workerId = connection.threadId;
      return work(connection, { takeOver: takeOverText(ids, workerId, server), release });
    };
    await pool.task(own, { fresh });
    return { kind: 'renamed' };
  } catch (error) {
    const isAnswered = isServerError(error);
    if (!isAnswered && !isServiceError(error)) throw error;
    if (workerId === null) return outcomeOf(error);
    if (!isAnswered) {
      if (!(await hasEnded(pool, workerId, server))) throw error;
      if (await isDone()) return { kind: 'renamed' };
    }
    await releaseIntents(pool, { ids, sessionId });
    return outcomeOf(error, ER.SUBQUERY_NO_1_ROW);
  }
}

/** The server notices at once that a connection is gone, unless the network lies. */
const ENDS_WITHIN_MS = 1_000;
const CHECK_EVERY_MS = 50;

/** Whether the server has ended that connection; false also if that can't be seen. */
async function hasEnded(pool: ServicePool, id: number, server: ServerFacts): Promise<boolean> {
  const look = sql`SELECT ${note('look')} 1 AS one FROM ${processlistOf(server)} WHERE ID = ${id}`;
  try {
    for (let waitedMs = 0; waitedMs <= ENDS_WITHIN_MS; waitedMs += CHECK_EVERY_MS) {
      const [rows = []] = await pool.run(look);
      if (rows.length === 0) return true;
      await systemClock.sleep(CHECK_EVERY_MS);
    }
    return false;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return false;
  }
}

/**
 * Also for a statement that broke off after its last RENAME. If it fails, recovery may resolve the
 * intents, and then they are gone at the next try.
 */
export async function releaseIntents(
  pool: ServicePool,
  { ids, sessionId }: Pick<OwnedIntents, 'ids' | 'sessionId'>,
): Promise<void> {
  if (ids.length === 0) return;
  await tolerantly(async () => pool.run(releaseText(ids, sessionId, await shapeOf(pool))));
}

function renameText(rename: ServiceRename): readonly [settings: SQLQuery, rename: SQLQuery] {
  const { tables, checksForeignKeys } = rename;
  const pairs = tables.flatMap(({ schema, table, holdName, holdSchema, ghost }) => {
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
function outcomeOf(error: Error, ...gone: readonly number[]): ServiceRenameOutcome {
  if (isServerError(error, ER.LOCK_WAIT_TIMEOUT)) return { kind: 'busy', isTimeout: true };
  if (isServerError(error, ER.QUERY_INTERRUPTED, ER.LOCK_DEADLOCK)) return { kind: 'busy' };
  if (isServerError(error, ...ER.ABSENT_TO_RENAME, ...gone)) return { kind: 'gone' };
  const cause = error.message;
  if (isServerError(error, ...ER.SERVICE_DENIED)) return { kind: 'denied', cause };
  return { kind: 'failed', cause, ...(isServerError(error) ? { errno: error.errno } : {}) };
}

// ── names that become too long ───────────────────────────────────────────────────────────────────
// The RENAME of one table to its hold name where the server refuses that (MySQL 8 and later, 1059):
// it gives foreign keys and CHECKs whose names begin with the table's the new name as well, and one
// of them would have more than 64 characters. A single ALTER TABLE, which copies no row and is
// atomic there, drops them and renames the table.
//
// Invariant: the dropped parts are in the ledger before. Killed before the ALTER, the table is
// unchanged and its intent is forgotten; killed after it, the table is held as any other.

/** The ALTER; null: no part of the table has such a name, or it can't be dropped. */
async function prepareAlter(
  pool: ServicePool,
  renamed: ServiceRenameTable,
): Promise<SQLQuery | null> {
  const { id, schema, table, holdName, holdSchema } = renamed;
  const look = await readTable(pool, { id, schema, table });
  if (typeof look === 'string' || look.keys === null) return null;
  const checks = parts.checksIn(look.definition).filter((check) => !isKept(check, renamed));
  if (look.keys.length + checks.length === 0 || !checks.every(isPlainCheck)) return null;
  const where = { table: { id, fromSchema: schema, holdName, table }, schema, tables: [] };
  const keysOut = await Promise.all(look.keys.map((key) => withOriginalNames(pool, key, where)));
  const detached = { ...parts.NOTHING_DETACHED, keysOut, checks };
  const { definition } = look;
  if (!(await parts.recordDetached(pool, { id, detached, definition }))) return null;
  const changes = [
    ...look.keys.map(({ name }) => dropKey(name)),
    ...checks.map(({ name }) => sql`DROP CHECK ${ident(name)}`),
    sql`RENAME TO ${ident(holdSchema, holdName)}`,
  ];
  return sql`ALTER TABLE ${note('hold-by-alter', id)} ${ident(schema, table)}
    ${sql.join(changes, ', ')}, ALGORITHM=INPLACE`;
}

/** An ALTER reads the rest after `_chk_` in such a name as a number, and turns a word into 0. */
function isKept({ name }: parts.HeldCheck, { table, holdName }: ServiceRenameTable): boolean {
  const made = `${table}_chk_`;
  if (!name.startsWith(made)) return true;
  const number = name.slice(made.length);
  return /^[1-9]\d*$/.test(number) && `${holdName}_chk_${number}`.length <= NAME_CHARACTERS_MAX;
}

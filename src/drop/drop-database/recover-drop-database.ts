/**
 * Brings an interrupted DROP DATABASE to its end. It has left a row of the schema in the ledger,
 * tables that are held, or not yet, and perhaps a DROP that still waits for the barrier table.
 *
 * Invariants: it first checks whether a process is running it, then reads the rows, then checks
 * whether their sessions are gone; from then on nothing of it can happen, and only then is the
 * barrier opened. Drops nothing, and puts tables back only into a schema that was certainly not
 * dropped.
 */

import {
  isKilled,
  isRowLevelError,
  isServerError,
  unlessRefused,
} from '../../connections/errors.js';
import { type HoldTable, mapHoldTables } from '../../connections/hold-tables.js';
import { runWithTimeout } from '../../connections/pool/statement-timeout.js';
import type { ServiceConnection, ServicePool } from '../../connections/sql.js';
import { col, ident, note, processlistOf, readServerFacts, sql } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import { renewHeld } from '../../held/relocate/due-times.js';
import { withoutTriggers } from '../../held/triggers/reattach-triggers.js';
import { hasDetached } from '../../ledger/detached/detached.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { liveOwners } from '../../ledger/owner.js';
import { findRows } from '../../ledger/read.js';
import * as drops from '../../ledger/schema-drops.js';
import { ensureLedger } from '../../ledger/tables.js';
import { forgetIntents, recordState } from '../../ledger/write.js';
import type { Log } from '../../log.js';
import {
  formatHoldName,
  parseBarrierTable,
  RETIRED_BARRIER_DUE,
  recycleSchemaFor,
} from '../../names/names.js';
import { makeWhole, NOTHING_REATTACHED, problemsOf } from '../../recycle/make-whole.js';
import {
  hasNotHappened,
  isTorn,
  keepTorn,
  resolve,
} from '../../recycle/recovery/resolve-intents.js';
import { renameBack } from '../../recycle/rename-back.js';
import { listParts, restoreParts } from '../../recycle/schema/schema-parts.js';
import * as ER from '../../wire/server-errors.js';

export async function recoverSchemas(pool: ServicePool, log: Log) {
  /** Names of schemas that exist as before. */
  const schemasBack: string[] = [];
  /** Names of dropped schemas; their tables are held. */
  const schemasGone: string[] = [];
  /** Ids of groups that a process is running, or that could not be brought to an end. */
  const open: string[] = [];
  for (const { id, dropId, schema } of await drops.findSchemaDrops(pool)) {
    if (await drops.hasOwner(pool, dropId)) {
      open.push(dropId);
      continue;
    }
    // After the check for an owner, so that the owner's last changes are seen.
    const [drop] = await drops.findSchemaDrops(pool, id);
    if (drop === undefined) continue;
    const ended = await recover(pool, drop, log).catch((error: unknown) => {
      // A failure for one doesn't affect the others.
      if (!isRowLevelError(error)) throw error;
      log.warn({ dropId, schema, err: error }, UNRESOLVED);
      return null;
    });
    if (ended === 'back') schemasBack.push(schema);
    else if (ended === 'gone') schemasGone.push(schema);
    else open.push(dropId);
  }
  return { schemasBack, schemasGone, open };
}

const UNRESOLVED = 'cannot resolve an interrupted DROP DATABASE; will try again';

/** Null: a process is running it, or it has to be tried again. */
async function recover(
  pool: ServicePool,
  drop: drops.SchemaDropRow,
  log: Log,
): Promise<'back' | 'gone' | null> {
  const { dropId, schema } = drop;
  const rows = await findRows(pool, { by: 'group', dropId }, { texts: false });
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
    await drops.endSchemaDrop(pool, drop);
    log.info({ dropId, schema }, 'completed an interrupted DROP DATABASE; its tables are held');
    return 'gone';
  }
  // From here on a missing barrier table doesn't mean that the schema is another one.
  await drops.leaveSchemaDrop(pool, drop, { ...drop, hasFailed: true });
  if (!(await putSchemaBack(pool, drop, log))) return null;
  log.info({ dropId, schema }, 'rolled back an interrupted DROP DATABASE; its tables are back');
  return 'back';
}

/**
 * Whether the DROP has happened. A schema of that name without undrop's barrier table was created
 * by others later: the held tables aren't of it.
 */
async function isGone(connection: ServiceConnection, drop: drops.SchemaDropRow): Promise<boolean> {
  if (!(await isThere(connection, drop.schema))) return true;
  if (drop.state === 'emptying') return false;
  return (await findBarrierTables(connection, drop)).length === 0;
}

/** Rejects if the account may not see it. */
function isThere(connection: ServiceConnection, schema: string): Promise<boolean> {
  const shown = connection.run(sql`SHOW CREATE DATABASE ${note('absent')} ${ident(schema)}`);
  const seen = shown.then(() => true);
  return unlessRefused(seen, false, ER.BAD_DB_ERROR);
}

// ── putting the tables back ──────────────────────────────────────────────────────────────────────
// Gives the tables of a failed DROP DATABASE their own names again, with their keys and triggers,
// and creates the views, routines and events again that some servers drop before the step that
// fails. May run twice, and at once with another proxy: finished parts are skipped.
//
// Invariants: it runs only when no RENAME and no DROP of the group can happen. A table whose name
// is taken stays held and is never collected, because its DROP failed. If several had one name (one
// was created while the DROP waited), the first gets it again. A row is forgotten only when its
// table is live and complete, or was never renamed and can't be renamed any longer.

/** MySQL 8.0.16 and later: the name of a CHECK is unique in its schema. */
const TAKEN: ReadonlySet<string> = new Set(['UNDROP_NAME_TAKEN', 'UNDROP_CHECK_TAKEN']);

type SchemaToPutBack = drops.SchemaDropKey &
  Pick<drops.SchemaDropRow, 'schema' | 'sqlLogBin' | 'details' | 'threadId'>;

/**
 * False: some work is left for a later try, and the schema's row stays for that. Rejects with the
 * server's errors, which also leaves the row.
 */
export async function putSchemaBack(
  pool: ServicePool,
  drop: SchemaToPutBack,
  log: Log,
): Promise<boolean> {
  const { dropId, schema, threadId } = drop;
  await restoreCharset(pool, drop);
  const rows = await findRows(pool, { by: 'group', dropId });
  const intents = rows.filter(({ state }) => state === 'intent');
  // Renamed by a service connection, because the user's session renames nothing, and has given up.
  // A table that isn't held at this point never will be.
  const others = intents.filter((row) => row.threadId !== threadId);
  const mayBeRenamed = await liveOwners(pool, others);
  const held = await mapHoldTables(pool, [schema]);
  const back: LedgerRow[] = [];
  const stillHeld: LedgerRow[] = [];
  /** Names of tables to try again. */
  const left = new Set<string>();
  // The oldest first.
  for (const row of rows.toReversed()) {
    const { id, table } = row;
    const isLeft = mayBeRenamed.has(id) || left.has(table);
    const became = isLeft ? 'left' : await renameToOrigin(pool, row, held.get(id));
    if (became === 'back') back.push(row);
    else if (became === 'torn') await keepTorn(pool, row, log);
    else log.warn({ id, table: `${schema}.${table}` }, became === 'held' ? STILL_HELD : LEFT);
    if (became === 'left') left.add(table);
    if (became === 'held' && row.state === 'intent') stillHeld.push(row);
  }
  // After all names, because the parent of a key may be another of them.
  for (const row of back) if (!(await endPutBack(pool, row, log))) left.add(row.table);
  if (stillHeld.length > 0)
    await renewHeld(pool, new Map(stillHeld.map(({ id }) => [id, 'pinned'])));
  const resolved = await resolve(pool, stillHeld, { log });
  if (left.size + resolved.left.length > 0) return false;
  if (!(await retireBarrierTable(pool, drop))) return false;
  const parts = await putPartsBack(pool, drop, log);
  await drops.endSchemaFailure(pool, drop, { isAllBack: parts && stillHeld.length === 0 });
  return true;
}

const STILL_HELD =
  'cannot put back a table of a schema that was not dropped; its name, or that of a CHECK, is taken';
const LEFT = 'cannot put back a table of a schema that was not dropped; will try again';

/** False: some of them could not be created; their definitions are in the schema's row. */
async function putPartsBack(
  pool: ServicePool,
  { id, schema, dropId, details, sqlLogBin }: SchemaToPutBack,
  log: Log,
): Promise<boolean> {
  const there = details.parts.length === 0 ? [] : await listParts(pool, schema);
  const parts = details.parts.filter(({ kind, name }) => {
    return !there.some((part) => part.kind === kind.toUpperCase() && part.name === name);
  });
  if (parts.length === 0) return true;
  const made = await restoreParts(pool.logging(sqlLogBin), schema, { id, parts });
  const named = (some: typeof made) => some.map(({ kind, name }) => `${kind} ${name}`);
  const lost = made.filter(({ problem }) => problem !== null);
  log.info({ dropId, schema, parts: named(made) }, 'put back the tables of a failed DROP DATABASE');
  if (lost.length === 0) return true;
  const why = lost.map(({ problem }) => problem);
  log.warn({ dropId, schema, lost: named(lost), why }, LOST);
  return false;
}

const LOST =
  'a failed DROP DATABASE dropped views or programs; UNDROP DATABASE creates them again from the ' +
  'ledger, once the service account may';

/**
 * MySQL before 8 and MariaDB lose it with the first files, before the DROP waits for a table, even
 * if the DROP does nothing more (find_db_tables_and_rm_known_files).
 */
async function restoreCharset(
  pool: ServicePool,
  { dropId, schema, details, sqlLogBin }: SchemaToPutBack,
): Promise<void> {
  const { charset, collation, comment } = details;
  // A server without schema comments has no such column.
  const [[row] = []] = await pool.run(
    sql`SELECT ${note('look', dropId)} * FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  );
  if (row === undefined) return;
  const hasComment = !('SCHEMA_COMMENT' in row) || row['SCHEMA_COMMENT'] === (comment ?? '');
  if (col.text(row, 'DEFAULT_COLLATION_NAME') === collation && hasComment) return;
  const words = comment === null || comment === '' ? sql`` : sql` COMMENT ${comment}`;
  await pool.logging(sqlLogBin).run(
    sql`ALTER ${note('put-back', dropId)} DATABASE ${ident(schema)}
        CHARACTER SET ${charset} COLLATE ${collation}${words}`,
  );
}

/**
 * `back`: live under its own name. `held`: still held, because its name, or that of a CHECK, is
 * taken, or its rows were being deleted. `left`: to try again. `torn`: an operator has to repair
 * it; its intent stays when the schema's row goes.
 */
async function renameToOrigin(
  pool: ServicePool,
  row: LedgerRow,
  held: HoldTable | undefined,
): Promise<'back' | 'held' | 'left' | 'torn'> {
  const { id, schema, table, sqlLogBin } = row;
  if (held === undefined) {
    if (row.state !== 'intent') return 'held';
    if (await isTorn(pool, row)) return 'torn';
    return (await hasNotHappened(pool, row)) ? 'back' : 'left';
  }
  if (held.state !== 'HOLD') return 'held';
  try {
    const from = { holdSchema: held.schema, holdName: held.name };
    await renameBack(pool.logging(sqlLogBin), { id, ...from, to: { schema, table } });
    return 'back';
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    return TAKEN.has(error.code) ? 'held' : 'left';
  }
}

/** Adds its keys and triggers. False: something of it is to be tried again. */
async function endPutBack(pool: ServicePool, row: LedgerRow, log: Log): Promise<boolean> {
  const { id, schema, table, detached, rowLogged, threadId } = row;
  const cameBack = hasDetached(detached)
    ? await makeWhole(pool, { id, anyParent: true }, { schema, table })
    : NOTHING_REATTACHED;
  const problems = problemsOf(id, cameBack);
  if (cameBack.isToCome) return false;
  if (problems.length === 0 && row.state === 'intent') {
    // Unless it has been taken over since.
    return (await forgetIntents(pool.logging(rowLogged), [id], threadId)) > 0;
  }
  const name = `${schema}.${table}`;
  const lacks = withoutTriggers(id, cameBack.triggers);
  const pendingWork = lacks ?? { todo: null, text: problems.join('; ') };
  const why = problems.length === 0 ? {} : { pendingWork };
  if (problems.length > 0)
    log.warn({ id, table: name, problems }, 'put back a table, but not completely');
  // The row keeps the parts that could not be reattached.
  await recordState(pool, { id, state: 'restored', restoredAs: name, rowLogged, ...why });
  return true;
}

// ── the table of a barrier ───────────────────────────────────────────────────────────────────────
// Moves the barrier table of a DROP DATABASE (drop/drop-database/barrier.ts) out of the
// schema, once no DROP can be waiting for it: into a schema of undrop, where the collector removes
// it. May run twice.
//
// Invariant: ends statements of the group's own barrier only, and renames its own table only.

/** Another proxy was faster; or the schema, or the target schema, is gone. */
const NOT_RENAMED = [
  ...ER.ABSENT_TO_RENAME,
  ER.BAD_DB_ERROR,
  // MariaDB and MySQL before 8 return it if the target schema is missing.
  ER.ERROR_ON_RENAME,
];

type BarredSchema = Pick<drops.SchemaDropRow, 'schema' | 'dropId'>;

/** False: a session has it locked, or is about to create it; try again. */
async function retireBarrierTable(
  pool: ServicePool,
  { schema, dropId }: BarredSchema,
): Promise<boolean> {
  // The statement of a killed proxy may still wait, though not for long; the barrier table comes
  // after it.
  if ((await findStatements(pool, 'barrier-table', dropId)).length > 0) return false;
  for (const name of await findBarrierTables(pool, { schema, dropId })) {
    await openBarrier(pool, dropId);
    const logged = parseBarrierTable(name)?.logged === true;
    // DROP has no waiting time.
    const away = formatHoldName({ state: 'DROP', id: dropId, due: RETIRED_BARRIER_DUE });
    try {
      await runWithTimeout(
        pool.logging(logged),
        sql`RENAME ${note('retire', dropId)} TABLE ${ident(schema, name)}
          TO ${ident(recycleSchemaFor(logged), away)}`,
      );
    } catch (error) {
      if (isKilled(error)) return false;
      if (!isServerError(error, ...NOT_RENAMED)) throw error;
      const isThere = (await findBarrierTables(pool, { schema, dropId })).includes(name);
      if (!isThere) continue;
      // A server that was a replica has no local schema until a proxy creates it.
      await ensureLedger(pool);
      return false;
    }
  }
  return true;
}

/** Its name in the schema; none if it is gone. */
async function findBarrierTables(
  connection: ServiceConnection,
  { schema, dropId }: BarredSchema,
): Promise<readonly string[]> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look', dropId)} TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE '!undrop\\_%'`,
  );
  const names = rows.map((row) => col.text(row, 'name'));
  return names.filter((name) => parseBarrierTable(name)?.dropId === dropId);
}

/** The statement of a killed proxy goes on, and keeps the barrier table open. */
async function openBarrier(pool: ServicePool, dropId: string): Promise<void> {
  for (const threadId of await findStatements(pool, 'barrier', dropId)) {
    // Another account's is denied: then the barrier table stays until that statement ends.
    await unlessRefused(pool.killQuery(threadId), undefined, ER.KILL_DENIED_ERROR);
  }
}

/** Connections that are creating the barrier table, or hold it. */
async function findStatements(
  pool: ServicePool,
  step: 'barrier-table' | 'barrier',
  dropId: string,
): Promise<readonly number[]> {
  const server = await readServerFacts(pool);
  // In two parts, so that this statement finds neither itself nor that of another proxy.
  const comment = sql`CONCAT('%/* undrop schema-', ${step}, ' ', ${dropId}, ' */%')`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', dropId)} ID AS id FROM ${processlistOf(server)}
        WHERE INFO LIKE ${comment}`,
  );
  return rows.map((row) => col.number(row, 'id'));
}

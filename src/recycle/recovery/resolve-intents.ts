/**
 * Resolves interrupted drops: an intent in the ledger, and a table that is either still under its
 * own name or under a hold name with the intent's id.
 *
 * Invariant: the order of the reads. First the intents, then which of their owners are gone (from
 * then on no RENAME of theirs can happen), then the names; so a table that isn't found as held
 * never will be. An intent is forgotten only if the server reports that there is no such held
 * table, and only if no service connection has taken it over since (`takeOver`).
 */

import { isRowLevelError, unlessRefused } from '../../connections/errors.js';
import {
  type HoldTable,
  mapHoldTables,
  readRecycleSchemas,
} from '../../connections/hold-tables.js';
import { col, ident, note, readServerFacts, type ServicePool, sql } from '../../connections/sql.js';
import { detach } from '../../held/foreign-keys/detach.js';
import { isCertainlyAbsent, isMissing } from '../../held/locate.js';
import { NOT_TRIED, renamesInPieces } from '../../held/relocate/blockers.js';
import { renew } from '../../held/relocate/due-times.js';
import { detachAndRelocate, readLastingBlockers } from '../../held/relocate/relocate.js';
import { howDropped, type LedgerRow, TORN } from '../../ledger/entry.js';
import { reportAndKeep } from '../../ledger/history.js';
import { fileNameOf } from '../../ledger/intents/intent-text.js';
import { intentsWithLiveSession } from '../../ledger/owner.js';
import { findPage, findRows } from '../../ledger/read.js';
import { openGroupsOf } from '../../ledger/schema-drops.js';
import { forgetIntents, recordOutcome, recordState } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { formatHoldName, isRecycleSchema, recycleSchemaFor } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';
import { finishRestore } from '../make-whole.js';
import { follow, type RoundOptions } from './detect-manual-changes.js';

/**
 * The time of an interrupted drop's RENAME is unknown. If recovery comes later than this after its
 * intent, the hold of the table starts then.
 */
const LOST_MS_MIN = 60_000;
/** The maximum read at once, and the maximum of tries in a round; the others wait for the next. */
const INTENTS_MAX = 1_000;

export async function resolveIntents(pool: ServicePool, { activeIds, log, cursor }: RoundOptions) {
  const all = {
    /** Intents whose RENAME had happened. */
    completed: [] as string[],
    /** Intents whose RENAME had not happened. */
    forgotten: [] as string[],
    /** Intents whose owner is still there. */
    untouched: [] as string[],
  };
  let tries = 0;
  do {
    // Before the intents, so that a drop that ends meanwhile is still included.
    const before = new Set(activeIds);
    const intents = await findPage(pool, { by: 'intent' }, { cursor, rowsMax: INTENTS_MAX });
    if (intents.length === 0) break;
    const alive = await intentsWithLiveSession(pool, intents);
    // After the intents: a DROP DATABASE has its row until its intents are over.
    const dropIds = intents.map(({ dropId }) => dropId);
    const groups = await openGroupsOf(pool, dropIds);
    const isOurs = ({ id, dropId }: LedgerRow) =>
      !before.has(id) && !activeIds.has(id) && !alive.has(id) && !groups.has(dropId);
    const ours = intents.filter(isOurs);
    tries += ours.length;
    all.untouched.push(...intents.filter((row) => !isOurs(row)).map(({ id }) => id));
    const { completed, forgotten, left } = await resolve(pool, ours, { log, isTolerant: true });
    all.completed.push(...completed);
    all.forgotten.push(...forgotten);
    all.untouched.push(...left);
  } while (cursor.after !== null && tries < INTENTS_MAX);
  return all;
}

/** The same for a statement that has ended, so that no RENAME of its intents can happen. */
export async function resolveEnded(pool: ServicePool, ids: readonly string[]): Promise<void> {
  const intents = await findRows(pool, { by: 'intent', only: ids }, { texts: false });
  await resolve(pool, intents, { log: silentLog });
}

const UNSEEN =
  'cannot find the table of an interrupted drop: this account lacks a privilege, or a server ' +
  'without atomic DDL was killed during its RENAME';

/**
 * The result for an intent. `left`: it can't be seen, or has another owner now. `torn`: an operator
 * has to repair its table.
 */
type Fate = 'completed' | 'forgotten' | 'left' | 'torn';

/**
 * Completes or forgets intents without an owner. Rejects if one fails; if it is tolerant, that one
 * is skipped and the others continue.
 */
export async function resolve(
  pool: ServicePool,
  orphans: readonly LedgerRow[],
  { log, isTolerant = false }: { readonly log: Log; readonly isTolerant?: boolean },
): Promise<Readonly<Record<Fate, readonly string[]>>> {
  const result: Record<Fate, string[]> = { completed: [], forgotten: [], left: [], torn: [] };
  if (orphans.length === 0) return result;
  const held = await mapHoldTables(pool, new Set(orphans.map(({ schema }) => schema)));
  for (const row of orphans) {
    const { id, schema, table } = row;
    try {
      result[await resolveOne(pool, row, { table: held.get(id), log })].push(id);
    } catch (error) {
      if (!isTolerant || !isRowLevelError(error)) throw error;
      result.left.push(id);
      log.warn(
        { id, table: `${schema}.${table}`, err: error },
        'cannot resolve the intent of an interrupted drop; will try again',
      );
    }
  }
  return result;
}

async function resolveOne(
  pool: ServicePool,
  row: LedgerRow,
  { table, log }: { readonly table: HoldTable | undefined; readonly log: Log },
): Promise<Fate> {
  const { id, schema, table: name, rowLogged, threadId } = row;
  const named = { id, table: `${schema}.${name}` };
  if (table === undefined && (await isTorn(pool, row))) {
    await keepTorn(pool, row, log);
    return 'torn';
  }
  if (table === undefined && !(await hasNotHappened(pool, row))) {
    log.warn(named, UNSEEN);
    return 'left';
  }
  if (table === undefined && row.pendingWork?.todo === 'restoring') {
    // Its session had begun to put it back.
    if (!(await finishRestore(pool, id))) return 'left';
    await recordIntentAs(pool, row, { state: 'restored' });
    log.info(named, 'took back an interrupted drop; the table has its own name');
    return 'completed';
  }
  if (row.pendingWork?.todo === 'restoring') await recordIntentAs(pool, row, { pendingWork: null });
  const isHeld = table !== undefined && (await complete(pool, row, table));
  const inLog = pool.logging(rowLogged);
  // Its drop continues on another connection, or another proxy has deleted the intent.
  if (!isHeld && (await forgetIntents(inLog, [id], threadId)) === 0) return 'left';
  if (!isHeld) {
    log.info(named, 'discarded the intent of an interrupted drop; nothing was renamed');
    return 'forgotten';
  }
  const { user, clientAddress: client, program, dropId } = row;
  const { schema: holdSchema, name: holdName } = table;
  const who = { user, client, threadId, program };
  const what = { id, dropId, schema, table: name, holdSchema, holdName };
  const event = { event: 'recovered', ...who, ...what } as const;
  await reportAndKeep({ connection: pool, log }, [event], { rowLogged });
  return 'completed';
}

async function recordIntentAs(
  pool: ServicePool,
  { id, rowLogged }: LedgerRow,
  what: { readonly state: 'restored' } | Pick<LedgerRow, 'pendingWork'>,
): Promise<void> {
  await recordState(pool, { id, state: 'intent', ...what, rowLogged, onlyFrom: 'intent' });
}

/** Nothing has the intent's hold name, neither in its own schema nor in the target schema. */
export async function hasNotHappened(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  const name = formatHoldName({ state: 'HOLD', id: row.id, due: row.holdUntil });
  if (!(await isCertainlyAbsent(pool, row.schema, name))) return false;
  const schemas = new Set([recycleSchemaFor(row.sqlLogBin), ...(await readRecycleSchemas(pool))]);
  for (const schema of schemas) if (!(await isCertainlyAbsent(pool, schema, name))) return false;
  return true;
}

/**
 * False: nothing is held; the object under the hold name was a view, and has its own name again.
 */
async function complete(pool: ServicePool, row: LedgerRow, held: HoldTable): Promise<boolean> {
  const { id } = row;
  if (held.state !== 'HOLD') {
    await follow(pool, row, held);
    return true;
  }
  const inLog = pool.logging(row.sqlLogBin);
  const isRelocated = isRecycleSchema(held.schema.toLowerCase());
  const place = { id, holdSchema: held.schema, holdName: held.name };
  if (isRelocated) {
    // A table of a TRUNCATE goes there with its foreign keys and triggers, in the RENAME itself.
    const there = { id, fromSchema: held.schema, holdName: held.name, table: row.table };
    const [pendingWork = null] = await detach(inLog, [there]);
    await recordOutcome(pool, {
      tables: [{ ...place, relocated: pendingWork === null, pendingWork }],
    });
    return true;
  }
  const [blocker = null] = await readLastingBlockers(pool, [place]);
  const isEmptied = howDropped(row) === 'TRUNCATE';
  const at = { fromSchema: held.schema, holdName: held.name, table: row.table };
  const from = { id, ...at, blocker, isEmptied };
  const holdMs = row.holdUntil.getTime() - row.droppedAt.getTime();
  const renewed = await renew(pool, [from], { holdOf: () => holdMs, lostMsMin: LOST_MS_MIN });
  const [relocation] = await detachAndRelocate(inLog, renewed);
  if (relocation?.outcome === 'put-back') return false;
  const table =
    relocation?.outcome === 'moved'
      ? { id, holdName: relocation.holdName, holdSchema: relocation.holdSchema, relocated: true }
      : { ...place, relocated: false, pendingWork: relocation?.pendingWork ?? NOT_TRIED };
  await recordOutcome(pool, { tables: [table] });
  return true;
}

// ── torn tables ──────────────────────────────────────────────────────────────────────────────────
// MariaDB, and MySQL before 8, rename partitions one by one; if the server is killed meanwhile,
// some have the hold name and the others their own, and nothing can open the table. Its rows are
// all there, so its intent is kept, with a note, until an operator has repaired it (docs/what-
// if.md). Changes the ledger only.

/**
 * For an intent whose owner is gone and whose table is not held. Rejects if the account may not
 * read that (PROCESS).
 */
export async function isTorn(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  const { id, schema, table, engine, droppedAt } = row;
  const server = await readServerFacts(pool);
  if (!renamesInPieces(server)) return false;
  const [[found = {}] = []] = await pool.run(
    sql`SELECT ${note('torn', id)} COALESCE(SUM(NAME LIKE ${`%/\\_vt\\_%\\_${id}\\_%`}), 0) AS moved,
          COALESCE(SUM(CAST(LEFT(NAME, LOCATE('#p#', NAME) - 1) AS BINARY) =
            CONCAT(${fileNameOf(schema)}, '/', ${fileNameOf(table)})), 0) AS own
        FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE '%#p#%'`,
  );
  if (col.number(found, 'moved') > 0) return true;
  // The file of the first may have moved alone (MySQL 5.6); files of other engines aren't listed
  // here.
  const mayBeMissed = col.number(found, 'own') > 0 || (engine !== null && engine !== 'InnoDB');
  return mayBeMissed && droppedAt <= server.startedAt && (await isBroken(pool, row));
}

/** Records it in its row, and logs it the first time. */
export async function keepTorn(pool: ServicePool, row: LedgerRow, log: Log): Promise<void> {
  const { id, schema, table, pendingWork } = row;
  if (pendingWork?.todo === 'torn' || pendingWork?.todo === 'restoring') return;
  log.warn({ event: 'torn', id, table: `${schema}.${table}`, failure: TORN.text }, SAID);
  await recordIntentAs(pool, row, { pendingWork: TORN });
}

const SAID =
  'a partitioned table is torn, because the server was killed during its RENAME; it has all its ' +
  'rows, and docs/runbook.md describes how to repair it';

/** A part of it is missing; the server lists it. */
const BROKEN = [...ER.CANT_BE_OPENED, ER.GET_ERRNO, ER.NO_SUCH_TABLE, ER.FAILED_READ_FROM_PAR_FILE];

/** The server has a table of that name, and can't open it. */
async function isBroken(pool: ServicePool, { id, schema, table }: LedgerRow): Promise<boolean> {
  if (await isMissing(pool, id, { schema, table })) return false;
  const shown = pool.run(sql`SHOW CREATE TABLE ${note('torn', id)} ${ident(schema, table)}`);
  const isUnreadable = shown.then(() => false);
  return unlessRefused(isUnreadable, true, ...BROKEN);
}

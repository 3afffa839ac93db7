/**
 * Gives the tables of a DROP DATABASE that did not come to its end their own names again, with
 * their keys and triggers, and makes the views, routines and events again that some servers drop
 * before the step that fails. May run twice, and at once with another proxy: what is back is back.
 *
 * Invariants: it runs only when no RENAME and no DROP of the group can happen any more. A table
 * whose name somebody has taken stays held and is never collected, because its DROP failed. If
 * several had one name (one was made while the DROP waited), the first gets it again. A row is
 * forgotten only when its table is live and whole, or was never renamed and nobody could rename it
 * yet.
 */

import { UndropError } from '../errors.js';
import { NOTHING_REATTACHED, problemsOf, reattachAll } from '../held/finish-restore.js';
import { renewHeld } from '../held/relocate/due-times.js';
import { retireBarrierTable } from '../held/relocate/retire-barrier-table.js';
import { renameBack } from '../held/rename-back.js';
import { withoutTriggers } from '../held/triggers/missing.js';
import { hasDetached } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import {
  endSchemaFailure,
  type SchemaDropKey,
  type SchemaDropRow,
} from '../ledger/schema-drops.js';
import { forgetIntents, recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { type HoldTable, mapHoldTables } from '../service/hold-tables.js';
import type { ServicePool } from '../service/pool/pools.js';
import { ident, note, sql, textOf } from '../service/sql.js';
import { liveOwners } from './live-owners.js';
import { hasNotHappened, resolve } from './resolve-intents.js';
import { restoreParts } from './restore-parts.js';
import { listParts } from './schema-parts.js';
import { isTorn, keepTorn } from './torn.js';

/** MySQL 8.0.16 and later: the name of a CHECK is unique in its schema. */
const TAKEN: ReadonlySet<string> = new Set(['UNDROP_NAME_TAKEN', 'UNDROP_CHECK_TAKEN']);

type SchemaToPutBack = SchemaDropKey &
  Pick<SchemaDropRow, 'schema' | 'sqlLogBin' | 'details' | 'threadId'>;

/**
 * False: something is to be tried again, and the schema's row stays for whoever does. Rejects with
 * the server's errors; then, too.
 */
export async function putSchemaBack(
  pool: ServicePool,
  drop: SchemaToPutBack,
  log: Log,
): Promise<boolean> {
  const { groupId, schema, threadId } = drop;
  await restoreCharset(pool, drop);
  const rows = await findRows(pool, { by: 'group', groupId });
  const intents = rows.filter(({ state }) => state === 'intent');
  // By a service connection, because the user's session renames nothing, and has given up. What is
  // looked for after this and isn't held never will be.
  const others = intents.filter((row) => row.threadId !== threadId);
  const mayBeRenamed = await liveOwners(pool, others);
  const held = await mapHoldTables(pool, [schema]);
  const back: LedgerRow[] = [];
  const stillHeld: LedgerRow[] = [];
  /** Names of tables that are to be tried again. */
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
  for (const row of back) if (!(await makeWhole(pool, row, log))) left.add(row.table);
  if (stillHeld.length > 0)
    await renewHeld(pool, new Map(stillHeld.map(({ id }) => [id, 'pinned'])));
  const resolved = await resolve(pool, stillHeld, { log });
  if (left.size + resolved.left.length > 0) return false;
  if (!(await retireBarrierTable(pool, drop))) return false;
  const parts = await putPartsBack(pool, drop, log);
  await endSchemaFailure(pool, drop, { isAllBack: parts && stillHeld.length === 0 });
  return true;
}

const STILL_HELD =
  'a table of a schema that was not dropped stays held: its name, or that of a CHECK, is taken';
const LEFT = 'a table of a schema that was not dropped could not be put back yet';

/** False: some of them could not be made; their definitions are in the schema's row. */
async function putPartsBack(
  pool: ServicePool,
  { id, schema, groupId, details, sqlLogBin: logged }: SchemaToPutBack,
  log: Log,
): Promise<boolean> {
  const there = details.parts.length === 0 ? [] : await listParts(pool, schema);
  const parts = details.parts.filter(({ kind, name }) => {
    return !there.some((part) => part.kind === kind.toUpperCase() && part.name === name);
  });
  if (parts.length === 0) return true;
  const made = await restoreParts(pool, schema, { id, parts, logged });
  const named = (some: typeof made) => some.map(({ kind, name }) => `${kind} ${name}`);
  const lost = made.filter(({ problem }) => problem !== null);
  log.info({ groupId, schema, parts: named(made) }, 'what a failed DROP DATABASE took is back');
  if (lost.length === 0) return true;
  const why = lost.map(({ problem }) => problem);
  log.warn({ groupId, schema, lost: named(lost), why }, LOST);
  return false;
}

const LOST =
  'a schema that was not dropped lost views or programs on the way: the ledger has their ' +
  'definitions, and UNDROP DATABASE makes them again once it may';

/**
 * MySQL before 8 and MariaDB lose it with the first files, before the DROP waits for a table; so
 * also if the DROP does nothing more (find_db_tables_and_rm_known_files).
 */
async function restoreCharset(
  pool: ServicePool,
  { groupId, schema, details, sqlLogBin: logged }: SchemaToPutBack,
): Promise<void> {
  const { charset, collation, comment } = details;
  // A server without comments has no such column.
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', groupId)} * FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  );
  const [row] = rows;
  if (row === undefined) return;
  const hasComment = !('SCHEMA_COMMENT' in row) || row['SCHEMA_COMMENT'] === (comment ?? '');
  if (textOf(row, 'DEFAULT_COLLATION_NAME') === collation && hasComment) return;
  const words = comment === null || comment === '' ? sql`` : sql` COMMENT ${comment}`;
  await pool.run(
    sql`ALTER ${note('put-back', groupId)} DATABASE ${ident(schema)}
        CHARACTER SET ${charset} COLLATE ${collation}${words}`,
    { logged },
  );
}

/**
 * `back`: it is live under its own name. `held`: it is held, because the name is another's by now,
 * or that of a CHECK, or its rows were being removed. `left`: to be tried again. `torn`: in pieces,
 * for people to bring together; its intent stays when the schema's row goes.
 */
async function renameToOrigin(
  pool: ServicePool,
  row: LedgerRow,
  held: HoldTable | undefined,
): Promise<'back' | 'held' | 'left' | 'torn'> {
  const { id, schema, table, sqlLogBin: logged } = row;
  if (held === undefined) {
    if (row.state !== 'intent') return 'held';
    if (await isTorn(pool, row)) return 'torn';
    return (await hasNotHappened(pool, row)) ? 'back' : 'left';
  }
  if (held.state !== 'HOLD') return 'held';
  try {
    const from = { holdSchema: held.schema, holdName: held.name };
    await renameBack(pool, { id, ...from, toSchema: schema, toTable: table, logged });
    return 'back';
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    return TAKEN.has(error.code) ? 'held' : 'left';
  }
}

/** False: something of it is to be tried again. */
async function makeWhole(pool: ServicePool, row: LedgerRow, log: Log): Promise<boolean> {
  const { id, schema, table, detached, sqlLogBin: logged, rowLogged, threadId } = row;
  const cameBack = hasDetached(detached)
    ? await reattachAll(pool, { id, logged }, { schema, table })
    : NOTHING_REATTACHED;
  const problems = problemsOf(id, cameBack);
  if (cameBack.isToCome) return false;
  if (problems.length === 0 && row.state === 'intent') {
    // Unless somebody has taken it over since.
    return (await forgetIntents(pool, [id], { sqlLogBin: rowLogged, ownedBy: threadId })) > 0;
  }
  const name = `${schema}.${table}`;
  const lacks = withoutTriggers(id, cameBack.triggers);
  const failure = lacks ?? { todo: null, text: problems.join('; ') };
  const why = problems.length === 0 ? {} : { failure };
  if (problems.length > 0) log.warn({ id, table: name, problems }, 'a table is back, not whole');
  // The row has what could not come back.
  await recordState(pool, { id, state: 'restored', restoredAs: name, rowLogged, ...why });
  return true;
}

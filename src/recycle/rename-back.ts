/**
 * Gives a held table a name of its own again: one atomic RENAME. A collection at the same time is a
 * RENAME as well: one succeeds, the other finds no table. It also finds out whether a held table
 * has a name of its own again, and which name an interrupted restore has given it.
 *
 * Invariant: if the server returns an error, the table has its previous name; if the connection
 * breaks, the result is unknown.
 */

import { isKilled, isServerError, refusalFor } from '../connections/errors.js';
import { idsWith, isHeldAnywhere, listRecycledHoldTables } from '../connections/hold-tables.js';
import { runWithTimeout } from '../connections/pool/statement-timeout.js';
import { col, ident, note, readServerFacts, type ServicePool, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import { readTable } from '../held/foreign-keys/add-keys.js';
import { definitionLines, FOREIGN_KEY_LINE, ownDefinition } from '../ledger/detached/detached.js';
import type { LedgerRow } from '../ledger/entry.js';
import { findDropsSince } from '../ledger/read.js';
import * as names from '../names/names.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';
import { ifDenied } from './plan-restore.js';

interface RenamedBack {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly to: names.QualifiedTable;
}

/**
 * Rejects with UNDROP_NAME_TAKEN, UNDROP_CHECK_TAKEN, UNDROP_TRIGGERS_STAY, UNDROP_STATISTICS_LEFT,
 * UNDROP_SCHEMA_MISSING, UNDROP_NOT_HELD (another proxy or session was faster),
 * UNDROP_NOT_RESTORABLE (its rows may be gone), UNDROP_BUSY (locked by others), or
 * UNDROP_SERVICE_FAILED.
 */
export async function renameBack(pool: ServicePool, what: RenamedBack): Promise<void> {
  const { id, holdSchema, holdName } = what;
  const held = names.parseHoldName(holdName);
  if (held?.id !== id) {
    throw new UndropError('UNDROP_NOT_HELD', { id, table: `${holdSchema}.${holdName}` });
  }
  if (held.state !== 'HOLD') {
    throw new UndropError('UNDROP_NOT_RESTORABLE', { id, state: held.state });
  }
  try {
    const [from, to] = [ident(holdSchema, holdName), ident(what.to.schema, what.to.table)];
    await runWithTimeout(pool, sql`RENAME ${note('put-back', id)} TABLE ${from} TO ${to}`);
  } catch (error) {
    // A KILL that hits the RENAME at its end returns 1317 although it is done.
    if (isKilled(error) && (await isRenamedBack(pool, what))) return;
    const moved = isServerError(error, ...ER.ABSENT_TO_RENAME) ? await findMoved(pool, what) : null;
    if (moved !== null) return renameBack(pool, { ...what, ...moved });
    throw await explain(pool, what, error);
  }
}

/**
 * The recycle schema into which the relocation after its drop has moved it since it was found;
 * null: none.
 */
async function findMoved(
  pool: ServicePool,
  { id, holdSchema }: RenamedBack,
): Promise<Pick<RenamedBack, 'holdSchema' | 'holdName'> | null> {
  // A table is relocated only once.
  if (names.isRecycleSchema(holdSchema)) return null;
  const [found] = await listRecycledHoldTables(pool, [idsWith(id)]);
  return found === undefined ? null : { holdSchema: found.schema, holdName: found.name };
}

/** `ER_DUP_KEY` names the table in which the key is. */
const STATISTICS = /innodb_(table|index)_stats/;

/**
 * Whether it, or another table or a view, has the name, and it is no longer held. A pending
 * relocation may move it meanwhile.
 */
export async function isRenamedBack(
  pool: ServicePool,
  { id, holdSchema, to }: Pick<RenamedBack, 'id' | 'holdSchema' | 'to'>,
): Promise<boolean> {
  if (await isHeldAnywhere(pool, [holdSchema], id)) return false;
  return (await readTable(pool, { ...to, id })) !== 'missing';
}

/** Rather an error that the user can act on. */
async function explain(pool: ServicePool, what: RenamedBack, error: unknown): Promise<unknown> {
  if (!isServerError(error)) return error;
  const { id, to } = what;
  const { schema } = to;
  const table = names.writtenName(to);
  const held = `${what.holdSchema}.${what.holdName}`;
  const refusal =
    explainRename(error, { id, schema, busy: held }) ??
    refusalFor(error, [
      [ER.TRG_IN_WRONG_SCHEMA, 'UNDROP_TRIGGERS_STAY', { id, held }],
      [ER.TABLE_EXISTS_ERROR, 'UNDROP_NAME_TAKEN', { id, table }],
      [ER.DUP_KEY, 'UNDROP_STATISTICS_LEFT', { id, table }, STATISTICS],
    ]);
  if (refusal !== null) return refusal;
  // A missing schema is 1049 on MySQL 8 and later, and 1025 or even 1146 elsewhere.
  if (!(await schemaExists(pool, schema))) {
    return new UndropError('UNDROP_SCHEMA_MISSING', { id, schema }, error);
  }
  return refusalFor(error, [
    [ER.ABSENT_TO_RENAME, 'UNDROP_NOT_HELD', { id, table: held }],
    [ER.BAD_NAME, 'UNDROP_BAD_TARGET', { target: table }],
    ifDenied(),
    [null, 'UNDROP_SERVICE_FAILED', { step: `restore held table ${id}`, server: 'the server' }],
  ]);
}

interface RenamedHeld {
  readonly id: string;
  readonly schema: string;
  /** The table that may be locked. */
  readonly busy: string;
  /** The table whose absence is the reason if one is absent. */
  readonly held?: string;
}

/** The usual errors of a RENAME of held table `id` into `schema`. Null: another error. */
export function explainRename(
  error: unknown,
  { id, schema, busy, held = '' }: RenamedHeld,
): UndropError | null {
  return refusalFor(error, [
    [[ER.QUERY_INTERRUPTED, ER.LOCK_WAIT_TIMEOUT], 'UNDROP_BUSY', { table: busy }],
    [ER.CHECK_CONSTRAINT_DUP_NAME, 'UNDROP_CHECK_TAKEN', { id, schema }],
    // These errors have other causes, too.
    [ER.READ_ONLY_SERVER, 'UNDROP_READ_ONLY', { id }, /read[-_ ]only/i],
    [held === '' ? [] : ER.ABSENT_TO_RENAME, 'UNDROP_NOT_HELD', { id, table: held }],
  ]);
}

/** True if it exists and is visible to the account. */
export async function schemaExists(pool: ServicePool, schema: string): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} COUNT(*) AS n FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  );
  return col.number(rows[0] ?? {}, 'n') > 0;
}

// ── whether it has its name ──────────────────────────────────────────────────────────────────────

/** Its restore was interrupted, or left triggers or foreign keys out. */
export function isUnfinished({ pendingWork }: Pick<LedgerRow, 'pendingWork'>): boolean {
  return ['restoring', 'triggers', 'keys'].includes(pendingWork?.todo ?? '');
}

/**
 * The name that an unfinished restore has given the table: one check finds a table of that name,
 * and none under its hold name. Null: there is no such restore, or it did not get that far.
 */
export async function findRenamed(
  pool: ServicePool,
  row: LedgerRow,
): Promise<names.QualifiedTable | null> {
  const { id, restoredAs } = row;
  if (!isUnfinished(row) || restoredAs === null) return null;
  const holdSchema = row.holdSchema ?? row.schema;
  for (const to of names.placesOf(restoredAs)) {
    if (await isRenamedBack(pool, { id, holdSchema, to })) return to;
  }
  return null;
}

/**
 * Like findRenamed, if the table still is the dropped one, not another with that name: only then
 * parts are added to it. `row`: with its texts.
 */
export async function findRestoring(
  pool: ServicePool,
  row: LedgerRow,
): Promise<names.QualifiedTable | null> {
  const at = await findRenamed(pool, row);
  if (at === null || !(await isRestored(pool, row, at))) return null;
  return (await findDropsSince(pool, row, at)).length > 0 ? null : at;
}

/**
 * Whether the table at that place is the one that was dropped, not a new one: it has the same
 * definition, and on MySQL 8 and later, where a RENAME keeps the creation time, it was created
 * before the drop. An ALTER TABLE of the restore script changes that time, so it isn't compared if
 * the script has one.
 */
export async function isRestored(
  pool: ServicePool,
  row: LedgerRow,
  at: names.QualifiedTable = row,
): Promise<boolean> {
  const own = ident(at.schema, at.table);
  try {
    const server = await readServerFacts(pool);
    const [shown = [], born = []] = await pool.run([
      sql`SHOW CREATE TABLE ${note('notice', row.id)} ${own}`,
      sql`SELECT CREATE_TIME AS bornAt FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = ${at.schema} AND TABLE_NAME = ${at.table}`,
    ]);
    const bornAt = col.dateOrNull(born[0] ?? { bornAt: null }, 'bornAt');
    const { keysOut, checks } = row.detached;
    const isKept = keysOut.length + checks.length === 0;
    const keepsBirth = isKept && isMysql8(server);
    if (keepsBirth && bornAt !== null && bornAt > row.droppedAt) return false;
    const definition = ownDefinition(col.text(shown[0] ?? {}, 'Create Table'), at.table, row.table);
    return row.definition === null || hasSameText(definition, row.definition, checks);
  } catch (error) {
    // No such table, or a view: in both cases not the dropped one.
    if (isServerError(error)) return false;
    throw error;
  }
}

/** Whether two rows may be of one table, but for its keys, CHECKs, triggers and rows. */
export function isSameDefinition(one: LedgerRow, other: LedgerRow): boolean {
  if (one.definition === null || other.definition === null) return false;
  const checks = [...one.detached.checks, ...other.detached.checks];
  return hasSameText(one.definition, other.definition, checks);
}

/**
 * A table that is restored by hand may lack its foreign keys, and these CHECKs; with keys the
 * server reorders their indexes, and names them after the keys. The names that MySQL gives to
 * CHECKs begin with that of the table, also while it is held.
 */
function hasSameText(one: string, other: string, checks: LedgerRow['detached']['checks']): boolean {
  const off = new Set(checks.map(({ clause }) => `  ${clause}`));
  return comparable(one, off) === comparable(other, off);
}

function comparable(definition: string, off: ReadonlySet<string>): string {
  return definitionLines(definition.replace(/ AUTO_INCREMENT=\d+/, ''))
    .filter((line) => !FOREIGN_KEY_LINE.test(line))
    .map((line) => line.replace(/,$/, ''))
    .filter((line) => !off.has(line))
    .map((line) =>
      line
        .replace(/^( {2}KEY )`(?:[^`]|``)*`/, '$1')
        .replace(/^( {2}CONSTRAINT `).*(_chk_\d+` CHECK )/s, '$1$2'),
    )
    .sort()
    .join('\n');
}

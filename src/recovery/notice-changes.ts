/**
 * What others did with held tables: a DBA renamed one back on a direct connection, or removed it;
 * or a proxy died between a RENAME and its ledger row. Changes the ledger only, never a table.
 *
 * Invariant: a row is changed only from the state in which it was read, and ended only after a
 * second look at that one table, which has to say that there is none.
 */
import type { LedgerRow, LedgerState } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { isForeignKeyLine, ownDefinition } from '../ledger/restore-script.js';
import { recordOutcome, recordState } from '../ledger/write.js';
import type { Log } from '../log.js';
import { isRecycleSchema } from '../names/recycle-schema.js';
import {
  findHoldTables,
  type HoldTable,
  mapHoldTables,
  readRecycleSchemas,
} from '../service/hold-tables.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { dateOrNullOf, textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { ident, note, sql } from '../service/sql.js';
import { isSurelyAbsent } from './absence.js';
import { isOfOneRow } from './of-one-row.js';

export interface NoticedChanges {
  readonly restoredByHand: readonly string[];
  readonly gone: readonly string[];
}

/** Vanished tables looked after in one go, a few statements each; the others wait for the next. */
const ENDED_MAX = 1_000;

export async function noticeChanges(
  pool: ServicePool,
  options: { readonly activeIds: ReadonlySet<string>; readonly log: Log },
): Promise<NoticedChanges> {
  const { activeIds, log } = options;
  // The rows before the names: a drop that ends meanwhile is then not yet among the rows.
  const rows = (await findRows(pool, { by: 'live' }, { texts: false })).filter(
    ({ id, state }) => state !== 'intent' && !activeIds.has(id),
  );
  const held = await findHeld(pool, rows);
  const restoredByHand: string[] = [];
  const gone: string[] = [];
  let ended = 0;
  for (const row of rows) {
    const there = held.get(row.id);
    if (there === undefined && ended++ >= ENDED_MAX) break;
    const { id, schema, table } = row;
    try {
      if (there !== undefined) await follow(pool, row, there);
      const state = there === undefined ? await lookAgain(pool, row) : null;
      if (state === null) continue;
      if (state === 'restored') restoredByHand.push(id);
      if (state === 'gone') gone.push(id);
      log.info({ id, table: `${schema}.${table}`, state }, 'a held table has gone');
    } catch (error) {
      if (!isOfOneRow(error)) throw error;
      log.warn({ id, table: `${schema}.${table}`, err: error }, 'a row could not be followed');
    }
  }
  return { restoredByHand, gone };
}

async function findHeld(
  pool: ServicePool,
  rows: readonly LedgerRow[],
): Promise<ReadonlyMap<string, HoldTable>> {
  if (rows.length === 0) return new Map();
  const elsewhere = new Set(
    rows
      .filter(({ holdSchema }) => holdSchema !== null && !isRecycleSchema(holdSchema))
      .map(({ holdSchema }) => holdSchema ?? ''),
  );
  return mapHoldTables(pool, elsewhere);
}

/** The name is the truth; the ledger follows it. */
async function follow(pool: ServicePool, row: LedgerRow, table: HoldTable): Promise<void> {
  const isSame =
    row.state === table.state && row.holdSchema === table.schema && row.holdName === table.name;
  if (isSame) return;
  const isHome = isRecycleSchema(table.schema);
  if (row.state === 'HOLD' && table.state === 'HOLD') {
    const place = { holdSchema: table.schema, holdName: table.name };
    const why = row.failure === null || isHome ? {} : { failure: row.failure };
    const outcome = { id: row.id, ...place, relocated: isHome || row.relocated, ...why };
    await recordOutcome(pool, { tables: [outcome], forgotten: [] });
    return;
  }
  await recordState(pool, {
    id: row.id,
    state: table.state,
    holdSchema: table.schema,
    holdName: table.name,
    ...(isHome ? { relocated: true, failure: null } : {}),
    rowLogged: row.rowLogged,
    onlyFrom: row.state,
  });
}

/** How a row has ended whose table wasn't found; null where it has not. */
async function lookAgain(pool: ServicePool, row: LedgerRow): Promise<LedgerState | null> {
  const [now] = await findRows(pool, { by: 'id', prefix: row.id });
  if (now === undefined || now.state !== row.state || now.holdName !== row.holdName) return null;
  const schemas = new Set([now.schema, now.holdSchema ?? now.schema]);
  const away = await findHoldTables(pool, [...schemas], row.id);
  const home = await findHoldTables(pool, await readRecycleSchemas(pool), row.id);
  if (away.length + home.length > 0 || !(await hasLeft(pool, now))) return null;
  const { id, schema, table, rowLogged } = now;
  const state = await endOf(pool, now);
  await recordState(pool, {
    id,
    state,
    ...(state === 'restored' ? { restoredAs: `${schema}.${table}` } : {}),
    rowLogged,
    onlyFrom: now.state,
  });
  return state;
}

async function hasLeft(pool: ServicePool, row: LedgerRow): Promise<boolean> {
  const { holdSchema, holdName } = row;
  return holdSchema === null || holdName === null || isSurelyAbsent(pool, holdSchema, holdName);
}

/** A table that was to be dropped next was removed by us, before the ledger could say so. */
async function endOf(pool: ServicePool, row: LedgerRow): Promise<LedgerState> {
  if (row.state === 'DROP') return 'removed';
  return (await isBack(pool, row)) ? 'restored' : 'gone';
}

/**
 * Whether the table at that place is the one that was dropped, not a new one: the same definition,
 * and on MySQL 8 and later, which keeps a table's birth through a RENAME, one from before the drop;
 * save where the restore script has an ALTER TABLE for its keys, which MySQL takes for a new birth.
 */
export async function isBack(
  pool: ServicePool,
  row: LedgerRow,
  at: { readonly schema: string; readonly table: string } = row,
): Promise<boolean> {
  const own = ident(at.schema, at.table);
  try {
    const server = await readServerFacts(pool);
    const [shown = [], born = []] = await pool.run([
      sql`SHOW CREATE TABLE ${note('notice', row.id)} ${own}`,
      sql`SELECT CREATE_TIME AS bornAt FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = ${at.schema} AND TABLE_NAME = ${at.table}`,
    ]);
    const bornAt = dateOrNullOf(born[0] ?? { bornAt: null }, 'bornAt');
    const isKept = row.detached.keysOut.length === 0;
    const keepsBirth = isKept && server.flavour === 'mysql' && server.versionId >= 80_000;
    if (keepsBirth && bornAt !== null && bornAt > row.droppedAt) return false;
    const definition = ownDefinition(textOf(shown[0] ?? {}, 'Create Table'), at.table, row.table);
    return row.definition === null || comparable(definition) === comparable(row.definition);
  } catch (error) {
    // No such table, or a view: either way, not the one that was dropped.
    if (isServerError(error)) return false;
    throw error;
  }
}

/**
 * By hand a table may come back without its foreign keys; with them the server orders their indexes
 * anew, and names them after the keys. The names that MySQL gives to CHECKs begin with that of the
 * table, also while it is held.
 */
function comparable(definition: string): string {
  return definition
    .replace(/ AUTO_INCREMENT=\d+/, '')
    .split('\n')
    .filter((line) => !isForeignKeyLine(line))
    .map((line) =>
      line
        .replace(/,$/, '')
        .replace(/^( {2}KEY )`(?:[^`]|``)*`/, '$1')
        .replace(/^( {2}CONSTRAINT `).*(_chk_\d+` CHECK )/, '$1$2'),
    )
    .sort()
    .join('\n');
}

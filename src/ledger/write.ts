/**
 * Writes to the ledger: outcomes, states, what is forgotten; intents/record-intent.ts writes the
 * intent before all of them.
 *
 * Invariant: a row is in the binary log with all its changes, or with none (`rowLogged`).
 */

import { unlessRefused } from '../connections/errors.js';
import type { Rows, ServerFacts, ServicePool, SQLQuery } from '../connections/sql.js';
import {
  col,
  ident,
  note,
  quoteIdentifier,
  readServerFacts,
  sql,
  valueList,
} from '../connections/sql.js';
import { utcText } from '../duration.js';
import type { QualifiedTable } from '../names/names.js';
import { inBatches, isPinned, isRecycleSchema, parseHoldName } from '../names/names.js';
import type { HoldTime } from '../policy/rules.js';
import * as parts from './detached/detached.js';
import type { DroppingStatement, LedgerRow, LedgerState, PendingWork, TableKind } from './entry.js';
import type { SessionLocks } from './intents/session-locks.js';
import { LEDGER, mayUnlog } from './tables.js';

export interface DropIntent extends DroppingStatement {
  /** The default hold of the tables, in milliseconds. */
  readonly holdMs: number;
  /** The name of the account, which differs from `user` for anonymous ones; default: `user`. */
  readonly accountName?: string;
  /** sql_log_bin of the user's session; default true. */
  readonly sqlLogBin?: boolean;
  /** Writes nothing: returns the facts for a drop at this moment. */
  readonly isDryRun?: boolean;
  readonly tables: readonly {
    readonly id: string;
    readonly schema: string;
    readonly table: string;
    /** Default: `holdMs` of the intent. */
    readonly hold?: HoldTime;
    /** Nobody ends the hold sooner; default, and null: operators may. */
    readonly lockMs?: number | null;
  }[];
}

/** A foreign key by the table that has it. */
export interface ForeignKeyName extends QualifiedTable {
  readonly name: string;
}

/** The name as stored, or as requested if it is missing. */
export interface IntentTable
  extends Pick<LedgerRow, 'id' | 'schema' | 'table' | 'engine' | 'rowEstimate' | 'byteEstimate'> {
  readonly kind: TableKind;
  /** The due time for ledger and hold name; null if there is no ledger row. */
  readonly holdUntil: Date | null;
  /** The number of keys to other tables; `foreignKeysIn` are keys of other tables, too. */
  readonly foreignKeysOut: number;
  /** The keys; on MySQL 8 and later in the order of creation. */
  readonly foreignKeysIn: readonly ForeignKeyName[];
  readonly foreignKeysToItself: readonly ForeignKeyName[];
  /** Why this version of the server may crash after a RENAME of the table; null: it doesn't. */
  readonly crash: string | null;
  readonly triggers: readonly string[];
}

/** Whether keys have to be detached before it is moved. */
export function hasForeignKeys(table: IntentTable): boolean {
  const { foreignKeysIn, foreignKeysOut, foreignKeysToItself } = table;
  return foreignKeysIn.length + foreignKeysOut + foreignKeysToItself.length > 0;
}

export interface IntentFacts extends SessionLocks {
  readonly utcNow: Date;
  /** HOST of the user's session as this server sees it; null if it has no such session. */
  readonly sessionHost: string | null;
  /** `SERVER_IDENTITY_SQL`, from the service connection. */
  readonly serverIdentity: string;
  readonly lowerCaseTableNames: 0 | 1 | 2;
  /** The tables in the requested order. */
  readonly tables: readonly IntentTable[];
}

/**
 * The facts that the text of an intent depends on: read once for each pool, and again if they were
 * wrong.
 */
const shapes = new WeakMap<ServicePool, ServerFacts>();

/** The facts of the server that don't change while it runs; they may be an hour old. */
export async function shapeOf(pool: ServicePool): Promise<ServerFacts> {
  const key = pool.logging(true);
  const shape = shapes.get(key) ?? (await readServerFacts(pool));
  shapes.set(key, shape);
  return shape;
}

/** They were wrong, or may have been. */
export function forgetShape(pool: ServicePool): void {
  shapes.delete(pool.logging(true));
}

/** The user's session, if another one may own the intents; null: it does. */
type Owner = Pick<LedgerRow, 'threadId' | 'upstreamPort'> | null;

interface DropOutcome {
  /** The statement that writes their events to the history; default null: nothing is written. */
  readonly history?: ((ids: readonly string[], rowLogged: boolean) => SQLQuery) | null;
  /** Default null. */
  readonly owner?: Owner;
  readonly tables: readonly {
    readonly id: string;
    readonly holdSchema: string;
    readonly holdName: string;
    readonly relocated: boolean;
    /** Why it wasn't relocated; default null. */
    readonly pendingWork?: PendingWork | null;
    /** An operator has changed its hold; default: as before. */
    readonly lengthened?: boolean;
  }[];
}

/**
 * The number of tables whose texts are read in one round trip, and whose rows are written in one.
 */
export const OUTCOMES_OF_PART = 40;
/** At most, because a definition goes twice into the row's statement. */
const DEFINITION_CHARACTERS_OF_PART = 100_000;

/**
 * After the response: state HOLD, the definition, the restore script. May run twice. A row of a
 * table that is already being restored stays unchanged, so that an interrupted restore is seen.
 * False: some of the history is still to be written.
 */
export async function recordOutcome(
  pool: ServicePool,
  { tables, owner = null, history = null }: DropOutcome,
): Promise<boolean> {
  let isKept = true;
  for (const part of inBatches(tables, OUTCOMES_OF_PART)) {
    isKept = (await recordOutcomes(pool, { tables: part, owner, history })) && isKept;
  }
  return isKept;
}

async function recordOutcomes(
  pool: ServicePool,
  { tables, owner, history }: Required<DropOutcome>,
): Promise<boolean> {
  const { rows, shown } = await readDefinitions(
    pool,
    tables,
    sql`SELECT ${note('outcome')} id, schema_name, table_name, dropped_at, sql_log_bin, row_logged,
        detached
      FROM ${LEDGER} WHERE id IN (${valueList(tables.map(({ id }) => id))})`,
  );
  const sizes = [...shown.values()].map(({ length }) => length);
  const isLong = sizes.reduce((sum, size) => sum + size, 0) > DEFINITION_CHARACTERS_OF_PART;
  let written = 0;
  for (const logged of [true, false]) {
    const updates = tables.flatMap((table) => {
      const row = rows.find((one) => col.text(one, 'id') === table.id);
      if (row === undefined || (col.number(row, 'row_logged') === 1) !== logged) return [];
      const printed = shown.get(table.id) ?? null;
      const own = col.text(row, 'table_name');
      const definition =
        printed === null ? null : parts.ownDefinition(printed, table.holdName, own);
      return [{ id: table.id, update: outcomeUpdate(table, row, { definition, owner }) }];
    });
    const run = (texts: readonly SQLQuery[]) => pool.logging(logged).run(texts);
    const together = (texts: readonly SQLQuery[]) =>
      run([sql`START TRANSACTION`, ...texts, sql`COMMIT`]);
    const all = updates.map(({ update }) => update);
    const ids = updates.map(({ id }) => id);
    // The table of the history may be missing.
    const withHistory =
      history !== null && !isLong && ids.length > 0
        ? await unlessRefused(together([...all, history(ids, logged)]), null)
        : null;
    if (withHistory !== null) written += ids.length;
    else if (all.length > 1 && !isLong) await together(all);
    else for (const update of all) await run([update]);
  }
  return history === null || written === tables.length;
}

/**
 * The answer to `first`, and by id the SHOW CREATE TABLE of each table: none if it has moved on, or
 * its files are broken, or it is a view. All in one text, if all of them are there.
 */
export async function readDefinitions(
  pool: ServicePool,
  tables: readonly {
    readonly id: string;
    readonly holdSchema: string;
    readonly holdName: string;
  }[],
  first: SQLQuery,
) {
  const shows = tables.map(({ id, holdSchema, holdName }) => {
    return sql`SHOW CREATE TABLE ${note('define', id)} ${ident(holdSchema, holdName)}`;
  });
  const all = await unlessRefused(pool.run([first, ...shows]), null);
  const [rows = []] = all ?? (await pool.run(first));
  const shown = new Map<string, string>();
  for (const [index, { id }] of tables.entries()) {
    const alone = async () => (await unlessRefused(pool.run(shows[index] ?? []), []))[0];
    const [row] = (all === null ? await alone() : all[index + 1]) ?? [];
    if (row?.['Create Table'] !== undefined) shown.set(id, col.text(row, 'Create Table'));
  }
  return { rows, shown };
}

const BOUND: PendingWork = { todo: 'detach', text: 'it still has foreign keys' };

/** The row of a held table that has moved on meanwhile stays unchanged. */
function outcomeUpdate(
  table: DropOutcome['tables'][number],
  row: Rows[number],
  { definition, owner }: { readonly definition: string | null; readonly owner: Owner },
): SQLQuery {
  const { id, holdSchema, holdName, lengthened = null } = table;
  // A foreign key that was created between the drop's check and its RENAME went into the recycle
  // schema with the table.
  const isBound = isRecycleSchema(holdSchema) && parts.FOREIGN_KEY_LINE.test(definition ?? '');
  const pendingWork = isBound ? BOUND : (table.pendingWork ?? null);
  const due = parseHoldName(holdName)?.due ?? null;
  const detached = col.textOrNull(row, 'detached');
  const script = restoreScript({
    id,
    holdSchema,
    holdName,
    schema: col.text(row, 'schema_name'),
    table: col.text(row, 'table_name'),
    droppedAt: col.date(row, 'dropped_at'),
    sqlLogBin: col.number(row, 'sql_log_bin') === 1,
    detached: detached === null ? null : withoutKept(parts.parseDetached(detached), definition),
  });
  const ownerIsBack =
    owner === null
      ? sql``
      : sql`thread_id = ${owner.threadId}, upstream_port = ${owner.upstreamPort},`;
  return sql`UPDATE ${note('outcome', id)} ${LEDGER}
    SET ${ownerIsBack} state_since = IF(state = 'intent', UTC_TIMESTAMP(), state_since), state = 'HOLD',
      hold_schema = ${holdSchema}, hold_name = ${holdName},
      relocated = ${table.relocated && !isBound},
      hold_until = COALESCE(${due}, hold_until), pinned = ${due !== null && isPinned(due)},
      lengthened = COALESCE(${lengthened}, lengthened),
      ${assignPendingWork(pendingWork, IS_BEGUN)},
      definition = IF(detached IS NULL, COALESCE(${definition}, definition),
        COALESCE(definition, ${definition})),
      restore_script = ${script}
    WHERE id = ${id} AND state IN ('HOLD', 'intent') AND NOT (${IS_BEGUN}
      AND (state = 'intent' OR restore_script IS NULL))`;
}

/** Its restore has begun. */
const IS_BEGUN = sql`todo <=> 'restoring'`;

/** Without CHECKs that should have been detached, but went with the table. */
function withoutKept(detached: parts.Detached, definition: string | null): parts.Detached {
  const kept = new Set(parts.checksIn(definition ?? '').map(({ name }) => name));
  return { ...detached, checks: detached.checks.filter(({ name }) => !kept.has(name)) };
}

/**
 * Deletes intents (and only intents), and returns their number. May run twice. With `ownedBy` only
 * those that the session still owns.
 */
export async function forgetIntents(
  pool: ServicePool,
  ids: readonly string[],
  ownedBy: number | null = null,
): Promise<number> {
  if (ids.length === 0) return 0;
  const isOwned = ownedBy === null ? sql`` : sql` AND thread_id = ${ownedBy}`;
  const isMeant = sql`id IN (${valueList(ids)})${isOwned}`;
  let forgotten = 0;
  for (const rowLogged of pool.isLogged || !(await mayUnlog(pool)) ? [true] : [false, true]) {
    // A statement that finds nothing may be written to the binary log, too.
    if (forgotten === ids.length) break;
    const [rows] = await pool.logging(rowLogged).run(
      sql`DELETE ${note('forget')} FROM ${LEDGER}
          WHERE state = 'intent' AND row_logged = ${rowLogged} AND ${isMeant}`,
    );
    forgotten += rows?.affectedRows ?? 0;
  }
  return forgotten;
}

interface StateChange {
  readonly id: string;
  readonly state: LedgerState;
  readonly holdSchema?: string;
  readonly holdName?: string;
  readonly relocated?: boolean;
  /** Null clears it. */
  readonly pendingWork?: PendingWork | null;
  /** `schema.table`, with state restored. */
  readonly restoredAs?: string;
  /** Whether the row is in the binary log. */
  readonly rowLogged: boolean;
  /** Changes nothing if the row has another state. */
  readonly onlyFrom?: LedgerState;
}

const ENDED: readonly LedgerState[] = ['restored', 'removed', 'gone'];

/** Records a transition of the lifecycle, a restore, an end. Does nothing if the id has no row. */
export function recordState(pool: ServicePool, change: StateChange): Promise<void> {
  return recordStates(pool, change, [change]);
}

/** The same change of several tables, each with its own hold name. */
export async function recordStates(
  pool: ServicePool,
  change: Omit<StateChange, 'id' | 'holdName'>,
  tables: readonly Pick<StateChange, 'id' | 'holdName'>[],
): Promise<void> {
  const { state, holdSchema, relocated, pendingWork, restoredAs, onlyFrom } = change;
  const named = tables.flatMap(({ id, holdName }) =>
    holdName === undefined ? [] : [sql`WHEN ${id} THEN ${holdName}`],
  );
  const sets = [
    sql`state_since = IF(state = ${state}, state_since, UTC_TIMESTAMP())`,
    sql`state = ${state}`,
    ...(holdSchema === undefined ? [] : [sql`hold_schema = ${holdSchema}`]),
    ...(named.length === 0 ? [] : [sql`hold_name = CASE id ${sql.join(named, sql` `)} END`]),
    ...(relocated === undefined ? [] : [sql`relocated = ${relocated}`]),
    ...(pendingWork === undefined ? [] : [assignPendingWork(pendingWork)]),
    ...(restoredAs === undefined ? [] : [sql`restored_as = ${restoredAs.slice(0, 255)}`]),
    ...(ENDED.includes(state) ? [sql`ended_at = COALESCE(ended_at, UTC_TIMESTAMP())`] : []),
  ];
  const from = onlyFrom === undefined ? sql`` : sql` AND state = ${onlyFrom}`;
  const ids = tables.map(({ id }) => id);
  await pool.logging(change.rowLogged).run(
    sql`UPDATE ${note('state', ids[0])} ${LEDGER} SET ${sql.join(sets, ', ')}
        WHERE id IN (${valueList(ids)})${from}`,
  );
}

/** A row of which `keeps` is true keeps its own. */
export function assignPendingWork(
  pendingWork: PendingWork | null,
  keeps: SQLQuery | null = null,
): SQLQuery {
  const text = sql`${pendingWork?.text.slice(0, 1_024) ?? null}`;
  const todo = sql`${pendingWork?.todo ?? null}`;
  if (keeps === null) return sql`todo = ${todo}, failure = ${text}`;
  return sql`failure = IF(${keeps}, failure, ${text}), todo = IF(${keeps}, todo, ${todo})`;
}

// ── the restore script ───────────────────────────────────────────────────────────────────────────
// The restore script in a ledger row: it restores the table by hand, with a plain client and
// without undrop. Pure. Names are in quotes only, never in a comment that they could end.

interface ScriptFacts
  extends Pick<LedgerRow, 'id' | 'schema' | 'table' | 'droppedAt' | 'sqlLogBin'> {
  readonly holdSchema: string;
  readonly holdName: string;
  /** The detached parts; null: none. */
  readonly detached: parts.Detached | null;
}

export function restoreScript(facts: ScriptFacts): string {
  const dropped = utcText(facts.droppedAt);
  const held = `${quoteIdentifier(facts.holdSchema)}.${quoteIdentifier(facts.holdName)}`;
  const own = `${quoteIdentifier(facts.schema)}.${quoteIdentifier(facts.table)}`;
  return [
    // No `--` comments, because a client that prints newlines as `\ ` would make all of it one
    // comment.
    `/* undrop ${facts.id}: dropped ${dropped} UTC. */`,
    '/* If the name is taken, move the table that has it out of the way first. */',
    ...(facts.sqlLogBin ? [] : ['SET SESSION sql_log_bin = 0;']),
    `RENAME TABLE ${held} TO ${own};`,
    ...(facts.detached === null ? [] : detachedLines(facts, own, facts.detached)),
    '',
  ].join('\n');
}

/** Each in a statement of its own: if one fails, the others still succeed. */
function detachedLines(
  table: Pick<ScriptFacts, 'id' | 'schema' | 'table'>,
  own: string,
  { checks, keysOut, triggers }: parts.Detached,
): readonly string[] {
  const keys = [
    'SET @undrop_checks = @@SESSION.foreign_key_checks, SESSION foreign_key_checks = 0;',
    ...keysOut.map((key) => `ALTER TABLE ${own} ADD ${parts.qualifiedKey(key, table.id)};`),
    'SET SESSION foreign_key_checks = @undrop_checks;',
  ];
  return [
    ...checks.map(({ clause }) => `ALTER TABLE ${own} ADD ${clause};`),
    ...(keysOut.length === 0 ? [] : keys),
    ...parts.triggerLines(table, triggers),
  ];
}

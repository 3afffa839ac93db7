/**
 * `listAll` lists all held tables: the names on the server, joined with the rows of the ledger. A
 * table without a ledger row is listed too, and so is a table that is still held in its own schema.
 *
 * Invariant: the names on the server determine which tables are held and in which state; the ledger
 * only adds details.
 */

import { unlessRefused } from '../connections/errors.js';
import * as holdTables from '../connections/hold-tables.js';
import { readNow, readServerFacts, type ServiceConnection } from '../connections/sql.js';
import { readSizes } from '../connections/true-sizes.js';
import { isCertainlyAbsent } from '../held/locate.js';
import { howDropped, type LedgerRow, LIVE_STATES } from '../ledger/entry.js';
import { findRowsIfAny } from '../ledger/read.js';
import * as names from '../names/names.js';
import type { HowDropped } from '../sql/destroying.js';

/** The known properties of a dropped table, in any state. */
export interface KnownTable {
  /** 32 hex digits. */
  readonly id: string;
  /** Its original name; null if the ledger has no row for it. */
  readonly origin: names.QualifiedTable | null;
  /** The time from the ledger, else from the id; null if neither has it. */
  readonly droppedAt: Date | null;
  /** Null: not known. */
  readonly how: HowDropped | null;
  readonly user: string | null;
  readonly clientAddress: string | null;
  /** The client's own word for itself. */
  readonly program: string | null;
  /** Nobody ends its hold before; null: operators may. */
  readonly lockedUntil: Date | null;
  /** The statement that dropped it. */
  readonly dropId: string | null;
  /** The beginning of its text; null: not known, or not for the asker. */
  readonly statement: string | null;
  /** 1 or more, by the server's statistics; null: not known. */
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
}

/** The fields of a table in an event. */
export function tableInEvent({ id, dropId, origin }: Pick<KnownTable, 'id' | 'dropId' | 'origin'>) {
  return { id, dropId, schema: origin?.schema ?? null, table: origin?.table ?? null };
}

export function restoredEvent(table: Parameters<typeof tableInEvent>[0], to: names.QualifiedTable) {
  return { event: 'restored', ...tableInEvent(table), restoredAs: names.writtenName(to) } as const;
}

/** A table that is no longer held. */
export interface EndedTable extends KnownTable {
  readonly state: 'restored' | 'removed' | 'gone';
  readonly endedAt: Date | null;
  /** `schema.table`, if it was restored. */
  readonly restoredAs: string | null;
}

/** A table that is held, from the ledger and the server to its printer. */
export interface DroppedTable extends KnownTable {
  readonly holdSchema: string;
  readonly holdName: string;
  /** Only the ledger has it: this account can't see a table there. */
  readonly unseen?: true;
  /**
   * Only the ledger has it: its partitions have two names, so it isn't a table until it is
   * repaired.
   */
  readonly torn?: true;
  readonly state: names.TableState;
  /** UTC, by the server's clock: the state does not end before. */
  readonly due: Date;
  /**
   * In PURGE: when its last rows are likely to be deleted; null: not known. Left out: it wasn't
   * asked for what is left.
   */
  readonly purgedBy?: Date | null;
  /** Whether changes to it are written to the binary log. */
  readonly logged: boolean;
  /** Whether its ledger row is in the binary log; null: no row. */
  readonly rowLogged: boolean | null;
}

/** Its original name, else the present one. */
export function originOf({ origin, holdSchema, holdName }: DroppedTable): names.QualifiedTable {
  return origin ?? { schema: holdSchema, table: holdName };
}

/** All of them, newest first. */
export async function listAll(connection: ServiceConnection): Promise<readonly DroppedTable[]> {
  const live = await findRowsIfAny(connection, { by: 'selection' }, { texts: false });
  return listRows(connection, live, null);
}

/** The held tables of a name, or with the first or last digits of an id; newest first. */
export async function listWanted(
  connection: ServiceConnection,
  filter: Extract<Parameters<typeof findRowsIfAny>[1], { readonly by: 'name' | 'digits' }>,
): Promise<readonly DroppedTable[]> {
  const rows = await findRowsIfAny(connection, filter, { texts: false });
  const live = rows.filter(({ state }) => LIVE_STATES.includes(state));
  // Tables without a row; those with the last digits are found among all.
  const begun = filter.by === 'digits' ? [holdTables.idsWith(filter.digits)] : [];
  return listRows(connection, live, [...holdTables.idsAmong(live.map(({ id }) => id)), ...begun]);
}

/** Above as many, one look at all names is quicker than a look at each. */
export const NAMED_MAX = 100;

/** The held tables of these rows, newest first. */
export async function listPage(
  connection: ServiceConnection,
  live: readonly LedgerRow[],
): Promise<readonly DroppedTable[]> {
  if (live.length > NAMED_MAX) return listRows(connection, live);
  const rows = new Map(live.map((row) => [row.id, row]));
  const places = live.flatMap((row) => placeOf(row) ?? []);
  const moved = places.filter(({ schema }) => !isElsewhere(schema));
  const named = await holdTables.findNamed(connection, moved);
  const seen = new Set(named.map(({ id }) => id));
  // They are in another state, in their own schema, or gone.
  const others = live.filter(({ id }) => !seen.has(id));
  const tables = named.map((table) => describeTable(table, rows.get(table.id)));
  return [...tables, ...(await listRows(connection, others))].sort(newestFirst);
}

/**
 * The held tables of these rows, newest first; and tables without a row whose id is `among` these
 * (null: all).
 */
async function listRows(
  connection: ServiceConnection,
  live: readonly LedgerRow[],
  among: readonly holdTables.IdRange[] | null = holdTables.idsAmong(live.map(({ id }) => id)),
): Promise<readonly DroppedTable[]> {
  if (among?.length === 0) return [];
  const rows = new Map(live.map((row) => [row.id, row]));
  const elsewhere = new Set(live.map(heldIn).filter(isElsewhere));
  const found = [...(await holdTables.mapHoldTables(connection, elsewhere, among)).values()];
  const isListed = (table: holdTables.HoldTable) =>
    isElsewhere(table.schema)
      ? heldIn(rows.get(table.id)) === table.schema
      : !names.isRetiredBarrier(table);
  const tables = found.filter(isListed).map((table) => describeTable(table, rows.get(table.id)));
  const seen = new Set(tables.map(({ id }) => id));
  const others = live.filter(({ id }) => !seen.has(id));
  const unseen = await findUnseen(connection, others);
  return [...tables, ...unseen, ...findTorn(others)].sort(newestFirst);
}

/**
 * The tables with the rows and bytes that are left of those in PURGE and EVAC, and with the end of
 * a PURGE, as far as the server knows them: statistics lag behind.
 */
export async function withWhatIsLeft<T extends DroppedTable>(
  connection: ServiceConnection,
  tables: readonly T[],
): Promise<readonly T[]> {
  const going = tables.filter(({ state }) => state === 'PURGE' || state === 'EVAC');
  if (going.length === 0) return tables;
  const server = await readServerFacts(connection);
  const places = going.map(({ id, holdSchema: schema, holdName: name }) => ({ id, schema, name }));
  const sizes = await readSizes(connection, server, places);
  const now = await readNow(connection);
  const isGoing = new Set<DroppedTable>(going);
  return tables.map((table) => {
    const { rows, bytes } = sizes.get(table.id) ?? { rows: null, bytes: null };
    if (!isGoing.has(table) || (rows === null && bytes === null)) return table;
    const left = { ...table, rowEstimate: rows, byteEstimate: bytes };
    return table.state === 'EVAC' ? left : { ...left, purgedBy: endOfPurge(table, rows, now) };
  });
}

/** At the pace since it began, which is the due time of a PURGE. */
function endOfPurge(
  { rowEstimate, due }: DroppedTable,
  left: number | null,
  now: Date,
): Date | null {
  const purged = rowEstimate === null || left === null ? 0 : rowEstimate - left;
  if (purged <= 0 || left === null) return null;
  return new Date(now.getTime() + (left / purged) * (now.getTime() - due.getTime()));
}

/** Where the ledger has it, or had it last; null: it has no hold name. */
function placeOf({ holdSchema: schema, holdName: name }: LedgerRow): holdTables.HoldTable | null {
  const held = name === null ? null : names.parseHoldName(name);
  return held === null || name === null || schema === null ? null : { ...held, schema, name };
}

/** A held table as the ledger has it; null: the ledger can't tell where it is, or whether. */
export function describeHeld(row: LedgerRow): DroppedTable | null {
  const held = placeOf(row);
  return row.relocated && row.state === held?.state ? describeTable(held, row) : null;
}

/** Null: it is, or may be, held. */
export function describeEnded(row: LedgerRow): EndedTable | null {
  const { id, state, endedAt, restoredAs } = row;
  const isEnded = state === 'restored' || state === 'removed' || state === 'gone';
  return isEnded ? { ...describeRow(id, row), state, endedAt, restoredAs } : null;
}

/** Tables held in their own schema, on which this account has no privilege. */
async function findUnseen(
  connection: ServiceConnection,
  rows: readonly LedgerRow[],
): Promise<readonly DroppedTable[]> {
  const found: DroppedTable[] = [];
  for (const row of rows) {
    const held = placeOf(row);
    if (held === null || !isElsewhere(held.schema)) continue;
    // Only a server that would show the table to this account can report it absent.
    const look = isCertainlyAbsent(connection, held.schema, held.name);
    if (await unlessRefused(look, false)) continue;
    found.push({ ...describeTable(held, row), unseen: true });
  }
  return found;
}

/** Tables that recovery has found torn. */
function findTorn(rows: readonly LedgerRow[]): readonly DroppedTable[] {
  const torn = rows.filter(({ pendingWork }) => pendingWork?.todo === 'torn');
  return torn.map((row) => {
    const held = { state: 'HOLD', id: row.id, due: row.holdUntil } as const;
    const at = { schema: row.schema, name: names.formatHoldName(held) };
    return { ...describeTable({ ...held, ...at }, row), torn: true };
  });
}

/** An intent whose RENAME has happened is held in its own schema. */
function heldIn(row: LedgerRow | undefined): string | null {
  return row === undefined ? null : (row.holdSchema ?? row.schema);
}

function isElsewhere(schema: string | null): schema is string {
  return schema !== null && !names.isRecycleSchema(schema);
}

export function describeTable(
  table: holdTables.HoldTable,
  row: LedgerRow | undefined,
): DroppedTable {
  return {
    ...describeRow(table.id, row),
    state: table.state,
    due: table.due,
    holdSchema: table.schema,
    holdName: table.name,
    logged: row?.sqlLogBin ?? !names.isLocalSchema(table.schema),
    rowLogged: row?.rowLogged ?? null,
  };
}

export function describeRow(id: string, row: LedgerRow | undefined): KnownTable {
  return {
    id,
    origin: row === undefined ? null : { schema: row.schema, table: row.table },
    // Only a UUIDv7 contains a time.
    droppedAt: row?.droppedAt ?? (id[12] === '7' ? new Date(names.idTimeMs(id)) : null),
    how: row === undefined ? null : howDropped(row),
    user: row?.user ?? null,
    clientAddress: row?.clientAddress ?? null,
    program: row?.program ?? null,
    lockedUntil: row?.lockedUntil ?? null,
    dropId: row?.dropId ?? null,
    statement: row === undefined || row.isStatementHidden ? null : row.statementText,
    // Statistics have 0 also for a table that was filled a moment ago.
    rowEstimate: row?.rowEstimate || null,
    byteEstimate: row?.byteEstimate ?? null,
  };
}

export function newestFirst(one: KnownTable, other: KnownTable): number {
  const sinceMs = (table: KnownTable) => table.droppedAt?.getTime() ?? 0;
  return sinceMs(other) - sinceMs(one) || (one.id < other.id ? 1 : -1);
}

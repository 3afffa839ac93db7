/**
 * Everything that is held: the names on the server, joined with what the ledger knows of them. A
 * table without a ledger row is listed too; so is one that is still held in its own schema.
 *
 * Invariant: the names are the truth of what is held and in which state; the ledger adds to it.
 */
import type { LedgerRow } from '../ledger/entry.js';
import { findRows } from '../ledger/read.js';
import { idTimeMs } from '../names/hold-id.js';
import type { TableState } from '../names/hold-name.js';
import { isLocalSchema, isRecycleSchema } from '../names/recycle-schema.js';
import { type HoldTable, listHoldTables, listHoldTablesAtHome } from '../service/hold-tables.js';
import { isServerError, type ServiceConnection } from '../service/pools.js';

/** A table's qualified name. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

export interface HeldTable {
  /** 32 hex digits. */
  readonly id: string;
  readonly state: TableState;
  /** UTC, by the server's clock: the state does not end before. */
  readonly due: Date;
  readonly holdSchema: string;
  readonly holdName: string;
  /** Where it came from; null where the ledger has no row of it. */
  readonly origin: TableName | null;
  /** From the ledger, else from the id; null where neither tells. */
  readonly droppedAt: Date | null;
  readonly user: string | null;
  readonly clientAddress: string | null;
  /** The statement it was part of. */
  readonly groupId: string | null;
  /** 1 or more, by the server's statistics; null: not known. */
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
  /** Whether steps on it are written to the binary log. */
  readonly logged: boolean;
  /** Whether its ledger row is in the binary log; null: no row. */
  readonly rowLogged: boolean | null;
}

/** The ledger, or its schema, isn't there. */
const NO_LEDGER = [1146, 1049, 1017] as const;

/** Newest first. */
export async function listHeld(connection: ServiceConnection): Promise<readonly HeldTable[]> {
  const rows = new Map((await liveRows(connection)).map((row) => [row.id, row]));
  const elsewhere = new Set([...rows.values()].map(heldIn).filter(isElsewhere));
  // In this order, as what is moved home meanwhile would be seen in neither otherwise.
  const away = await listHoldTables(connection, [...elsewhere]);
  const home = await listHoldTablesAtHome(connection);
  const atHome = new Set(home.map(({ id }) => id));
  const known = away.filter(({ id, schema }) => heldIn(rows.get(id)) === schema && !atHome.has(id));
  return [...home, ...known].map((table) => describe(table, rows.get(table.id))).sort(newestFirst);
}

async function liveRows(connection: ServiceConnection): Promise<readonly LedgerRow[]> {
  try {
    return await findRows(connection, { by: 'live' }, { texts: false });
  } catch (error) {
    if (isServerError(error, ...NO_LEDGER)) return [];
    throw error;
  }
}

/** An intent whose RENAME has happened is held in its own schema. */
function heldIn(row: LedgerRow | undefined): string | null {
  return row === undefined ? null : (row.holdSchema ?? row.schema);
}

function isElsewhere(schema: string | null): schema is string {
  return schema !== null && !isRecycleSchema(schema);
}

function describe(table: HoldTable, row: LedgerRow | undefined): HeldTable {
  return {
    id: table.id,
    state: table.state,
    due: table.due,
    holdSchema: table.schema,
    holdName: table.name,
    origin: row === undefined ? null : { schema: row.schema, table: row.table },
    droppedAt: row?.droppedAt ?? timeOf(table.id),
    user: row?.user ?? null,
    clientAddress: row?.clientAddress ?? null,
    groupId: row?.groupId ?? null,
    // Of a table that was filled a moment ago the server says 0: that it is empty nobody knows.
    rowEstimate: row?.rowEstimate || null,
    byteEstimate: row?.byteEstimate ?? null,
    logged: row?.sqlLogBin ?? !isLocalSchema(table.schema),
    rowLogged: row?.rowLogged ?? null,
  };
}

/** Only a UUIDv7 has a time in it. */
function timeOf(id: string): Date | null {
  return id.charAt(12) === '7' ? new Date(idTimeMs(id)) : null;
}

function newestFirst(one: HeldTable, other: HeldTable): number {
  const sinceMs = (table: HeldTable) => table.droppedAt?.getTime() ?? 0;
  return sinceMs(other) - sinceMs(one) || (one.id < other.id ? 1 : -1);
}

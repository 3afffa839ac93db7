/**
 * Reads a schema that is being dropped: its tables, and for the ledger its other properties,
 * because a DROP DATABASE that fails half way drops views and programs on some servers.
 *
 * Invariant: a table that isn't this drop's own barrier table is never left to the DROP.
 */
import { systemClock } from '../../clock.js';
import type { ServerFacts, ServiceConnection, ServicePool } from '../../connections/sql.js';
import { col, ident, note, processlistOf, serverIdentity, sql } from '../../connections/sql.js';
import { takeOut } from '../../held/relocate/pending.js';
import { type LedgerRow, LIVE_STATES } from '../../ledger/entry.js';
import { findByHoldNames } from '../../ledger/read.js';
import type { SchemaDetails, SchemaPart } from '../../ledger/schema-details.js';
import type { IntentFacts } from '../../ledger/write.js';
import { isSameName, parseBarrierTable, parseHoldName } from '../../names/names.js';
import { listParts, showPart } from '../../recycle/schema/schema-parts.js';

/** A row of information_schema.TABLES. */
export interface Listed {
  readonly name: string;
  readonly type: string;
}

export interface Found {
  /** Live tables and sequences, which have to be held. */
  readonly tables: readonly string[];
  /** Tables of an earlier drop, which are held in their own schema. */
  readonly held: readonly string[];
  /** Barrier tables of other drops of this schema. */
  readonly barriers: readonly string[];
  /** This drop's own barrier table exists. */
  readonly hasOwn: boolean;
}

/**
 * Everything but a view counts as a table. `heldIds`: those of the tables in the ledger; another
 * table with a hold name is a user's.
 */
export function sortListed(
  listed: readonly Listed[],
  dropId: string,
  heldIds: ReadonlySet<string>,
): Found {
  const bases = listed.filter(({ type }) => type !== 'VIEW').map(({ name }) => name);
  const isBarrier = (name: string) => parseBarrierTable(name) !== null;
  const isOwn = (name: string) => parseBarrierTable(name)?.dropId === dropId;
  const isHeld = (name: string) => heldIds.has(parseHoldName(name)?.id ?? '');
  return {
    tables: bases.filter((name) => !isBarrier(name) && !isHeld(name)),
    held: bases.filter(isHeld),
    barriers: bases.filter((name) => isBarrier(name) && !isOwn(name)),
    hasOwn: bases.some(isOwn),
  };
}

/** Whether the waiting DROP would destroy nothing but the barrier table. */
export function isEmptied({ tables, held, barriers, hasOwn }: Found): boolean {
  return hasOwn && tables.length + held.length + barriers.length === 0;
}

/**
 * The maximum of views and programs whose definition is kept, and of its bytes; beyond that only
 * names.
 */
const PARTS_MAX = 1_000;
const PARTS_BYTES_MAX = 4 * 1024 * 1024;
/** Their share of max_allowed_packet: they go twice into one, with each quote in them escaped. */
const PARTS_OF_PACKET = 1 / 6;

/** The name as stored; null: there is no such schema, or the service may not see it. */
export async function findSchema(
  connection: ServiceConnection,
  name: string,
): Promise<string | null> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${name} AND (@@lower_case_table_names <> 0
          OR CAST(SCHEMA_NAME AS BINARY) = CAST(${name} AS BINARY))`,
  );
  const [row] = rows;
  return row === undefined ? null : col.text(row, 'name');
}

/** The user's session as the server of the service sees it, and that server's identity. */
export async function findSession(
  connection: ServiceConnection,
  threadId: number,
  server: ServerFacts,
): Promise<Pick<IntentFacts, 'sessionHost' | 'serverIdentity'>> {
  const [[row = {}] = []] = await connection.run(
    sql`SELECT ${note('owner')} ${serverIdentity(server)} AS identity,
        (SELECT HOST FROM ${processlistOf(server)} WHERE ID = ${threadId}) AS host`,
  );
  return { sessionHost: col.textOrNull(row, 'host'), serverIdentity: col.text(row, 'identity') };
}

/** Every table in it; answers at once, also while a DROP has the schema locked. */
export async function findTables(
  connection: ServiceConnection,
  schema: string,
  dropId: string,
): Promise<Found> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('schema-look', dropId)} TABLE_NAME AS name, TABLE_TYPE AS type
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema}`,
  );
  const listed = rows.map((row) => ({
    name: col.text(row, 'name'),
    type: col.textOrNull(row, 'type') ?? '',
  }));
  return sortListed(listed, dropId, await readHeldIds(connection, schema, listed));
}

/** Vitess uses the same names, and copies and dumps contain them: the ledger decides. */
async function readHeldIds(
  connection: ServiceConnection,
  schema: string,
  listed: readonly Listed[],
): Promise<ReadonlySet<string>> {
  const names = listed.map(({ name }) => name);
  const rows = [...(await findByHoldNames(connection, names))];
  // A copy of a held table has its id as well, but in another schema than in the ledger.
  const isThere = ({ state, schema: from, holdSchema }: LedgerRow) =>
    LIVE_STATES.includes(state) && isSameName(holdSchema ?? from, schema);
  return new Set(rows.flatMap(([id, row]) => (isThere(row) ? [id] : [])));
}

/** A table of an earlier drop is in the schema, under its hold name, mostly for a moment only. */
const LOOKS_MAX = 20;
const CHECK_PAUSE_MS = 50;

/** The same, after tables of earlier drops were moved out, if possible. */
export async function findLiveTables(
  pool: ServicePool,
  connection: ServiceConnection,
  { schema, dropId }: { readonly schema: string; readonly dropId: string },
): Promise<Found> {
  for (let looks = 1; ; looks++) {
    const found = await findTables(connection, schema, dropId);
    if (found.held.length === 0) return found;
    await takeOut(pool, schema);
    if (looks === LOOKS_MAX) return found;
    await systemClock.sleep(CHECK_PAUSE_MS);
  }
}

/** Rejects with ER_BAD_DB_ERROR if it is gone. */
export async function readSchemaDetails(pool: ServicePool, schema: string): Promise<SchemaDetails> {
  const [shown = [], described = []] = await pool.run([
    sql`SHOW CREATE DATABASE ${note('look')} ${ident(schema)}`,
    sql`SELECT SCHEMATA.*, @@max_allowed_packet AS packet FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${schema}`,
  ]);
  const description = described[0] ?? {};
  const bytesMax = Math.min(col.number(description, 'packet') * PARTS_OF_PACKET, PARTS_BYTES_MAX);
  const parts: SchemaPart[] = [];
  let bytes = 0;
  for (const part of await listParts(pool, schema)) {
    const found = parts.length >= PARTS_MAX ? null : await showPart(pool, schema, part);
    const size = Buffer.byteLength(found?.statement ?? '');
    const isKept = bytes + size <= bytesMax;
    if (isKept) bytes += size;
    parts.push({ ...part, statement: null, ...(isKept ? found : null) });
  }
  return {
    charset: col.text(description, 'DEFAULT_CHARACTER_SET_NAME'),
    collation: col.text(description, 'DEFAULT_COLLATION_NAME'),
    comment: 'SCHEMA_COMMENT' in description ? col.textOrNull(description, 'SCHEMA_COMMENT') : null,
    statement: col.text(shown[0] ?? {}, 'Create Database'),
    parts,
  };
}

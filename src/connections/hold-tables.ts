/**
 * Lists the tables that have a hold name, by schema. Names only: no table is opened, and each
 * statement has one constant schema, because 5.6 and MariaDB read every folder otherwise.
 */

import * as names from '../names/names.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import type { ServerFacts, ServiceConnection, SQLQuery } from './sql.js';
import { col, note, readServerFacts, sql } from './sql.js';

export interface HoldTable extends names.HoldName {
  readonly schema: string;
  /** The name as the server stores it. */
  readonly name: string;
}

/** Names of 100,000 held tables are 6 MB. */
const LIST_DEADLINE_MS = 60_000;

/** Ids from the first to the last, both included. */
export interface IdRange {
  readonly first: string;
  readonly last: string;
}

/** More ranges would take longer than reading everything between them. */
const RANGES_MAX = 20;
const ID_DIGITS = 32;

/** The tables that are due later. */
export interface Later {
  readonly count: number;
  /** The first due time among the unpinned; null: none. */
  readonly nextDue: Date | null;
}

/** The ids that begin with these hex digits. */
export function idsWith(prefix: string): IdRange {
  return { first: prefix.padEnd(ID_DIGITS, '0'), last: prefix.padEnd(ID_DIGITS, 'f') };
}

/** Ranges for the tables of these ids; other tables may lie between them. */
export function idsAmong(ids: readonly string[]): readonly IdRange[] {
  const [first = '', ...others] = [...ids].sort();
  if (ids.length <= RANGES_MAX) return ids.map(idsWith);
  return [{ first, last: others.at(-1) ?? first }];
}

/**
 * All held tables in `schemas`, in that order, then by name; a missing schema has none. `among`:
 * only tables with an id in one of these ranges.
 */
export async function listHoldTables(
  connection: ServiceConnection,
  schemas: readonly string[],
  among: readonly IdRange[] | null = null,
): Promise<readonly HoldTable[]> {
  if (among?.length === 0) return [];
  const isMeant = among === null ? sql`TRUE` : isAmong(among);
  if (schemas.length === 0) return [];
  const answers = await connection.run(
    schemas.map(
      (schema) => sql`SELECT ${note('list')} TABLE_SCHEMA AS schemaName, TABLE_NAME AS name
        FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE '\\_vt\\_%' AND ${isMeant}`,
    ),
    { deadlineMs: LIST_DEADLINE_MS },
  );
  return answers.flatMap((rows) =>
    rows
      .flatMap((row) => asHoldTable(col.text(row, 'schemaName'), col.text(row, 'name')))
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
  );
}

/**
 * The same, but tables in HOLD that are due after `dueBy` are only counted: many tables may be
 * held, but few are due.
 */
export async function listDueTables(
  connection: ServiceConnection,
  schemas: readonly string[],
  dueBy: Date,
): Promise<{ readonly tables: readonly HoldTable[]; readonly later: Later }> {
  if (schemas.length === 0) return { tables: [], later: { count: 0, nextDue: null } };
  const isLater = sql`TABLE_NAME REGEXP '^_vt_(HOLD|hold)_[0-9a-f]{32}_[0-9]{14}$'
    AND SUBSTRING_INDEX(TABLE_NAME, '_', -1) > ${names.dueDigits(dueBy)}`;
  const answers = await connection.run(
    schemas.map(
      (schema) => sql`SELECT ${note('list')} IF(${isLater}, '', TABLE_NAME) AS name,
          COUNT(*) AS found, MIN(NULLIF(SUBSTRING_INDEX(TABLE_NAME, '_', -1),
            ${names.dueDigits(names.PINNED_UNTIL)})) AS nextDue
        FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE '\\_vt\\_%' GROUP BY 1`,
    ),
    { deadlineMs: LIST_DEADLINE_MS },
  );
  const tables: HoldTable[] = [];
  let [count, nextDue]: [number, Date | null] = [0, null];
  for (const [index, schema] of schemas.entries()) {
    for (const row of answers[index] ?? []) {
      const name = col.text(row, 'name');
      tables.push(...asHoldTable(schema, name));
      if (name !== '') continue;
      count += col.number(row, 'found');
      const first = names.parseDueDigits(col.textOrNull(row, 'nextDue') ?? '');
      if (first !== null && (nextDue === null || first < nextDue)) nextDue = first;
    }
  }
  return { tables, later: { count, nextDue } };
}

/**
 * The schemas of undrop that exist and are visible to this account. If a table may be moving into
 * one of them, read the schema it comes from first, because the target may have been created for
 * it.
 */
export async function readRecycleSchemas(
  connection: ServiceConnection,
): Promise<readonly string[]> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('list')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME LIKE '\\_undrop%'`,
  );
  return rows.map((row) => col.text(row, 'name')).filter(names.isRecycleSchema);
}

/** All held tables in the schemas of undrop; `among` as for `listHoldTables`. */
export async function listRecycledHoldTables(
  connection: ServiceConnection,
  among: readonly IdRange[] | null = null,
): Promise<readonly HoldTable[]> {
  return listHoldTables(connection, await readRecycleSchemas(connection), among);
}

/**
 * The held tables in `schemas`, then in the schemas of undrop: in this order a table that is moved
 * meanwhile is seen in one place or the other. By id; a table that was seen in both is in the
 * schema of undrop. `among` as for `listHoldTables`.
 */
export async function mapHoldTables(
  connection: ServiceConnection,
  schemas: Iterable<string>,
  among: readonly IdRange[] | null = null,
): Promise<ReadonlyMap<string, HoldTable>> {
  const inTheirs = await listHoldTables(connection, [...schemas], among);
  const inOurs = await listRecycledHoldTables(connection, among);
  return new Map([...inTheirs, ...inOurs].map((table) => [table.id, table]));
}

/** The tables among these that are there. */
export async function findNamed(
  connection: ServiceConnection,
  places: readonly Place[],
): Promise<readonly HoldTable[]> {
  if (places.length === 0) return [];
  const columns = sql`TABLE_SCHEMA AS schemaName`;
  const server = await readServerFacts(connection);
  const answers = await connection.run(lookUps(places, { columns, server }));
  return answers
    .flat()
    .flatMap((row) => asHoldTable(col.text(row, 'schemaName'), col.text(row, 'name')));
}

type Place = Pick<HoldTable, 'schema' | 'name'>;

/**
 * A text for `columns` and `name` of the tables among these that are there. Each is looked up by
 * its name, which costs the same among any number of held tables; many look-ups take longer than
 * one at all names. With a data dictionary they are one join, in a tenth of the time of a
 * statement for each.
 */
export function lookUps(
  places: readonly Place[],
  { columns, server }: { readonly columns: SQLQuery; readonly server: ServerFacts },
): readonly SQLQuery[] {
  const named = sql`SELECT ${note('list')} ${columns}, TABLE_NAME AS name`;
  const ours = places.map(
    ({ schema, name }) => sql`SELECT ${schema} AS inSchema, ${name} AS named`,
  );
  const joined = sql`${named} FROM (${sql.join(ours, sql` UNION ALL `)}) AS ours
    STRAIGHT_JOIN information_schema.TABLES ON TABLE_SCHEMA = inSchema AND TABLE_NAME = named`;
  const each = places.map(
    ({ schema, name }) => sql`${named} FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`,
  );
  return isMysql8(server) ? [joined] : each;
}

/** None if it isn't the name of a held table. */
function asHoldTable(schema: string, name: string): readonly HoldTable[] {
  const parsed = names.parseHoldName(name);
  return parsed === null ? [] : [{ ...parsed, schema, name }];
}

/** Whether the table is held in one of those schemas, or has been moved into a recycle schema. */
export async function isHeldAnywhere(
  connection: ServiceConnection,
  schemas: readonly string[],
  id: string,
): Promise<boolean> {
  // In this order: a table that is relocated meanwhile would be seen in neither schema otherwise.
  if ((await listHoldTables(connection, schemas, [idsWith(id)])).length > 0) return true;
  return (await listRecycledHoldTables(connection, [idsWith(id)])).length > 0;
}

/** The id is the fourth word, whatever the case and the length of the state before it. */
function isAmong(ranges: readonly IdRange[]): SQLQuery {
  const id = sql`LOWER(SUBSTRING_INDEX(SUBSTRING_INDEX(TABLE_NAME, '_', 4), '_', -1))`;
  const conditions = ranges.map(({ first, last }) => sql`${id} BETWEEN ${first} AND ${last}`);
  return sql`(${sql.join(conditions, sql` OR `)})`;
}

/**
 * The texts that run while the client waits: they record the intent and read everything that the
 * plan of the drop needs. Pure: intent and server in, statements out; results in, facts out.
 *
 * Invariant: every query on information_schema has schema and tables as constants; 5.6 and MariaDB
 * would open every table of the server otherwise. A statement that writes reads no table, because a
 * replica with statement-based replication would read its own, with other estimates.
 */

import type { Row, Rows, ServerFacts, SQLQuery } from '../../connections/sql.js';
import { col, ident, note, serverIdentity, sql, valueList } from '../../connections/sql.js';
import { OWN_BYTES, OWN_ROWS } from '../../connections/true-sizes.js';
import { assert } from '../../errors.js';
import { foldName, inGroups, PINNED_UNTIL, type QualifiedTable } from '../../names/names.js';
import type { HoldTime } from '../../policy/rules.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import { claimCells, STATEMENT_CHARACTERS_MAX, type TableKind } from '../entry.js';
import { hostOfSession, KNOWN_VERSION, LEDGER, PORT_OF_HOST } from '../tables.js';
import type { DropIntent, ForeignKeyName, IntentFacts, IntentTable } from '../write.js';
import { NO_LOCKS, readLocks, sessionLocksSql } from './session-locks.js';

/** The facts of the server that the text depends on; it reads all others itself. */
export type ServerShape = Pick<
  ServerFacts,
  'flavour' | 'versionId' | 'version' | 'lowerCaseTableNames' | 'performanceSchema'
>;

interface TextOptions {
  readonly rowLogged: boolean;
  /** The same intent may be recorded already. */
  readonly again: boolean;
  /** The rows of `findTogether`; null: the text looks for each table. */
  readonly together: Rows | null;
}

/** Ends with a row for each table. */
export function recordText(
  intent: DropIntent,
  server: ServerShape,
  options: TextOptions,
): readonly SQLQuery[] {
  const { together } = options;
  const isDryRun = intent.isDryRun === true;
  const note0 = note(isDryRun ? 'inspect' : 'intent', intent.tables[0]?.id);
  const statementText = intent.statementText.slice(0, STATEMENT_CHARACTERS_MAX);
  const { program, details } = claimCells(intent.claims);
  const found = together === null ? inVariables : inRows(intent, server, together);
  // A search that finds nothing leaves them as they were.
  const searched = together === null ? intent.tables : [];
  const unknownKinds = searched.map((_, index) => sql`, ${inVariables('kind', index)} = NULL`);
  return [
    sql`SET ${KNOWN_VERSION}, @undrop_text = ${statementText}, @undrop_program = ${program},
        @undrop_client = ${details},
        ${hostOfSession(server, intent.threadId)},
        @undrop_proxy = ${proxyAt(intent.proxyId, server)} ${sql.join(unknownKinds, '')}`,
    ...searched.map(findTable),
    ...(isDryRun ? [] : [insertion({ intent, found, comment: note0 }, options)]),
    sql.join(
      intent.tables.map(
        (table, index) => sql`SELECT ${note0} UTC_TIMESTAMP() AS utcNow, @@version AS version,
          @undrop_host AS host, ${serverIdentity(server)} AS identity,
          ${table.id} AS id, ${found('schema', index)} AS schemaName,
          ${found('table', index)} AS tableName, ${found('kind', index)} AS kind,
          ${found('engine', index)} AS engine, ${found('rows', index)} AS rowEstimate,
          ${found('bytes', index)} AS byteEstimate,
          ${isDryRun ? wouldHold({ hold: table.hold ?? intent.holdMs }, found('kind', index)) : recordedHold(table.id)}
            AS holdUntil`,
      ),
      UNION,
    ),
  ];
}

/** The rest that the plan of the drop depends on; runs at the same time, on another connection. */
export function looksText(
  { tables, threadId, isDryRun = false }: DropIntent,
  server: ServerShape,
): readonly SQLQuery[] {
  const showsLocks = isMysql8(server) && server.performanceSchema;
  const step = note(isDryRun ? 'inspect' : 'plan', tables[0]?.id);
  const triggers = (areOn: SQLQuery) => sql`SELECT ${step} TRIGGER_NAME AS name,
      EVENT_OBJECT_SCHEMA AS childSchema, EVENT_OBJECT_TABLE AS child
    FROM information_schema.TRIGGERS WHERE ${areOn}`;
  const columns = [sql`EVENT_OBJECT_SCHEMA`, sql`EVENT_OBJECT_TABLE`] as const;
  return [
    foreignKeysOf(tables, server),
    sql.join(namedTogether(tables, columns).map(triggers), UNION),
    ...(showsLocks ? [sessionLocksSql(threadId)] : []),
  ];
}

/**
 * From so many on, tables are searched by schema: 5.6 and MariaDB read the directory of the schema
 * for that, and a single name needs none.
 */
export const TOGETHER_MIN = 10;

/** A condition for each schema; for each table if they are few. */
function namedTogether(
  tables: readonly QualifiedTable[],
  [schemaColumn, tableColumn]: readonly [SQLQuery, SQLQuery],
): readonly SQLQuery[] {
  const isFew = tables.length < TOGETHER_MIN;
  const groups = isFew ? tables.map((one) => [one]) : inGroups(tables, ({ schema }) => schema);
  return groups.map((group) => {
    const names = valueList(group.map(({ table }) => table));
    const inList = group.length === 1 ? sql`= ${group[0]?.table}` : sql`IN (${names})`;
    return sql`${schemaColumn} = ${group[0]?.schema} AND ${tableColumn} ${inList}`;
  });
}

const UNION = sql` UNION ALL `;

function recordedHold(id: string): SQLQuery {
  return sql`(SELECT hold_until FROM ${LEDGER} WHERE state = 'intent' AND id = ${id})`;
}

function wouldHold({ hold }: { readonly hold: HoldTime }, kind: SQLQuery): SQLQuery {
  return sql`IF(${kind} <> 'view', CAST(${holdUntil(hold)} AS DATETIME), NULL)`;
}

export function holdUntil(hold: HoldTime): SQLQuery {
  return hold === 'pinned'
    ? sql`${PINNED_UNTIL}`
    : sql`UTC_TIMESTAMP() + INTERVAL ${Math.ceil(hold / 1000)} SECOND`;
}

/** The facts of a table; if its name doesn't exist, all of them are NULL. */
type Cell = 'schema' | 'table' | 'kind' | 'engine' | 'rows' | 'bytes' | 'created';
type Found = (cell: Cell, index: number) => SQLQuery;

/** In the variables that the search for each table fills. */
const inVariables: Found = (cell, index) => sql`@${ident(`undrop_${cell}_${index}`)}`;

/** In the rows of one search for all of them. */
function inRows({ tables }: DropIntent, server: ServerShape, rows: Rows): Found {
  const own = tables.map((table) =>
    rows.find(({ schema, table: name }) => {
      return isSame(table, { schema: String(schema), table: String(name) }, server);
    }),
  );
  return (cell, index) => sql`${own[index]?.[cell] ?? null}`;
}

/** All that isn't a base table (VIEW, SYSTEM VIEW, and kinds of later servers) counts as a view. */
const CELLS: Readonly<Record<Cell, SQLQuery>> = {
  schema: sql`TABLE_SCHEMA`,
  table: sql`TABLE_NAME`,
  kind: sql`CASE TABLE_TYPE WHEN 'SEQUENCE' THEN 'sequence' WHEN 'BASE TABLE' THEN 'base'
    WHEN 'SYSTEM VERSIONED' THEN 'base' ELSE 'view' END`,
  engine: sql`ENGINE`,
  rows: OWN_ROWS,
  bytes: OWN_BYTES,
  created: sql`CREATE_TIME`,
};
const cells = Object.entries(CELLS) as readonly [Cell, SQLQuery][];
const COLUMNS = sql.join(Object.values(CELLS), ', ');
const NAMED_COLUMNS = sql.join(
  cells.map(([cell, column]) => sql`${column} AS ${ident(cell)}`),
  ', ',
);

function findTable({ schema, table }: QualifiedTable, index: number): SQLQuery {
  const variables = cells.map(([cell]) => inVariables(cell, index));
  return sql`SELECT ${COLUMNS} INTO ${sql.join(variables, ', ')}
    FROM information_schema.TABLES WHERE ${named(schema, table)}`;
}

/** All tables, for `together`. */
export function findTogether(tables: DropIntent['tables']): SQLQuery {
  const columns = [sql`TABLE_SCHEMA`, sql`TABLE_NAME`] as const;
  const searches = namedTogether(tables, columns).map(
    (areNamed) => sql`SELECT ${note('plan', tables[0]?.id)} ${NAMED_COLUMNS}
      FROM information_schema.TABLES WHERE ${areNamed}`,
  );
  return sql.join(searches, UNION);
}

/** A single INSERT, so one transaction. A missing table costs no row, and no sync of the log. */
function insertion(
  { intent, found, comment }: { intent: DropIntent; found: Found; comment: SQLQuery },
  options: TextOptions,
): SQLQuery {
  const { dropId, threadId, user, accountName = user, clientAddress } = intent;
  const sqlLogBin = intent.sqlLogBin !== false;
  const rows = intent.tables.map(({ id, hold = intent.holdMs, lockMs = null }, index) => {
    // It also says 0 rows of a table that was filled a moment ago.
    const rowEstimate = sql`NULLIF(${found('rows', index)}, 0)`;
    return sql`SELECT ${id}, ${dropId}, @undrop_proxy, ${threadId},
        ${PORT_OF_HOST}, ${found('schema', index)}, ${found('table', index)}, ${found('kind', index)},
        ${found('engine', index)}, UTC_TIMESTAMP(), ${user}, ${clientAddress}, @undrop_text,
        ${rowEstimate}, ${found('bytes', index)}, ${holdUntil(hold)}, 'intent', UTC_TIMESTAMP(),
        ${sqlLogBin}, ${options.rowLogged}, ${found('created', index)}, ${accountName},
        @undrop_program, @undrop_client, ${lockMs === null ? null : holdUntil(lockMs)}
      FROM DUAL WHERE ${found('kind', index)} <> 'view'`;
  });
  const verb = options.again ? sql`INSERT IGNORE` : sql`INSERT`;
  return sql`${verb} ${comment} INTO ${LEDGER} (id, group_id, proxy_id, thread_id, upstream_port,
      schema_name, table_name, kind, engine, dropped_at, user_name, client_address,
      statement_text, row_estimate, byte_estimate, hold_until, state, state_since, sql_log_bin,
      row_logged, created_at, account_name, program, client_details, locked_until)
    ${sql.join(rows, UNION)}`;
}

/**
 * For a row's `proxy_id`: the proxy, and the server on which it wrote the row; by the server's own
 * variables, because a pool may lead to another server behind the same name now.
 */
export function proxyAt(proxyId: string, server: ServerVersion): SQLQuery {
  return sql`CONCAT(${proxyId}, ${AT}, CRC32(${serverIdentity(server)}))`;
}

/** Separates the proxy and its server in `proxy_id`. */
export const AT = '@';

/** Under lower_case_table_names=0 two names that differ in case are two tables. */
export function named(schema: string, table: string): SQLQuery {
  return sql`TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${table}
    AND (@@lower_case_table_names <> 0 OR CAST(TABLE_NAME AS BINARY) = CAST(${table} AS BINARY))`;
}

/** Reads the answers to both texts; null if the server is another one now. */
export function readIntentFacts(
  intent: DropIntent,
  server: ServerShape,
  { record, looks }: { readonly record: readonly Rows[]; readonly looks: readonly Rows[] },
): IntentFacts | null {
  const seen = record.at(-1) ?? [];
  const [keys = [], triggers = [], lockRows] = looks;
  const [facts] = seen;
  assert(facts !== undefined, 'a SELECT without FROM has a row');
  if (col.text(facts, 'version') !== server.version) return null;
  const tables = intent.tables.map((wanted) =>
    readTable(wanted, server, {
      row: seen.find((row) => col.text(row, 'id') === wanted.id) ?? facts,
      keys,
      triggers,
    }),
  );
  return {
    utcNow: col.date(facts, 'utcNow'),
    sessionHost: col.textOrNull(facts, 'host'),
    serverIdentity: col.text(facts, 'identity'),
    lowerCaseTableNames: server.lowerCaseTableNames,
    ...(lockRows === undefined ? NO_LOCKS : readLocks(lockRows)),
    tables,
  };
}

function readTable(
  wanted: DropIntent['tables'][number],
  server: ServerShape,
  look: {
    readonly row: Row;
    readonly keys: readonly Row[];
    readonly triggers: readonly Row[];
  },
): IntentTable {
  const { row } = look;
  const kind = col.textOrNull(row, 'kind');
  const schema = kind === null ? wanted.schema : col.text(row, 'schemaName');
  const table = kind === null ? wanted.table : col.text(row, 'tableName');
  const name = { schema, table };
  const out = look.keys.filter((key) => isSame(name, endOfKey(key, 'child'), server));
  const into = look.keys.filter((key) => isSame(name, endOfKey(key, 'parent'), server));
  return {
    id: wanted.id,
    schema,
    table,
    kind: KINDS.find((one) => one === kind) ?? 'missing',
    engine: kind === null ? null : col.textOrNull(row, 'engine'),
    rowEstimate: kind === null ? null : col.numberOrNull(row, 'rowEstimate'),
    byteEstimate: kind === null ? null : col.numberOrNull(row, 'byteEstimate'),
    holdUntil: col.dateOrNull(row, 'holdUntil'),
    foreignKeysOut: out.filter((key) => !into.includes(key)).length,
    foreignKeysIn: into.filter((key) => !out.includes(key)).map(readKeyName),
    foreignKeysToItself: into.filter((key) => out.includes(key)).map(readKeyName),
    crash: whyCrash(name, out, server),
    triggers: look.triggers
      .filter((trigger) => isSame(name, endOfKey(trigger, 'child'), server))
      .map((trigger) => col.text(trigger, 'name')),
  };
}

/** MariaDB 10.11.18 and MySQL 5.6.24 bear 32 and crash at 40. */
const BYTES_GROWN_MAX = 24;
const MARIADB_11 = 110_000;

/**
 * MySQL before 8 and MariaDB 10 write beyond the end of a buffer when they rename a table whose
 * name is much longer as a file name, and which has a key that begins with that name: then the
 * server ends, mostly at the next SHOW CREATE TABLE. Seen on these versions, without undrop.
 */
function whyCrash({ schema, table }: QualifiedTable, out: readonly Row[], server: ServerShape) {
  if (isMysql8(server) || server.versionId >= MARIADB_11) return null;
  const grown = fileNameLengthMax(table) - Buffer.byteLength(table);
  if (grown <= BYTES_GROWN_MAX) return null;
  const names = out.map((row) => col.text(row, 'name'));
  const key = names.find((name) => name.startsWith(`${table}_ibfk_`));
  if (key === undefined) return null;
  return `this version of the server may crash when ${schema}.${table} is renamed, because of the name of the foreign key ${key}; add the key under another name`;
}

const KINDS: readonly TableKind[] = ['base', 'sequence', 'view'];

function isSame(
  one: QualifiedTable,
  other: QualifiedTable,
  { lowerCaseTableNames }: ServerShape,
): boolean {
  const fold = (name: string) => (lowerCaseTableNames === 0 ? name : foldName(name));
  return fold(one.schema) === fold(other.schema) && fold(one.table) === fold(other.table);
}

/** An end of a key in a row of `foreignKeysOf`; a trigger has but a child. */
export function endOfKey(row: Row, end: 'child' | 'parent'): QualifiedTable {
  return { schema: col.text(row, `${end}Schema`), table: col.text(row, end) };
}

function readKeyName(row: Row): ForeignKeyName {
  return { ...endOfKey(row, 'child'), name: col.text(row, 'name') };
}

// ── foreign keys ─────────────────────────────────────────────────────────────────────────────────
// Queries the foreign keys from and to tables, by the view that is fast: INNODB_SYS_FOREIGN takes
// 1–3 ms on 5.6 and MariaDB, and the standard view takes hundreds; on MySQL 8 and later it is the
// other way round. The former has its names as files are named; the servers that have it also have
// that encoding as a character set. Pure.

/** The facts of the server that the query depends on. */
export type KeyedServer = ServerVersion;

/**
 * Columns childSchema, child, name, parentSchema, parent. On MySQL 8 and later those into one table
 * come in the order of creation, in which the server names them.
 */
export function foreignKeysOf(tables: readonly QualifiedTable[], server: KeyedServer): SQLQuery {
  if (isMysql8(server)) {
    const parents = [sql`UNIQUE_CONSTRAINT_SCHEMA`, sql`REFERENCED_TABLE_NAME`] as const;
    const children = [sql`CONSTRAINT_SCHEMA`, sql`TABLE_NAME`] as const;
    return standardForeignKeys([parents, children].flatMap((end) => namedTogether(tables, end)));
  }
  const files = sql.join(tables.map(fileOf), ', ');
  return innodbForeignKeys(
    sql`CAST(FOR_NAME AS BINARY) IN (${files}) OR CAST(REF_NAME AS BINARY) IN (${files})`,
    tables,
  );
}

/** The same for all tables in a schema of undrop. */
export function foreignKeysIn(schema: string, server: KeyedServer): SQLQuery {
  if (isMysql8(server)) {
    const columns = [sql`UNIQUE_CONSTRAINT_SCHEMA`, sql`CONSTRAINT_SCHEMA`];
    return standardForeignKeys(columns.map((column) => sql`${column} = ${schema}`));
  }
  const files = `${schema.replaceAll('_', '\\_')}/%`;
  return innodbForeignKeys(sql`FOR_NAME LIKE ${files} OR REF_NAME LIKE ${files}`, []);
}

function innodbForeignKeys(condition: SQLQuery, tables: readonly QualifiedTable[]): SQLQuery {
  const [child, parent] = [sql`FOR_NAME`, sql`REF_NAME`];
  return sql`SELECT ${part(child, 'schema', tables)} AS childSchema,
      ${part(child, 'table', tables)} AS child, SUBSTRING(ID, LOCATE('/', ID) + 1) AS name,
      ${part(parent, 'schema', tables)} AS parentSchema, ${part(parent, 'table', tables)} AS parent
    FROM information_schema.INNODB_SYS_FOREIGN WHERE ${condition}`;
}

/** The view cuts longer names. */
const FILE_CHARACTERS_MAX = 193;

/** In a file name each character but letters, digits and `_` takes up to five. */
function fileNameLengthMax(name: string): number {
  return name.replaceAll(/\W/g, '@0000').length;
}

function fileOf(name: QualifiedTable): SQLQuery {
  const file = sql`CONCAT(${fileNameOf(name.schema)}, '/', ${fileNameOf(name.table)})`;
  return mayBeCut(name) ? sql`LEFT(${file}, ${FILE_CHARACTERS_MAX})` : file;
}

function mayBeCut({ schema, table }: QualifiedTable): boolean {
  return fileNameLengthMax(`${schema}/${table}`) > FILE_CHARACTERS_MAX;
}

/** Like file names of MariaDB and of MySQL before 8; folded as the server folds names. */
export function fileNameOf(name: string): SQLQuery {
  const known = sql`CONVERT(${name} USING utf8)`;
  return sql`CAST(CONVERT(IF(@@lower_case_table_names = 0, ${known},
    LOWER(${known} COLLATE utf8_general_ci)) USING filename) AS BINARY)`;
}

function standardForeignKeys(conditions: readonly SQLQuery[]): SQLQuery {
  const keys = sql`SELECT CONSTRAINT_SCHEMA AS childSchema, TABLE_NAME AS child,
      CONSTRAINT_NAME AS name, UNIQUE_CONSTRAINT_SCHEMA AS parentSchema,
      REFERENCED_TABLE_NAME AS parent
    FROM information_schema.REFERENTIAL_CONSTRAINTS`;
  const parts = conditions.map((condition) => sql`${keys} WHERE ${condition}`);
  return sql.join(parts, sql` UNION `);
}

/**
 * A part of an InnoDB name. A name that was cut can't be decoded, so it is compared with those of
 * `tables`.
 */
function part(
  column: SQLQuery,
  which: keyof QualifiedTable,
  tables: readonly QualifiedTable[],
): SQLQuery {
  const index = which === 'schema' ? 1 : -1;
  const read = sql`CONVERT(CONVERT(CAST(SUBSTRING_INDEX(${column}, '/', ${index}) AS BINARY)
    USING filename) USING utf8mb4)`;
  const cut = tables.filter(mayBeCut);
  if (cut.length === 0) return read;
  const cases = cut.map((name) => sql`WHEN ${fileOf(name)} THEN ${name[which]}`);
  return sql`CASE CAST(${column} AS BINARY) ${sql.join(cases, sql` `)} ELSE ${read} END`;
}

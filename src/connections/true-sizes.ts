/**
 * Reads the sizes of held tables from the most accurate source: InnoDB's files, and InnoDB's own
 * statistics. information_schema.TABLES uses these statistics too, but may lag many rows behind; it
 * serves for tables without files or statistics of their own.
 *
 * Invariant: never reports 0 rows, because statistics also have 0 for a table that was filled a
 * moment ago; an unknown value is null.
 */
import { inBatches } from '../names/names.js';
import { isMysql8, type ServerVersion } from '../wire/connection/handshake-v10.js';
import { unlessRefused } from './errors.js';
import type { HoldTable } from './hold-tables.js';
import type { ServiceConnection, SQLQuery } from './sql.js';
import { col, note, sql, valueList } from './sql.js';

export interface Size {
  readonly rows: number | null;
  /** MySQL 5.6 doesn't report file sizes: there it is from the statistics. */
  readonly bytes: number | null;
}

/** MySQL 9.7 has 4294967295 in each column for a table that is renamed at that moment. */
export const BYTES = sql`NULLIF(DATA_LENGTH, 4294967295) + INDEX_LENGTH`;
export const OWN_ROWS = sql`NULLIF(TABLE_ROWS, 4294967295)`;

/**
 * For a row of information_schema.TABLES. Tables of these engines report the size of other tables.
 */
export const OWN_BYTES = sql`IF(UPPER(ENGINE) IN ('MRG_MYISAM', 'FEDERATED', 'CONNECT', 'SPIDER',
  'SPHINX', 'SEQUENCE', 'BLACKHOLE', 'S3'), 0, ${BYTES})`;

const DEADLINE_MS = 60_000;
const TABLES_OF_STATEMENT = 200;
const UNKNOWN: Size = { rows: null, bytes: null };

/**
 * By id. Two statements for any number of tables, and one more for each 200 without a result. A
 * hold name is unique, so it is looked for in all schemas.
 */
export async function readSizes(
  connection: ServiceConnection,
  server: ServerVersion,
  tables: readonly Pick<HoldTable, 'id' | 'schema' | 'name'>[],
): Promise<ReadonlyMap<string, Size>> {
  if (tables.length === 0) return new Map();
  const names = tables.length > TABLES_OF_STATEMENT ? null : tables.map(({ name }) => name);
  const files = await readByName(connection, filesOf(server, names));
  const statistics = await readByName(connection, statisticsOf(names));
  const sizes = new Map<string, Size>();
  const others: (typeof tables)[number][] = [];
  for (const table of tables) {
    const name = table.name.toLowerCase();
    const [file, known] = [files.get(name), statistics.get(name)];
    const bytes = file?.bytes ?? known?.bytes ?? null;
    sizes.set(table.id, { rows: known?.rows ?? null, bytes });
    if (known === undefined || bytes === null) others.push(table);
  }
  for (const batch of inBatches(others, TABLES_OF_STATEMENT)) {
    const found = await readByName(connection, sql.join(batch.map(described), sql` UNION ALL `));
    for (const { id, name } of batch) {
      const [size = UNKNOWN, other = UNKNOWN] = [sizes.get(id), found.get(name.toLowerCase())];
      sizes.set(id, { rows: size.rows ?? other.rows, bytes: size.bytes ?? other.bytes });
    }
  }
  return sizes;
}

/** Empty if this account may not read them. */
async function readByName(
  connection: ServiceConnection,
  query: SQLQuery | null,
): Promise<ReadonlyMap<string, Size>> {
  if (query === null) return new Map();
  const asked = connection.run(query, { deadlineMs: DEADLINE_MS });
  const [rows = []] = await unlessRefused(asked, []);
  return new Map(
    rows.map((row) => {
      const [count, bytes] = [col.numberOrNull(row, 'rowCount'), col.numberOrNull(row, 'bytes')];
      return [col.text(row, 'name'), { rows: count || null, bytes }];
    }),
  );
}

/**
 * Partitions are `name#p#…`, in files and in statistics. `names`: the tables; null: all held ones.
 */
function filesOf(server: ServerVersion, names: readonly string[] | null): SQLQuery | null {
  if (server.flavour === 'mysql' && server.versionId < 50_700) return null;
  const view = isMysql8(server)
    ? sql`information_schema.INNODB_TABLESPACES`
    : sql`information_schema.INNODB_SYS_TABLESPACES`;
  const name = sql`LOWER(SUBSTRING_INDEX(SUBSTRING_INDEX(NAME, '/', -1), '#', 1))`;
  return sql`SELECT ${note('size')} ${name} AS name, NULL AS rowCount, SUM(FILE_SIZE) AS bytes
    FROM ${view} WHERE NAME LIKE '%/\\_vt\\_%' AND ${isOneOf(name, names)} GROUP BY 1`;
}

function statisticsOf(names: readonly string[] | null): SQLQuery {
  const name = sql`LOWER(SUBSTRING_INDEX(table_name, '#', 1))`;
  return sql`SELECT ${note('size')} ${name} AS name, SUM(n_rows) AS rowCount,
      SUM(clustered_index_size + sum_of_other_index_sizes) * @@innodb_page_size AS bytes
    FROM mysql.innodb_table_stats
    WHERE table_name LIKE '\\_vt\\_%' AND ${isOneOf(name, names)} GROUP BY 1`;
}

function isOneOf(name: SQLQuery, names: readonly string[] | null): SQLQuery {
  if (names === null) return sql`TRUE`;
  return sql`${name} IN (${valueList(names.map((one) => one.toLowerCase()))})`;
}

function described({ schema, name }: Pick<HoldTable, 'schema' | 'name'>): SQLQuery {
  return sql`SELECT LOWER(TABLE_NAME) AS name, ${OWN_ROWS} AS rowCount,
      ${OWN_BYTES} AS bytes
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${name}`;
}

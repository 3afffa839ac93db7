/**
 * Asks which foreign keys refer from and to tables, by the view that is fast: INNODB_SYS_FOREIGN
 * takes 1–3 ms on 5.6 and MariaDB, and the standard view takes hundreds; on MySQL 8 and later it
 * is the other way round. The former has its names as files are named; the servers that have it
 * also have that encoding as a character set. Pure.
 */
import type { ServerFacts } from '../../service/server-facts.js';
import { type SQLQuery, sql } from '../../service/sql.js';

interface Name {
  readonly schema: string;
  readonly table: string;
}

/** What of the server the question depends on. */
export type KeyedServer = Pick<ServerFacts, 'flavour' | 'versionId' | 'lowerCaseTableNames'>;

/**
 * Columns childSchema, child, name, parentSchema, parent. On MySQL 8 and later those into one table
 * come in the order in which they were made, in which the server names them.
 */
export function foreignKeysOf(tables: readonly Name[], server: KeyedServer): SQLQuery {
  if (server.flavour === 'mysql' && server.versionId >= 80_000) {
    return sql.join(
      tables.flatMap(({ schema, table }) => [
        standardForeignKeys(
          sql`UNIQUE_CONSTRAINT_SCHEMA = ${schema} AND REFERENCED_TABLE_NAME = ${table}`,
        ),
        standardForeignKeys(sql`CONSTRAINT_SCHEMA = ${schema} AND TABLE_NAME = ${table}`),
      ]),
      sql` UNION `,
    );
  }
  // By the letters by which the server itself folds names.
  const asFolded =
    server.lowerCaseTableNames === 0
      ? (name: string) => sql`${name}`
      : (name: string) => sql`LOWER(CONVERT(${name} USING utf8) COLLATE utf8_general_ci)`;
  const files = sql.join(
    tables.map(
      ({ schema, table }) =>
        sql`CONCAT(CAST(CONVERT(${asFolded(schema)} USING filename) AS BINARY), '/',
          CAST(CONVERT(${asFolded(table)} USING filename) AS BINARY))`,
    ),
    ', ',
  );
  return sql`SELECT ${CHILD_SCHEMA} AS childSchema, ${CHILD} AS child,
      SUBSTRING(ID, LOCATE('/', ID) + 1) AS name,
      ${PARENT_SCHEMA} AS parentSchema, ${PARENT} AS parent
    FROM information_schema.INNODB_SYS_FOREIGN
    WHERE CAST(FOR_NAME AS BINARY) IN (${files}) OR CAST(REF_NAME AS BINARY) IN (${files})`;
}

function standardForeignKeys(condition: SQLQuery): SQLQuery {
  return sql`SELECT CONSTRAINT_SCHEMA AS childSchema, TABLE_NAME AS child, CONSTRAINT_NAME AS name,
      UNIQUE_CONSTRAINT_SCHEMA AS parentSchema, REFERENCED_TABLE_NAME AS parent
    FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE ${condition}`;
}

/** Schema (1) or table (-1) of an InnoDB name. */
function part(column: SQLQuery, index: 1 | -1): SQLQuery {
  return sql`CONVERT(CONVERT(CAST(SUBSTRING_INDEX(${column}, '/', ${index}) AS BINARY)
    USING filename) USING utf8mb4)`;
}

const CHILD_SCHEMA = part(sql`FOR_NAME`, 1);
const CHILD = part(sql`FOR_NAME`, -1);
const PARENT_SCHEMA = part(sql`REF_NAME`, 1);
const PARENT = part(sql`REF_NAME`, -1);

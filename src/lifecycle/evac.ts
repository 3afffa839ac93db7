/**
 * Asks the server which held tables still have pages in its buffer pool, so that an EVAC can end
 * before its time. Only MySQL 8.0 and later tells.
 */
import type { ServiceConnection } from '../service/pool/pools.js';
import { numberOf, textOf } from '../service/row.js';
import { note, sql } from '../service/sql.js';
import type { RemovalFacts } from './removal-way.js';

/** Cached pages by `schema/name` in lower case; a table that isn't in it is not known. */
export type CachedPages = ReadonlyMap<string, number>;

/**
 * One query for all held tables, as the server goes through all its tables for one as well. In
 * partitioned tables the partitions are added up. One page of each index does not count: MySQL 9.7
 * goes on counting the root of an index that was ever split, long after it has left the pool.
 */
export async function readCachedPages(
  connection: ServiceConnection,
  server: RemovalFacts,
): Promise<CachedPages> {
  if (server.flavour !== 'mysql' || server.versionId < 80000) return new Map();
  const [rows] = await connection.run(
    sql`${note('evac')} SELECT LOWER(SUBSTRING_INDEX(t.NAME, '#', 1)) AS name,
      COALESCE(SUM(GREATEST(c.N_CACHED_PAGES, 1) - 1), 0) AS pages
      FROM information_schema.INNODB_TABLES t
      JOIN information_schema.INNODB_INDEXES i ON i.TABLE_ID = t.TABLE_ID
      LEFT JOIN information_schema.INNODB_CACHED_INDEXES c ON c.INDEX_ID = i.INDEX_ID
      WHERE t.NAME LIKE '%/\\_vt\\_%' GROUP BY 1`,
  );
  return new Map((rows ?? []).map((row) => [textOf(row, 'name'), numberOf(row, 'pages')]));
}

/** The key of `readCachedPages`; `null`: the server does not tell of this table. */
export function cachedPagesOf(
  pages: CachedPages,
  { schema, name }: { readonly schema: string; readonly name: string },
): number | null {
  return pages.get(`${schema}/${name}`.toLowerCase()) ?? null;
}

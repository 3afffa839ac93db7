/**
 * Adds tables to the ledger that Vitess left in users' schemas under its own hold names
 * (UNDROP_ADOPT=vitess): from then on they are listed, collected and restored as tables that undrop
 * holds. https://vitess.io/docs/reference/vreplication/table-lifecycle/
 *
 * Invariant: only a base table whose name matches the strict pattern, and whose id the ledger has
 * never had. A row is written, and nothing else: recovery moves the table as any other.
 */
import { findByHoldNames } from '../ledger/read.js';
import { LEDGER } from '../ledger/tables.js';
import { type HoldName, isUserSchema, parseHoldName } from '../names/names.js';
import type { ServicePool } from '../service/pool/pools.js';
import { note, sql, textOf } from '../service/sql.js';

interface Found extends HoldName {
  readonly schema: string;
  readonly name: string;
}

/** Reads the name of every table of the server. */
const READ_DEADLINE_MS = 60_000;

/** Ids of the tables that the ledger has now. May run twice, and in two proxies at once. */
export async function adoptTables(pool: ServicePool, proxyId: string): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('adopt')} TABLE_SCHEMA AS schemaName, TABLE_NAME AS name
        FROM information_schema.TABLES
        WHERE TABLE_NAME LIKE '\\_vt\\_%' AND TABLE_TYPE = 'BASE TABLE'`,
    { deadlineMs: READ_DEADLINE_MS },
  );
  const found = rows.flatMap((row): readonly Found[] => {
    const [schema, name] = [textOf(row, 'schemaName'), textOf(row, 'name')];
    const parsed = isUserSchema(schema) ? parseHoldName(name) : null;
    return parsed === null ? [] : [{ ...parsed, schema, name }];
  });
  const known = await findByHoldNames(
    pool,
    found.map(({ name }) => name),
  );
  const unknown = found.filter(({ id }) => !known.has(id));
  for (const table of unknown) await adopt(pool, table, proxyId);
  return unknown.map(({ id }) => id);
}

/** Its own name is lost, so the ledger gets the present one. */
async function adopt(pool: ServicePool, table: Found, proxyId: string): Promise<void> {
  const { id, state, due, schema, name } = table;
  await pool.run(
    sql`INSERT ${note('adopt', id)} IGNORE INTO ${LEDGER} (id, group_id, proxy_id, thread_id,
          schema_name, table_name, kind, dropped_at, user_name, client_address, statement_text,
          hold_until, state, state_since, hold_schema, hold_name)
        VALUES (${id}, ${id}, ${proxyId}, 0, ${schema}, ${name}, 'base', UTC_TIMESTAMP(), 'vitess', '',
          '', ${due}, ${state}, UTC_TIMESTAMP(), ${schema}, ${name})`,
  );
}

/**
 * Moves the barrier table of a DROP DATABASE (statements/drop-database/barrier.ts) out of the
 * schema, once no DROP can be waiting for it: into a schema of undrop, where the collector removes
 * it. May run twice.
 *
 * Invariant: ends statements of the group's own barrier only, and renames its own table only.
 */
import { ensureLedger } from '../../ledger/tables.js';
import {
  formatHoldName,
  parseBarrierTable,
  RETIRED_BARRIER_DUE,
  recycleSchemaFor,
} from '../../names/names.js';
import { isServerError } from '../../service/errors.js';
import type { ServiceConnection, ServicePool } from '../../service/pool/pools.js';
import { isKilled, runWithTimeout } from '../../service/pool/statement-timeout.js';
import { readServerFacts } from '../../service/server-facts.js';
import { ident, note, numberOf, processlistOf, sql, textOf } from '../../service/sql.js';
import {
  ABSENT_TO_RENAME,
  ER_BAD_DB_ERROR,
  ER_ERROR_ON_RENAME,
  ER_KILL_DENIED_ERROR,
} from '../../wire/server-errors.js';

/** Another proxy was faster; or the schema, or the target schema, is gone. */
const NOT_RENAMED = [
  ...ABSENT_TO_RENAME,
  ER_BAD_DB_ERROR,
  // MariaDB and MySQL before 8 return it if the target schema is missing.
  ER_ERROR_ON_RENAME,
];

interface BarredSchema {
  readonly schema: string;
  readonly groupId: string;
}

/** False: a session has it locked, or is about to create it; try again. */
export async function retireBarrierTable(
  pool: ServicePool,
  { schema, groupId }: BarredSchema,
): Promise<boolean> {
  // The statement of a killed proxy may still wait, though not for long; the barrier table comes
  // after it.
  if ((await findStatements(pool, 'barrier-table', groupId)).length > 0) return false;
  for (const name of await findBarrierTables(pool, { schema, groupId })) {
    await openBarrier(pool, groupId);
    const logged = parseBarrierTable(name)?.logged === true;
    // DROP has no waiting time.
    const away = formatHoldName({ state: 'DROP', id: groupId, due: RETIRED_BARRIER_DUE });
    try {
      await runWithTimeout(
        pool,
        sql`RENAME ${note('retire', groupId)} TABLE ${ident(schema, name)}
          TO ${ident(recycleSchemaFor(logged), away)}`,
        { logged },
      );
    } catch (error) {
      if (isKilled(error)) return false;
      if (!isServerError(error, ...NOT_RENAMED)) throw error;
      const isThere = (await findBarrierTables(pool, { schema, groupId })).includes(name);
      if (!isThere) continue;
      // A server that was a replica has no local schema until a proxy creates it.
      await ensureLedger(pool);
      return false;
    }
  }
  return true;
}

/** Its name in the schema; none if it is gone. */
export async function findBarrierTables(
  connection: ServiceConnection,
  { schema, groupId }: BarredSchema,
): Promise<readonly string[]> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look', groupId)} TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE '!undrop\\_%'`,
  );
  const names = rows.map((row) => textOf(row, 'name'));
  return names.filter((name) => parseBarrierTable(name)?.groupId === groupId);
}

/** The statement of a killed proxy goes on, and keeps the barrier table open. */
async function openBarrier(pool: ServicePool, groupId: string): Promise<void> {
  for (const threadId of await findStatements(pool, 'barrier', groupId)) {
    try {
      await pool.killQuery(threadId);
    } catch (error) {
      // Another account's: then the barrier table stays until that statement ends.
      if (!isServerError(error, ER_KILL_DENIED_ERROR)) throw error;
    }
  }
}

/** Connections that are creating the barrier table, or hold it. */
async function findStatements(
  pool: ServicePool,
  step: 'barrier-table' | 'barrier',
  groupId: string,
): Promise<readonly number[]> {
  const server = await readServerFacts(pool);
  // In two parts, so that this statement finds neither itself nor that of another proxy.
  const comment = sql`CONCAT('%/* undrop schema-', ${step}, ' ', ${groupId}, ' */%')`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', groupId)} ID AS id FROM ${processlistOf(server)}
        WHERE INFO LIKE ${comment}`,
  );
  return rows.map((row) => numberOf(row, 'id'));
}

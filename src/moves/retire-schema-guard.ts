/**
 * Takes the guard of a DROP DATABASE (drop/schema-gate.ts) out of the schema, once no DROP can be
 * waiting for it any more: into a schema of ours, where the collector removes it. May run twice.
 *
 * Invariant: ends statements of the group's own gate only, and renames its own guard only.
 */
import { processlistOf } from '../ledger/owner.js';
import { formatHoldName } from '../names/hold-name.js';
import { recycleSchemaFor } from '../names/recycle-schema.js';
import { parseSchemaGuard } from '../names/schema-guard.js';
import { isKilled, runOrKill } from '../service/kill-after.js';
import { isServerError, type ServiceConnection, type ServicePool } from '../service/pools.js';
import { numberOf, textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { ident, note, sql } from '../service/sql.js';

export interface GuardedSchema {
  readonly schema: string;
  readonly groupId: string;
}

/** False: somebody has it locked; to be tried again. */
export async function retireSchemaGuard(
  pool: ServicePool,
  { schema, groupId }: GuardedSchema,
): Promise<boolean> {
  for (const name of await findSchemaGuards(pool, { schema, groupId })) {
    await openGate(pool, groupId);
    const logged = parseSchemaGuard(name)?.logged === true;
    // In DROP nothing is waited for.
    const away = formatHoldName({ state: 'DROP', id: groupId, due: new Date(0) });
    try {
      await runOrKill(
        pool,
        sql`RENAME ${note('retire', groupId)} TABLE ${ident(schema, name)}
          TO ${ident(recycleSchemaFor(logged), away)}`,
        { logged },
      );
    } catch (error) {
      if (isKilled(error)) return false;
      // Another proxy was faster, or the schema has gone. 1017 on 5.6.
      if (!isServerError(error, 1146, 1049, 1017)) throw error;
    }
  }
  return true;
}

/** Its name in the schema; none where it is gone. */
export async function findSchemaGuards(
  connection: ServiceConnection,
  { schema, groupId }: GuardedSchema,
): Promise<readonly string[]> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look', groupId)} TABLE_NAME AS name FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME LIKE '!undrop\\_%'`,
  );
  const names = rows.map((row) => textOf(row, 'name'));
  return names.filter((name) => parseSchemaGuard(name)?.groupId === groupId);
}

/** The statement of a proxy that was killed goes on, and keeps the guard open. */
async function openGate(pool: ServicePool, groupId: string): Promise<void> {
  const server = await readServerFacts(pool);
  // In two parts, as this statement must not find itself, nor that of another proxy.
  const comment = sql`CONCAT('%/* undrop schema-', 'gate ', ${groupId}, ' */%')`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look', groupId)} ID AS id FROM ${processlistOf(server)}
        WHERE INFO LIKE ${comment}`,
  );
  for (const row of rows) {
    try {
      await pool.killQuery(numberOf(row, 'id'));
    } catch (error) {
      // Another account's: then the guard stays for as long as that statement lasts.
      if (!isServerError(error, 1095)) throw error;
    }
  }
}

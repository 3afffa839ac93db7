/**
 * The triggers that a restored table lacks because the service account may not create them. The
 * ledger has their definitions, and records by `todo` that some were missing after the last try;
 * only the server shows whether they still are, because another account may have created them.
 */
import { type HeldTrigger, triggerLines } from '../../ledger/detached/triggers.js';
import type { Failure, LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { note, sql, textOf, valueList } from '../../service/sql.js';
import type { ReattachedTrigger } from './reattach-triggers.js';

export interface MissingTriggers {
  /** The table, in its original schema: no trigger is created in another. */
  readonly at: { readonly schema: string; readonly table: string };
  /** In the order of creation. */
  readonly triggers: readonly HeldTrigger[];
}

/** Null: none is missing, or the table no longer exists. `row`: with its texts. */
export async function findMissing(
  pool: ServicePool,
  { id, schema, restoredAs, failure, detached }: LedgerRow,
): Promise<MissingTriggers | null> {
  if (failure?.todo !== 'triggers' || restoredAs === null) return null;
  const at = { schema, table: restoredAs.slice(schema.length + 1) };
  const names = valueList(detached.triggers.map(({ name }) => name));
  const [tables = [], found = []] = await pool.run([
    sql`SELECT ${note('look', id)} 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${at.table}`,
    // Also on another table: that the name is taken was reported before.
    sql`SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
        WHERE EVENT_OBJECT_SCHEMA = ${schema} AND TRIGGER_NAME IN (${names})`,
  ]);
  if (tables.length === 0) return null;
  const there = new Set(found.map((row) => textOf(row, 'name')));
  const triggers = detached.triggers.filter(({ name }) => !there.has(name));
  return triggers.length === 0 ? null : { at, triggers };
}

/** Restored tables that lack triggers, with their names. */
export async function findWithoutTriggers(pool: ServicePool): Promise<readonly string[]> {
  const found: string[] = [];
  for (const row of await findRows(pool, { by: 'triggers' })) {
    const missing = await findMissing(pool, row);
    if (missing === null) continue;
    const { at, triggers } = missing;
    const names = triggers.map(({ name }) => name).join(', ');
    found.push(`${at.schema}.${at.table} lacks ${names}; ${creationHint(row.id)}`);
  }
  return found;
}

/** The ledger's failure for a restored table that lacks some of them; null: it lacks none. */
export function withoutTriggers(
  id: string,
  triggers: readonly ReattachedTrigger[],
): Failure | null {
  const missing = triggers.filter(({ isMissing }) => isMissing);
  const [first] = missing;
  if (first === undefined) return null;
  const names = missing.map(({ name }) => name).join(', ');
  // MySQL's warnings have 128 characters.
  const text = `without its triggers ${names} (${creationHint(id)}): ${first.problem}`;
  return { todo: 'triggers', text };
}

function creationHint(id: string): string {
  return `\`undrop show --sql ${id}\` prints them`;
}

/** The statements that create them, for a plain client. */
export function missingScript({ at, triggers }: MissingTriggers): string {
  return `${triggerLines(at, triggers).join('\n')}\n`;
}
